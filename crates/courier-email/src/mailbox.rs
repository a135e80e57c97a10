//! Validates addresses for SMTP commands and text for headers. Anything that could end a line, begin another command
//! or name a second recipient is rejected here again, regardless of the checks made when the order was accepted; both
//! ask one parser ([`posthaste_model::addresses::mailbox`]).

use lettre::Address;
use lettre::message::Mailbox;
use posthaste_model::addresses::mailbox;
pub use posthaste_model::addresses::mailbox::{BadMailbox as BadAddress, ascii_domain};
use posthaste_model::line::is_line;

/// Longest text of one header, in bytes: any name or subject that is accepted, in any alphabet.
const MOST_WORDS: usize = 1024;

/// Parses an address. The domain of the result is ASCII and in lower case.
///
/// # Errors
/// [`BadAddress`].
pub fn address(text: &str) -> Result<Address, BadAddress> {
    let written = mailbox::parse(text)?;
    written.parse().map_err(|_| BadAddress::Form)
}

/// Parses a mailbox with or without a display name, as used in settings. Quotation marks around the name, or a part of
/// it, are not part of it, and a backslash between them stands for the character after it (RFC 5322 3.2.4).
///
/// # Errors
/// [`BadAddress`].
pub fn mailbox(text: &str) -> Result<Mailbox, BadAddress> {
    let (phrase, inside) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((phrase, inside)) => (phrase.trim(), inside),
        None => ("", text.trim()),
    };
    let name = unquoted(phrase).ok_or(BadAddress::Form)?;
    if !is_plain(&name) {
        return Err(BadAddress::Form);
    }
    Ok(Mailbox::new((!name.is_empty()).then_some(name), address(inside)?))
}

/// A display name without its quotation marks and backslashes; `None` if a quotation mark is not closed.
fn unquoted(phrase: &str) -> Option<String> {
    let (mut name, mut is_quoted) = (String::with_capacity(phrase.len()), false);
    let mut letters = phrase.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => name.push(letters.next()?),
            letter => name.push(letter),
        }
    }
    (!is_quoted).then_some(name)
}

/// Whether a text is safe in a header: one line without control characters, not longer than any text that is accepted.
/// What would be read as an encoded word is encoded (`header_text`).
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.len() <= MOST_WORDS && is_line(text)
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
            ("o`neil@ex--ample.org", "o`neil@ex--ample.org"),
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
            (r#""Клуб \"Заря\"" <a@b.cd>"#, Some("Клуб \"Заря\""), "a@b.cd"),
            (r#""A \\ B" <a@b.cd>"#, Some("A \\ B"), "a@b.cd"),
            (r#"The "Dawn" Club <a@b.cd>"#, Some("The Dawn Club"), "a@b.cd"),
            (r#""<x@y.zz>" <a@b.cd>"#, Some("<x@y.zz>"), "a@b.cd"),
        ] {
            let found = mailbox(text).expect(text);
            assert_eq!((found.name.as_deref(), found.email.to_string().as_str()), (name, inside));
        }
        for bad in ["a\r\nBcc: x@y.zz <a@b.cd>", "\"a <a@b.cd>", r#""a\" <a@b.cd>"#] {
            assert!(mailbox(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_with_line_ends_are_not_plain() {
        assert!(is_plain("Встреча в 9 = важно?"));
        for text in ["x\r\nBcc: v@z.zz", "x\ny", "x\ry", "x\0", "a\u{85}b", "a\u{2029}b"] {
            assert!(!is_plain(text), "{text:?}");
        }
        assert!(!is_plain(&"x".repeat(1025)));
    }
}
