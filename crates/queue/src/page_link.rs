//! The link to the next page, in addition to the cursor in the body.

use axum::http::{HeaderMap, HeaderValue, header};

/// Adds `Link: <path?…&cursor=…>; rel="next"`. Names and values are ours or have been validated: the grammar of each
/// is checked before, so only what a URL may contain arrives here.
pub(crate) fn link(headers: &mut HeaderMap, path: &str, parameters: &[(&str, Option<String>)], cursor: &str) {
    let mut target = format!("{path}?");
    for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        target.push_str(&format!("{name}={}&", escape(value)));
    }
    target.push_str(&format!("cursor={}", escape(cursor)));
    if let Ok(value) = HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")) {
        headers.insert(header::LINK, value);
    }
}

/// Percent-encodes everything except the unreserved characters of a URL, the comma and the colon.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_repeats_the_query() {
        let mut headers = HeaderMap::new();
        let parameters =
            [("status", Some("failed".to_owned())), ("channel", None), ("limit", Some("1+2".to_owned()))];
        link(&mut headers, "/v1/orders", &parameters, "abc");
        assert_eq!(headers[header::LINK], "</v1/orders?status=failed&limit=1%2B2&cursor=abc>; rel=\"next\"");
    }
}
