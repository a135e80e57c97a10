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
    Leased,
    /// Still leased, because a delivery is sending.
    Sending,
    /// Back in ready: it has pending deliveries.
    Ready,
    /// Out of the indexes: it has no pending delivery.
    Settled,
    /// The caller does not hold the lease.
    LeaseLost,
    /// The lease has expired.
    LeaseExpired,
    /// The order was cancelled.
    Cancelled,
    /// The order is past `not_after`.
    Expired,
    /// No such order.
    NotFound,
    /// A record of a later version.
    NewerVersion,
    /// A record that can't be read.
    Unreadable,
    /// Cancelled before it was due.
    CancelledBeforeDue,
}

impl ParcelCode {
    /// Reads the code of a reply.
    ///
    /// # Errors
    /// When the code is unknown.
    pub fn read(code: &str) -> Result<Self, Malformed> {
        Ok(match code {
            "ok" => Self::Ok,
            "leased" => Self::Leased,
            "sending" => Self::Sending,
            "ready" => Self::Ready,
            "settled" => Self::Settled,
            "lease_lost" => Self::LeaseLost,
            "lease_expired" => Self::LeaseExpired,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            "not_found" => Self::NotFound,
            "newer_version" => Self::NewerVersion,
            "unreadable" => Self::Unreadable,
            "cancelled_before_due" => Self::CancelledBeforeDue,
            _ => return Err(Malformed::new("parcel code")),
        })
    }
}
