//! Accepting orders: small ones in one call; big ones are streamed in bounded memory and accepted as a whole at the
//! end.

mod retry;
mod writer;

use std::time::Duration;

use posthaste_model::{Channel, Content, Delivery, Durability, OnUnknown, OrderId, Priority, UnixMs};

pub use retry::RetryRequest;
pub use writer::OrderWriter;

use crate::error::CallError;
use crate::store::Store;

/// An order without its recipients.
#[derive(Debug, Clone)]
pub struct NewOrderHead {
    /// Its order id, which is unique.
    pub order_id: OrderId,
    /// When it is due; `None` means now.
    pub due: Option<UnixMs>,
    /// Its priority.
    pub priority: Priority,
    /// What happens to unknown deliveries.
    pub on_unknown: OnUnknown,
    /// When it expires; `None` means `span` after the due time.
    pub not_after: Option<UnixMs>,
    /// See `not_after`.
    pub span: Duration,
    /// The message.
    pub content: Content,
}

/// A whole order.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// All but the recipients.
    pub head: NewOrderHead,
    /// Digest of the body it was made from: an order with the same order id and digest is the same order.
    pub digest: [u8; 12],
    /// Its deliveries. Equal addresses of one channel are merged: the first counts.
    pub deliveries: Vec<(Channel, Delivery)>,
    /// Recipients without an address, per channel.
    pub no_contact: Vec<(Channel, u32)>,
}

/// The result of an acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedOrder {
    /// Its order id.
    pub order_id: OrderId,
    /// Whether an earlier call had stored it.
    pub already_done: bool,
    /// Whether it is due now, by the server's clock.
    pub due_now: bool,
    /// When it was accepted.
    pub accepted: UnixMs,
    /// When it is due.
    pub due: UnixMs,
    /// What "accepted" means here.
    pub durability: Durability,
    /// For each channel, what was stored and when its courier was last seen.
    pub channels: Vec<AcceptedChannel>,
}

/// What was accepted for one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChannel {
    /// The channel.
    pub channel: Channel,
    /// Deliveries stored.
    pub deliveries: u32,
    /// Deliveries left out because their address was already in the order.
    pub merged: u32,
    /// Recipients without an address.
    pub no_contact: u32,
    /// When a courier of the channel was last seen.
    pub courier_seen: Option<UnixMs>,
}

/// Why an order was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Choose another order id: an order with this id but another body already exists.
    #[error("an order with this id already exists")]
    Conflict,
    /// Correct the times: the order would expire before it is due.
    #[error("the order would expire before it is due")]
    ExpiresBeforeDue,
    /// Add a delivery: the order has none.
    #[error("the order has no deliveries")]
    Empty,
    /// Use fewer channels or deliveries.
    #[error("the order has too many channels or deliveries")]
    TooBig,
    /// Send it again from the start: its staged data is gone.
    #[error(
        "the staged data of this order is gone: it was idle for too long or was abandoned; send the order again"
    )]
    Gone,
    /// The source order does not exist, or can't be read.
    #[error("the order to take deliveries from does not exist")]
    NoSource,
    /// Try again later: it was refused as a whole, and every earlier try was answered. Nothing of it is stored.
    #[error("refused; nothing is stored")]
    Refused(#[source] CallError),
    /// It may be stored. Keep everything that was written for it, and send it again under the same order id to find
    /// out. The answer of a try was lost or invalid, or the try was not confirmed in time; the results of later tries
    /// say nothing about that try.
    #[error("the order may have been stored; send it again with the same id to find out")]
    Unknown(#[source] CallError),
}

impl AcceptError {
    /// Classifies the error of a call that enqueues the order.
    fn of_enqueue(error: CallError) -> Self {
        if error.may_have_happened() { Self::Unknown(error) } else { Self::Refused(error) }
    }

    /// Permission to take back everything that was written for the order; `None` when the order may be stored.
    #[must_use]
    pub fn nothing_stored(&self) -> Option<NothingStored> {
        match self {
            Self::Unknown(_) => None,
            Self::Conflict
            | Self::ExpiresBeforeDue
            | Self::Empty
            | Self::TooBig
            | Self::Gone
            | Self::NoSource
            | Self::Refused(_) => Some(NothingStored(())),
        }
    }
}

/// Proof that a request stored no order: every try was answered with a refusal. The holder may take back what was
/// written for the order: its idempotency key and its daily place.
#[derive(Debug)]
pub struct NothingStored(());

impl NothingStored {
    /// For an order that was never passed to [`Store::accept`], [`Store::retry_order`] or [`OrderWriter::finish`].
    #[must_use]
    pub fn never_tried() -> Self {
        Self(())
    }
}

impl Store {
    /// Accepts a whole order.
    ///
    /// # Errors
    /// An [`AcceptError`]; unless it is `Unknown`, nothing of the order is stored.
    pub async fn accept(&self, order: &NewOrder) -> Result<AcceptedOrder, AcceptError> {
        let mut writer = self.open_order(order.head.clone())?;
        for (channel, delivery) in &order.deliveries {
            writer.push(channel, delivery.clone()).await?;
        }
        writer.finish(order.digest, &order.no_contact).await
    }
}
