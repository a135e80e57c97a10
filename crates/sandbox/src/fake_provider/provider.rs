//! The interface between a provider and the server around it: the provider gets a request and returns the answer and
//! what to record.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Address, Text, UnixMs};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::faults::{Faults, MessageAction};
use super::journal::RequestFate;
use super::wire::Whole;
use crate::record::{AttemptRecipient, Record};

/// A provider of the sandbox. Only this crate has any.
pub trait Provider: fmt::Debug + Send + Sync + Sized + 'static {
    /// Its name in settings, paths and records.
    const NAME: &'static str;
    /// The channel of its messages.
    const CHANNEL: &'static str;

    /// Whether a fault of this kind makes sense here.
    fn knows(action: &MessageAction) -> bool;

    /// Handles a complete request. Takes no time: nothing waits in here.
    fn treat(&self, ask: &Ask<'_>) -> ProviderAnswer;

    /// Reports the id of the attempt in the outbox's record, before its answer is sent. `None` if it is not recorded.
    fn recorded(&self, message: &SeenMessage, attempt: Option<u64>) {
        let _ = (message, attempt);
    }
}

/// A request, and its context.
#[derive(Debug)]
pub struct Ask<'a> {
    pub(crate) whole: &'a Whole,
    /// When it was complete, by both clocks.
    pub(crate) now: Instant,
    pub(crate) at: UnixMs,
    pub(crate) faults: &'a Faults,
    /// Whether magic recipients are active.
    pub(crate) magic: bool,
    /// Requests being answered, including this one.
    pub(crate) in_flight: usize,
}

/// How a request is handled.
#[derive(Debug)]
pub struct ProviderAnswer {
    pub(crate) account: String,
    pub(crate) method: String,
    pub(crate) reply: Reply,
    pub(crate) fate: RequestFate,
    /// The message it requested to send.
    pub(crate) message: Option<SeenMessage>,
}

/// A message, as the journal and the outbox show it.
#[derive(Debug)]
pub struct SeenMessage {
    pub(crate) sender: Address,
    pub(crate) recipients: Vec<AttemptRecipient>,
    pub(crate) text: Text,
    /// The order it belongs to, if the request names it.
    pub(crate) order: Option<String>,
    /// The provider's own number for it, for [`Provider::recorded`].
    pub(crate) ticket: u64,
}

impl Default for SeenMessage {
    fn default() -> Self {
        let (sender, text) = (Address::new(""), Text::default());
        Self { sender, recipients: Vec::new(), text, order: None, ticket: 0 }
    }
}

/// An answer, and how it is sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) how: How,
    pub(crate) late: Duration,
    /// The answer waits for this, for a limited time.
    pub(crate) hold: Option<oneshot::Receiver<()>>,
    /// An answer that may be sent in its place.
    pub(crate) poll: Option<Poll>,
}

/// An answer waits for another one, which is sent in its place if it comes in time.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) reported: oneshot::Receiver<Answer>,
    pub(crate) most: Duration,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Completely.
    Whole,
    /// Half of it, then a reset.
    Part,
    /// Not at all, and the connection stays open.
    Hang,
    /// Not at all, and the connection is reset.
    Reset,
}

impl Reply {
    fn new(answer: Answer, how: How) -> Self {
        Self { answer, how, late: Duration::ZERO, hold: None, poll: None }
    }

    pub(crate) fn say(answer: Answer) -> Self {
        Self::new(answer, How::Whole)
    }

    pub(crate) fn part(answer: Answer) -> Self {
        Self::new(answer, How::Part)
    }

    pub(crate) fn hang() -> Self {
        Self::new(Answer::html(500), How::Hang)
    }

    pub(crate) fn reset() -> Self {
        Self::new(Answer::html(500), How::Reset)
    }

    pub(crate) fn poll(mut self, poll: Poll) -> Self {
        self.poll = Some(poll);
        self
    }

    pub(crate) fn late(mut self, by: Duration) -> Self {
        self.late = by;
        self
    }
}

impl ProviderAnswer {
    /// For a request that sends nothing, or cannot be understood.
    pub(crate) fn plain(account: &str, method: &str, answer: Answer, fate: RequestFate) -> Self {
        let (account, method) = (account.to_owned(), method.to_owned());
        Self { account, method, reply: Reply::say(answer), fate, message: None }
    }

    /// A refusal.
    pub(crate) fn refused(account: &str, method: &str, answer: Answer) -> Self {
        let fate = RequestFate::Refused(answer.status);
        Self::plain(account, method, answer, fate)
    }

    /// Success for a request that sends nothing.
    pub(crate) fn done(account: &str, method: &str, answer: Answer) -> Self {
        Self::plain(account, method, answer, RequestFate::Done)
    }

    /// Adds the message.
    pub(crate) fn with(mut self, message: SeenMessage) -> Self {
        self.message = Some(message);
        self
    }
}

/// What a provider may need from the server around it: the record, and tasks that end with it.
#[derive(Debug, Clone)]
pub(crate) struct Back {
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}
