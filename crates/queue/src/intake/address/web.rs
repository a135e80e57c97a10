//! URLs that messages are posted to.

use url::Url;

use super::{MOST_BYTES, Wrong};
use crate::intake::validation_error::ValidationCode;

/// A URL in its normalised form: scheme and host in lower case, the name of the host in ASCII, no default port. Which hosts and
/// ports may be called is for the courier to decide, which resolves the name.
pub(crate) fn url(text: &str) -> Result<String, Wrong> {
    const WRONG: Wrong = (
        ValidationCode::InvalidAddress,
        "must be an http or https URL of at most 512 bytes, without a user, a fragment (#), spaces or control characters",
    );
    // The parser drops these silently, so a different URL would be stored than was given.
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') || text.len() > MOST_BYTES {
        return Err(WRONG);
    }
    let url = Url::parse(text).map_err(|_| WRONG)?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let written = String::from(url);
    if is_web && is_plain && written.len() <= MOST_BYTES { Ok(written) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_normalised() {
        for (given, written) in [
            ("https://example.org", "https://example.org/"),
            ("HTTPS://Example.ORG:443/A?b=C", "https://example.org/A?b=C"),
            ("https://пример.рф/x", "https://xn--e1afmkfd.xn--p1ai/x"),
            ("http://127.0.0.1:8080/anna", "http://127.0.0.1:8080/anna"),
            ("https://example.org/a/../b", "https://example.org/b"),
        ] {
            assert_eq!(url(given).as_deref(), Ok(written), "{given}");
            assert_eq!(url(written).as_deref(), Ok(written), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("https://example.org/{}", "x".repeat(MOST_BYTES));
        for bad in [
            "",
            "example.org",
            "/x",
            "ftp://example.org/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "https://user@example.org/",
            "https://:word@example.org/",
            "https://example.org/#part",
            "https://example.org/a b",
            " https://example.org/",
            "https://exa\nmple.org/",
            "https:\\\\example.org\\x",
            "https://example.org:99999/",
            &long,
        ] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
    }
}
