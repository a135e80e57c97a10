//! Couriers and API keys.

use serde::Deserialize;
use serde_json::Value;

use super::ApiResponse;

/// All channels that have ever had a courier.
#[derive(Deserialize)]
pub(crate) struct Couriers {
    /// One per channel.
    pub(crate) couriers: Vec<ApiResponse<Courier>>,
    /// Partitions of the database that did not respond; they may know more couriers.
    #[serde(default)]
    pub(crate) partitions_missing: Vec<u16>,
}

/// The couriers of one channel.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Courier {
    /// The channel.
    pub(crate) channel: String,
    /// When one was last seen.
    #[serde(default)]
    pub(crate) last_seen: Option<Value>,
    /// Whether one is running now.
    #[serde(default)]
    pub(crate) present: bool,
    /// Whether the channel has delivery receipts; `None` if no courier has reported it.
    #[serde(default)]
    pub(crate) receipts: Option<bool>,
}

/// An API key, without its secret.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Key {
    /// The part of the key that may be shown.
    pub(crate) id: String,
    /// Its name.
    #[serde(default)]
    pub(crate) name: String,
    /// What it may do.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The sender it is bound to.
    #[serde(default)]
    pub(crate) sender_id: Option<String>,
    /// The mailboxes its orders may send from.
    #[serde(default)]
    pub(crate) mailboxes: Vec<String>,
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

/// A new API key; its secret is shown only here.
#[derive(Deserialize)]
pub(crate) struct NewKey {
    /// The part that may be shown.
    #[serde(default)]
    pub(crate) id: String,
    /// The whole key.
    pub(crate) key: secrecy::SecretString,
}
