//! What to do about a response, and the outcome of the message it is about.

use std::convert::Infallible;
use std::time::Duration;

use posthaste_model::{CodedReason, ProviderCode, Reason};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::response::TableWord;
use crate::feedback::SuppressAfter;
use crate::provider_wait::{self, SHORTEST};
use crate::transport::{Outcome, ThrottleScope};

/// The action that a rule asks for; `S` are the actions of one channel alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseAction<S = Infallible> {
    /// Nothing was sent; the channel waits.
    Wait,
    /// Try again later.
    Retry,
    /// The message failed.
    Reject,
    /// The message failed; after several such failures, on different days, the address is suppressed.
    Strike,
    /// The message failed, and the address is suppressed.
    Suppress,
    /// Operator action required: the channel stops, no message fails because of it.
    Stop,
    /// The message may have been accepted.
    Unknown,
    /// An action of this channel.
    Special(S),
}

impl<S: TableWord> ResponseAction<S> {
    const WORDS: [(&'static str, Self); 7] = [
        ("wait", Self::Wait),
        ("retry", Self::Retry),
        ("reject", Self::Reject),
        ("strike", Self::Strike),
        ("suppress", Self::Suppress),
        ("stop", Self::Stop),
        ("unknown", Self::Unknown),
    ];

    /// Whether the message has failed for good.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Reject | Self::Strike | Self::Suppress)
    }
}

impl<'de, S: TableWord> Deserialize<'de> for ResponseAction<S> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        let special = S::WORDS.iter().map(|(word, special)| (*word, Self::Special(*special)));
        let all: Vec<(&str, Self)> = Self::WORDS.into_iter().chain(special).collect();
        find_word(&word, &all).map_err(D::Error::custom)
    }
}

/// The meaning of a word. The error lists the words there are.
pub(super) fn find_word<T: Copy>(word: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
    let known = || words.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("unknown variant `{word}`: use one of {}", known()))
}

/// What the rules say about one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classification<'a, S = Infallible> {
    /// The number of the rule that decided, from 1; `None` if no rule matches.
    pub rule: Option<usize>,
    /// The action.
    pub action: ResponseAction<S>,
    /// How long to wait before the next try: what the response requests, else what the rule says; at most
    /// [`provider_wait::LONGEST`].
    pub after: Option<Duration>,
    /// Up to this much is added to the wait of the rule, so that tries are spread out.
    pub spread: Duration,
    /// Failures, on different days, after which the address is suppressed.
    pub strikes: Option<u8>,
    /// The reason stored in the history.
    pub reason: Reason,
    /// The provider's code, stored beside the reason.
    pub code: ProviderCode,
    /// With [`ResponseAction::Stop`], what the operator has to fix; empty if the table does not say.
    pub cause: &'a str,
    /// Where it is known from that the provider answers so; empty if the table does not say.
    pub source: &'a str,
    /// Whether it is logged as an error.
    pub alarm: bool,
    /// Whether the sender may be at fault, which shows if there are many of this kind.
    pub policy: bool,
    /// Whether the order's content is at fault, whoever the recipient.
    pub content: bool,
    /// Whether another sender of the channel may reach the address.
    pub elsewhere: bool,
    /// Whether requests hold fewer messages from now on.
    pub shrink: bool,
}

impl<S: Copy> Classification<'_, S> {
    /// The outcome of the message. `Err` is an action of the channel, which the channel itself takes. `stop` says what
    /// the operator has to fix, if the channel stops.
    ///
    /// # Errors
    /// The action of the channel.
    pub fn outcome(&self, stop: impl FnOnce() -> String) -> Result<Outcome, S> {
        let (after, reason) = (self.after, self.coded());
        Ok(match self.action {
            ResponseAction::Wait => Outcome::Throttled { scope: ThrottleScope::Channel, wait: self.wait() },
            ResponseAction::Retry => Outcome::Retry { after, reason },
            ResponseAction::Reject => Outcome::Failed(reason),
            ResponseAction::Strike => Outcome::Strike { reason, of: self.strikes.unwrap_or(2) },
            ResponseAction::Suppress => Outcome::HardRefusal(reason),
            ResponseAction::Stop => Outcome::Stop(stop()),
            ResponseAction::Unknown => Outcome::Unknown(self.reason),
            ResponseAction::Special(special) => return Err(special),
        })
    }

    /// The reason with the provider's code.
    #[must_use]
    pub fn coded(&self) -> CodedReason {
        CodedReason { reason: self.reason, code: self.code }
    }

    /// How long to pause, with [`ResponseAction::Wait`].
    #[must_use]
    pub fn wait(&self) -> Duration {
        provider_wait::obey(self.after.unwrap_or(SHORTEST))
    }

    /// Whether and when to suppress the address, if a receipt or bounce reports this failure.
    #[must_use]
    pub fn suppress_after(&self) -> Option<SuppressAfter> {
        match self.action {
            ResponseAction::Suppress => Some(SuppressAfter::Now),
            _ => self.strikes.map(SuppressAfter::After),
        }
    }
}
