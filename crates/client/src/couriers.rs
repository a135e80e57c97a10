//! Couriers, and the daily limits of senders.

use posthaste_model::SenderId;

use crate::client::Client;
use crate::error::ApiError;
use crate::responses::{ApiResponse, CourierStatus, Page, SenderLimit};

impl Client {
    /// The channels and whether each has a running courier.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn couriers(&self) -> Result<Page<CourierStatus>, ApiError> {
        self.get(&["v1", "couriers"], &[]).await
    }

    /// How many orders a sender has sent today, and may still send. The role whose limit applies is that of the key, unless one
    /// is given.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn sender_limit(
        &self,
        sender: &SenderId,
        role: Option<&str>,
    ) -> Result<ApiResponse<SenderLimit>, ApiError> {
        let query: Vec<_> = role.map(|role| ("role", role.to_owned())).into_iter().collect();
        self.get(&["v1", "senders", sender.as_str(), "daily-limit"], &query).await
    }
}
