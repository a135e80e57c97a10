//! An order, its counts, its deliveries.

use std::collections::BTreeMap;

use posthaste_model::{Address, Text};
use serde::{Deserialize, Deserializer};

use super::ApiResponse;

/// Number of deliveries by status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DeliveryCounts {
    /// All deliveries.
    pub total: u64,
    /// To be sent.
    pub pending: u64,
    /// Begun.
    pub sending: u64,
    /// Accepted by the provider.
    pub sent: u64,
    /// Reported as arrived.
    pub delivered: u64,
    /// Failed permanently.
    pub failed: u64,
    /// Outcome unknown.
    pub unknown: u64,
    /// The address is on the suppression list.
    pub suppressed: u64,
    /// Expired before they were sent.
    pub expired: u64,
    /// Cancelled before they were sent.
    pub cancelled: u64,
    /// Recipients without an address on the channel; these are not deliveries.
    pub no_contact: u64,
}

impl DeliveryCounts {
    /// Deliveries that are neither pending nor sending.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.total.saturating_sub(self.pending + self.sending)
    }

    /// Deliveries that, as far as is known, did not arrive.
    #[must_use]
    pub fn unreached(&self) -> u64 {
        self.failed + self.unknown + self.suppressed + self.expired
    }

    /// The statuses with their counts, in the order people read them.
    #[must_use]
    pub fn by_status(&self) -> [(&'static str, u64); 9] {
        [
            ("delivered", self.delivered),
            ("sent", self.sent),
            ("failed", self.failed),
            ("unknown", self.unknown),
            ("suppressed", self.suppressed),
            ("expired", self.expired),
            ("cancelled", self.cancelled),
            ("sending", self.sending),
            ("pending", self.pending),
        ]
    }
}

/// An order and its progress.
#[derive(Debug, Clone, Deserialize)]
pub struct Order {
    /// `<sender id>.<ns>`.
    pub id: String,
    /// `scheduled`, `running`, `finished`, `finished_with_failures` or `cancelled`.
    pub status: String,
    /// `urgent` or `bulk`.
    #[serde(default)]
    pub priority: Option<String>,
    /// When it was accepted.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it is due.
    #[serde(default)]
    pub deliver_at: Option<String>,
    /// After this time no delivery of it is begun.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// When its last delivery became final.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// The order whose deliveries this one repeats.
    #[serde(default)]
    pub retry_of: Option<String>,
    /// The sender.
    #[serde(default)]
    pub sender_id: Option<String>,
    /// Per channel.
    #[serde(default)]
    pub channel_counts: BTreeMap<String, DeliveryCounts>,
    /// Over all channels.
    #[serde(default)]
    pub counts: DeliveryCounts,
    /// Whether each channel has delivery receipts; `None` if no courier has reported it.
    #[serde(default)]
    pub delivery_receipts: BTreeMap<String, Option<bool>>,
}

impl Order {
    /// Channels with `sent` deliveries and with receipts, or without (`word_comes`).
    #[must_use]
    pub fn sent_on(&self, word_comes: bool) -> Vec<&str> {
        let said = |channel: &str| self.delivery_receipts.get(channel).copied().flatten() == Some(word_comes);
        let sent = self.channel_counts.iter().filter(|(channel, counts)| counts.sent > 0 && said(channel));
        sent.map(|(channel, _)| channel.as_str()).collect()
    }

    /// Whether its deliveries no longer change by themselves.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.status.as_str() {
            "finished" | "finished_with_failures" => true,
            // Deliveries that were on the wire when it was cancelled still get an outcome.
            "cancelled" => self.counts.pending + self.counts.sending == 0,
            _ => false,
        }
    }
}

/// The result of waiting for changes of an order.
#[derive(Debug, Clone, Deserialize)]
pub struct WaitedOrder {
    /// The order; `None` if it does not exist yet.
    pub order: Option<ApiResponse<Order>>,
    /// Whether the time ran out first.
    #[serde(default)]
    pub timed_out: bool,
}

/// One delivery: one address of one recipient on one channel.
#[derive(Debug, Clone, Deserialize)]
pub struct OrderDelivery {
    /// The sender's own id for the recipient.
    #[serde(default)]
    pub recipient_id: Option<String>,
    /// The recipient's name.
    #[serde(default, deserialize_with = "text")]
    pub recipient_name: Text,
    /// The channel.
    pub channel: String,
    /// The address the message goes to.
    #[serde(default = "nowhere", deserialize_with = "address")]
    pub address: Address,
    /// The delivery's status.
    pub status: String,
    /// Why it has that status.
    #[serde(default)]
    pub reason: Option<String>,
    /// The provider's own code.
    #[serde(default)]
    pub provider_code: Option<u64>,
    /// The enhanced status of a mail server, beside its reply code.
    #[serde(default)]
    pub enhanced_status: Option<String>,
    /// How often it was tried.
    #[serde(default)]
    pub attempt_count: Option<u64>,
    /// When the status last changed.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// When it is tried next.
    #[serde(default)]
    pub next_attempt_at: Option<String>,
    /// What it waits for.
    #[serde(default)]
    pub waiting_for: Option<String>,
}

fn nowhere() -> Address {
    Address::new("")
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
    Ok(Address::new(Option::<String>::deserialize(from)?.unwrap_or_default()))
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Text, D::Error> {
    Ok(Text::new(Option::<String>::deserialize(from)?.unwrap_or_default()))
}
