//! Responses of the queue. [`ApiResponse`] keeps the fields that are not typed here, so that JSON output shows all of them.

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
pub(crate) use operator::{Courier, Key, NewKey};
pub(crate) use order::{Counts, Delivery, Order};
pub(crate) use parked::{Parked, ParkedOrder};
pub(crate) use suppression::{DeletedCount, Found, FoundList, PutCount, Suppression};

/// A response, both as the server sent it and as typed fields.
#[derive(Clone)]
pub(crate) struct ApiResponse<T> {
    /// As sent.
    pub(crate) raw: Value,
    /// The typed fields.
    pub(crate) seen: T,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ApiResponse<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(from)?;
        let seen = T::deserialize(&raw).map_err(serde::de::Error::custom)?;
        Ok(Self { raw, seen })
    }
}

impl<T> Serialize for ApiResponse<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(to)
    }
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub(crate) struct Page<T> {
    /// The items, in the list's order.
    pub(crate) items: Vec<ApiResponse<T>>,
    /// Where the next page begins, if there is one.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
    /// Orders of the page that can't be read.
    #[serde(default)]
    pub(crate) unreadable: Vec<Unreadable>,
    /// Deliveries of the page that can't be read.
    #[serde(default)]
    pub(crate) unreadable_deliveries: Vec<UnreadableDeliveries>,
    /// Partitions of the database that did not respond; their items are missing.
    #[serde(default)]
    pub(crate) partitions_missing: Vec<u16>,
}

/// Deliveries of one parcel that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct UnreadableDeliveries {
    /// Their channel.
    pub(crate) channel: String,
    /// How many there are.
    #[serde(default)]
    pub(crate) delivery_count: u64,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
}

impl UnreadableDeliveries {
    /// For people: `500 deliveries on email can't be read (damaged)`.
    pub(crate) fn words(&self) -> String {
        let (channel, why) = (plain(&self.channel), plain(&self.reason.replace('_', " ")));
        let deliveries = if self.delivery_count == 1 { "delivery" } else { "deliveries" };
        format!("{} {deliveries} on {channel} can't be read ({why})", self.delivery_count)
    }
}

/// A line of an export: a delivery, or deliveries that can't be read.
pub(crate) enum DeliveryLine {
    /// A delivery.
    Delivery(Box<ApiResponse<Delivery>>),
    /// Deliveries that can't be read.
    Unreadable(UnreadableDeliveries),
}

impl<'de> Deserialize<'de> for DeliveryLine {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(from)?;
        let read = match raw.get("unreadable_deliveries") {
            Some(deliveries) => UnreadableDeliveries::deserialize(deliveries).map(Self::Unreadable),
            None => ApiResponse::deserialize(raw).map(|delivery| Self::Delivery(Box::new(delivery))),
        };
        read.map_err(serde::de::Error::custom)
    }
}

/// An order that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Unreadable {
    /// Its id.
    pub(crate) id: String,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
}
