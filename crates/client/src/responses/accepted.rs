//! Responses to requests to send, retry or cancel.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// An accepted order, or the result of a dry run.
#[derive(Debug, Clone, Deserialize)]
pub struct Accepted {
    /// `<sender id>.<ns>`; may be missing for a dry run.
    #[serde(default)]
    pub order_id: Option<String>,
    /// `running`, `scheduled` or `dry_run`.
    #[serde(default)]
    pub state: String,
    /// When it is due.
    #[serde(default)]
    pub due_at: Option<String>,
    /// What moved it from the requested time, such as `quiet_hours`.
    #[serde(default)]
    pub moved_by: Option<String>,
    /// The recipients.
    #[serde(default)]
    pub recipients: Recipients,
    /// Channels of the order without a running courier.
    #[serde(default)]
    pub channels_without_courier: Vec<String>,
}

/// The recipients of an order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Recipients {
    /// Recipients, after duplicates were merged.
    pub accepted: u64,
    /// Deliveries per channel.
    pub deliveries: BTreeMap<String, u64>,
    /// The first skipped parts, and why they were skipped.
    pub skipped: Vec<Skipped>,
    /// Number of skipped parts.
    pub skipped_total: u64,
    /// Duplicates.
    pub merged: Merged,
    /// Recipients without an address, per channel.
    pub no_contact: BTreeMap<String, u64>,
}

/// Duplicates; the first occurrence is used.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Merged {
    /// Recipients with the id of an earlier one.
    pub recipients: u64,
    /// Addresses that occurred earlier on the same channel.
    pub addresses: u64,
}

/// A skipped part.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Skipped {
    /// The line of the upload, from 1.
    pub line: Option<u64>,
    /// Its place, as a JSON pointer into the body or the line.
    pub pointer: Option<String>,
    /// Why, as a stable word.
    pub code: String,
    /// Why, in words.
    pub detail: Option<String>,
}

/// A cancelled order.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct CancelledCount {
    /// Deliveries that will not be sent.
    #[serde(default)]
    pub cancelled: u64,
    /// Deliveries that were already on their way or done.
    #[serde(default)]
    pub too_late: u64,
}

/// A new order made of deliveries of an old one.
#[derive(Debug, Clone, Deserialize)]
pub struct Retried {
    /// The new order.
    pub order_id: String,
    /// Its recipients: a number, or the same object as in [`Accepted`].
    #[serde(default)]
    pub recipients: Value,
}

impl Retried {
    /// The number of recipients of the new order, if the response has it.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.recipients.as_u64().or_else(|| self.recipients.get("accepted")?.as_u64())
    }
}
