//! The attempts kept in memory: a ring bounded in bytes and in number; dropped ones are counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::attempt::{Attempt, Ending};

/// How many attempts were seen since the start or the last clearing, and how many are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordCounts {
    /// Over all channels.
    #[serde(flatten)]
    pub totals: Totals,
    /// Attempts dropped from the ring to make room.
    pub pruned: u64,
    /// Attempts kept.
    pub kept: u64,
    /// Their approximate size in bytes.
    pub kept_bytes: u64,
    /// By channel.
    pub channels: BTreeMap<String, Totals>,
}

/// Counts of attempts by ending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// All attempts.
    pub attempts: u64,
    /// Messages accepted, answered or not: `accepted` and `taken` together.
    pub messages: u64,
    /// Recipients of the accepted messages.
    pub recipients: u64,
    /// [`Ending::Accepted`].
    pub accepted: u64,
    /// [`Ending::Taken`].
    pub taken: u64,
    /// [`Ending::Refused`].
    pub refused: u64,
    /// [`Ending::Cut`].
    pub cut: u64,
    /// [`Ending::Left`].
    pub left: u64,
}

impl Totals {
    fn add(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        let ending = match attempt.outcome.ending {
            Ending::Accepted => &mut self.accepted,
            Ending::Taken => &mut self.taken,
            Ending::Refused => &mut self.refused,
            Ending::Cut => &mut self.cut,
            Ending::Left => &mut self.left,
        };
        *ending += 1;
        if attempt.is_message() {
            self.messages += 1;
            let reached = attempt.recipients.iter().filter(|recipient| recipient.is_new()).count();
            self.recipients += u64::try_from(reached).unwrap_or(u64::MAX);
        }
    }
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    /// Ids grow from front to back.
    kept: VecDeque<(usize, Arc<Attempt>)>,
    most_bytes: usize,
    most_attempts: usize,
    bytes: usize,
    counts: RecordCounts,
}

impl Ring {
    pub(super) fn new(most_bytes: usize, most_attempts: usize) -> Self {
        Self { kept: VecDeque::new(), most_bytes, most_attempts, bytes: 0, counts: RecordCounts::default() }
    }

    pub(super) fn push(&mut self, attempt: Arc<Attempt>) {
        self.counts.totals.add(&attempt);
        let channel = attempt.channel.as_str();
        match self.counts.channels.get_mut(channel) {
            Some(totals) => totals.add(&attempt),
            None => self.counts.channels.entry(channel.to_owned()).or_default().add(&attempt),
        }
        let weight = attempt.weight();
        self.bytes += weight;
        self.kept.push_back((weight, attempt));
        while self.kept.len() > self.most_attempts || self.bytes > self.most_bytes {
            let Some((weight, _)) = self.kept.pop_front() else { break };
            self.bytes -= weight;
            self.counts.pruned += 1;
        }
        self.tell_size();
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Attempt>> {
        self.kept.iter().map(|(_, attempt)| attempt)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Arc<Attempt>> {
        let at = self.kept.binary_search_by_key(&id, |(_, attempt)| attempt.id).ok()?;
        self.kept.get(at).map(|(_, attempt)| attempt)
    }

    /// Changes an attempt that is still kept. Existing references keep the old value.
    pub(super) fn change(&mut self, id: u64, change: impl FnOnce(&mut Attempt)) {
        let Ok(at) = self.kept.binary_search_by_key(&id, |(_, attempt)| attempt.id) else { return };
        if let Some((weight, attempt)) = self.kept.get_mut(at) {
            change(Arc::make_mut(attempt));
            self.bytes -= *weight;
            *weight = attempt.weight();
            self.bytes += *weight;
            self.tell_size();
        }
    }

    pub(super) fn counts(&self) -> &RecordCounts {
        &self.counts
    }

    pub(super) fn clear(&mut self) -> u64 {
        let kept = self.counts.kept;
        *self = Self::new(self.most_bytes, self.most_attempts);
        kept
    }

    fn tell_size(&mut self) {
        self.counts.kept = self.kept.len().try_into().unwrap_or(u64::MAX);
        self.counts.kept_bytes = self.bytes.try_into().unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use posthaste_model::{Address, Text, UnixMs};

    use super::*;
    use crate::record::{AttemptOutcome, AttemptRecipient, AttemptStage, Protocol, SmtpFacts};

    fn attempt(id: u64, ending: Ending, bytes: usize) -> Arc<Attempt> {
        Arc::new(Attempt {
            id,
            channel: "email".parse().unwrap(),
            at: UnixMs(0),
            took: std::time::Duration::ZERO,
            connection: 1,
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
            sender: Address::new(""),
            recipients: vec![AttemptRecipient { address: Address::new("a@b.test"), code: 250, id: None }]
                .into(),
            order: None,
            outcome: AttemptOutcome::new(ending, AttemptStage::Dot, Some(250)),
            raw: Bytes::from(vec![b'x'; bytes]),
            size: 0,
            dialogue: Text::default(),
            protocol: Protocol::Smtp(SmtpFacts::default()),
        })
    }

    #[test]
    fn the_oldest_fall_out_and_are_counted() {
        let mut ring = Ring::new(1_000_000, 3);
        for id in 1..=5 {
            ring.push(attempt(id, Ending::Accepted, 10));
        }
        assert_eq!(ring.iter().map(|kept| kept.id).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!((ring.counts().totals.attempts, ring.counts().pruned, ring.counts().kept), (5, 2, 3));
        assert!(ring.get(2).is_none());
        assert_eq!(ring.get(4).unwrap().id, 4);
    }

    #[test]
    fn bytes_bound_it_too_and_a_message_larger_than_all_is_counted_and_not_kept() {
        let mut ring = Ring::new(10_000, 1_000);
        ring.push(attempt(1, Ending::Accepted, 6_000));
        ring.push(attempt(2, Ending::Taken, 6_000));
        assert_eq!(ring.iter().map(|kept| kept.id).collect::<Vec<_>>(), [2]);
        ring.push(attempt(3, Ending::Refused, 20_000));
        assert_eq!(ring.iter().count(), 0);
        assert_eq!(ring.counts().kept_bytes, 0);
        let totals = ring.counts().channels["email"];
        assert_eq!((totals.messages, totals.recipients, totals.refused, totals.taken), (2, 2, 1, 1));
    }
}
