//! The states of a delivery, and counters by state.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// The state of a delivery, ordered by its number in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Not sent yet.
    Pending = 0,
    /// Begun: bytes may have been sent.
    Sending = 1,
    /// The provider accepted the message.
    Sent = 2,
    /// The provider reported that the message arrived.
    Delivered = 3,
    /// The message was refused for good.
    Failed = 4,
    /// The message may have been sent; no further attempt to find out.
    Unknown = 5,
    /// The address is on the suppression list.
    Suppressed = 6,
    /// The delivery's time ended before it could be begun.
    Expired = 7,
    /// The order was cancelled before the delivery was begun.
    Cancelled = 8,
    /// Not known yet whether the message was sent: reported as unknown, waits for the channel's resolver.
    Unresolved = 9,
}

impl State {
    /// All states by number.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::Unknown,
        Self::Suppressed,
        Self::Expired,
        Self::Cancelled,
        Self::Unresolved,
    ];

    /// The state for a number in a record.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the order still waits for this delivery.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Sending | Self::Unresolved)
    }

    /// The word shown to users; an unresolved delivery is shown as unknown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown | Self::Unresolved => "unknown",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Deliveries of one channel by state, and recipients without an address on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    by_state: [u32; 10],
    /// Recipients of the order without an address on this channel; they are not deliveries.
    pub no_contact: u32,
}

impl Counters {
    /// Deliveries in all states: the number accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.by_state.iter().map(|n| u64::from(*n)).sum()
    }

    /// Deliveries that are not final yet.
    #[must_use]
    pub fn open(&self) -> u64 {
        State::ALL.iter().filter(|s| s.is_open()).map(|s| u64::from(self[*s])).sum()
    }
}

impl Index<State> for Counters {
    type Output = u32;

    fn index(&self, state: State) -> &u32 {
        &self.by_state[state as usize]
    }
}

impl IndexMut<State> for Counters {
    fn index_mut(&mut self, state: State) -> &mut u32 {
        &mut self.by_state[state as usize]
    }
}
