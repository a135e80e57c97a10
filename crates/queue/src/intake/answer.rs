//! The response to an accepted order.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{Durability, OrderId, UnixMs};
use posthaste_store::AcceptedOrder;
use serde::Serialize;
use utoipa::ToSchema;

use super::idempotency::REPLAYED;
use super::recipient_validator::Tally;
use super::validation_error::Place;
use crate::problem::Violation;
use crate::timestamp::ApiTime;

/// A courier not seen for this long counts as absent.
const COURIER_GONE: Duration = Duration::from_secs(15);

/// An accepted order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedView {
    /// `<sender id>.<nanoseconds>`.
    #[schema(example = "u17.1763618400000000000")]
    pub(crate) order_id: String,
    /// The same id as a history key.
    #[schema(example = "history:u17:1763618400000000000")]
    pub(crate) history_key: String,
    /// `scheduled`, `running`, or `dry_run`.
    pub(crate) state: &'static str,
    /// When it was accepted.
    pub(crate) accepted_at: ApiTime,
    /// When it is due.
    pub(crate) due_at: ApiTime,
    /// `quiet_hours` if quiet hours moved the order.
    pub(crate) moved_by: Option<&'static str>,
    /// The durability of "accepted": `fast`, `strict` or `replicated`.
    #[schema(value_type = String, example = "strict")]
    pub(crate) durability: Durability,
    /// How the recipients were handled.
    pub(crate) recipients: RecipientsView,
    /// Channels of the order whose courier was not seen recently; their deliveries wait.
    pub(crate) channels_without_courier: Vec<String>,
    #[serde(skip)]
    pub(crate) again: bool,
}

/// How the recipients of an order were handled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientsView {
    /// Number of recipients accepted.
    pub(crate) accepted: u32,
    /// Number of deliveries to send, by channel.
    pub(crate) deliveries: BTreeMap<String, u32>,
    /// Invalid recipients and addresses that were skipped; the first 100.
    pub(crate) skipped: Vec<Violation>,
    /// Number of recipients and addresses skipped.
    pub(crate) skipped_total: u64,
    /// Recipients and addresses given more than once.
    pub(crate) merged: MergedView,
    /// Number of accepted recipients without an address, by channel.
    pub(crate) no_contact: BTreeMap<String, u32>,
}

/// Recipients and addresses given more than once: the first one counts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct MergedView {
    /// Number of recipients whose id was already given.
    pub(crate) recipients: u64,
    /// The places of the first 100 of them.
    pub(crate) places: Vec<PlaceView>,
    /// Number of addresses that were already given on their channel.
    pub(crate) addresses: u64,
}

/// A place in a body.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlaceView {
    /// JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// Line of an NDJSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

impl From<Place> for PlaceView {
    fn from(place: Place) -> Self {
        Self { pointer: place.line().is_none().then(|| place.pointer()), line: place.line() }
    }
}

/// Number of deliveries of one channel, and of recipients without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) channel: String,
    pub(crate) deliveries: u32,
    pub(crate) merged: u64,
    pub(crate) no_contact: u32,
    pub(crate) courier_seen: Option<UnixMs>,
}

/// Summarizes how the recipients of an order were handled.
pub(crate) fn recipients(tally: Tally, stored: &[Stored]) -> RecipientsView {
    let by_channel = |count: fn(&Stored) -> u32| {
        stored.iter().filter(|one| count(one) > 0).map(|one| (one.channel.clone(), count(one))).collect()
    };
    RecipientsView {
        accepted: tally.accepted,
        deliveries: by_channel(|one| one.deliveries),
        skipped: tally.skipped.into_vec().into_iter().map(Violation::from).collect(),
        skipped_total: tally.skipped_total,
        merged: MergedView {
            recipients: tally.repeated_total,
            places: tally.repeated.into_iter().map(PlaceView::from).collect(),
            addresses: stored.iter().map(|one| one.merged).sum(),
        },
        no_contact: by_channel(|one| one.no_contact),
    }
}

/// The counts of each channel, from the store's reply.
pub(crate) fn stored(accepted: &AcceptedOrder) -> Vec<Stored> {
    let channels = accepted.channels.iter().map(|one| Stored {
        channel: one.channel.to_string(),
        deliveries: one.deliveries,
        merged: u64::from(one.merged),
        no_contact: one.no_contact,
        courier_seen: one.courier_seen,
    });
    channels.collect()
}

/// Channels with deliveries whose courier is absent.
pub(crate) fn without_courier(stored: &[Stored], now: UnixMs) -> Vec<String> {
    let gone = |one: &&Stored| {
        one.deliveries > 0 && one.courier_seen.is_none_or(|seen| now.since(seen) > COURIER_GONE)
    };
    stored.iter().filter(gone).map(|one| one.channel.clone()).collect()
}

/// The history key of an order, as in the legacy API.
pub(crate) fn history_key(order_id: &OrderId) -> String {
    format!("history:{order_id}")
}

impl AcceptedView {
    /// 200 if it is due now or was a dry run, 202 if it is due later.
    pub(crate) fn status(&self) -> StatusCode {
        if self.state == "scheduled" { StatusCode::ACCEPTED } else { StatusCode::OK }
    }
}

impl IntoResponse for AcceptedView {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&format!("/v1/orders/{}", self.order_id));
        let (again, dry) = (self.again, self.state == "dry_run");
        let mut response = (self.status(), Json(self)).into_response();
        let headers = response.headers_mut();
        if let (Ok(location), false) = (location, dry) {
            headers.insert(header::LOCATION, location);
        }
        if again {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
