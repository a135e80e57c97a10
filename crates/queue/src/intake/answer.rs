//! What is answered to an order that was accepted.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{Durability, Suffix, UnixMs};
use posthaste_store::Accepted;
use serde::Serialize;
use utoipa::ToSchema;

use super::flaw::Place;
use super::key::REPLAYED;
use super::sieve::Tally;
use crate::moment::Moment;
use crate::problem::Violation;

/// A courier not seen for so long is not there.
const COURIER_GONE: Duration = Duration::from_secs(15);

/// An accepted order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedView {
    /// `<sender id>.<nanoseconds>`.
    #[schema(example = "u17.1763618400000000000")]
    pub(crate) order_id: String,
    /// The same, as the history is called.
    #[schema(example = "history:u17:1763618400000000000")]
    pub(crate) history_key: String,
    /// `scheduled`, `running`, or `dry_run`.
    pub(crate) state: &'static str,
    /// When it was accepted.
    pub(crate) accepted_at: Moment,
    /// When it is due.
    pub(crate) due_at: Moment,
    /// `quiet_hours` when they moved it.
    pub(crate) moved_by: Option<&'static str>,
    /// What "accepted" means: `fast`, `strict` or `replicated`.
    #[schema(value_type = String, example = "strict")]
    pub(crate) durability: Durability,
    /// What became of the recipients.
    pub(crate) recipients: RecipientsView,
    /// Channels of the order whose courier has not been seen of late; their rows wait.
    pub(crate) channels_without_courier: Vec<String>,
    #[serde(skip)]
    pub(crate) again: bool,
}

/// What became of the recipients of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientsView {
    /// Recipients taken.
    pub(crate) accepted: u32,
    /// Rows to deliver, by channel.
    pub(crate) rows: BTreeMap<String, u32>,
    /// Bad recipients and addresses that were left out, the first 100.
    pub(crate) skipped: Vec<Violation>,
    /// How many were left out.
    pub(crate) skipped_total: u64,
    /// What was named twice.
    pub(crate) merged: MergedView,
    /// Taken recipients without an address, by channel.
    pub(crate) no_contact: BTreeMap<String, u32>,
}

/// What was named twice: the first counts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct MergedView {
    /// Recipients whose id was there before.
    pub(crate) recipients: u64,
    /// Where the first 100 of them stand.
    pub(crate) places: Vec<PlaceView>,
    /// Addresses that were there before on their channel.
    pub(crate) addresses: u64,
}

/// Where something stands in a body.
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

/// Rows stored, or not, of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) channel: String,
    pub(crate) rows: u32,
    pub(crate) merged: u64,
    pub(crate) no_contact: u32,
    pub(crate) courier_seen: Option<UnixMs>,
}

/// What the recipients of an order became, all told.
pub(crate) fn recipients(tally: Tally, stored: &[Stored]) -> RecipientsView {
    let by_channel = |count: fn(&Stored) -> u32| {
        stored.iter().filter(|one| count(one) > 0).map(|one| (one.channel.clone(), count(one))).collect()
    };
    RecipientsView {
        accepted: tally.accepted,
        rows: by_channel(|one| one.rows),
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

/// What the store says of the channels.
pub(crate) fn stored(accepted: &Accepted) -> Vec<Stored> {
    let channels = accepted.channels.iter().map(|one| Stored {
        channel: one.channel.to_string(),
        rows: one.rows,
        merged: u64::from(one.merged),
        no_contact: one.no_contact,
        courier_seen: one.courier_seen,
    });
    channels.collect()
}

/// Channels with rows whose courier is not there.
pub(crate) fn without_courier(stored: &[Stored], now: UnixMs) -> Vec<String> {
    let gone =
        |one: &&Stored| one.rows > 0 && one.courier_seen.is_none_or(|seen| now.since(seen) > COURIER_GONE);
    stored.iter().filter(gone).map(|one| one.channel.clone()).collect()
}

/// The history of an order as the ancestor called it.
pub(crate) fn history_key(suffix: &Suffix) -> String {
    format!("history:{suffix}")
}

impl AcceptedView {
    /// 200 when it is due now, or was only tried; 202 later.
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
