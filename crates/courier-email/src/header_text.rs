//! Headers with people's words: subjects and names, as they are if a reader shows them unchanged, otherwise as encoded
//! words (RFC 2047). Encoded are all words of a text at once, so that the spaces between them are inside of encoded
//! words: those between two encoded words are dropped by readers (6.2).

use std::fmt;

use email_encoding::headers::writer::EmailWriter;
use email_encoding::headers::{quoted_string, rfc2047};
use lettre::message::Mailbox;
use lettre::message::header::{HeaderName, HeaderValue};

/// The header `Subject`.
pub(crate) fn subject(text: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    if is_unchanged(text) {
        return HeaderValue::new(name, text.to_owned());
    }
    let encoded = written("Subject", |line| rfc2047::encode(text, line));
    HeaderValue::dangerous_new_pre_encoded(name, text.to_owned(), encoded)
}

/// A header with one mailbox: From, To or Reply-To.
pub(crate) fn mailbox(header: &'static str, mailbox: &Mailbox) -> HeaderValue {
    let address: &str = mailbox.email.as_ref();
    let encoded = written(header, |line| {
        let name = mailbox.name.as_deref().unwrap_or_default();
        match name {
            "" => return fmt::Write::write_str(line, address),
            name if is_unchanged(name) => quoted_string::encode(name, line)?,
            name => rfc2047::encode(name, line)?,
        }
        line.space();
        fmt::Write::write_str(&mut line.folding(), &format!("<{address}>"))
    });
    // The builder reads the address from the unencoded value; the name is of no use to it.
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str(header),
        address.to_owned(),
        encoded,
    )
}

/// Whether readers show a text as it was given if it is not encoded: ASCII, single spaces between words, and nothing
/// that they would decode.
fn is_unchanged(text: &str) -> bool {
    let is_ascii = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    is_ascii && !text.contains("=?") && !text.contains("  ") && text.trim() == text
}

fn written(header: &str, write: impl FnOnce(&mut EmailWriter<'_>) -> fmt::Result) -> String {
    let mut out = String::new();
    {
        let mut line = EmailWriter::new(&mut out, header.len() + ": ".len(), 0, false);
        // Writing to a string never fails.
        let _ = write(&mut line);
    }
    out
}
