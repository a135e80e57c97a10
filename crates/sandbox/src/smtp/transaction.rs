//! The data of an attempt in progress.

use std::time::Duration;

use posthaste_model::{Address, UnixMs};
use tokio::time::Instant;

use crate::record::AttemptRecipient;

/// Most bytes of dialogue kept per attempt.
const MOST_DIALOGUE_BYTES: usize = 16 * 1024;
/// Most refused recipients kept per attempt, beside the accepted ones.
const MOST_REFUSED: usize = 1_000;

/// A message from MAIL on.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) at: UnixMs,
    begun: Instant,
    pub(super) sender: String,
    pub(super) parameters: String,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    /// The accepted addresses.
    pub(super) taken: Vec<String>,
    /// Accepted and refused ones, in order of arrival.
    pub(super) recipients: Vec<AttemptRecipient>,
    refused: usize,
    /// The code answered to the last refused recipient.
    pub(super) last_refusal: Option<u16>,
}

impl Transaction {
    pub(super) fn begin(at: UnixMs, sender: &str, parameters: &str) -> Self {
        Self {
            at,
            begun: Instant::now(),
            sender: sender.to_owned(),
            parameters: parameters.to_owned(),
            eight_bit: false,
            utf8: false,
            taken: Vec::new(),
            recipients: Vec::new(),
            refused: 0,
            last_refusal: None,
        }
    }

    pub(super) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Records the code answered to a recipient, 0 for no answer.
    pub(super) fn answered(&mut self, address: &str, code: u16) {
        if code / 100 == 2 {
            self.taken.push(address.to_owned());
        } else {
            self.last_refusal = Some(code);
            self.refused += 1;
            if self.refused > MOST_REFUSED {
                return;
            }
        }
        self.recipients.push(AttemptRecipient { address: Address::new(address), code, id: None });
    }
}

/// The dialogue, line by line.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    text: String,
    full: bool,
}

impl Dialogue {
    /// Adds a line of the client (`C`) or the server (`S`).
    pub(super) fn add(&mut self, who: char, line: &str) {
        if self.full {
            return;
        }
        if self.text.len() + line.len() > MOST_DIALOGUE_BYTES {
            self.text.push_str("…\n");
            self.full = true;
            return;
        }
        self.text.push(who);
        self.text.push_str(": ");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Returns all of it and starts over.
    pub(super) fn take(&mut self) -> String {
        self.full = false;
        std::mem::take(&mut self.text)
    }
}

/// The value of a header in the head of a message, from its first line; at most 200 bytes.
pub(super) fn header(message: &[u8], name: &str) -> Option<String> {
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return None;
        }
        let Some((front, rest)) = line.split_at_checked(name.len()) else { continue };
        if front.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b':') {
            let value = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
            return Some(value.trim().chars().filter(|c| !c.is_control()).take(200).collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_found_in_the_head_only() {
        let message = b"Subject: x-order: no\r\nX-ORDER:  gym.17 \r\n\r\nX-Other: body\r\n";
        assert_eq!(header(message, "X-Order").as_deref(), Some("gym.17"));
        assert_eq!(header(message, "X-Other"), None);
        assert_eq!(header(b"", "X-Order"), None);
    }

    #[test]
    fn a_long_dialogue_is_cut_off() {
        let mut dialogue = Dialogue::default();
        for _ in 0..10_000 {
            dialogue.add('C', "NOOP");
        }
        let text = dialogue.take();
        assert!(text.len() < MOST_DIALOGUE_BYTES + 100 && text.ends_with("…\n"));
        dialogue.add('S', "250 Ok");
        assert_eq!(dialogue.take(), "S: 250 Ok\n");
    }
}
