//! What a provider is to the server around it: it looks at a request and says what is answered, and what there was to see.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Address, Text, UnixMs};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::faults::{Action, Faults};
use super::journal::Fate;
use super::wire::Whole;
use crate::record::{Recipient, Record};

/// A provider of the sandbox. Only this crate has any.
pub trait Provider: fmt::Debug + Send + Sync + Sized + 'static {
    /// Its name in settings, paths and records.
    const NAME: &'static str;
    /// The channel its messages are of.
    const CHANNEL: &'static str;

    /// Whether a fault of this kind makes sense here.
    fn knows(action: &Action) -> bool;

    /// Looks at a whole request, and decides. Takes no time: nothing waits in here.
    fn treat(&self, ask: &Ask<'_>) -> Verdict;

    /// Says under which number the attempt is in the record of the outbox, before its answer goes out. `None`: nowhere.
    fn recorded(&self, message: &Message, attempt: Option<u64>) {
        let _ = (message, attempt);
    }
}

/// A request, and what is known beside it.
#[derive(Debug)]
pub struct Ask<'a> {
    pub(crate) whole: &'a Whole,
    /// When it was whole, by both clocks.
    pub(crate) now: Instant,
    pub(crate) at: UnixMs,
    pub(crate) faults: &'a Faults,
    /// Whether magic recipients have their way.
    pub(crate) magic: bool,
    /// Requests being answered, this one among them.
    pub(crate) in_flight: usize,
}

/// What is done about a request.
#[derive(Debug)]
pub struct Verdict {
    pub(crate) account: String,
    pub(crate) method: String,
    pub(crate) reply: Reply,
    pub(crate) fate: Fate,
    /// The message it was to send.
    pub(crate) message: Option<Message>,
}

/// A message, as the journal and the outbox tell it.
#[derive(Debug)]
pub struct Message {
    pub(crate) sender: Address,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) text: Text,
    /// The order it belongs to, where the request tells.
    pub(crate) order: Option<String>,
    /// The provider's own number of it, for [`Provider::recorded`].
    pub(crate) ticket: u64,
}

impl Default for Message {
    fn default() -> Self {
        let (sender, text) = (Address::new(""), Text::default());
        Self { sender, recipients: Vec::new(), text, order: None, ticket: 0 }
    }
}

/// An answer, and how it goes out.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) how: How,
    pub(crate) late: Duration,
    /// The answer waits for this, a while at most.
    pub(crate) hold: Option<oneshot::Receiver<()>>,
    /// What may be answered in its place.
    pub(crate) poll: Option<Poll>,
}

/// An answer waits for another one, which goes out in its place when it comes in time.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) told: oneshot::Receiver<Answer>,
    pub(crate) most: Duration,
}

/// How an answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Whole.
    Whole,
    /// Half of it, then a reset.
    Part,
    /// Not at all, and the connection stays.
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

impl Verdict {
    /// About a request that is to send nothing, or cannot be understood.
    pub(crate) fn plain(account: &str, method: &str, answer: Answer, fate: Fate) -> Self {
        let (account, method) = (account.to_owned(), method.to_owned());
        Self { account, method, reply: Reply::say(answer), fate, message: None }
    }

    /// A no.
    pub(crate) fn refused(account: &str, method: &str, answer: Answer) -> Self {
        let fate = Fate::Refused(answer.status);
        Self::plain(account, method, answer, fate)
    }

    /// A yes to what sends nothing.
    pub(crate) fn done(account: &str, method: &str, answer: Answer) -> Self {
        Self::plain(account, method, answer, Fate::Done)
    }

    /// About a message.
    pub(crate) fn with(mut self, message: Message) -> Self {
        self.message = Some(message);
        self
    }
}

/// What a provider may need of the server around it: the record, and tasks that end with it.
#[derive(Debug, Clone)]
pub(crate) struct Back {
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}
