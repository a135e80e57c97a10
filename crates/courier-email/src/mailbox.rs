//! Validates addresses for SMTP commands and text for headers. Anything that could end a line, begin another command
//! or name a second recipient is rejected here again, regardless of the checks made when the order was accepted.
//!
//! Local parts are dot-atoms of ASCII: quoted ones and those that need SMTPUTF8 are rejected. Internationalized
//! domains are converted to punycode; address literals and domains of one label are rejected.

use lettre::Address;
use lettre::message::Mailbox;

/// RFC 5321 4.5.3.1.
const MOST_LOCAL: usize = 64;
/// The longest path between angle brackets is 256.
const MOST_ADDRESS: usize = 254;
const MOST_DOMAIN: usize = 253;
/// Longest text of one header: its line stays below 998 bytes in any encoding.
const MOST_WORDS: usize = 900;

/// Why an address is invalid. Never contains the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not a single mailbox of the form local@domain.
    #[error("expected a single mailbox of the form local@domain")]
    Form,
    /// The part before the @ is too long, or has characters other than `a-z A-Z 0-9 ! # $ % & ' * + - / = ? ^ _ { | }
    /// ~ .`.
    #[error("the part before the @ is not valid: expected at most 64 ASCII letters, digits and signs")]
    Local,
    /// The domain is invalid, an address literal, or has only one label.
    #[error("the domain is not valid: expected a name with a dot, as in example.org")]
    Domain,
}

/// Parses an address. The domain of the result is ASCII and in lower case.
///
/// # Errors
/// [`BadAddress`].
pub fn address(text: &str) -> Result<Address, BadAddress> {
    if text.len() > MOST_ADDRESS {
        return Err(BadAddress::Form);
    }
    let (local, domain) = text.split_once('@').ok_or(BadAddress::Form)?;
    if domain.contains('@') || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(BadAddress::Form);
    }
    let dots = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    // Programs that take addresses as arguments would read a leading minus as an option.
    if local.is_empty() || local.len() > MOST_LOCAL || !dots || local.starts_with('-') {
        return Err(BadAddress::Local);
    }
    if !local.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_{|}~.".contains(&b)) {
        return Err(BadAddress::Local);
    }
    Address::new(local, ascii_domain(domain)?).map_err(|_| BadAddress::Domain)
}

/// Parses a domain with at least two labels.
///
/// # Errors
/// [`BadAddress::Domain`].
pub fn ascii_domain(domain: &str) -> Result<String, BadAddress> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| BadAddress::Domain)?;
    let labels: Vec<&str> = ascii.split('.').collect();
    let fits = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    // A last label of only digits belongs to an IP address.
    let last = labels.last().is_some_and(|label| label.bytes().any(|b| b.is_ascii_alphabetic()));
    if labels.len() < 2 || ascii.len() > MOST_DOMAIN || !last || !labels.iter().all(fits) {
        return Err(BadAddress::Domain);
    }
    Ok(ascii)
}

/// Parses a mailbox with or without a display name, as used in settings.
///
/// # Errors
/// [`BadAddress`].
pub fn mailbox(text: &str) -> Result<Mailbox, BadAddress> {
    let (name, inside) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, inside)) => (name.trim(), inside),
        None => ("", text.trim()),
    };
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    if !is_plain(name) {
        return Err(BadAddress::Form);
    }
    Ok(Mailbox::new((!name.is_empty()).then(|| name.to_owned()), address(inside)?))
}

/// Whether a text is safe in a header: no line end, no other control character, no encoded word (which may hide a
/// line end), not too long for a line.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let separates = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.len() <= MOST_WORDS && !text.contains(separates) && !(text.contains("=?") && text.contains("?="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_addresses_are_taken() {
        for (text, taken) in [
            ("a@b.cd", "a@b.cd"),
            ("first.last+tag@Mail.Example.ORG", "first.last+tag@mail.example.org"),
            ("o'neil_{x}@example.org", "o'neil_{x}@example.org"),
            ("почта@пример.рф", ""),
            ("post@пример.рф", "post@xn--e1afmkfd.xn--p1ai"),
        ] {
            let found = address(text).map(|address| address.to_string()).unwrap_or_default();
            assert_eq!(found, taken, "{text}");
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        let (long, domain) = ("l".repeat(65), "d.".repeat(127));
        for text in [
            "",
            "a",
            "@",
            "@b.cd",
            "a@",
            "a@b@c.de",
            "a@b",
            "a@localhost",
            "a@b.cd.",
            "a@.b.cd",
            "a@b..cd",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@-b.cd",
            "a@b_c.de",
            ".a@b.cd",
            "a.@b.cd",
            "a..b@c.de",
            "-a@b.cd",
            "a b@c.de",
            "\"a b\"@c.de",
            "\"a\r\nRCPT TO:<x@y.zz>\"@c.de",
            "<a@b.cd>",
            "a@b.cd,c@d.ef",
            "a@b.cd;",
            "x: a@b.cd;",
            "a@b.cd\r\nRCPT TO:<x@y.zz>",
            "a@b.cd\n",
            "a\r@b.cd",
            "a\0@b.cd",
            "a@b.cd>\u{85}",
            "a@b.cd SIZE=1",
            "a@b.cd\u{2028}",
            &format!("{long}@b.cd"),
            &format!("a@{domain}cd"),
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn mailboxes_of_settings_are_read() {
        for (text, name, inside) in [
            ("a@b.cd", None, "a@b.cd"),
            ("Example <a@b.cd>", Some("Example"), "a@b.cd"),
            ("\"Клуб, Пример\" <a@b.cd>", Some("Клуб, Пример"), "a@b.cd"),
        ] {
            let found = mailbox(text).expect(text);
            assert_eq!((found.name.as_deref(), found.email.to_string().as_str()), (name, inside));
        }
        assert!(mailbox("a\r\nBcc: x@y.zz <a@b.cd>").is_err());
    }

    #[test]
    fn words_with_line_ends_or_encoded_ones_are_not_plain() {
        assert!(is_plain("Встреча в 9 = важно?"));
        for text in
            ["x\r\nBcc: v@z.zz", "x\ny", "x\ry", "x\0", "=?utf-8?q?a=0D=0ABcc:x?=", "a\u{85}b", "a\u{2029}b"]
        {
            assert!(!is_plain(text), "{text:?}");
        }
        assert!(!is_plain(&"x".repeat(901)));
    }
}
