//! The options of an order, and the delivery.

use serde::{Deserialize, Serialize};

use crate::masked::Address;

/// Maximum deliveries per parcel. A courier claims a parcel as a whole.
pub const PARCEL_DELIVERIES: u32 = 500;

/// The priority of an order. Bulk never delays urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Always goes first.
    Urgent,
    /// Everything else.
    Bulk,
}

impl Priority {
    /// The priority as used in keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Bulk => "bulk",
        }
    }
}

/// What happens to a delivery with an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// The default of the channel.
    #[default]
    Default,
    /// Repeat once: a duplicate is possible.
    Retry,
    /// Leave it unknown: a loss is possible.
    Hold,
}

impl OnUnknown {
    /// The letter in the packed head.
    #[must_use]
    pub fn letter(self) -> u8 {
        match self {
            Self::Default => b'd',
            Self::Retry => b'r',
            Self::Hold => b'h',
        }
    }
}

/// What "accepted" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The server has the order: it survives a crash of any process; a power cut may lose the last second.
    #[default]
    Fast,
    /// The server has the order on disk: it survives a power cut of that node.
    Strict,
    /// The server and a replica have the order.
    Replicated,
}

/// A delivery: one address of one recipient on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Position of the recipient in the order, from 0.
    pub index: u32,
    /// The sender's own id for the recipient; may be empty.
    pub recipient: String,
    /// Name of the recipient; may be empty.
    pub name: String,
    /// The address.
    pub address: Address,
}
