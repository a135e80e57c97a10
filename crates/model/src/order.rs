//! What an order asks for, and the row: its unit of delivery.

use serde::{Deserialize, Serialize};

use crate::masked::Address;

/// Rows of a parcel at most: what a courier claims as one.
pub const PARCEL_ROWS: u32 = 500;

/// Bulk never delays urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Goes first, everywhere.
    Urgent,
    /// Everything else.
    Bulk,
}

impl Lane {
    /// As it stands in keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Bulk => "bulk",
        }
    }
}

/// What becomes of a send whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// As the channel does by default.
    #[default]
    Default,
    /// Repeat once: a duplicate is possible.
    Retry,
    /// Leave it unknown: a loss is possible.
    Hold,
}

impl OnUnknown {
    /// The letter of the packed head.
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
    /// The server has it: survives a crash of any process; a power cut may lose the last second.
    #[default]
    Fast,
    /// The server has it on disk: survives a power cut of that node.
    Strict,
    /// The server and a replica have it.
    Replicated,
}

/// The unit of delivery: one address of one recipient on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// Position of the recipient in the order, from 0.
    pub index: u32,
    /// The sender's own id of the recipient, may be empty.
    pub recipient: String,
    /// Name of the recipient, may be empty.
    pub name: String,
    /// Where the message goes.
    pub address: Address,
}
