//! Mailboxes: a single `local@domain` that every mail server accepts and that can't be read as anything else.
//!
//! Stricter than the RFCs: no quoted or non-ASCII local part, no leading `-` (some programs read it as an option), no
//! address literal, no host without a dot, no comment, no display name, no list.

use std::str::FromStr;

use email_address::EmailAddress;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// RFC 5321 4.5.3.1.1.
const MOST_LOCAL: usize = 64;
const MOST_DOMAIN: usize = 253;
/// The longest path between angle brackets is 256 (RFC 5321 4.5.3.1.3).
const MOST_ADDRESS: usize = 254;

/// Why a text is no mailbox. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMailbox {
    /// Not a single mailbox of the form local@domain.
    #[error("expected a single mailbox of the form local@domain, at most 254 characters")]
    Form,
    /// The part before the @ is too long, or has other characters than those of a dot-atom (RFC 5322 3.2.3).
    #[error("the part before the @ is not valid: expected at most 64 ASCII letters, digits and signs")]
    Local,
    /// The domain is invalid, an address literal, or has only one label.
    #[error("the domain is not valid: expected a name with a dot, as in example.org")]
    Domain,
}

/// A mailbox in the form it is stored and sent: the domain in lower case and in ASCII (punycode), the part before the
/// `@` as it was given, because it is up to the receiving server.
///
/// # Errors
/// [`BadMailbox`].
pub fn parse(text: &str) -> Result<String, BadMailbox> {
    let (local, domain) = text.rsplit_once('@').ok_or(BadMailbox::Form)?;
    if local.contains('@') || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(BadMailbox::Form);
    }
    if !is_local(local) {
        return Err(BadMailbox::Local);
    }
    let written = format!("{local}@{}", ascii_domain(domain)?);
    if written.len() > MOST_ADDRESS {
        return Err(BadMailbox::Form);
    }
    // A second check, by the library that checks the envelope of every message too.
    EmailAddress::from_str(&written).map_err(|_| BadMailbox::Form)?;
    Ok(written)
}

/// A domain with at least two labels, in lower case and in ASCII. Labels with hyphens in the third and fourth place
/// are names like others (`ex--ample`), unless they begin with `xn--`: those must be valid punycode. The last label has
/// a letter, because a number there belongs to an IP address.
///
/// # Errors
/// [`BadMailbox::Domain`].
pub fn ascii_domain(domain: &str) -> Result<String, BadMailbox> {
    // The conversion drops invisible characters: nobody meant to write them.
    if !domain.chars().all(crate::line::is_visible) {
        return Err(BadMailbox::Domain);
    }
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| BadMailbox::Domain)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = ascii.rsplit('.').next().unwrap_or_default();
    let is_top = last.len() >= 2 && last.bytes().any(|b| b.is_ascii_alphabetic());
    if ascii.len() <= MOST_DOMAIN && ascii.contains('.') && is_top && ascii.split('.').all(label) {
        return Ok(ascii.into_owned());
    }
    Err(BadMailbox::Domain)
}

/// Non-empty words of atom characters, separated by single dots.
fn is_local(local: &str) -> bool {
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local.len() <= MOST_LOCAL
        && !local.starts_with('-')
        && local.split('.').all(|word| !word.is_empty() && word.bytes().all(atom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_normalised() {
        for (given, written) in [
            ("Ann.Lee+x@Example.ORG", "Ann.Lee+x@example.org"),
            ("o`brien@example.ie", "o`brien@example.ie"),
            ("a@ex--ample.org", "a@ex--ample.org"),
            ("a@1--2.example", "a@1--2.example"),
            ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
            ("info@пример.рф", "info@xn--e1afmkfd.xn--p1ai"),
            ("a@example.xn--p1ai", "a@example.xn--p1ai"),
            ("a@127.example", "a@127.example"),
            ("a@example.c0m", "a@example.c0m"),
        ] {
            assert_eq!(parse(given).as_deref(), Ok(written), "{given}");
            assert_eq!(parse(written).as_deref(), Ok(written), "{written}");
        }
    }

    #[test]
    fn what_no_server_takes_is_refused_with_the_part_to_change() {
        use BadMailbox::{Domain, Form, Local};
        let long = format!(
            "a@{}.example",
            ["b".repeat(63), "c".repeat(63), "d".repeat(63), "e".repeat(63)].join(".")
        );
        let whole = format!(
            "{}@{}.example",
            "a".repeat(64),
            ["b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".")
        );
        for (given, why) in [
            ("", Form),
            ("a", Form),
            ("a@b@example.org", Form),
            ("a b@example.org", Form),
            ("a@example.org\u{2028}", Form),
            ("почта@example.org", Local),
            ("-a@example.org", Local),
            ("a..b@example.org", Local),
            ("\"a\"@example.org", Local),
            ("a@localhost", Domain),
            ("a@[127.0.0.1]", Domain),
            ("a@127.0.0.1", Domain),
            ("a@example.123", Domain),
            ("a@example.1-2", Domain),
            ("a@example.c", Domain),
            ("a@xn--.org", Domain),
            ("a@xn--zzzzzz9999.org", Domain),
            ("a@-ample.org", Domain),
            ("a@ample-.org", Domain),
            ("a@example.org.", Domain),
            ("a@exam\u{200b}ple.org", Domain),
            (long.as_str(), Domain),
            (whole.as_str(), Form),
        ] {
            assert_eq!(parse(given), Err(why), "{given:?}");
        }
    }
}
