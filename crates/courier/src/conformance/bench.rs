//! What a channel gives the suite: its transport, and a stand-in provider whose behaviour it can set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, Content, Row, Text};
use tokio::time::Instant;

use crate::transport::Transport;

/// How a stand-in provider treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes every message and says so.
    Accept,
    /// Refuses the message for good.
    Refuse,
    /// Refuses the message for now, without asking for a pause.
    RefuseForNow,
    /// Takes nothing and asks to wait for so long, which is a whole number of seconds.
    Throttle(Duration),
    /// Says that the address must not be used again.
    SuppressAddress,
    /// Takes the request and never answers.
    Hang,
    /// Reads the request and breaks the connection; takes nothing.
    ResetAfterRequest,
    /// Takes the message and breaks the connection before its answer is through.
    AcceptThenLoseAnswer,
    /// Can't be connected to; connections that stand are closed before anything is sent on them.
    Unreachable,
    /// Says that the credential is bad.
    BadCredential,
    /// Answers something that makes no sense; takes nothing.
    Garbage,
}

impl Behaviour {
    /// Every behaviour but [`Behaviour::Accept`].
    pub const BAD: [Self; 10] = [
        Self::Refuse,
        Self::RefuseForNow,
        Self::Throttle(Duration::from_secs(1)),
        Self::SuppressAddress,
        Self::Hang,
        Self::ResetAfterRequest,
        Self::AcceptThenLoseAnswer,
        Self::Unreachable,
        Self::BadCredential,
        Self::Garbage,
    ];
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::RefuseForNow => "refuse for now",
            Self::Throttle(wait) => return write!(f, "throttle for {} s", wait.as_secs()),
            Self::SuppressAddress => "suppress the address",
            Self::Hang => "hang",
            Self::ResetAfterRequest => "reset after the request",
            Self::AcceptThenLoseAnswer => "accept, then lose the answer",
            Self::Unreachable => "unreachable",
            Self::BadCredential => "bad credential",
            Self::Garbage => "garbage",
        })
    }
}

/// Whom a behaviour is for.
#[derive(Debug, Clone, Copy)]
pub enum Toward<'a> {
    /// Every request.
    Everyone,
    /// Messages to these rows' addresses; all others are accepted.
    Only(&'a [Row]),
}

/// Whether the stand-in can show a behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// From now on it does.
    Yes,
    /// The provider has nothing of the kind, and why; the suite goes on without it and tells it.
    No(&'static str),
}

/// A message the provider took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To which address, as rows have it.
    pub to: Address,
    /// What names the attempt toward the provider: a message id, an idempotency key. `None` when it sees none.
    pub identity: Option<String>,
    /// Which part of a message that went in several, from 0.
    pub part: u32,
    /// What it said, if the provider can tell.
    pub text: Option<Text>,
}

impl Taken {
    /// A message of one part, taken for this address.
    #[must_use]
    pub fn new(to: Address) -> Self {
        Self { to, identity: None, part: 0, text: None }
    }
}

/// A text at the edge of what a channel can carry.
#[derive(Debug, Clone)]
pub struct TextCase {
    /// What is special about it, in a few words.
    pub what: &'static str,
    /// The message.
    pub content: Content,
    /// What must become of it.
    pub fate: TextFate,
}

/// What must become of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFate {
    /// The provider takes it, in one part or several.
    Taken,
    /// It is rejected, and nothing of it reaches the provider.
    Rejected,
}

/// A channel on the bench: its transport, and a stand-in for its provider.
///
/// The stand-in chooses how to treat a request when the request arrives; a later [`Bench::behave`] does not change what is
/// under way. It writes a message down before it answers.
#[async_trait]
pub trait Bench: Send + Sync {
    /// A transport connected to the stand-in, made as the courier's program makes it. Each call makes another one.
    async fn transport(&self) -> Arc<dyn Transport>;

    /// The same at about 40 messages a second, if the transport keeps a rate of its own: calls wait for their turn in it.
    async fn paced_transport(&self) -> Arc<dyn Transport> {
        self.transport().await
    }

    /// Sets how requests are treated that arrive from now on, in place of what was set before.
    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown;

    /// All messages taken so far, by all transports, in the order they were taken. A repeat the provider recognised and
    /// dropped is not among them.
    async fn taken(&self) -> Vec<Taken>;

    /// When requests with messages arrived, whatever became of them, oldest first.
    async fn arrivals(&self) -> Vec<Instant>;

    /// Requests with messages that have arrived so far.
    async fn requests(&self) -> u64 {
        self.arrivals().await.len() as u64
    }

    /// Sample row `n`, with an address of its own that the provider takes.
    fn row(&self, n: u32) -> Row;

    /// A sample message whose text shows this mark: a word of letters and digits.
    fn content(&self, mark: &str) -> Content {
        Content {
            text: Text::new(format!("A message of the conformance suite, {mark}.")),
            ..Content::default()
        }
    }

    /// Texts at the edges of what the channel can carry.
    fn texts(&self) -> Vec<TextCase> {
        Vec::new()
    }

    /// How long the suite lets a provider hang before its call is over, where it calls the transport itself.
    fn hang_for(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// How long the suite waits for something that must come.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}
