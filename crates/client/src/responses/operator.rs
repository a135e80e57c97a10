//! Couriers, API keys and daily limits.

use serde::Deserialize;

/// The couriers of one channel.
#[derive(Debug, Clone, Deserialize)]
pub struct CourierStatus {
    /// The channel.
    pub channel: String,
    /// When one was last seen.
    #[serde(default)]
    pub last_seen_at: Option<String>,
    /// Whether one is running now.
    #[serde(default)]
    pub online: bool,
    /// Whether the channel has delivery receipts; `None` if no courier has reported it.
    #[serde(default)]
    pub delivery_receipts: Option<bool>,
    /// What the couriers do, as a word; empty if the queue is too old to tell.
    #[serde(default)]
    pub state: String,
    /// Since when.
    #[serde(default)]
    pub since: Option<String>,
    /// When that may end by itself.
    #[serde(default)]
    pub until: Option<String>,
    /// Why, in words.
    #[serde(default)]
    pub cause: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Deliveries that are due and not sent.
    #[serde(default)]
    pub waiting_count: u64,
    /// When the oldest of them was due.
    #[serde(default)]
    pub oldest_due_at: Option<String>,
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
    pub token: secrecy::SecretString,
}

/// How many orders a sender has sent today, and may still send.
#[derive(Debug, Clone, Deserialize)]
pub struct SenderLimit {
    /// Orders sent today.
    pub used: u64,
    /// Orders per day; `None`: no limit.
    pub limit: Option<u64>,
    /// Orders that may still be sent today; `None`: no limit.
    pub remaining: Option<u64>,
    /// When the next day begins.
    pub resets_at: String,
}
