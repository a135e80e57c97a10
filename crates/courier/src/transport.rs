//! The contract of a channel: a transport sends envelopes to one provider and returns the outcome of each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{
    Channel, CodedReason, Content, Delivery, OrderId, OutcomeKind, ProviderCode, Reason, UnixMs,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::feedback::{AttemptId, FeedbackSink};

/// One delivery to send.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The order.
    pub order_id: OrderId,
    /// Number of the parcel on the order's channel.
    pub parcel: u32,
    /// Index of the delivery in the parcel.
    pub delivery: u16,
    /// Number of the attempt. With order, parcel and delivery it identifies the send.
    pub attempt: u8,
    /// The recipient and the address.
    pub to: Delivery,
    /// The content of the message.
    pub content: Arc<Content>,
    /// When the order was due.
    pub due: UnixMs,
    /// If the transport uses tokens: a token that stays the same when an attempt of unknown outcome is repeated. If
    /// earlier parts of this message were accepted: their number.
    pub token: Option<u32>,
    /// Tries spent on this delivery so far.
    pub tries: u8,
    /// Whether this repeats an attempt of unknown outcome.
    pub repeat: bool,
}

impl Envelope {
    /// The id of this attempt, used in receipts.
    #[must_use]
    pub fn id(&self) -> AttemptId {
        let Self { order_id, parcel, delivery, attempt, .. } = self;
        AttemptId { order_id: order_id.clone(), parcel: *parcel, delivery: *delivery, attempt: *attempt }
    }
}

/// The outcome of one envelope, which decides what the runtime does next. The engine settles it as an [`OutcomeKind`],
/// which has no strike (failed), and neither throttled nor stopped (not sent).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Settle as sent: the provider accepted it.
    Sent,
    /// Settle as delivered: the provider reports that it arrived.
    Delivered,
    /// Try again later: the provider rejected it temporarily. Spends a try.
    Retry {
        /// The wait the provider requested; without one, the runtime backs off.
        after: Option<Duration>,
        /// Why.
        reason: CodedReason,
    },
    /// Try again: provably nothing left. Spends no try.
    NotSent {
        /// How long to wait; without it, the runtime backs off.
        after: Option<Duration>,
        /// Why.
        reason: Reason,
    },
    /// Settle as failed.
    Failed(CodedReason),
    /// Settle as failed and add the address to the channel's suppression list: it must not be used again.
    HardRefusal(CodedReason),
    /// Settle as failed and count a strike: after `of` such failures on different days, the address is added to the
    /// channel's suppression list. For answers that providers are known to give by mistake.
    Strike {
        /// Why.
        reason: CodedReason,
        /// Number of failures until the address is suppressed; at least 2.
        of: u8,
    },
    /// Nothing was sent because of a rate limit: wait. Spends no try.
    Throttled {
        /// What has to wait.
        scope: ThrottleScope,
        /// How long.
        wait: Duration,
    },
    /// The message may have left, and no complete answer was received.
    Unknown(Reason),
    /// One of several parts was accepted; begin the next. The number counts the accepted parts.
    Part(u32),
    /// Stop the channel: nothing will work until an operator fixes it (for example a bad credential). Messages do not
    /// fail by it.
    Stop(String),
}

impl Outcome {
    /// The provider's code, if this is a refusal and the provider gave one.
    #[must_use]
    pub fn code(&self) -> ProviderCode {
        match self {
            Self::Failed(why) | Self::HardRefusal(why) => why.code,
            Self::Retry { reason, .. } | Self::Strike { reason, .. } => reason.code,
            _ => ProviderCode::NONE,
        }
    }

    /// The same outcome without the provider's code, for comparisons that are not about the code.
    #[must_use]
    pub fn uncoded(mut self) -> Self {
        match &mut self {
            Self::Failed(why) | Self::HardRefusal(why) => why.code = ProviderCode::NONE,
            Self::Retry { reason, .. } | Self::Strike { reason, .. } => reason.code = ProviderCode::NONE,
            _ => {}
        }
        self
    }
}

/// What a rate limit applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleScope {
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
    /// Up to this many of one order.
    SameOrder(usize),
    /// Up to this many of any orders.
    Any(usize),
    /// Up to `groups` groups of up to `deliveries` each. A group belongs to one order; an order may have several
    /// groups in a call. The position of envelopes in the call says nothing about their groups.
    Groups {
        /// Maximum groups per call.
        groups: usize,
        /// Maximum envelopes per group.
        deliveries: usize,
    },
}

impl Batching {
    /// Maximum envelopes per call.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Single => 1,
            Self::SameOrder(n) | Self::Any(n) => n.max(1),
            Self::Groups { groups, deliveries } => groups.max(1) * deliveries.max(1),
        }
    }

    /// The room this many deliveries of one parcel take in calls, in envelopes: if a call or group can't be shared
    /// with other orders, they take whole calls or groups.
    pub(crate) fn cost(self, deliveries: usize) -> usize {
        match self {
            Self::SameOrder(_) => deliveries.div_ceil(self.size()) * self.size(),
            Self::Groups { deliveries: group, .. } => deliveries.div_ceil(group.max(1)) * group.max(1),
            Self::Single | Self::Any(_) => deliveries,
        }
    }
}

/// How to resolve an unknown outcome if nothing more can be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHandling {
    /// Repeat once; the recipient may get a duplicate.
    RetryOnce,
    /// Leave it unknown; the message may be lost.
    Hold,
}

/// What a transport can do, and how the runtime should drive it.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// Which envelopes may share a call.
    pub batching: Batching,
    /// Initial number of concurrent calls.
    pub concurrency: usize,
    /// Maximum number of concurrent calls.
    pub max_concurrency: usize,
    /// Maximum envelopes per second, if the runtime should limit them; the provider's rate limits are always obeyed.
    pub rate: Option<f64>,
    /// Maximum duration of a call.
    pub send_window: Duration,
    /// Whether each delivery needs a token.
    pub tokens: bool,
    /// How many deliveries of a parcel, begun together, may share a token; at least 1. For providers that accept one
    /// token for a message to many recipients.
    pub deliveries_a_token: u16,
    /// How long the provider drops repeats under the same token; zero if it does not.
    pub idempotent_for: Duration,
    /// Whether [`Transport::look_up`] can find out what became of an attempt.
    pub looks_up: bool,
    /// What to do with unknown deliveries when the order leaves it to the channel.
    pub on_unknown: UnknownHandling,
    /// Maximum number of tries, 1 to 15.
    pub max_tries: u8,
    /// Whether the provider reports after the send whether a message was delivered or returned. Clients can then see
    /// that "sent" is not final.
    pub receipts: bool,
}

impl Capabilities {
    /// The value passed to begin: 0 for no tokens.
    pub(crate) fn deliveries_a_token(&self) -> u16 {
        if self.tokens { self.deliveries_a_token.max(1) } else { 0 }
    }

    /// Whether the provider drops a repeat under a token it has seen.
    pub(crate) fn remembers(&self) -> bool {
        self.tokens && !self.idempotent_for.is_zero()
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            batching: Batching::Single,
            concurrency: 16,
            max_concurrency: 256,
            rate: None,
            send_window: Duration::from_secs(30),
            tokens: false,
            deliveries_a_token: 1,
            idempotent_for: Duration::ZERO,
            looks_up: false,
            on_unknown: UnknownHandling::Hold,
            max_tries: 8,
            receipts: false,
        }
    }
}

/// The result of an inquiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupResult {
    /// The provider knows the message and reports this outcome and reason.
    Known(OutcomeKind, CodedReason),
    /// The provider has never seen it: it may be sent again.
    Never,
    /// The provider can't be asked now; ask again later.
    NotNow,
    /// The provider can't tell.
    CannotTell,
}

/// The result of a check that found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The provider answers and accepts the credentials; one line for each thing to set up there by hand.
    Works(Vec<String>),
    /// The provider could not be asked, and why.
    CannotTell(String),
}

/// A channel's connection to its provider.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The channel it sends for.
    fn channel(&self) -> Channel;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Why this envelope can never be sent, as far as that is known without the provider: its address, its text. What
    /// acceptance takes without a warning is never refused here; a test over all channels holds them to it.
    fn refuses(&self, envelope: &Envelope) -> Option<Reason> {
        let _ = envelope;
        None
    }

    /// Sends envelopes and returns one outcome for each, in their order. Every delivery was begun before. At
    /// `deadline` the runtime drops the future and treats envelopes without an outcome as unknown.
    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome>;

    /// Asks the provider about an attempt of unknown outcome that was begun at `begun`. Called only if `looks_up` is
    /// set. Both times are of the server's clock.
    async fn look_up(&self, _envelope: &Envelope, _begun: UnixMs, _now: UnixMs) -> LookupResult {
        LookupResult::CannotTell
    }

    /// Checks whether it could work now: credentials, connection. `Err` says what to correct.
    ///
    /// # Errors
    /// When the channel can't work.
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// If [`Transport::check`] can't really check the provider: why, and what to do about it.
    fn unchecked(&self) -> Option<String> {
        None
    }

    /// What an operator must set up at the provider by hand: one line each, with the value.
    fn to_set_up(&self) -> Vec<String> {
        Vec::new()
    }

    /// Receives feedback from outside: receipts, opt-outs. Called once, in parallel with the sends, and ends soon
    /// after `stop`. It acknowledges feedback only after storing it in the feedback sink.
    ///
    /// # Errors
    /// When it can't listen; the process ends with this text.
    async fn serve(&self, _feedback: Arc<dyn FeedbackSink>, _stop: CancellationToken) -> Result<(), String> {
        Ok(())
    }
}
