//! The two books: what the transport said of each row, and what the provider took.

use std::collections::HashMap;

use posthaste_model::{Address, Row};

use super::calls::word;
use crate::conformance::bench::Taken;
use crate::conformance::report::Failure;
use crate::transport::Outcome;

/// What may have been taken for each address.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<Address, Entry>,
}

#[derive(Debug)]
struct Entry {
    mark: String,
    /// Copies of each part, at least and at most.
    least: u32,
    most: u32,
    said: String,
}

impl Ledger {
    /// A row that will be sent to, and the mark its message shows.
    pub(super) fn knows(&mut self, row: &Row, mark: &str) {
        let entry = Entry { mark: mark.to_owned(), least: 0, most: 0, said: "nothing".to_owned() };
        self.entries.insert(row.address.clone(), entry);
    }

    /// What the transport said of an attempt, which is worth more than what it said of those before.
    pub(super) fn said(&mut self, row: &Row, outcome: &Outcome) {
        let (least, most) = match outcome {
            Outcome::Accepted | Outcome::Delivered => (1, 1),
            Outcome::Unknown(_) => (0, 1),
            _ => (0, 0),
        };
        if let Some(entry) = self.entries.get_mut(&row.address) {
            entry.least = entry.least.max(least);
            entry.most = entry.most.max(most);
            entry.said = word(Some(outcome));
        }
    }

    /// A call for this row was dropped somewhere: it may have been taken.
    pub(super) fn may_be_taken(&mut self, row: &Row, most: u32) {
        if let Some(entry) = self.entries.get_mut(&row.address) {
            entry.most = entry.most.max(most);
            "nothing, being dropped".clone_into(&mut entry.said);
        }
    }

    /// Whether the provider's book agrees.
    pub(super) fn agrees(&self, check: &str, taken: &[Taken]) -> Result<(), Failure> {
        let mut copies: HashMap<(&Address, u32), u32> = HashMap::new();
        let mut shows: HashMap<&Address, bool> = HashMap::new();
        for message in taken {
            let Some(entry) = self.entries.get(&message.to) else {
                let what =
                    format!("the provider took a message to {}, which is nobody's address", message.to);
                return Err(Failure::broken(check, what));
            };
            *copies.entry((&message.to, message.part)).or_default() += 1;
            if let Some(text) = &message.text {
                *shows.entry(&message.to).or_default() |= text.expose().contains(&entry.mark);
            }
        }
        if let Some((to, _)) = shows.iter().find(|(_, shows)| !**shows) {
            return Err(Failure::broken(check, format!("{to} got the text of another message")));
        }
        for ((to, _), copies) in &copies {
            let Some(entry) = self.entries.get(*to).filter(|entry| *copies > entry.most) else { continue };
            let what = match entry.most {
                0 => format!("the transport said {}, but the provider had taken the message", entry.said),
                _ => format!(
                    "the transport said {}, and the provider took the message {copies} times",
                    entry.said
                ),
            };
            return Err(Failure::broken(check, what));
        }
        for (to, entry) in self.entries.iter().filter(|(_, entry)| entry.least > 0) {
            if !copies.keys().any(|(taken, _)| *taken == to) {
                let what =
                    format!("the transport said {}, but the provider never took the message", entry.said);
                return Err(Failure::broken(check, what));
            }
        }
        Ok(())
    }
}
