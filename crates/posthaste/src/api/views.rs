//! Answers of the queue. What an answer has beyond these fields is kept by [`Told`], so that JSON output shows it all.

use std::collections::BTreeMap;

use posthaste_model::{Address, Text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// An answer, both as the server wrote it and as it is understood.
#[derive(Clone)]
pub(crate) struct Told<T> {
    /// As written.
    pub(crate) raw: Value,
    /// As understood.
    pub(crate) seen: T,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(from)?;
        let seen = T::deserialize(&raw).map_err(serde::de::Error::custom)?;
        Ok(Self { raw, seen })
    }
}

impl<T> Serialize for Told<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(to)
    }
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub(crate) struct Page<T> {
    /// The items, in the list's order.
    pub(crate) items: Vec<Told<T>>,
    /// Where the next page begins, if there is one.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

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

    /// Rows the provider took.
    pub(crate) fn reached(&self) -> u64 {
        self.sent + self.delivered
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
}

impl Order {
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

/// All channels that were ever worked on.
#[derive(Deserialize)]
pub(crate) struct Couriers {
    /// One per channel.
    pub(crate) couriers: Vec<Told<Courier>>,
}

/// The couriers of one channel.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Courier {
    /// The channel.
    pub(crate) channel: String,
    /// When one was last seen.
    #[serde(default)]
    pub(crate) last_seen: Option<Value>,
    /// Whether one works on it now.
    #[serde(default)]
    pub(crate) present: bool,
}

/// An API key, without its secret.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Key {
    /// The part of the key that may be shown.
    pub(crate) id: String,
    /// What it is called.
    #[serde(default)]
    pub(crate) name: String,
    /// What it may do.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The sender it is bound to.
    #[serde(default)]
    pub(crate) sender_id: Option<String>,
    /// When it stops working.
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
    /// When it was last used.
    #[serde(default)]
    pub(crate) last_used_at: Option<String>,
    /// When it was revoked.
    #[serde(default)]
    pub(crate) revoked_at: Option<String>,
}

/// A new API key; the only time its secret is seen.
#[derive(Deserialize)]
pub(crate) struct NewKey {
    /// The part that may be shown.
    #[serde(default)]
    pub(crate) id: String,
    /// The whole key.
    pub(crate) key: secrecy::SecretString,
}
