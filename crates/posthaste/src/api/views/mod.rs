//! Answers of the queue. What an answer has beyond these fields is kept by [`Told`], so that JSON output shows it all.

mod accepted;
mod operator;
mod order;
mod parked;
mod suppression;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::terminal::plain;

pub(crate) use accepted::{Accepted, Cancelled, Retried, Skipped};
pub(crate) use operator::{Courier, Couriers, Key, NewKey};
pub(crate) use order::{Counters, Order, Recipient};
pub(crate) use parked::{Parked, ParkedOrder};
pub(crate) use suppression::{Found, FoundList, LiftedCount, PutCount, Suppression};

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
    /// Orders of the page of which no more can be told.
    #[serde(default)]
    pub(crate) unreadable: Vec<Unreadable>,
    /// Rows of the page that can't be read.
    #[serde(default)]
    pub(crate) unreadable_rows: Vec<UnreadableRows>,
    /// Partitions of the database that could not be asked: what they hold is missing.
    #[serde(default)]
    pub(crate) partitions_missing: Vec<u16>,
}

/// Rows of one parcel that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct UnreadableRows {
    /// Their channel.
    pub(crate) channel: String,
    /// How many there are.
    #[serde(default)]
    pub(crate) rows: u64,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
}

impl UnreadableRows {
    /// Said to people: `500 rows on email can't be read (damaged)`.
    pub(crate) fn words(&self) -> String {
        let (channel, why) = (plain(&self.channel), plain(&self.reason.replace('_', " ")));
        let rows = if self.rows == 1 { "row" } else { "rows" };
        format!("{} {rows} on {channel} can't be read ({why})", self.rows)
    }
}

/// A line of an export: a row, or rows that can't be read.
pub(crate) enum RecipientLine {
    /// A row.
    Row(Box<Told<Recipient>>),
    /// Rows that can't be read.
    Unreadable(UnreadableRows),
}

impl<'de> Deserialize<'de> for RecipientLine {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(from)?;
        let read = match raw.get("unreadable_rows") {
            Some(rows) => UnreadableRows::deserialize(rows).map(Self::Unreadable),
            None => Told::deserialize(raw).map(|row| Self::Row(Box::new(row))),
        };
        read.map_err(serde::de::Error::custom)
    }
}

/// An order that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Unreadable {
    /// Its id.
    pub(crate) order_id: String,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
}
