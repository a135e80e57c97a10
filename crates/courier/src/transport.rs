//! The contract of a channel: a transport takes envelopes to one provider and tells what became of each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Channel, Content, Reason, Row, Suffix, UnixMs, Verdict};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desk::{AttemptId, Desk};

/// One row on its way: what a transport sends.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Of which order.
    pub suffix: Suffix,
    /// Parcel of the order's channel.
    pub parcel: u32,
    /// Row of the parcel.
    pub row: u16,
    /// The attempt, stable for as long as this send lasts. With order, parcel and row it names the send.
    pub attempt: u8,
    /// To whom.
    pub to: Row,
    /// What it says.
    pub content: Arc<Content>,
    /// When the order was due.
    pub due: UnixMs,
    /// A token that stays the same when an attempt of unknown outcome is repeated, if the transport asks for tokens; the
    /// progress, if an earlier part of this message is through.
    pub token: Option<u32>,
    /// Tries spent on this row so far.
    pub tries: u8,
    /// Whether this repeats an attempt of unknown outcome.
    pub repeat: bool,
}

impl Envelope {
    /// The name of this attempt, by which receipts speak of it.
    #[must_use]
    pub fn id(&self) -> AttemptId {
        let Self { suffix, parcel, row, attempt, .. } = self;
        AttemptId { suffix: suffix.clone(), parcel: *parcel, row: *row, attempt: *attempt }
    }
}

/// What became of one envelope, named by what the runtime does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Settle as sent: the provider took it.
    Accepted,
    /// Settle as delivered: the provider says it arrived.
    Delivered,
    /// Try again later: the provider refused it for now. Spends a try.
    Retry {
        /// The provider's hint; without one the runtime backs off.
        after: Option<Duration>,
        /// Why.
        reason: Reason,
    },
    /// Try again: provably nothing left. Spends no try.
    NotSent {
        /// Not before.
        after: Option<Duration>,
        /// Why.
        reason: Reason,
    },
    /// Settle as failed.
    Rejected(Reason),
    /// Settle as suppressed, and put the address on the channel's suppression list: it must not be used again.
    Suppress(Reason),
    /// Settle as failed, and count it against the address: after `of` such failures, on different days, it is on the
    /// channel's suppression list. For answers a provider has been known to give by mistake.
    Strike {
        /// Why.
        reason: Reason,
        /// Failures until the address is not used again, 2 and more.
        of: u8,
    },
    /// Nothing was sent because of a rate limit: wait. Spends no try.
    Throttled {
        /// Who has to wait.
        scope: Scope,
        /// How long.
        wait: Duration,
    },
    /// Bytes may have left and no full answer came.
    Unknown(Reason),
    /// One part of several is through; begin the next. The number counts the parts that are.
    Part(u32),
    /// Stop the channel: nothing will work before somebody mends it (a bad credential). No message fails by it.
    Stop(String),
}

/// Who has to wait for a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole channel.
    Channel,
    /// One recipient; everyone else goes first.
    Recipient,
}

/// Which envelopes may share one call of [`Transport::send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// One at a time.
    Single,
    /// Up to so many of one order.
    SameOrder(usize),
    /// Up to so many of any orders.
    Any(usize),
    /// Up to `groups` groups of up to `rows` each, a group all of one order; an order may have several groups of a call. In
    /// which order envelopes stand in the call says nothing of their groups.
    Groups {
        /// Groups of a call.
        groups: usize,
        /// Envelopes of a group.
        rows: usize,
    },
}

impl Batching {
    /// Envelopes of a call at most.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Single => 1,
            Self::SameOrder(n) | Self::Any(n) => n.max(1),
            Self::Groups { groups, rows } => groups.max(1) * rows.max(1),
        }
    }

    /// What so many rows of one parcel take of the room of the calls, in envelopes: rows that share a call, or a group of
    /// it, with no other order take whole ones.
    pub(crate) fn cost(self, rows: usize) -> usize {
        match self {
            Self::SameOrder(_) => rows.div_ceil(self.size()) * self.size(),
            Self::Groups { rows: group, .. } => rows.div_ceil(group.max(1)) * group.max(1),
            Self::Single | Self::Any(_) => rows,
        }
    }
}

/// What is known when an unknown outcome has to be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Repeat once; a duplicate is possible.
    RetryOnce,
    /// Leave it unknown; a loss is possible.
    Hold,
}

/// What a transport can do, and how it wants to be driven.
#[derive(Debug, Clone)]
pub struct Abilities {
    /// Which envelopes may share a call.
    pub batching: Batching,
    /// Calls at once to begin with.
    pub concurrency: usize,
    /// Calls at once at most.
    pub max_concurrency: usize,
    /// Envelopes a second at most, if the runtime is to count them; it always obeys the provider's answers.
    pub rate: Option<f64>,
    /// How long a call may take at most.
    pub send_window: Duration,
    /// Whether each row is to have a token.
    pub tokens: bool,
    /// How many rows of a parcel, begun together, may share a token, 1 and more: for providers that take one for a message to
    /// many.
    pub rows_a_token: u16,
    /// For how long a repeat under the same token is dropped by the provider; zero: it is not.
    pub idempotent_for: Duration,
    /// Whether [`Transport::inquire`] can find out what became of an attempt.
    pub inquires: bool,
    /// What becomes of unknowns when the order leaves it to the channel.
    pub on_unknown: Policy,
    /// Tries at most, 15 at most.
    pub max_tries: u8,
    /// Whether word comes, after the send, of what became of a message: delivered, or come back. People are told by it that
    /// "sent" is not the last word.
    pub receipts: bool,
}

impl Abilities {
    /// As begin is told: 0 for no tokens.
    pub(crate) fn rows_a_token(&self) -> u16 {
        if self.tokens { self.rows_a_token.max(1) } else { 0 }
    }

    /// Whether the provider drops a repeat under a token it has met.
    pub(crate) fn remembers(&self) -> bool {
        self.tokens && !self.idempotent_for.is_zero()
    }
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            batching: Batching::Single,
            concurrency: 16,
            max_concurrency: 256,
            rate: None,
            send_window: Duration::from_secs(30),
            tokens: false,
            rows_a_token: 1,
            idempotent_for: Duration::ZERO,
            inquires: false,
            on_unknown: Policy::Hold,
            max_tries: 8,
            receipts: false,
        }
    }
}

/// What an inquiry found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The provider has it, and says this of it.
    Known(Verdict, Reason),
    /// The provider has never seen it: it may be sent again.
    Never,
    /// It can't be found out now.
    NotNow,
    /// It can't be found out at all.
    CannotTell,
}

/// What a look at a channel found that found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The provider answers and takes the credentials; a line for each thing to be set there by hand.
    Works(Vec<String>),
    /// Nobody could be asked, and why.
    CannotTell(String),
}

/// A channel's way to its provider.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The channel it serves.
    fn channel(&self) -> Channel;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Sends envelopes; answers one outcome for each, in their order. Every row was begun before. After `deadline` nobody
    /// waits any more: the runtime drops the future and takes what has no outcome as unknown.
    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome>;

    /// Finds out what became of an attempt of unknown outcome that was begun at `begun`. Asked only when the abilities promise
    /// it. Both moments are of the server's clock.
    async fn inquire(&self, _envelope: &Envelope, _begun: UnixMs, _now: UnixMs) -> Found {
        Found::CannotTell
    }

    /// Whether it could work now: credentials, reachability. `Err` says in words what to mend.
    ///
    /// # Errors
    /// When the channel can't work.
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Why [`Transport::check`] finds nothing wrong whatever is wrong, if so: in words, with what to do about it.
    fn unchecked(&self) -> Option<String> {
        None
    }

    /// What somebody has to set at the provider by hand: a line each, with the value.
    fn to_set_up(&self) -> Vec<String> {
        Vec::new()
    }

    /// What comes in from outside: receipts, people who want no more. Called once, beside the sends, and ends soon after
    /// `stop`. What it hears it tells the desk before it thanks whoever told it.
    ///
    /// # Errors
    /// When it can't listen: the process ends with these words.
    async fn serve(&self, _desk: Arc<dyn Desk>, _stop: CancellationToken) -> Result<(), String> {
        Ok(())
    }
}
