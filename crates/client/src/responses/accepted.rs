//! Responses to requests to send, retry or cancel.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An accepted order, or the result of a dry run.
#[derive(Debug, Clone, Deserialize)]
pub struct Accepted {
    /// `<sender id>.<ns>`; may be missing for a dry run.
    #[serde(default)]
    pub id: Option<String>,
    /// `running` or `scheduled`; missing for a dry run.
    #[serde(default)]
    pub status: Option<String>,
    /// Whether it was a dry run.
    #[serde(default)]
    pub dry_run: bool,
    /// When it is due.
    #[serde(default)]
    pub deliver_at: Option<String>,
    /// What moved it from the requested time, such as `quiet_hours`.
    #[serde(default)]
    pub delay_reason: Option<String>,
    /// The recipients.
    #[serde(default)]
    pub recipients: Recipients,
    /// Channels of the order without a running courier.
    #[serde(default)]
    pub channels_without_courier: Vec<String>,
    /// Deliveries that will fail although the order is accepted.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Deliveries of a channel that will fail although the order is accepted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Warning {
    /// What is wrong, as a stable word, such as `text_too_long`.
    pub code: String,
    /// The channel.
    pub channel: String,
    /// The field to change, as a JSON pointer.
    pub pointer: String,
    /// Number of deliveries.
    pub delivery_count: u64,
    /// What is wrong and what to do, in words.
    pub detail: String,
}

/// The recipients of an order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Recipients {
    /// Recipients, after duplicates were merged.
    pub accepted_count: u64,
    /// Number of deliveries per channel.
    pub delivery_counts: BTreeMap<String, u64>,
    /// The first skipped parts, and why they were skipped.
    pub skipped: Vec<Skipped>,
    /// Number of skipped parts.
    pub skipped_count: u64,
    /// Duplicates.
    pub duplicates: Duplicates,
    /// Recipients without an address, per channel.
    pub no_contact: BTreeMap<String, u64>,
}

/// Duplicates; the first occurrence is used.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Duplicates {
    /// Recipients with the id of an earlier one.
    pub recipient_count: u64,
    /// Addresses that occurred earlier on the same channel.
    pub address_count: u64,
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
    pub cancelled_count: u64,
    /// Deliveries that were already on their way or done.
    #[serde(default)]
    pub too_late_count: u64,
}

/// A new order made of deliveries of an old one.
#[derive(Debug, Clone, Deserialize)]
pub struct Retried {
    /// The new order.
    pub id: String,
    /// Number of its deliveries.
    #[serde(default)]
    pub delivery_count: u64,
    /// Number of deliveries left out because their address is on a suppression list; `None` if the queue does not say.
    #[serde(default)]
    pub suppressed_count: Option<u64>,
}
