//! Parked records, which can't be read.

use reqwest::Method;
use serde_json::json;

use crate::client::Client;
use crate::error::ApiError;
use crate::responses::{ApiResponse, EndedParked, Page, Parked, ParkedOrder, ReleasedCount};

impl Client {
    /// A page of parked orders and parcels, from the beginning or from a cursor of the previous page.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn parked(&self, limit: usize, cursor: Option<&str>) -> Result<Page<Parked>, ApiError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.get(&["v1", "parked"], &query).await
    }

    /// The parked parts of one order.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn parked_order(&self, order_id: &str) -> Result<ApiResponse<ParkedOrder>, ApiError> {
        self.get(&["v1", "parked", order_id], &[]).await
    }

    /// Has the parked parts of an order tried again; what still can't be read is parked again.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn release_parked(&self, order_id: &str) -> Result<ApiResponse<ReleasedCount>, ApiError> {
        self.send(Method::POST, &["v1", "parked", order_id, "release"], &json!({}), None).await
    }

    /// Ends a parked order, which can't be undone.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn fail_parked(&self, order_id: &str) -> Result<ApiResponse<EndedParked>, ApiError> {
        self.send(Method::POST, &["v1", "parked", order_id, "fail"], &json!({}), None).await
    }
}
