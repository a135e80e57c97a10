//! Answers of the queue. What an answer has beyond these fields is kept by [`Told`], so that JSON output shows it all.

mod accepted;
mod operator;
mod order;
mod parked;
mod suppression;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

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
