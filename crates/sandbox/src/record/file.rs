//! The record file: one JSON object a line for each attempt, in the order of their ids.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::attempt::{Attempt, Outcome, Protocol, SmtpFacts};

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct RecordFile(File);

impl RecordFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Messages are personal: nobody else may read what this process makes.
        use std::os::unix::fs::OpenOptionsExt;
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Self)
    }

    /// Writes one line, which is `{"id":<id>` and what [`line`] made. One write, so that a process that is killed leaves
    /// whole lines.
    pub(super) fn append(&mut self, id: u64, rest: &[u8]) -> io::Result<()> {
        let mut whole = Vec::with_capacity(rest.len() + 32);
        write!(whole, "{{\"id\":{id},")?;
        whole.extend_from_slice(rest);
        self.0.write_all(&whole)
    }
}

/// The line of an attempt from behind its id.
pub(super) fn line(attempt: &Attempt) -> Vec<u8> {
    let Protocol::Smtp(smtp) = &attempt.protocol;
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
            .map(|recipient| RecipientLine { address: recipient.address.expose(), code: recipient.code })
            .collect(),
        order: attempt.order.as_deref(),
        outcome: attempt.outcome,
        size: attempt.size,
        smtp,
        dialogue: attempt.dialogue.expose(),
        raw_base64: STANDARD.encode(&attempt.raw),
    };
    // Strings, numbers and no maps: this cannot fail. If it ever did, the line would still be JSON.
    let mut text = serde_json::to_vec(&line).unwrap_or_else(|_| b"{}".to_vec());
    text.push(b'\n');
    text.remove(0);
    text
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
    outcome: Outcome,
    size: u64,
    smtp: &'a SmtpFacts,
    dialogue: &'a str,
    raw_base64: String,
}

#[derive(Serialize)]
struct RecipientLine<'a> {
    address: &'a str,
    code: u16,
}
