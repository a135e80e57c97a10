//! The states of a row and their sums.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// The state of a row, in the order of its number in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// To be sent.
    Pending = 0,
    /// Begun: bytes may have left.
    Sending = 1,
    /// The provider took it.
    Sent = 2,
    /// The provider says it arrived.
    Delivered = 3,
    /// It was refused for good.
    Failed = 4,
    /// Nobody knows, and nobody will ask any more.
    Unknown = 5,
    /// The address is on the suppression list.
    Suppressed = 6,
    /// Its time was over before it could be begun.
    Expired = 7,
    /// The order was cancelled first.
    Cancelled = 8,
    /// Nobody knows yet: told as unknown, waits for the channel's resolver.
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

    /// Reads the number of a record.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the order still waits for this row.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Sending | Self::Unresolved)
    }

    /// The word users read; an unresolved row is told as unknown.
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

/// Rows of one channel by state, and recipients without an address there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    by_state: [u32; 10],
    /// Recipients of the order without an address on this channel; no rows.
    pub no_contact: u32,
}

impl Counters {
    /// Rows in all states together: what was accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.by_state.iter().map(|n| u64::from(*n)).sum()
    }

    /// Rows that are not final yet.
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
