//! Mailboxes: a single `local@domain` that every mail server accepts and that can't be read as anything else.

use std::str::FromStr;

use email_address::EmailAddress;

use super::Wrong;
use crate::intake::text::is_visible;
use crate::intake::validation_error::ValidationCode;

const MOST_LOCAL: usize = 64;
const MOST_DOMAIN: usize = 253;

const WRONG: Wrong = (
    ValidationCode::InvalidEmail,
    "must be one mailbox such as name@example.org: unquoted ASCII before the @, a host name with a dot after it",
);

/// Parses a mailbox. The domain is written in lower case, and a non-ASCII domain in its ASCII form (punycode); the
/// part before the `@` is up to the receiving server and is not changed.
///
/// Stricter than the RFCs: no quoted or non-ASCII local part, no leading `-` (some programs read it as an option), no
/// address literal, no host without a dot, no comment, no display name, no list.
pub(crate) fn mailbox(text: &str) -> Result<String, Wrong> {
    let (local, domain) = text.rsplit_once('@').ok_or(WRONG)?;
    if !is_local(local) {
        return Err(WRONG);
    }
    let domain = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        // The conversion to ASCII drops invisible characters: nobody meant to write them.
        if !domain.chars().all(is_visible) {
            return Err(WRONG);
        }
        idna::domain_to_ascii_strict(domain).map_err(|_| WRONG)?
    };
    if !is_host(&domain) {
        return Err(WRONG);
    }
    let written = format!("{local}@{domain}");
    // A second check, by a library that follows the RFCs.
    EmailAddress::from_str(&written).map_err(|_| WRONG)?;
    Ok(written)
}

/// Non-empty words of atom characters, separated by single dots.
fn is_local(local: &str) -> bool {
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local.len() <= MOST_LOCAL
        && !local.starts_with('-')
        && local.split('.').all(|word| !word.is_empty() && word.bytes().all(atom))
}

/// Labels of letters, digits and inner hyphens; at least two, the last one not a number.
fn is_host(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.len() <= MOST_DOMAIN
        && domain.contains('.')
        && domain.split('.').all(label)
        && !last.bytes().all(|b| b.is_ascii_digit())
        && last.len() >= 2
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
