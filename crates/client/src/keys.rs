//! API keys.

use posthaste_model::SenderId;
use reqwest::Method;
use serde::Serialize;

use crate::client::Client;
use crate::error::ApiError;
use crate::responses::{ApiResponse, CreatedKey, Key, Page};

/// A key to create.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KeyRequest {
    /// A name for people. Two live keys may share it.
    pub name: String,
    /// What it may do: `write`, `read`, `admin`, `any_sender`.
    pub scopes: Vec<String>,
    /// The sender it is bound to; required unless it has `any_sender`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<SenderId>,
    /// The role it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Mailboxes its orders may be sent from: `name@example.org`, `*@example.org`, `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mailboxes: Vec<String>,
    /// Display names its orders may be sent under; `*` for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub display_names: Vec<String>,
    /// When it expires (RFC 3339); without it, the key is valid until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl Client {
    /// Creates a key. Only this response shows it. If it is lost, revoke the key and create another one.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn create_key(&self, key: &KeyRequest) -> Result<ApiResponse<CreatedKey>, ApiError> {
        self.send(Method::POST, &["v1", "api-keys"], key, None).await
    }

    /// All keys without their secrets, newest first, revoked and expired ones included.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn keys(&self) -> Result<Page<Key>, ApiError> {
        self.get(&["v1", "api-keys"], &[]).await
    }

    /// Revokes a key by its public part. It stops working within seconds.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn revoke_key(&self, id: &str) -> Result<(), ApiError> {
        self.delete(&["v1", "api-keys", id]).await
    }
}
