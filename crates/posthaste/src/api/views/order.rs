//! An order, its counters, its deliveries.

use std::collections::BTreeMap;

use posthaste_model::{Address, Text};
use serde::{Deserialize, Deserializer};

/// Deliveries of one channel by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    /// All deliveries.
    pub(crate) accepted: u64,
    /// To be sent.
    pub(crate) pending: u64,
    /// Begun.
    pub(crate) sending: u64,
    /// Accepted by the provider.
    pub(crate) sent: u64,
    /// Reported as arrived.
    pub(crate) delivered: u64,
    /// Failed permanently.
    pub(crate) failed: u64,
    /// Outcome unknown.
    pub(crate) unknown: u64,
    /// The address is on the suppression list.
    pub(crate) suppressed: u64,
    /// Expired before they were sent.
    pub(crate) expired: u64,
    /// Cancelled before they were sent.
    pub(crate) cancelled: u64,
    /// Recipients without an address on the channel; these are not deliveries.
    pub(crate) no_contact: u64,
}

impl Counters {
    /// Deliveries that are neither pending nor sending.
    pub(crate) fn settled(&self) -> u64 {
        self.accepted.saturating_sub(self.pending + self.sending)
    }

    /// Deliveries that, as far as is known, did not arrive.
    pub(crate) fn unreached(&self) -> u64 {
        self.failed + self.unknown + self.suppressed + self.expired
    }

    /// The states with their counts, in the order people read them.
    pub(crate) fn by_state(&self) -> [(&'static str, u64); 9] {
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
pub(crate) struct Order {
    /// `<sender id>.<ns>`.
    pub(crate) order_id: String,
    /// `scheduled`, `running`, `finished`, `finished_with_failures` or `cancelled`.
    pub(crate) state: String,
    /// `urgent` or `bulk`.
    #[serde(default)]
    pub(crate) priority: Option<String>,
    /// When it was accepted.
    #[serde(default)]
    pub(crate) accepted_at: Option<String>,
    /// When it is due.
    #[serde(default)]
    pub(crate) due_at: Option<String>,
    /// After this time no delivery of it is begun.
    #[serde(default)]
    pub(crate) not_after: Option<String>,
    /// When its last delivery became final.
    #[serde(default)]
    pub(crate) finished_at: Option<String>,
    /// The order whose deliveries this one repeats.
    #[serde(default)]
    pub(crate) retry_of: Option<String>,
    /// The sender.
    #[serde(default)]
    pub(crate) sender_id: Option<String>,
    /// Per channel.
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, Counters>,
    /// Over all channels.
    #[serde(default)]
    pub(crate) totals: Counters,
    /// Whether each channel has delivery receipts; `None` if no courier has reported it.
    #[serde(default)]
    pub(crate) receipts: BTreeMap<String, Option<bool>>,
}

impl Order {
    /// Channels with `sent` deliveries and with receipts, or without (`word_comes`).
    pub(crate) fn sent_on(&self, word_comes: bool) -> Vec<&str> {
        let said = |channel: &str| self.receipts.get(channel).copied().flatten() == Some(word_comes);
        let sent = self.counters.iter().filter(|(channel, counters)| counters.sent > 0 && said(channel));
        sent.map(|(channel, _)| channel.as_str()).collect()
    }

    /// Whether its deliveries no longer change by themselves.
    pub(crate) fn is_final(&self) -> bool {
        match self.state.as_str() {
            "finished" | "finished_with_failures" => true,
            // Deliveries that were on the wire when it was cancelled still get an outcome.
            "cancelled" => self.totals.pending + self.totals.sending == 0,
            _ => false,
        }
    }
}

/// One delivery: one address of one recipient on one channel.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recipient {
    /// The sender's own id for the recipient.
    #[serde(default)]
    pub(crate) recipient_id: Option<String>,
    /// The recipient's name.
    #[serde(default, deserialize_with = "text")]
    pub(crate) name: Text,
    /// The channel.
    pub(crate) channel: String,
    /// The address the message goes to.
    #[serde(default = "nowhere", deserialize_with = "address")]
    pub(crate) address: Address,
    /// The delivery's state.
    pub(crate) state: String,
    /// Why it is in that state.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// The provider's code, if that is the reason.
    #[serde(default)]
    pub(crate) provider_code: Option<u16>,
    /// How often it was begun.
    #[serde(default)]
    pub(crate) attempts: Option<u64>,
    /// When the state last changed.
    #[serde(default)]
    pub(crate) updated_at: Option<String>,
    /// When it is tried next.
    #[serde(default)]
    pub(crate) next_at: Option<String>,
    /// What it waits for.
    #[serde(default)]
    pub(crate) waits_for: Option<String>,
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
