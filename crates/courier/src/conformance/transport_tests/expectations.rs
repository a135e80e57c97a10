//! The ledger: compares the outcomes the transport reported for each delivery with what the provider accepted.

use std::collections::HashMap;

use posthaste_model::{Address, Delivery};

use super::calls::word;
use crate::conformance::bench::TakenMessage;
use crate::conformance::report::ConformanceFailure;
use crate::transport::Outcome;

/// What may have been accepted for each address.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<Address, Entry>,
}

#[derive(Debug)]
struct Entry {
    mark: String,
    /// Minimum and maximum copies of each part.
    least: u32,
    most: u32,
    said: String,
}

impl Ledger {
    /// Adds a delivery and the mark its message contains.
    pub(super) fn knows(&mut self, delivery: &Delivery, mark: &str) {
        let entry = Entry { mark: mark.to_owned(), least: 0, most: 0, said: "nothing".to_owned() };
        self.entries.insert(delivery.address.clone(), entry);
    }

    /// Records the outcome of an attempt. It replaces the outcomes of earlier attempts, but not what they allow.
    pub(super) fn said(&mut self, delivery: &Delivery, outcome: &Outcome) {
        let (least, most) = match outcome {
            Outcome::Sent | Outcome::Delivered => (1, 1),
            Outcome::Unknown(_) => (0, 1),
            _ => (0, 0),
        };
        if let Some(entry) = self.entries.get_mut(&delivery.address) {
            entry.least = entry.least.max(least);
            entry.most = entry.most.max(most);
            entry.said = word(Some(outcome));
        }
    }

    /// A call for this delivery was dropped: the message may have been accepted, at most `most` times.
    pub(super) fn may_be_taken(&mut self, delivery: &Delivery, most: u32) {
        if let Some(entry) = self.entries.get_mut(&delivery.address) {
            entry.most = entry.most.max(most);
            "nothing, because the call was dropped".clone_into(&mut entry.said);
        }
    }

    /// Compares with what the provider accepted.
    pub(super) fn agrees(&self, check: &str, taken: &[TakenMessage]) -> Result<(), ConformanceFailure> {
        let mut copies: HashMap<(&Address, u32), u32> = HashMap::new();
        let mut shows: HashMap<&Address, bool> = HashMap::new();
        for message in taken {
            let Some(entry) = self.entries.get(&message.to) else {
                let what = format!(
                    "the provider accepted a message to {}, an address nothing was sent to",
                    message.to
                );
                return Err(ConformanceFailure::broken(check, what));
            };
            *copies.entry((&message.to, message.part)).or_default() += 1;
            if let Some(text) = &message.text {
                *shows.entry(&message.to).or_default() |= text.expose().contains(&entry.mark);
            }
        }
        if let Some((to, _)) = shows.iter().find(|(_, shows)| !**shows) {
            return Err(ConformanceFailure::broken(check, format!("{to} got the text of another message")));
        }
        for ((to, _), copies) in &copies {
            let Some(entry) = self.entries.get(*to).filter(|entry| *copies > entry.most) else { continue };
            let what = match entry.most {
                0 => format!("the transport reported {}, but the provider accepted the message", entry.said),
                _ => format!(
                    "the transport reported {}, but the provider accepted the message {copies} times",
                    entry.said
                ),
            };
            return Err(ConformanceFailure::broken(check, what));
        }
        for (to, entry) in self.entries.iter().filter(|(_, entry)| entry.least > 0) {
            if !copies.keys().any(|(taken, _)| *taken == to) {
                let what = format!(
                    "the transport reported {}, but the provider never accepted the message",
                    entry.said
                );
                return Err(ConformanceFailure::broken(check, what));
            }
        }
        Ok(())
    }
}
