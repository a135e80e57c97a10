//! What a channel provides to the suite: its transport, and a fake provider whose behaviour it can set.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, Content, Delivery, Text};
use tokio::time::Instant;

use super::sample;
use crate::transport::Transport;

/// How a fake provider handles requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Accepts every message and says so.
    Accept,
    /// Rejects the message permanently.
    Refuse,
    /// Rejects the message temporarily, without requesting a pause.
    RefuseForNow,
    /// Accepts nothing and requests this wait, a whole number of seconds.
    Throttle(Duration),
    /// Reports that the address must not be used again.
    SuppressAddress,
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and breaks the connection; accepts nothing.
    ResetAfterRequest,
    /// Accepts the message and breaks the connection before its answer is complete.
    AcceptThenLoseAnswer,
    /// Accepts no connections; open connections are closed before anything is sent on them.
    Unreachable,
    /// Reports that the credential is bad.
    BadCredential,
    /// Sends an invalid answer; accepts nothing.
    Garbage,
}

impl Behaviour {
    /// Every behaviour except [`Behaviour::Accept`].
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

/// Which requests a behaviour applies to.
#[derive(Debug, Clone, Copy)]
pub enum Toward<'a> {
    /// Every request.
    Everyone,
    /// Messages to these deliveries' addresses; all others are accepted.
    Only(&'a [Delivery]),
}

impl Toward<'_> {
    /// The addresses it is limited to, for a fake provider to compare with; `None`: it applies to everyone.
    #[must_use]
    pub fn only(self) -> Option<BTreeSet<String>> {
        match self {
            Self::Everyone => None,
            Self::Only(deliveries) => {
                Some(deliveries.iter().map(|delivery| delivery.address.expose().to_owned()).collect())
            }
        }
    }
}

/// Whether the fake provider can show a behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It shows it from now on.
    Yes,
    /// The provider has no such behaviour, and why; the suite skips it and reports that.
    No(&'static str),
}

/// A message the provider accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMessage {
    /// The address, as in deliveries.
    pub to: Address,
    /// What identifies the attempt at the provider: a message id, an idempotency key. `None` if there is nothing.
    pub identity: Option<String>,
    /// The part of a message sent in several parts, from 0.
    pub part: u32,
    /// Its text, if the provider knows it.
    pub text: Option<Text>,
}

impl TakenMessage {
    /// A message of one part, accepted for this address.
    #[must_use]
    pub fn new(to: Address) -> Self {
        Self { to, identity: None, part: 0, text: None }
    }
}

/// A text at the limit of what a channel can carry.
#[derive(Debug, Clone)]
pub struct TextCase {
    /// A short description.
    pub what: &'static str,
    /// The message.
    pub content: Content,
    /// The required result.
    pub fate: TextFate,
}

impl TextCase {
    /// A message of this text alone.
    #[must_use]
    pub fn new(what: &'static str, text: impl Into<String>, fate: TextFate) -> Self {
        Self { what, content: sample::content(text), fate }
    }
}

/// The required result for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFate {
    /// The provider accepts it, in one part or several.
    Taken,
    /// It is rejected, and nothing of it reaches the provider.
    Rejected,
}

/// A channel under test: its transport and a fake provider.
///
/// The fake provider chooses how to handle a request when it arrives; a later [`Bench::behave`] does not change
/// requests in progress. It records a message before it answers.
#[async_trait]
pub trait Bench: Send + Sync {
    /// A new transport connected to the fake provider, built as in the courier's program.
    async fn transport(&self) -> Arc<dyn Transport>;

    /// The same at about 40 messages per second, if the transport has a rate limit of its own: calls wait for their
    /// turn in it.
    async fn paced_transport(&self) -> Arc<dyn Transport> {
        self.transport().await
    }

    /// Sets how requests that arrive from now on are handled; replaces the previous setting.
    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown;

    /// All messages accepted so far, from all transports, in order. Repeats that the provider recognised and dropped
    /// are not among them.
    async fn taken(&self) -> Vec<TakenMessage>;

    /// When requests with messages arrived, whatever their result, oldest first.
    async fn arrivals(&self) -> Vec<Instant>;

    /// Requests with messages that have arrived so far.
    async fn requests(&self) -> u64 {
        self.arrivals().await.len() as u64
    }

    /// Sample delivery `n`, with a unique address that the provider accepts.
    fn delivery(&self, n: u32) -> Delivery;

    /// A sample message whose text contains this mark, a word of letters and digits.
    fn content(&self, mark: &str) -> Content {
        sample::content(format!("A message of the conformance suite, {mark}."))
    }

    /// Texts at the limits of what the channel can carry.
    fn texts(&self) -> Vec<TextCase> {
        Vec::new()
    }

    /// How long the suite lets a provider hang before it drops the call, when it calls the transport directly.
    fn hang_for(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// How long the suite waits for something that must happen.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}
