//! Parsers of requests as functions of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay saved inputs.

use axum::http::{HeaderMap, HeaderValue, header};
use posthaste_store::OrderCursor;

use crate::auth::Bearer;
use crate::parameters::OrderIdPath;

pub use crate::intake::fuzz::{addresses, order_body, order_lines};

/// Ids of orders, cursors and keys, as they appear in paths, queries and headers: what is parsed is written back unchanged.
pub fn tokens(data: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value);
        if let Some(key) = Bearer::of(&headers) {
            assert!(String::from_utf8_lossy(data).contains(&key.expose()));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(OrderIdPath(order_id)) = text.parse() {
        assert!([order_id.wire_id(), format!("history:{order_id}")].contains(&text.to_owned()));
    }
    if let Ok(cursor) = text.parse::<OrderCursor>() {
        assert_eq!(cursor.to_string().parse::<OrderCursor>(), Ok(cursor));
    }
}

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("order_body", super::order_body);
        replay("order_lines", super::order_lines);
        replay("addresses", super::addresses);
        replay("tokens", super::tokens);
    }

    /// Twice the depth that [`crate::intake`] accepts, and more than any stack can hold: JSON in JSON, wherever JSON
    /// may appear.
    #[test]
    fn nested_bodies_are_refused() {
        for levels in [2 * 100, 2 * 128, 100_000] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"contacts\":", "}]")] {
                let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
                super::order_body(deep.as_bytes());
                for name in ["recipients", "metadata", "overrides", "sender", "text", "channels", "none"] {
                    super::order_body(format!("{{\"{name}\":{deep}}}").as_bytes());
                    super::order_body(format!("{{\"{name}\":{}", open.repeat(levels)).as_bytes());
                }
                super::order_lines(format!(" {{\"contacts\":{deep}}}\n{deep}").as_bytes());
            }
        }
    }
}
