//! Every request with all its bytes and its time, in memory: bounded in number and in bytes; the oldest are dropped
//! first.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use posthaste_model::{Address, Text, UnixMs};
use tokio::time::Instant;

use crate::record::AttemptRecipient;

/// One request. Its `Debug` omits the bytes, which hold a token, and the text.
#[derive(Clone)]
#[non_exhaustive]
pub struct JournalEntry {
    /// Its number in this fake provider, from 1.
    pub id: u64,
    /// When it was complete, by the wall clock; for a broken one, when it was found broken.
    pub at: UnixMs,
    /// The same by the monotonic clock, for measuring.
    pub instant: Instant,
    /// The number of the connection it came on.
    pub connection: u64,
    /// Who sent it: for Telegram the bot's id, for Twilio the account, for others a token's mark; empty when unknown.
    pub account: String,
    /// The method requested, such as `sendmessage`, `messages.send`, `messages.create`.
    pub method: String,
    /// Whether it requested a message to be sent.
    pub is_message: bool,
    /// For a message: the sender it names.
    pub sender: Address,
    /// For a message: its recipients, and what became of each.
    pub recipients: Arc<[AttemptRecipient]>,
    /// For a message: its text.
    pub text: Text,
    /// Head and body as received; for a broken one, as much as arrived.
    pub raw: Bytes,
    /// What became of it.
    pub fate: RequestFate,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFate {
    /// The answer reported success; a message was accepted.
    Done,
    /// A message was accepted, but the answer was not sent completely.
    Taken,
    /// It was refused with this status, or with the provider's own code where the status says nothing (VK).
    Refused(u16),
    /// It was refused with 429 while the account was banned: a client that obeys `retry_after` sends none of these.
    InBan,
    /// No complete answer was sent, and nothing was accepted.
    Cut,
    /// It was incomplete, was not a request, or came after one that ended the connection. It was not processed, and
    /// nothing was accepted.
    Broken,
}

impl JournalEntry {
    /// Whether it brought a message that was accepted for at least one recipient.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self.fate, RequestFate::Done | RequestFate::Taken)
            && self.recipients.iter().any(AttemptRecipient::is_taken)
    }

    /// The first recipient as named; empty when there is none.
    #[must_use]
    pub fn to(&self) -> &str {
        self.recipients.first().map_or("", |recipient| recipient.address.expose())
    }

    /// How many messages it brought to an address: dropped repeats bring none.
    #[must_use]
    pub fn brought_to(&self, address: &str) -> usize {
        let brought = |to: &&AttemptRecipient| to.is_new() && to.address.expose() == address;
        self.recipients.iter().filter(brought).count()
    }

    /// Approximate memory size in bytes.
    fn weight(&self) -> usize {
        self.raw.len() + AttemptRecipient::weight(&self.recipients)
    }
}

impl fmt::Debug for JournalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("connection", &self.connection)
            .field("method", &self.method)
            .field("recipients", &self.recipients.len())
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}

/// The requests that are kept.
#[derive(Debug)]
pub(super) struct Journal {
    inner: Mutex<Inner>,
    most_requests: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<Arc<JournalEntry>>,
    bytes: usize,
    last: u64,
}

impl Journal {
    pub(super) fn new(most_requests: usize, most_bytes: usize) -> Self {
        Self { inner: Mutex::default(), most_requests, most_bytes }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and gives it its number.
    pub(super) fn put(&self, mut request: JournalEntry) -> u64 {
        let mut inner = self.inner();
        inner.last += 1;
        request.id = inner.last;
        inner.bytes += request.weight();
        inner.kept.push_back(Arc::new(request));
        while inner.kept.len() > self.most_requests || inner.bytes > self.most_bytes {
            let Some(oldest) = inner.kept.pop_front() else { break };
            inner.bytes -= oldest.weight();
        }
        inner.last
    }

    pub(super) fn all(&self) -> Vec<Arc<JournalEntry>> {
        self.inner().kept.iter().cloned().collect()
    }

    pub(super) fn seen(&self) -> u64 {
        self.inner().last
    }

    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        *inner = Inner { last: inner.last, ..Inner::default() };
    }
}
