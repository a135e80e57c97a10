//! Responses of the queue. [`ApiResponse`] keeps the fields that are not typed here, so that JSON output shows all of them.

mod accepted;
mod effects;
mod operator;
mod order;
mod parked;
mod suppression;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use accepted::{Accepted, CancelledCount, Duplicates, Recipients, Retried, Skipped, Warning};
pub use effects::{BatchResult, EndedParked, MovedOrder, ReleasedCount};
pub use operator::{CourierStatus, CreatedKey, Key, SenderLimit};
pub use order::{DeliveryCounts, Order, OrderDelivery, WaitedOrder};
pub use parked::{Parked, ParkedOrder};
pub use suppression::{DeletedCount, Found, FoundList, PutCount, Suppression};

/// A response, both as the server sent it and as typed fields. It is formatted as its typed fields, which print masked, and
/// serialized as the server sent it.
#[derive(Clone)]
pub struct ApiResponse<T> {
    /// As sent.
    pub raw: Value,
    /// The typed fields.
    pub seen: T,
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

impl<T: fmt::Debug> fmt::Debug for ApiResponse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen.fmt(f)
    }
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<ApiResponse<T>>,
    /// Where the next page begins, if there is one.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// Orders of the page that can't be read.
    #[serde(default)]
    pub unreadable: Vec<UnreadableOrder>,
    /// Deliveries of the page that can't be read.
    #[serde(default)]
    pub unreadable_deliveries: Vec<UnreadableDeliveries>,
    /// Partitions of the database that did not respond; their items are missing.
    #[serde(default)]
    pub partitions_missing: Vec<u16>,
}

/// Deliveries of one parcel that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub struct UnreadableDeliveries {
    /// Their channel.
    pub channel: String,
    /// How many there are.
    #[serde(default)]
    pub delivery_count: u64,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A line of an export: a delivery, or deliveries that can't be read.
#[derive(Debug, Clone)]
pub enum DeliveryLine {
    /// A delivery.
    Delivery(Box<ApiResponse<OrderDelivery>>),
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
pub struct UnreadableOrder {
    /// Its id.
    pub id: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}
