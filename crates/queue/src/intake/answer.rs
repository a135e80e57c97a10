//! The response to an accepted order.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{Durability, UnixMs};
use posthaste_store::AcceptedOrder;
use serde::Serialize;
use utoipa::ToSchema;

use super::idempotency::REPLAYED;
use super::recipient_validator::Tally;
use super::too_long::WarningView;
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
    pub(crate) id: String,
    /// `scheduled` or `running`; `null` after a dry run.
    #[schema(required = true)]
    pub(crate) status: Option<&'static str>,
    /// Whether this was a dry run: everything was checked, and nothing was stored.
    pub(crate) dry_run: bool,
    /// When it was accepted.
    pub(crate) created_at: ApiTime,
    /// When it is due.
    pub(crate) deliver_at: ApiTime,
    /// `quiet_hours` if quiet hours moved the order.
    #[schema(required = true)]
    pub(crate) delay_reason: Option<&'static str>,
    /// The durability of "accepted": `fast`, `strict` or `replicated`.
    #[schema(value_type = String, example = "strict")]
    pub(crate) durability: Durability,
    /// How the recipients were handled.
    pub(crate) recipients: RecipientsView,
    /// Channels of the order whose courier was not seen recently; their deliveries wait.
    pub(crate) channels_without_courier: Vec<String>,
    /// Deliveries that will fail although the order is accepted; others get the message.
    pub(crate) warnings: Vec<WarningView>,
    #[serde(skip)]
    pub(crate) again: bool,
}

/// How the recipients of an order were handled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientsView {
    /// Number of recipients accepted.
    pub(crate) accepted_count: u32,
    /// Number of deliveries to send, by channel.
    pub(crate) delivery_counts: BTreeMap<String, u32>,
    /// Invalid recipients and addresses that were skipped; the first 100.
    pub(crate) skipped: Vec<Violation>,
    /// Number of recipients and addresses skipped.
    pub(crate) skipped_count: u64,
    /// Recipients and addresses given more than once.
    pub(crate) duplicates: DuplicatesView,
    /// Number of accepted recipients without an address, by channel.
    pub(crate) no_contact: BTreeMap<String, u32>,
}

/// Recipients and addresses given more than once: the first one counts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct DuplicatesView {
    /// Number of recipients whose id was already given.
    pub(crate) recipient_count: u64,
    /// The locations of the first 100 of them.
    pub(crate) locations: Vec<LocationView>,
    /// Number of addresses that were already given on their channel; mailboxes are compared without regard to case.
    pub(crate) address_count: u64,
}

/// A location in a body.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LocationView {
    /// JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// Line of an NDJSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

impl From<Place> for LocationView {
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
        accepted_count: tally.accepted,
        delivery_counts: by_channel(|one| one.deliveries),
        skipped: tally.skipped.into_vec().into_iter().map(Violation::from).collect(),
        skipped_count: tally.skipped_total,
        duplicates: DuplicatesView {
            recipient_count: tally.repeated_total,
            locations: tally.repeated.into_iter().map(LocationView::from).collect(),
            address_count: stored.iter().map(|one| one.merged).sum(),
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

impl AcceptedView {
    /// 200 if it is due now or was a dry run, 202 if it is due later.
    pub(crate) fn http_status(&self) -> StatusCode {
        if self.status == Some("scheduled") { StatusCode::ACCEPTED } else { StatusCode::OK }
    }

    /// The location of the order, and whether the response is a replay.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let location = HeaderValue::from_str(&format!("/v1/orders/{}", self.id));
        if let (Ok(location), false) = (location, self.dry_run) {
            headers.insert(header::LOCATION, location);
        }
        if self.again {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        headers
    }
}

impl IntoResponse for AcceptedView {
    fn into_response(self) -> Response {
        let (status, headers) = (self.http_status(), self.headers());
        (status, headers, Json(self)).into_response()
    }
}
