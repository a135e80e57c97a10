//! Couriers, API keys and daily limits.

use serde::Deserialize;
use serde_json::Value;

use super::ApiResponse;

/// All channels that have ever had a courier.
#[derive(Debug, Clone, Deserialize)]
pub struct Couriers {
    /// One per channel.
    pub couriers: Vec<ApiResponse<CourierStatus>>,
    /// Partitions of the database that did not respond; they may know more couriers.
    #[serde(default)]
    pub partitions_missing: Vec<u16>,
}

/// The couriers of one channel.
#[derive(Debug, Clone, Deserialize)]
pub struct CourierStatus {
    /// The channel.
    pub channel: String,
    /// When one was last seen.
    #[serde(default)]
    pub last_seen: Option<Value>,
    /// Whether one is running now.
    #[serde(default)]
    pub present: bool,
    /// Whether the channel has delivery receipts; `None` if no courier has reported it.
    #[serde(default)]
    pub receipts: Option<bool>,
}

/// An API key, without its secret.
#[derive(Debug, Clone, Deserialize)]
pub struct Key {
    /// The part of the key that may be shown.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The sender it is bound to.
    #[serde(default)]
    pub sender_id: Option<String>,
    /// The mailboxes its orders may send from.
    #[serde(default)]
    pub mailboxes: Vec<String>,
    /// When it stops working.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// When it was last used.
    #[serde(default)]
    pub last_used_at: Option<String>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<String>,
}

/// A new API key; its secret is shown only here.
#[derive(Debug, Clone, Deserialize)]
pub struct CreatedKey {
    /// The part that may be shown.
    #[serde(default)]
    pub id: String,
    /// The whole key.
    pub key: secrecy::SecretString,
}

/// How many orders a sender has sent today, and may send.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct SenderLimit {
    /// Orders sent today.
    pub value: u64,
    /// Seconds until the next day begins.
    pub ttl: u64,
    /// Orders per day; `None`: no limit.
    pub daily: Option<u64>,
}
