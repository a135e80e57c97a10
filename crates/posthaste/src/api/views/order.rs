//! An order, its counters, its rows.

use std::collections::BTreeMap;

use posthaste_model::{Address, Text};
use serde::{Deserialize, Deserializer};

/// Rows of one channel by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    /// All rows.
    pub(crate) accepted: u64,
    /// To be sent.
    pub(crate) pending: u64,
    /// Begun.
    pub(crate) sending: u64,
    /// Taken by the provider.
    pub(crate) sent: u64,
    /// Arrived.
    pub(crate) delivered: u64,
    /// Refused for good.
    pub(crate) failed: u64,
    /// Nobody knows.
    pub(crate) unknown: u64,
    /// The address is on the suppression list.
    pub(crate) suppressed: u64,
    /// Their time was over first.
    pub(crate) expired: u64,
    /// Cancelled first.
    pub(crate) cancelled: u64,
    /// Recipients without an address on the channel; no rows.
    pub(crate) no_contact: u64,
}

impl Counters {
    /// Rows that nothing more happens to by itself.
    pub(crate) fn settled(&self) -> u64 {
        self.accepted.saturating_sub(self.pending + self.sending)
    }

    /// Rows that reached nobody, for all that is known.
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

/// An order and where it stands.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    /// `<sender id>.<ns>`.
    pub(crate) order_id: String,
    /// `scheduled`, `running`, `finished`, `finished_with_failures` or `cancelled`.
    pub(crate) state: String,
    /// `urgent` or `bulk`.
    #[serde(default)]
    pub(crate) lane: Option<String>,
    /// When it was accepted.
    #[serde(default)]
    pub(crate) accepted_at: Option<String>,
    /// When it is due.
    #[serde(default)]
    pub(crate) due_at: Option<String>,
    /// After this moment nothing of it is begun.
    #[serde(default)]
    pub(crate) not_after: Option<String>,
    /// When its last row became final.
    #[serde(default)]
    pub(crate) finished_at: Option<String>,
    /// The order this one repeats rows of.
    #[serde(default)]
    pub(crate) retry_of: Option<String>,
    /// Who sends.
    #[serde(default)]
    pub(crate) sender_id: Option<String>,
    /// Per channel.
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, Counters>,
    /// Over all channels.
    #[serde(default)]
    pub(crate) totals: Counters,
    /// Of each channel: whether word comes of what became of a message that was sent; `None` when nobody said so.
    #[serde(default)]
    pub(crate) receipts: BTreeMap<String, Option<bool>>,
}

impl Order {
    /// Channels with rows that are `sent`, of which word may still come, or of which none does.
    pub(crate) fn sent_on(&self, word_comes: bool) -> Vec<&str> {
        let said = |channel: &str| self.receipts.get(channel).copied().flatten() == Some(word_comes);
        let sent = self.counters.iter().filter(|(channel, counters)| counters.sent > 0 && said(channel));
        sent.map(|(channel, _)| channel.as_str()).collect()
    }

    /// Whether nothing more happens to it by itself.
    pub(crate) fn is_final(&self) -> bool {
        match self.state.as_str() {
            "finished" | "finished_with_failures" => true,
            // Rows on the wire when it was cancelled are still told.
            "cancelled" => self.totals.pending + self.totals.sending == 0,
            _ => false,
        }
    }
}

/// One row: one address of one recipient on one channel.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recipient {
    /// The sender's own id of the recipient.
    #[serde(default)]
    pub(crate) recipient_id: Option<String>,
    /// Their name.
    #[serde(default, deserialize_with = "text")]
    pub(crate) name: Text,
    /// The channel.
    pub(crate) channel: String,
    /// Where the message goes.
    #[serde(default = "nowhere", deserialize_with = "address")]
    pub(crate) address: Address,
    /// The row's state.
    pub(crate) state: String,
    /// Why it is in that state.
    #[serde(default)]
    pub(crate) reason: Option<String>,
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
