//! Parses a message for display. This happens on request, so that accepting mail costs nothing extra.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use serde::Serialize;

use super::parts::{Leaf, leaves};
use crate::record::{Attempt, Protocol};

/// Headers and texts of a message.
#[derive(Debug, Default, Serialize)]
pub(super) struct MessageContent {
    pub(super) headers: Vec<Header>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) parts: Vec<Part>,
}

/// A header; its value is unfolded and, where possible, decoded.
#[derive(Debug, Serialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

/// A part that is not a container.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    content_type: String,
    name: Option<String>,
    size: usize,
}

/// The subject is searched in this many bytes of a message.
const MOST_HEAD_BYTES: usize = 64 * 1024;

/// The subject, decoded.
pub(super) fn subject(attempt: &Attempt) -> Option<String> {
    let Protocol::Smtp(facts) = &attempt.protocol else { return None };
    let head = attempt.raw.get(..MOST_HEAD_BYTES).unwrap_or(&attempt.raw);
    let head = crate::smtp::undotted(head, facts.lenient);
    MessageParser::default().parse_headers(&head[..])?.subject().map(str::to_owned)
}

/// Characters of a text shown in a list.
const MOST_SNIPPET: usize = 120;

/// What a list shows of a message: the beginning of its text, on one line; for e-mail its subject.
pub(super) fn snippet(attempt: &Attempt) -> Option<String> {
    let Protocol::Http(facts) = &attempt.protocol else { return subject(attempt) };
    let text = facts.text.expose();
    let mut short: String =
        text.chars().take(MOST_SNIPPET).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    (!short.trim().is_empty()).then_some(short)
}

/// The content of an attempt, for display.
pub(super) fn taken(attempt: &Attempt) -> MessageContent {
    match &attempt.protocol {
        Protocol::Smtp(_) => take_apart(&attempt.message()),
        Protocol::Http(facts) => {
            MessageContent { text: Some(facts.text.expose().to_owned()), ..MessageContent::default() }
        }
    }
}

/// Parses a whole message. Anything that is not a message gives an empty result.
pub(super) fn take_apart(message: &[u8]) -> MessageContent {
    let Some(parsed) = MessageParser::default().parse_headers(message) else {
        return MessageContent::default();
    };
    let decoded = |name: &str| match name {
        _ if name.eq_ignore_ascii_case("subject") => parsed.subject().map(str::to_owned),
        _ => None,
    };
    let unfolded = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    let headers = parsed.headers_raw().map(|(name, value)| Header {
        name: name.to_owned(),
        value: decoded(name).unwrap_or_else(|| unfolded(value)),
    });
    let mut taken = MessageContent { headers: headers.collect(), ..MessageContent::default() };
    for leaf in leaves(message) {
        let contents = leaf.contents();
        taken.parts.push(part(&leaf, contents.as_ref()));
        match contents {
            Some(PartType::Text(text)) => _ = taken.text.get_or_insert_with(|| text.into_owned()),
            Some(PartType::Html(html)) => _ = taken.html.get_or_insert_with(|| html.into_owned()),
            _ => {}
        }
    }
    taken
}

fn part(leaf: &Leaf<'_>, contents: Option<&PartType<'_>>) -> Part {
    let size = match contents {
        Some(PartType::Text(text) | PartType::Html(text)) => text.len(),
        Some(PartType::Binary(bytes) | PartType::InlineBinary(bytes)) => bytes.len(),
        _ => leaf.size(),
    };
    let name = leaf.head.parts.first().and_then(|head| head.attachment_name()).map(str::to_owned);
    Part { content_type: leaf.kind(), name, size }
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    #[test]
    fn texts_and_headers_come_out_decoded() {
        let message = "Subject: =?utf-8?q?Caf=C3=A9?=\r\nX-Folded: a\r\n b\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/alternative; boundary=x\r\n\r\n\
            --x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n\
            --x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            <p>Hell=C3=B3</p>\r\n--x--\r\n";
        let taken = take_apart(message.as_bytes());
        let header =
            |name: &str| taken.headers.iter().find(|header| header.name == name).unwrap().value.clone();
        assert_eq!((header("Subject"), header("X-Folded")), ("Caf\u{e9}".into(), "a b".into()));
        assert_eq!(taken.text.as_deref(), Some("Hello"));
        assert_eq!(taken.html.as_deref().map(str::trim), Some("<p>Hell\u{f3}</p>"));
        let types: Vec<&str> = taken.parts.iter().map(|part| part.content_type.as_str()).collect();
        assert_eq!(types, ["text/plain", "text/html"]);
    }

    #[test]
    fn hostile_messages_are_taken_apart_or_left() {
        let nested = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n".repeat(40_000);
        let forwarded = "Content-Type: message/rfc822\r\n\r\n".repeat(40_000);
        let encoded = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            base64::engine::general_purpose::STANDARD.encode(&forwarded)
        );
        let many =
            format!("Content-Type: multipart/mixed; boundary=x\r\n\r\n{}", "--x\r\n\r\na\r\n".repeat(20_000));
        let noise: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for hostile in [
            nested.as_bytes(),
            forwarded.as_bytes(),
            encoded.as_bytes(),
            many.as_bytes(),
            &noise,
            b"",
            b"\r\n",
            b":",
            b"\0",
        ] {
            let taken = take_apart(hostile);
            assert!(taken.parts.len() <= 1_000);
        }
    }

    #[test]
    fn a_nested_message_is_one_unopened_part() {
        let message = "Subject: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
            --x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\none\r\n--y\r\n\
            Content-Type: text/html\r\n\r\n<b>one</b>\r\n--y--\r\n\
            --x\r\nContent-Type: message/rfc822\r\n\r\nSubject: b\r\n\r\ntwo\r\n\
            --x\r\nContent-Type: image/png; name=p.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--\r\n";
        let taken = take_apart(message.as_bytes());
        assert_eq!((taken.text.as_deref(), taken.html.as_deref()), (Some("one"), Some("<b>one</b>")));
        let parts: Vec<(&str, usize)> =
            taken.parts.iter().map(|part| (part.content_type.as_str(), part.size)).collect();
        let wanted = [("text/plain", 3), ("text/html", 10), ("message/rfc822", 17), ("image/png", 3)];
        assert_eq!(parts, wanted);
        assert_eq!(taken.parts[3].name.as_deref(), Some("p.png"));
    }
}
