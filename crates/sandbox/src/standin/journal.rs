//! Every request, with all its bytes and when it came, in memory: bounded in number and in bytes; the oldest go first.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use posthaste_model::{Address, Text, UnixMs};
use tokio::time::Instant;

use crate::record::Recipient;

/// One request. Formats without its bytes, which hold a token, and without what it says.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// Its number in this stand-in, from 1.
    pub id: u64,
    /// When it was whole, by the wall clock; of a broken one when that was clear.
    pub at: UnixMs,
    /// The same by the monotonic clock, to measure from.
    pub instant: Instant,
    /// The number of the connection it came on.
    pub connection: u64,
    /// Who asked: of Telegram the bot's number, of Twilio the account, of others the mark of a token; empty when unknown.
    pub account: String,
    /// What was asked for, such as `sendmessage`, `messages.send`, `messages.create`.
    pub method: String,
    /// Whether it asked for a message to be sent.
    pub is_message: bool,
    /// Of a message: the sender it names.
    pub sender: Address,
    /// Of a message: to whom, and what became of each.
    pub recipients: Arc<[Recipient]>,
    /// Of a message: what it says.
    pub text: Text,
    /// Head and body as they came; of a broken one as much as came.
    pub raw: Bytes,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// Its answer says that it was done; a message was taken.
    Done,
    /// A message was taken, and its whole answer was not given.
    Taken,
    /// It was refused with this status, or with the provider's own code where its status says nothing (VK).
    Refused(u16),
    /// It was refused with 429 while the account was banned: whoever obeys `retry_after` sends none of these.
    InBan,
    /// No whole answer was given, and nothing was taken.
    Cut,
    /// It never came whole, was no request, or came behind one after which the connection ended. Nobody looked at what it asks for,
    /// and nothing was taken.
    Broken,
}

impl Request {
    /// Whether it brought a message that was taken for somebody.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self.fate, Fate::Done | Fate::Taken) && self.recipients.iter().any(Recipient::is_taken)
    }

    /// The first recipient as it was named; empty when there is none.
    #[must_use]
    pub fn to(&self) -> &str {
        self.recipients.first().map_or("", |recipient| recipient.address.expose())
    }

    /// How many messages this one brought to an address: repeats that were dropped bring none.
    #[must_use]
    pub fn brought_to(&self, address: &str) -> usize {
        let brought = |to: &&Recipient| to.is_new() && to.address.expose() == address;
        self.recipients.iter().filter(brought).count()
    }

    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize {
        self.raw.len() + Recipient::weight(&self.recipients)
    }
}

impl fmt::Debug for Request {
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

/// The requests kept.
#[derive(Debug)]
pub(super) struct Journal {
    inner: Mutex<Inner>,
    most_requests: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<Arc<Request>>,
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

    /// Writes a request down, and gives it its number.
    pub(super) fn put(&self, mut request: Request) -> u64 {
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

    pub(super) fn all(&self) -> Vec<Arc<Request>> {
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
