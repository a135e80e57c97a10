//! Accepting orders: small ones in one call, big ones streamed in bounded memory and taken over whole at the end.

mod retry;
mod seen;
mod writer;

use std::time::Duration;

use posthaste_model::{Channel, Content, Durability, Lane, OnUnknown, Row, Suffix, UnixMs};

pub use retry::RetryAsk;
pub use writer::OrderWriter;

use crate::error::CallError;
use crate::store::Store;

/// An order without its recipients.
#[derive(Debug, Clone)]
pub struct NewOrderHead {
    /// Its suffix, which no other order has.
    pub suffix: Suffix,
    /// When it is due; `None` for now.
    pub due: Option<UnixMs>,
    /// Its lane.
    pub lane: Lane,
    /// What becomes of unknowns.
    pub on_unknown: OnUnknown,
    /// When it ends; `None` for `span` after the due time.
    pub not_after: Option<UnixMs>,
    /// See `not_after`.
    pub span: Duration,
    /// What it says.
    pub content: Content,
}

/// A whole order.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// All but the recipients.
    pub head: NewOrderHead,
    /// Digest of the body it was made from: an order of the same suffix and digest is the same order.
    pub digest: [u8; 12],
    /// Its rows. Equal addresses of one channel are merged: the first counts.
    pub rows: Vec<(Channel, Row)>,
    /// Recipients without an address, of each channel.
    pub no_contact: Vec<(Channel, u32)>,
}

/// What was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its suffix.
    pub suffix: Suffix,
    /// Whether an earlier call had stored it.
    pub again: bool,
    /// Whether it is due now, as the server saw it.
    pub now: bool,
    /// When it was accepted.
    pub accepted: UnixMs,
    /// When it is due.
    pub due: UnixMs,
    /// What "accepted" means.
    pub durability: Durability,
    /// Of each channel what was stored and who is there.
    pub channels: Vec<AcceptedChannel>,
}

/// What was accepted for one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChannel {
    /// Which one.
    pub channel: Channel,
    /// Rows stored.
    pub rows: u32,
    /// Rows left out because their address was there before.
    pub merged: u32,
    /// Recipients without an address.
    pub no_contact: u32,
    /// When a courier of the channel was last seen.
    pub courier_seen: Option<UnixMs>,
}

/// Why an order was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Take another suffix: there is an order of this one with another body.
    #[error("there is another order of this suffix")]
    Conflict,
    /// Correct the times: it would end before it is due.
    #[error("it would end before it is due")]
    Late,
    /// Name somebody: it has no row.
    #[error("it names no row")]
    Empty,
    /// Name fewer channels, or rows.
    #[error("it has more channels or rows than an order may have")]
    TooBig,
    /// Give it again from the start: what was streamed of it is gone.
    #[error("what was streamed of it is gone: it was silent for too long, or given up")]
    Gone,
    /// What it was to be made from does not exist, or can't be read.
    #[error("there is no such order to take rows from")]
    NoSource,
    /// Try again later: refused whole, and no earlier try was without an answer. Nothing of it is stored.
    #[error("refused, nothing is stored")]
    Refused(#[source] CallError),
    /// Keep all that was written for it and give it again under the same suffix, to learn the truth: it may be stored. The
    /// answer of a try was lost or could not be used, or it was not confirmed in time; whatever came after that says
    /// nothing of that try.
    #[error("it may be stored")]
    Unknown(#[source] CallError),
}

impl AcceptError {
    /// A call that enqueues the order ended so.
    fn of_enqueue(error: CallError) -> Self {
        if error.may_have_happened() { Self::Unknown(error) } else { Self::Refused(error) }
    }

    /// What allows giving back all that was written for the order; `None` when it may be stored.
    #[must_use]
    pub fn nothing_stored(&self) -> Option<NothingStored> {
        match self {
            Self::Unknown(_) => None,
            Self::Conflict
            | Self::Late
            | Self::Empty
            | Self::TooBig
            | Self::Gone
            | Self::NoSource
            | Self::Refused(_) => Some(NothingStored(())),
        }
    }
}

/// Says that a request stored no order: every try was answered, by a refusal. Whoever holds one may give back what was
/// written for the order: its idempotency key and its place in the day.
#[derive(Debug)]
pub struct NothingStored(());

impl NothingStored {
    /// For an order that was never handed to [`Store::accept`], [`Store::retry_order`] or [`OrderWriter::finish`].
    #[must_use]
    pub fn never_tried() -> Self {
        Self(())
    }
}

impl Store {
    /// Accepts a whole order.
    ///
    /// # Errors
    /// An [`AcceptError`]; unless it is `Unknown`, nothing of the order is there.
    pub async fn accept(&self, order: &NewOrder) -> Result<Accepted, AcceptError> {
        let mut writer = self.open_order(order.head.clone())?;
        for (channel, row) in &order.rows {
            writer.push(channel, row.clone()).await?;
        }
        writer.finish(order.digest, &order.no_contact).await
    }
}
