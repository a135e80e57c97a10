//! The parsers of mail and replies as functions of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay its
//! corpus.

use std::sync::LazyLock;

use posthaste_courier::AttemptId;
use secrecy::SecretString;

use crate::hmac_tag::{HmacTags, Purpose};
use crate::reply_parser::{Arrivals, MOST_BYTES};
use crate::reply_rules::{ReplyRules, SmtpReply, SmtpStage, TABLE};
use crate::settings::UnsubscribeSettings;
use crate::unsubscribe::{Links, is_click};
use crate::verp::ReturnPaths;
use crate::{dsn, mailbox};

static REPLIES: LazyLock<ReplyRules> = LazyLock::new(|| ReplyRules::embedded(&TABLE).expect("the table"));

fn key() -> SecretString {
    "0123456789abcdef0123456789abcdef".into()
}

/// Replies of a relay, in pieces of any size. The first byte is the size of the pieces.
pub fn smtp_replies(data: &[u8]) {
    let Some((size, said)) = data.split_first() else { return };
    assert_eq!(
        received(said, said.len().max(1)),
        received(said, usize::from(*size).max(1)),
        "the size of the pieces changes what is read"
    );
}

/// Code and text of each reply, and whether all of them were valid.
fn received(said: &[u8], piece: usize) -> (Vec<(u16, String)>, bool) {
    let (mut arrivals, mut received) = (Arrivals::default(), Vec::new());
    for piece in said.chunks(piece) {
        arrivals.room().extend(piece);
        loop {
            match arrivals.next() {
                Ok(Some(answer)) => {
                    let text = answer.text();
                    assert!((200..=559).contains(&answer.code) && text.len() <= 3 * MOST_BYTES);
                    let reply = SmtpReply::new(answer.code, &text);
                    for stage in [
                        SmtpStage::Connect,
                        SmtpStage::Auth,
                        SmtpStage::Mail,
                        SmtpStage::Rcpt,
                        SmtpStage::Data,
                        SmtpStage::Text,
                    ] {
                        let _ = REPLIES.classify(&reply.response(stage));
                    }
                    received.push((answer.code, text));
                }
                Ok(None) => break,
                Err(_) => return (received, false),
            }
        }
    }
    (received, true)
}

/// A message to a return path: a report, a complaint, anything.
pub fn bounces(data: &[u8]) {
    let whole = dsn::read(data, &REPLIES);
    assert_eq!(whole, dsn::read(data, &REPLIES));
}

/// A command of the server that delivers bounces, up to its line end.
pub fn lmtp_commands(data: &[u8]) {
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let _ = smtp_proto::Request::parse(&mut line.iter());
    }
}

/// A return path: only those made here are accepted.
pub fn return_paths(data: &[u8]) {
    let seals =
        HmacTags::new(Purpose::Bounce, ("key", &key()), ("old", &SecretString::default())).expect("a key");
    let paths = ReturnPaths::new("b+{}@example.org", seals).expect("a form");
    let text = String::from_utf8_lossy(data);
    let _ = mailbox::mailbox(&text);
    assert_eq!(paths.read(&text), None);
    let Ok(attempt) = text.parse::<AttemptId>() else { return };
    let path = paths.of(&attempt).expect("a return path");
    assert!(paths.read(path.address.as_ref()).is_some());
}

/// The link of a message, and a request to it: a content type, LF, and a body.
pub fn unsubscribe(data: &[u8]) {
    let (public_url, listen, old_keys) =
        ("https://example.org/m".to_owned(), String::new(), SecretString::default());
    let settings = UnsubscribeSettings { public_url, key: key(), old_keys, listen, max_connections: 1 };
    let links = Links::new(&settings).expect("settings").expect("links");
    let text = String::from_utf8_lossy(data);
    assert_eq!(links.read(&text), None);
    if let Ok(attempt) = text.parse::<AttemptId>() {
        let link = links.link(&attempt);
        let first = AttemptId { attempt: 1, ..attempt };
        assert_eq!(links.read(link.trim_start_matches("https://example.org")), Some(first));
    }
    let (kind, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let body = &body[..body.len().min(crate::unsubscribe::limits(1).body_bytes)];
    is_click(&String::from_utf8_lossy(kind), body);
}

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("smtp_replies", super::smtp_replies);
        replay("bounces", super::bounces);
        replay("lmtp_commands", super::lmtp_commands);
        replay("return_paths", super::return_paths);
        replay("unsubscribe", super::unsubscribe);
    }

    /// Twice the depth that [`crate::parts`] accepts, and a depth that would overflow any stack.
    #[test]
    fn nested_messages_end_nothing() {
        for levels in [2 * crate::parts::MOST_DEPTH, 40_000] {
            for head in [
                "Content-Type: message/rfc822\r\n\r\n",
                "Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
                "Content-Type: message/delivery-status\r\n\r\n",
                "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n",
            ] {
                let deep = head.repeat(levels);
                super::bounces(deep.as_bytes());
                super::unsubscribe(format!("multipart/form-data; boundary=x\n--x\r\n{deep}").as_bytes());
            }
            super::return_paths(format!("{}a@b{}", "(".repeat(levels), ")".repeat(levels)).as_bytes());
            super::return_paths(format!("{}a@b{}", "<".repeat(levels), ">".repeat(levels)).as_bytes());
            super::bounces(format!("{}: {}\r\n\r\n", "Content-Type", "(".repeat(levels)).as_bytes());
        }
    }
}
