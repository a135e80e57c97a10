//! What became of a request to send, to send once more, or to cancel.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// An order was accepted, or would be.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Accepted {
    /// `<sender id>.<ns>`; of a dry run it may be missing.
    #[serde(default)]
    pub(crate) order_id: Option<String>,
    /// `running`, `scheduled` or `dry_run`.
    #[serde(default)]
    pub(crate) state: String,
    /// When it is due.
    #[serde(default)]
    pub(crate) due_at: Option<String>,
    /// What moved it from the moment that was asked for, `quiet_hours` say.
    #[serde(default)]
    pub(crate) moved_by: Option<String>,
    /// Whom it goes to.
    #[serde(default)]
    pub(crate) recipients: Recipients,
    /// Channels of the order that no courier works on.
    #[serde(default)]
    pub(crate) channels_without_courier: Vec<String>,
}

/// Whom an order goes to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Recipients {
    /// Recipients, after repeated ones were merged.
    pub(crate) accepted: u64,
    /// Rows to deliver, per channel.
    pub(crate) rows: BTreeMap<String, u64>,
    /// The first parts that were left out, and why.
    pub(crate) skipped: Vec<Skipped>,
    /// How many were left out.
    pub(crate) skipped_total: u64,
    /// What was named twice.
    pub(crate) merged: Merged,
    /// Recipients without an address, per channel.
    pub(crate) no_contact: BTreeMap<String, u64>,
}

/// What was named twice; the first counts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Merged {
    /// Recipients whose id was there before.
    pub(crate) recipients: u64,
    /// Addresses that were there before on their channel.
    pub(crate) addresses: u64,
}

/// A part that was left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Skipped {
    /// The line of the upload, from 1.
    pub(crate) line: Option<u64>,
    /// The place, as a JSON pointer into the body, or into the line.
    pub(crate) pointer: Option<String>,
    /// Why, as a stable word.
    pub(crate) code: String,
    /// Why, in words.
    pub(crate) detail: Option<String>,
}

/// A cancelled order.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Cancelled {
    /// Rows that will not be sent.
    #[serde(default)]
    pub(crate) cancelled: u64,
    /// Rows that were already on their way or done.
    #[serde(default)]
    pub(crate) too_late: u64,
}

/// A new order made of rows of an old one.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Retried {
    /// The new order.
    pub(crate) order_id: String,
    /// How many it goes to: a number, or what an acceptance tells.
    #[serde(default)]
    pub(crate) recipients: Value,
}

impl Retried {
    /// How many recipients the new order has, if it was told.
    pub(crate) fn count(&self) -> Option<u64> {
        self.recipients.as_u64().or_else(|| self.recipients.get("accepted")?.as_u64())
    }
}
