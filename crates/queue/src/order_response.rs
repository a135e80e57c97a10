//! An order as responses show it.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::HeaderValue;
use posthaste_model::{Channel, Content, Counters, OrderId, Priority, Reason, State as DeliveryState};
use posthaste_store::{CallError, OrderSummary, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::ApiTime;

/// The status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Not due yet.
    Scheduled,
    /// Due; deliveries are being sent or waiting to be sent.
    Running,
    /// Every delivery is final, and all are sent or delivered.
    Finished,
    /// Every delivery is final, and some are neither sent nor delivered, or their outcome is unknown.
    FinishedWithFailures,
    /// The order was cancelled; deliveries already in progress then are still reported.
    Cancelled,
}

impl OrderStatus {
    /// All statuses.
    pub const ALL: [Self; 5] =
        [Self::Scheduled, Self::Running, Self::Finished, Self::FinishedWithFailures, Self::Cancelled];

    /// The status of an order.
    #[must_use]
    pub fn of(summary: &OrderSummary) -> Self {
        if summary.cancelled.is_some() {
            return Self::Cancelled;
        }
        if summary.finished.is_some() {
            let totals = summary.totals();
            let through =
                u64::from(totals[DeliveryState::Sent]) + u64::from(totals[DeliveryState::Delivered]);
            return if through == totals.accepted() { Self::Finished } else { Self::FinishedWithFailures };
        }
        // A large order whose parcels are being made ready is still in `due`, but already running.
        if summary.waits_until.is_some() && summary.promoted.is_none_or(|promoted| promoted == 0) {
            Self::Scheduled
        } else {
            Self::Running
        }
    }

    /// The stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::FinishedWithFailures => "finished_with_failures",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Number of deliveries by status. `total` is the sum of all others except `no_contact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Counts {
    /// All deliveries of the order.
    pub total: u64,
    /// Waiting to be sent.
    pub pending: u64,
    /// Being sent to the provider.
    pub sending: u64,
    /// Taken by the provider.
    pub sent: u64,
    /// Delivered, according to the provider.
    pub delivered: u64,
    /// Rejected for good.
    pub failed: u64,
    /// The outcome is unknown: the message may have arrived.
    pub unknown: u64,
    /// Not sent, because the address is on the suppression list.
    pub suppressed: u64,
    /// Not sent, because the order expired.
    pub expired: u64,
    /// Not sent, because the order was cancelled.
    pub cancelled: u64,
    /// Recipients without an address on this channel; not deliveries.
    pub no_contact: u64,
}

impl From<&Counters> for Counts {
    fn from(counters: &Counters) -> Self {
        let of = |state: DeliveryState| u64::from(counters[state]);
        Self {
            total: counters.accepted(),
            pending: of(DeliveryState::Pending),
            sending: of(DeliveryState::Sending),
            sent: of(DeliveryState::Sent),
            delivered: of(DeliveryState::Delivered),
            failed: of(DeliveryState::Failed),
            unknown: of(DeliveryState::Unknown) + of(DeliveryState::Unresolved),
            suppressed: of(DeliveryState::Suppressed),
            expired: of(DeliveryState::Expired),
            cancelled: of(DeliveryState::Cancelled),
            no_contact: u64::from(counters.no_contact),
        }
    }
}

/// An order: its times, status and counts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderView {
    /// `<sender id>.<nanoseconds>`.
    #[schema(example = "u17.1763618400000000000")]
    pub id: String,
    /// `scheduled` (not due yet), `running`, `finished` (every delivery is sent or delivered),
    /// `finished_with_failures` (every delivery is final, some were not sent, or their outcome is unknown) or `cancelled`.
    #[schema(value_type = String, example = "running")]
    pub status: OrderStatus,
    /// `urgent` or `bulk`.
    #[schema(value_type = String, example = "bulk")]
    pub priority: Priority,
    /// When it was accepted.
    pub created_at: ApiTime,
    /// When it is due.
    pub deliver_at: ApiTime,
    /// When deliveries that were not started expire.
    pub expires_at: ApiTime,
    /// When it was cancelled.
    #[schema(required = true)]
    pub cancelled_at: Option<ApiTime>,
    /// When its last delivery became final.
    #[schema(required = true)]
    pub finished_at: Option<ApiTime>,
    /// Increases with every change.
    pub revision: u64,
    /// The order whose deliveries this one retries.
    #[schema(required = true)]
    pub retry_of: Option<String>,
    /// The sender.
    pub sender_id: String,
    /// Where the order came from, in the client's words.
    #[schema(required = true)]
    pub source: Option<String>,
    /// The client's own data, as given in the order.
    #[schema(required = true, value_type = Option<Object>)]
    pub metadata: Option<Metadata>,
    /// Number of deliveries by status, for each channel.
    pub channel_counts: BTreeMap<String, Counts>,
    /// Number of deliveries by status, for all channels.
    pub counts: Counts,
    /// For each channel: whether the provider reports what happened to a message after taking it. If `true`, a `sent`
    /// delivery may still become `delivered` or `failed` (for e-mail, only bounces are reported). If `false`, `sent`
    /// is the last status that will be known. `null` until a courier of the channel has reported it. The value is what
    /// the channel's last courier reported when it started.
    pub delivery_receipts: BTreeMap<String, Option<bool>>,
}

/// The client's own data. It may hold anything, so it is not printed for debugging.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Metadata(serde_json::Map<String, serde_json::Value>);

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What the order's content adds to its view. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    retry_of: Option<String>,
    source: Option<String>,
    metadata: Option<Metadata>,
}

impl Provenance {
    /// Reads it from the order's content; empty if the order does not exist.
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn read(store: &Store, order_id: &OrderId) -> Result<Self, CallError> {
        let content = store.order_content(order_id).await?;
        Ok(content.as_deref().map(Self::from).unwrap_or_default())
    }
}

impl From<&Content> for Provenance {
    fn from(content: &Content) -> Self {
        let retry_of = content.retry_of.parse::<OrderId>().ok().map(|order_id| order_id.wire_id());
        let source = (!content.origin.is_empty()).then(|| content.origin.clone());
        let metadata = serde_json::from_str(content.metadata.expose()).ok().map(Metadata);
        Self { retry_of, source, metadata }
    }
}

impl OrderView {
    /// The view of an order.
    #[must_use]
    pub fn new(
        order_id: &OrderId,
        summary: &OrderSummary,
        provenance: Provenance,
        receipts: &BTreeMap<Channel, bool>,
    ) -> Self {
        let head = &summary.head;
        let said = |name: &Channel| (name.to_string(), receipts.get(name).copied());
        Self {
            id: order_id.wire_id(),
            status: OrderStatus::of(summary),
            priority: head.priority,
            created_at: ApiTime(head.accepted),
            deliver_at: ApiTime(head.due),
            expires_at: ApiTime(head.not_after),
            cancelled_at: summary.cancelled.map(ApiTime),
            finished_at: summary.finished.map(ApiTime),
            revision: summary.revision,
            retry_of: provenance.retry_of,
            sender_id: order_id.sender().to_owned(),
            source: provenance.source,
            metadata: provenance.metadata,
            channel_counts: summary
                .counters
                .iter()
                .map(|(name, of)| (name.to_string(), Counts::from(of)))
                .collect(),
            counts: Counts::from(&summary.totals()),
            delivery_receipts: summary.counters.iter().map(|(name, _)| said(name)).collect(),
        }
    }

    /// Identifies this version of the order. It includes the status, because an order starts running without a change
    /// to its record.
    #[must_use]
    pub fn etag(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("\"{}-{}\"", self.revision, self.status.word())).ok()
    }
}

/// A reason as responses show it: its stable word, `None` if there is no particular one.
pub(crate) fn reason_word(reason: Reason) -> Option<&'static str> {
    (reason != Reason::None).then(|| reason.word())
}
