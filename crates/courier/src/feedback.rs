//! The feedback sink: where a transport stores what it receives from outside, besides the answers to its own sends:
//! receipts, opt-outs, and short names for orders whose ids are too long for a provider's fields.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, CodedReason, InvalidId, OrderId, Reason, SenderId};
pub use posthaste_store::{ConsentNotice, NoticeMoment, ReceiptStatus};

/// The id of one attempt, `<sender id>.<ns>.<parcel>.<delivery>.<attempt>`, sent to the provider in a field that it
/// returns. It is not a secret and proves nothing: code that receives it from outside must also verify a signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The order.
    pub order_id: OrderId,
    /// Number of the parcel on the order's channel.
    pub parcel: u32,
    /// Index of the delivery in the parcel.
    pub delivery: u16,
    /// Number of the attempt.
    pub attempt: u8,
}

const ATTEMPT: InvalidId =
    InvalidId { kind: "attempt", grammar: "an order id and three numbers, separated by dots" };

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.order_id.wire_id(), self.parcel, self.delivery, self.attempt)
    }
}

impl FromStr for AttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.rsplitn(4, '.');
        let mut number = || {
            let digits = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            digits.ok_or(ATTEMPT)
        };
        let (attempt, delivery, parcel) = (number()?, number()?, number()?);
        let order = parts.next().ok_or(ATTEMPT)?;
        Ok(Self {
            order_id: OrderId::from_wire_id(order)?,
            parcel: parcel.parse().map_err(|_| ATTEMPT)?,
            delivery: delivery.parse().map_err(|_| ATTEMPT)?,
            attempt: attempt.parse().map_err(|_| ATTEMPT)?,
        })
    }
}

/// What a provider reports about an attempt, after or besides its answer to the send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReceipt {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The status it reports.
    pub word: ReceiptStatus,
    /// The reason, stored in the history with the provider's code if the message did not arrive.
    pub reason: CodedReason,
    /// Whether and when to suppress the address.
    pub suppress_after: Option<SuppressAfter>,
}

/// When an address is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressAfter {
    /// Immediately.
    Now,
    /// After this many failures on different days.
    After(u8),
}

/// A suppression list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuppressionList {
    /// The channel's list, for all senders: the address is unusable, or its person wants no messages at all.
    Channel,
    /// One sender's list on this channel: the person wants no messages from that sender.
    Sender(SenderId),
}

/// The effect of a receipt or notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptResult {
    /// The history has changed.
    Changed,
    /// It added nothing: a repeat, or less than what is already known.
    Known,
    /// The attempt never existed, or its order has been purged.
    NoSuchAttempt,
}

/// It was not stored; the sender must retry.
#[derive(Debug, thiserror::Error)]
#[error("could not be stored; try again later")]
pub struct NotStored(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Stores what a transport receives from outside. All calls may be repeated.
#[async_trait]
pub trait FeedbackSink: Send + Sync + 'static {
    /// Stores a receipt before it returns. With `suppress_after`, it puts the address of the delivery on the channel's list.
    ///
    /// # Errors
    /// [`NotStored`], also when this program can't read the order's record.
    async fn receipt(&self, receipt: &DeliveryReceipt) -> Result<ReceiptResult, NotStored>;

    /// Adds an address to a list. `Changed`: it is on the list. `Known`: the notice is a copy of an earlier one, or
    /// the person opted in after it.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn suppress(
        &self,
        address: &Address,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored>;

    /// Adds the address of an attempt to a list, like [`FeedbackSink::suppress`]; `NoSuchAttempt` if there is no such
    /// attempt.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored>;

    /// Removes an address from a list because its person opted in again: only if it is there for one of these
    /// reasons, put there by the person or the provider, and the notice is provably newer. Returns false if nothing
    /// was removed.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn opt_in(
        &self,
        address: &Address,
        list: &SuppressionList,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, NotStored>;

    /// Remembers an order under a short name chosen by the caller, for `keep` or a little longer. The name must match
    /// `[A-Za-z0-9_-]{1,64}`; use a given name always with the same `keep`.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn remember(&self, name: &str, order: &OrderId, keep: Duration) -> Result<(), NotStored>;

    /// The order remembered under a name.
    ///
    /// # Errors
    /// [`NotStored`], when the database can't be read now.
    async fn recall(&self, name: &str) -> Result<Option<OrderId>, NotStored>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_id_survives_a_round_trip() {
        let order_id: OrderId = "u-1:1700000000000000001".parse().unwrap();
        let id = AttemptId { order_id, parcel: 3_999, delivery: 499, attempt: 255 };
        assert_eq!(id.to_string(), "u-1.1700000000000000001.3999.499.255");
        assert_eq!(id.to_string().parse::<AttemptId>().unwrap(), id);
    }

    #[test]
    fn invalid_attempt_ids_are_rejected() {
        for text in [
            "",
            "u.1.2.3",
            "u.1.2.3.256",
            "u.1.2.65536.1",
            "u.1.+2.3.4",
            "u.1.2.3.4.",
            ".1.2.3.4",
            "u:1.2.3.4",
            "u.x.2.3.4",
            "{0}.1.2.3.4",
        ] {
            assert!(text.parse::<AttemptId>().is_err(), "{text}");
        }
    }
}
