//! Couriers and API keys.

use serde::Deserialize;

/// The couriers of one channel.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Courier {
    /// The channel.
    pub(crate) channel: String,
    /// When one was last seen.
    #[serde(default)]
    pub(crate) last_seen_at: Option<String>,
    /// Whether one is running now.
    #[serde(default)]
    pub(crate) online: bool,
    /// Whether the channel has delivery receipts; `None` if no courier has reported it.
    #[serde(default)]
    pub(crate) delivery_receipts: Option<bool>,
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
    pub(crate) token: secrecy::SecretString,
}
