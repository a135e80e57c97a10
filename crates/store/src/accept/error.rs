//! Why an order is not accepted.

use crate::error::CallError;

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
    /// Take the addresses off the suppression lists first: all deliveries that were to be retried are on one.
    #[error("all {0} deliveries to retry are on a suppression list")]
    AllSuppressed(u32),
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
    pub(super) fn of_enqueue(error: CallError) -> Self {
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
            | Self::AllSuppressed(_)
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
    /// For an order that was never passed to [`Store::accept`](crate::Store::accept),
    /// [`Store::retry_order`](crate::Store::retry_order) or [`OrderWriter::finish`](crate::OrderWriter::finish).
    #[must_use]
    pub fn never_tried() -> Self {
        Self(())
    }
}
