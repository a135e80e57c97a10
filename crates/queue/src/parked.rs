//! Orders and parcels that can't be read: list, release for another try, fail.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use posthaste_store::{CallError, ParkedCursor, ParkedEntry, ParkedFailed, ParkedName, Store};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Admin;
use crate::page_link::link;
use crate::parameters::{OrderIdPath, Parameters, number};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// A record that can't be read and needs an operator.
#[derive(Debug, Serialize, ToSchema)]
struct ParkedView {
    /// The order, or the order the parcel belongs to.
    #[schema(example = "u17.1763618400000000000")]
    order_id: String,
    /// The channel of the parcel; `null` if the order itself can't be read.
    #[schema(required = true)]
    channel: Option<String>,
    /// The number of the parcel on its channel.
    #[schema(required = true)]
    parcel: Option<u32>,
    /// What can't be read: `type` (a key has the wrong type), `head`, `counters`, `parcel_id` (no such parcel),
    /// `outcomes`, `content`, `deliveries`; `null` if it was not recorded.
    #[schema(required = true)]
    reason: Option<String>,
    /// When it was parked.
    parked_at: ApiTime,
}

impl From<ParkedEntry> for ParkedView {
    fn from(entry: ParkedEntry) -> Self {
        let order_id = entry.name.order_id().wire_id();
        let (channel, parcel) = match entry.name {
            ParkedName::Parcel { channel, parcel_id } => (Some(channel.to_string()), Some(parcel_id.number)),
            ParkedName::Order(_) => (None, None),
        };
        // Reasons are our own words; anything else stored there is not shown.
        let known =
            |why: &String| !why.is_empty() && why.len() <= 32 && why.bytes().all(|b| b.is_ascii_lowercase());
        Self {
            order_id,
            channel,
            parcel,
            reason: Some(entry.why).filter(known),
            parked_at: ApiTime(entry.since),
        }
    }
}

/// A page of parked records.
#[derive(Debug, Serialize, ToSchema)]
struct ParkedPage {
    /// Within each partition, the longest parked come first.
    items: Vec<ParkedView>,
    /// Cursor of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// Partitions of the database that are unreachable now: their records are missing here.
    partitions_missing: Vec<u16>,
}

/// The parked records of one order.
#[derive(Debug, Serialize, ToSchema)]
struct ParkedOrder {
    /// The order.
    order_id: String,
    /// The order itself, or its parcels.
    items: Vec<ParkedView>,
}

/// What was released.
#[derive(Debug, Serialize, ToSchema)]
struct Released {
    /// Records that are tried again. A record that still can't be read is parked again.
    released_count: u64,
}

/// What was failed.
#[derive(Debug, Serialize, ToSchema)]
struct Failed {
    /// Deliveries that are now `failed`, or `unknown` if they may have been sent.
    delivery_count: u64,
    /// Whether the whole order was removed because not even its head can be read. The code `order_ended_unreadable`
    /// says so afterwards.
    removed: bool,
}

/// Query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ParkedQuery {
    /// Entries per page, 1 to 500; default 100. A page may be shorter even when more follow.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// The routes for parked records.
pub(crate) fn routes() -> OpenApiRouter<Store> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(release))
        .routes(routes!(fail))
}

fn none_parked() -> Problem {
    Problem::new(Code::NothingParked, "no order with this id is parked")
}

/// List parked records
///
/// Orders and parcels whose records can't be read. They are kept apart from all others until an operator releases or
/// fails them. If the list changes while it is read, an entry may appear twice or be missed. Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/parked", tag = "parked", operation_id = "listParked", params(ParkedQuery),
    responses(
        (status = 200, description = "A page of entries; `Link` points to the next page.", body = ParkedPage),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn list(
    _: Admin,
    State(store): State<Store>,
    Parameters(requested): Parameters<ParkedQuery>,
) -> Result<Response, Problem> {
    let limit = number("limit", requested.limit.as_deref(), 1..=500, 100)?;
    let cursor = requested.cursor.as_deref().map(str::parse::<ParkedCursor>).transpose();
    let cursor = cursor.map_err(|_| {
        Problem::parameter("cursor", "invalid_cursor", "must be the next_cursor of a page of this list")
    })?;
    let page = store.list_parked(cursor, usize::try_from(limit).unwrap_or(1)).await?;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let limit = requested.limit.is_some().then(|| limit.to_string());
        link(&mut headers, "/v1/parked", &[("limit", limit)], cursor);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let items = page.entries.into_iter().map(ParkedView::from).collect();
    let partitions_missing = page.away;
    Ok((headers, Json(ParkedPage { items, next_cursor, partitions_missing })).into_response())
}

/// Show what is parked of one order
///
/// Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/parked/{id}", tag = "parked", operation_id = "getParked",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "The parked records of the order.", body = ParkedOrder),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn show(
    _: Admin,
    State(store): State<Store>,
    OrderIdPath(order_id): OrderIdPath,
) -> Result<Response, Problem> {
    let entries = store.parked_of(&order_id).await?;
    if entries.is_empty() {
        return Err(none_parked());
    }
    let items = entries.into_iter().map(ParkedView::from).collect();
    let order = ParkedOrder { order_id: order_id.wire_id(), items };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(order)).into_response())
}

/// Release a parked order
///
/// Puts the parked records back where they belong: after an upgrade, or once the record was repaired. A record that
/// still can't be read is parked again within moments. Needs the scope `admin`. Safe to repeat.
#[utoipa::path(
    post, path = "/v1/parked/{id}/release", tag = "parked", operation_id = "releaseParked",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "The records are tried again.", body = Released),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn release(
    _: Admin,
    State(store): State<Store>,
    OrderIdPath(order_id): OrderIdPath,
) -> Result<Json<Released>, Problem> {
    let released = store.release_parked(&order_id).await.map_err(written)?;
    if released == 0 {
        return Err(none_parked());
    }
    tracing::info!(
        event = "record.released",
        order = order_id.wire_id(),
        released,
        "operator released parked records"
    );
    Ok(Json(Released { released_count: released }))
}

/// Fail a parked order
///
/// If the deliveries of a parked parcel can be read, those not sent become `failed` with the reason
/// `record_unreadable`, and those that may have been sent become `unknown`; otherwise all of them become `unknown`.
/// An order whose head can't be read is removed completely; until its retention ends, requests for it return the code
/// `order_ended_unreadable`. This can't be undone. Needs the scope `admin`. Safe to repeat.
#[utoipa::path(
    post, path = "/v1/parked/{id}/fail", tag = "parked", operation_id = "failParked",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "The parked records are failed.", body = Failed),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn fail(
    _: Admin,
    State(store): State<Store>,
    OrderIdPath(order_id): OrderIdPath,
) -> Result<Json<Failed>, Problem> {
    let failed = match store.fail_parked(&order_id).await.map_err(written)? {
        None => return Err(none_parked()),
        Some(ParkedFailed::Deliveries(deliveries)) => Failed { delivery_count: deliveries, removed: false },
        Some(ParkedFailed::Order) => Failed { delivery_count: 0, removed: true },
        Some(ParkedFailed::Busy) => {
            return Err(Problem::new(Code::OrderUnexpectedStatus, "a courier is working on it; try again"));
        }
        Some(ParkedFailed::Newer) => {
            let detail = "the record was written by a newer version; release it with that version";
            return Err(Problem::new(Code::RecordUnreadable, detail));
        }
    };
    let (deliveries, removed) = (failed.delivery_count, failed.removed);
    tracing::info!(
        event = "record.failed",
        order = order_id.wire_id(),
        deliveries,
        removed,
        "operator failed parked records"
    );
    Ok(Json(failed))
}

/// The problem for a failed call that was to change something.
fn written(error: CallError) -> Problem {
    match error {
        CallError::NoReply(_) => Problem::outcome_unknown(),
        error => error.into(),
    }
}
