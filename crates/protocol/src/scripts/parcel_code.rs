//! What scripts answer about a whole parcel.

use posthaste_model::Member;

use crate::value::Malformed;

/// A parcel and the fence its holder was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParcelRef {
    /// Which parcel.
    pub member: Member,
    /// Under which fence it was claimed.
    pub fence: u64,
}

/// What became of a parcel in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParcelCode {
    /// Done (begin).
    Ok,
    /// Still under the caller's lease.
    Held,
    /// Still leased, because a row is sending.
    Sending,
    /// Back in ready: rows are pending.
    Ready,
    /// Out of the indexes: no row is pending.
    Left,
    /// The caller does not hold the lease.
    Stale,
    /// The lease is over.
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
    /// When it is none of them.
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
