//! Orders: create, read, wait, cancel, move, retry.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use posthaste_model::SenderId;
use reqwest::{Body, Method, RequestBuilder, header};
use serde::Serialize;
use serde_json::json;

use crate::client::{Client, IDEMPOTENCY_KEY};
use crate::error::ApiError;
use crate::order_request::OrderRequest;
use crate::responses::{
    Accepted, ApiResponse, BatchResult, CancelledCount, MovedOrder, Order, Page, Retried, WaitedOrder,
};

const NDJSON: &str = "application/x-ndjson";

/// How an order is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission<'a> {
    /// Everything is checked, nothing is stored.
    DryRun,
    /// The order is stored. A repeat with the same key within 24 hours finds it again; see
    /// [`fresh_idempotency_key`](crate::fresh_idempotency_key).
    Keyed(&'a str),
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub struct OrderQuery {
    /// Only orders of this sender.
    pub sender_id: Option<SenderId>,
    /// Only orders with this status; several are separated by commas.
    pub status: Option<String>,
    /// Only orders created at this time or later (RFC 3339).
    pub created_after: Option<String>,
    /// Only orders created before this time (RFC 3339).
    pub created_before: Option<String>,
    /// Where the page begins: the cursor of the previous page.
    pub cursor: Option<String>,
    /// Orders in the page, 1 to 200; 50 if left out.
    pub limit: Option<usize>,
}

/// How to wait for changes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderWait {
    /// Number of changes to wait for, 1 to 16.
    pub min_changes: u32,
    /// How long to wait, to the second, at most 60 s.
    pub timeout: Duration,
    /// Count changes from this revision, so that none between two calls is missed; from now on if left out.
    pub since_revision: Option<u64>,
    /// Whether to wait even after the order is finished, for receipts that arrive later.
    pub after_finish: bool,
}

/// Which deliveries of an order to send again, as a new order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OrderRetry {
    /// Those with these statuses; with recipients also `sent` and `delivered`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<String>,
    /// Those of these recipients, at most 1,000; of all if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipient_ids: Vec<String>,
    /// When the new order is due (RFC 3339); now if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<String>,
}

impl OrderQuery {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("sender_id", self.sender_id.as_ref().map(ToString::to_string)),
            ("status", self.status.clone()),
            ("created_after", self.created_after.clone()),
            ("created_before", self.created_before.clone()),
            ("cursor", self.cursor.clone()),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Client {
    /// Creates an order with all its recipients in one JSON document.
    ///
    /// # Errors
    /// Those of [`ApiError`]. After [`ApiError::CannotReach`] it may have been accepted: repeat it with the same key.
    pub async fn create_order(
        &self,
        order: &OrderRequest,
        submission: Submission<'_>,
    ) -> Result<ApiResponse<Accepted>, ApiError> {
        let request = self.submit(submission).timeout(self.timeout()).json(order);
        self.json(self.answer(request).await?).await
    }

    /// Creates an order from lines of JSON, sent while they are read: the order without recipients, then one recipient
    /// per line, up to 2,000,000. An error in the stream aborts the request, and the queue keeps nothing of it. It may take
    /// as long as the lines take to come.
    ///
    /// # Errors
    /// As [`Client::create_order`].
    pub async fn upload_order(
        &self,
        lines: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        submission: Submission<'_>,
    ) -> Result<ApiResponse<Accepted>, ApiError> {
        let request =
            self.submit(submission).header(header::CONTENT_TYPE, NDJSON).body(Body::wrap_stream(lines));
        self.json(self.answer(request).await?).await
    }

    fn submit(&self, submission: Submission<'_>) -> RequestBuilder {
        let path = ["v1", "orders"];
        match submission {
            Submission::DryRun => self.request(Method::POST, &path, &[("dry_run", "true".to_owned())]),
            Submission::Keyed(key) => self.request(Method::POST, &path, &[]).header(IDEMPOTENCY_KEY, key),
        }
    }

    /// Creates many orders in one request, each accepted or refused on its own; the results are in the same order.
    ///
    /// # Errors
    /// Those of [`ApiError`], of the request as a whole. Some orders may have been accepted: repeat it with the same key.
    pub async fn create_orders(
        &self,
        orders: &[OrderRequest],
        key: &str,
    ) -> Result<Vec<BatchResult>, ApiError> {
        let mut body = Vec::new();
        for order in orders {
            serde_json::to_writer(&mut body, order)
                .map_err(|_| ApiError::Invalid("the order can't be written as JSON"))?;
            body.push(b'\n');
        }
        let request = self
            .request(Method::POST, &["v1", "orders", "batch"], &[])
            .timeout(self.timeout())
            .header(header::CONTENT_TYPE, NDJSON)
            .header(IDEMPOTENCY_KEY, key)
            .body(body);
        let answer = self.answer(request).await?;
        let body = self.body(answer).await?;
        let results: Vec<BatchResult> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(|error| self.not_understood(&error)))
            .collect::<Result<_, _>>()?;
        match results.len() == orders.len() {
            true => Ok(results),
            false => Err(self.unexpected("it has not one line for each order")),
        }
    }

    /// An order and its progress.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn order(&self, order_id: &str) -> Result<ApiResponse<Order>, ApiError> {
        self.get(&["v1", "orders", order_id], &[]).await
    }

    /// A page of orders, newest first.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn orders(&self, query: &OrderQuery) -> Result<Page<Order>, ApiError> {
        self.get(&["v1", "orders"], &query.pairs()).await
    }

    /// Waits for changes of an order, also of one that does not exist yet.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn wait_for_order(&self, order_id: &str, wait: OrderWait) -> Result<WaitedOrder, ApiError> {
        let mut query = vec![
            ("min_changes", wait.min_changes.to_string()),
            ("timeout_seconds", wait.timeout.as_secs().to_string()),
            ("after_finish", wait.after_finish.to_string()),
        ];
        query.extend(wait.since_revision.map(|since| ("since_revision", since.to_string())));
        let path = ["v1", "orders", order_id, "wait"];
        self.fetch(&path, &query, wait.timeout.saturating_add(self.timeout())).await?.json()
    }

    /// Cancels the messages that are not sent yet. Safe to repeat.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn cancel_order(&self, order_id: &str) -> Result<ApiResponse<CancelledCount>, ApiError> {
        self.send(Method::POST, &["v1", "orders", order_id, "cancel"], &json!({}), None).await
    }

    /// Moves an order that is not due yet to another time (RFC 3339).
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn move_order(
        &self,
        order_id: &str,
        deliver_at: &str,
    ) -> Result<ApiResponse<MovedOrder>, ApiError> {
        let body = json!({"deliver_at": deliver_at});
        self.send(Method::PATCH, &["v1", "orders", order_id], &body, None).await
    }

    /// Sends deliveries of an order again, as a new order. With a key, a repeat within 24 hours finds the same new order.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn retry_order(
        &self,
        order_id: &str,
        which: &OrderRetry,
        key: Option<&str>,
    ) -> Result<ApiResponse<Retried>, ApiError> {
        self.send(Method::POST, &["v1", "orders", order_id, "retry"], which, key).await
    }
}
