//! The record file: one JSON object per line and attempt, in the order of their ids.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::attempt::{Attempt, AttemptOutcome, HttpFacts, LaterStatus, Protocol, SmtpFacts};

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct RecordFile(File);

impl RecordFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Messages are personal data: other users may not read files this process creates.
        use std::os::unix::fs::OpenOptionsExt;
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Self)
    }

    /// Writes one line: `{"id":<id>` and the result of [`line`]. It is a single write, so a killed process leaves
    /// whole lines.
    pub(super) fn append(&mut self, id: u64, rest: &[u8]) -> io::Result<()> {
        let mut whole = Vec::with_capacity(rest.len() + 32);
        write!(whole, "{{\"id\":{id},")?;
        whole.extend_from_slice(rest);
        self.0.write_all(&whole)
    }
}

/// The line of a later status, after its attempt's id: `{"id":7,"later":{…}}`.
pub(super) fn later(later: &LaterStatus) -> Vec<u8> {
    ending(serde_json::to_vec(&LaterLine { later }))
}

/// Without the opening brace, with the end of the line. The data are strings and numbers and no maps, so this cannot
/// fail. If it ever did, the line would still be JSON.
fn ending(text: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    let mut text = text.unwrap_or_else(|_| b"{\"later\":null}".to_vec());
    text.push(b'\n');
    text.remove(0);
    text
}

/// The line of an attempt, after its id.
pub(super) fn line(attempt: &Attempt) -> Vec<u8> {
    let (smtp, http) = match &attempt.protocol {
        Protocol::Smtp(facts) => (Some(facts), None),
        Protocol::Http(facts) => (None, Some(HttpLine::of(facts))),
    };
    let line = Line {
        at: attempt.at.0,
        took_us: u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX),
        channel: attempt.channel.as_str(),
        connection: attempt.connection,
        peer: attempt.peer.to_string(),
        sender: attempt.sender.expose(),
        recipients: attempt
            .recipients
            .iter()
            .map(|to| RecipientLine { address: to.address.expose(), code: to.code, id: to.id.as_deref() })
            .collect(),
        order: attempt.order.as_deref(),
        outcome: attempt.outcome,
        size: attempt.size,
        smtp,
        http,
        dialogue: attempt.dialogue.expose(),
        raw_base64: STANDARD.encode(&attempt.raw),
    };
    ending(serde_json::to_vec(&line))
}

#[derive(Serialize)]
struct LaterLine<'a> {
    later: &'a LaterStatus,
}

#[derive(Serialize)]
struct Line<'a> {
    at: u64,
    took_us: u64,
    channel: &'a str,
    connection: u64,
    peer: String,
    sender: &'a str,
    recipients: Vec<RecipientLine<'a>>,
    order: Option<&'a str>,
    #[serde(flatten)]
    outcome: AttemptOutcome,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp: Option<&'a SmtpFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpLine<'a>>,
    dialogue: &'a str,
    raw_base64: String,
}

#[derive(Serialize)]
struct RecipientLine<'a> {
    address: &'a str,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize)]
struct HttpLine<'a> {
    provider: &'a str,
    method: &'a str,
    account: &'a str,
    text: &'a str,
}

impl<'a> HttpLine<'a> {
    fn of(facts: &'a HttpFacts) -> Self {
        let HttpFacts { provider, method, account, text, .. } = facts;
        Self { provider, method, account, text: text.expose() }
    }
}
