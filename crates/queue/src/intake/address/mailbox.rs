//! Mailboxes, by the parser that the e-mail courier uses too.

use posthaste_model::addresses::mailbox;

use super::Wrong;
use crate::intake::validation_error::ValidationCode;

const WRONG: Wrong = (
    ValidationCode::InvalidEmail,
    "must be one mailbox such as name@example.org: unquoted ASCII before the @, a host name with a dot after it",
);

/// Parses a mailbox. The domain is written in lower case, and a non-ASCII domain in its ASCII form (punycode); the
/// part before the `@` is up to the receiving server and is not changed.
pub(crate) fn mailbox(text: &str) -> Result<String, Wrong> {
    mailbox::parse(text).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_normalised() {
        for (given, written) in [
            ("Ann.Lee+x@Example.ORG", "Ann.Lee+x@example.org"),
            ("a@b.co", "a@b.co"),
            ("o'brien@example.ie", "o'brien@example.ie"),
            ("o`brien@ex--ample.org", "o`brien@ex--ample.org"),
            ("инфо@пример.рф", ""),
            ("info@пример.рф", "info@xn--e1afmkfd.xn--p1ai"),
            ("info@ПРИМЕР.рф", "info@xn--e1afmkfd.xn--p1ai"),
            ("info@bücher.example", "info@xn--bcher-kva.example"),
            ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
        ] {
            assert_eq!(mailbox(given).unwrap_or_default(), written, "{given}");
        }
    }

    #[test]
    fn anything_but_a_single_plain_mailbox_is_refused() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_domain = format!("a@{}.org", vec!["a".repeat(60); 5].join("."));
        let long_label = format!("a@{}.org", "a".repeat(64));
        for bad in [
            "",
            "a",
            "a@",
            "@example.org",
            "a@b@example.org",
            "a@example.org.",
            "a@example..org",
            "a@.example.org",
            ".a@example.org",
            "a.@example.org",
            "a..b@example.org",
            "a@localhost",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@example.1",
            "a@example.1-2",
            "a@xn--.org",
            "-a@example.org",
            "-oQ/tmp@example.org",
            "\"a b\"@example.org",
            "\"a\r\n\"@example.org",
            "a@b\r\nRCPT TO:<x@y.org>",
            "a@example.org\r\n",
            "a\n@example.org",
            "a\0@example.org",
            "a b@example.org",
            " a@example.org",
            "a@example.org ",
            "a@exa mple.org",
            "<a@example.org>",
            "Ann <a@example.org>",
            "a@example.org,b@example.org",
            "a@example.org;b@example.org",
            "group:a@example.org;",
            "a(comment)@example.org",
            "a@example_x.org",
            "a@-example.org",
            "a@example-.org",
            "a@example.org>",
            "почта@example.org",
            "a@\u{200b}example.org",
            "a@exam\u{202e}ple.org",
            "a@example\u{3002}",
            long_local.as_str(),
            long_domain.as_str(),
            long_label.as_str(),
        ] {
            assert_eq!(mailbox(bad), Err(WRONG), "{bad:?}");
        }
    }
}
