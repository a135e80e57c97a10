//! What scripts return for a whole parcel.

use posthaste_model::ParcelId;

use crate::reply_value::Malformed;

/// A parcel and the fence of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParcelRef {
    /// The parcel.
    pub parcel_id: ParcelId,
    /// The fence it was claimed with.
    pub fence: u64,
}

/// The result for a parcel in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParcelCode {
    /// Done (begin).
    Ok,
    /// Still under the caller's lease.
    Held,
    /// Still leased, because a delivery is sending.
    Sending,
    /// Back in ready: it has pending deliveries.
    Ready,
    /// Out of the indexes: it has no pending delivery.
    Left,
    /// The caller does not hold the lease.
    Stale,
    /// The lease has expired.
    Over,
    /// The order was cancelled.
    Cancelled,
    /// The order is past `not_after`.
    Expired,
    /// No such order.
    Gone,
    /// A record of a later version.
    Newer,
    /// A record that can't be read.
    Bad,
    /// Cancelled before it was due.
    Final,
}

impl ParcelCode {
    /// Reads the code of a reply.
    ///
    /// # Errors
    /// When the code is unknown.
    pub fn read(code: &str) -> Result<Self, Malformed> {
        Ok(match code {
            "ok" => Self::Ok,
            "held" => Self::Held,
            "sending" => Self::Sending,
            "ready" => Self::Ready,
            "left" => Self::Left,
            "stale" => Self::Stale,
            "over" => Self::Over,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            "gone" => Self::Gone,
            "newer" => Self::Newer,
            "bad" => Self::Bad,
            "final" => Self::Final,
            _ => return Err(Malformed::new("parcel code")),
        })
    }
}
