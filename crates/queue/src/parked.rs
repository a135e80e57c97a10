//! Orders and parcels that can't be read: told, put back for another try, ended.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use posthaste_store::{CallError, ParkedCursor, ParkedEntry, ParkedFailed, ParkedName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Admin;
use crate::moment::Moment;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::{OrderId, Parameters, link, number};
use crate::state::AppState;

/// Something that can't be read and waits for an operator.
#[derive(Debug, Serialize, ToSchema)]
struct ParkedView {
    /// The order it is, or belongs to.
    #[schema(example = "u17.1763618400000000000")]
    order_id: String,
    /// The channel of a parcel; `null`: the order itself can't be read.
    channel: Option<String>,
    /// The number of the parcel on its channel.
    parcel: Option<u32>,
    /// What can't be read: `type` (a key is of another type), `head`, `counters`, `member` (no such parcel), `outcomes`,
    /// `content`, `rows`; `null` when it was not noted.
    reason: Option<String>,
    /// Since when.
    since: Moment,
}

impl From<ParkedEntry> for ParkedView {
    fn from(entry: ParkedEntry) -> Self {
        let order_id = entry.name.suffix().order_id();
        let (channel, parcel) = match entry.name {
            ParkedName::Parcel { channel, member } => (Some(channel.to_string()), Some(member.number)),
            ParkedName::Order(_) => (None, None),
        };
        // Reasons are our words; what somebody else wrote there is not told.
        let known =
            |why: &String| !why.is_empty() && why.len() <= 32 && why.bytes().all(|b| b.is_ascii_lowercase());
        Self { order_id, channel, parcel, reason: Some(entry.why).filter(known), since: Moment(entry.since) }
    }
}

/// A page of what is parked.
#[derive(Debug, Serialize, ToSchema)]
struct ParkedPage {
    /// The longest parked first, partition by partition.
    items: Vec<ParkedView>,
    /// Asks for the next page; missing on the last one.
    next_cursor: Option<String>,
    /// Partitions of the database that do not answer now: what is parked there is missing here. Missing when all answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions_missing: Vec<u16>,
}

/// What is parked of one order.
#[derive(Debug, Serialize, ToSchema)]
struct ParkedOrder {
    /// The order.
    order_id: String,
    /// The order itself, or its parcels.
    items: Vec<ParkedView>,
}

/// What was put back.
#[derive(Debug, Serialize, ToSchema)]
struct Released {
    /// Entries that are tried again. What still can't be read is parked again.
    released: u64,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
struct Failed {
    /// Rows that are `failed` now, or `unknown` where they may have been sent.
    rows: u64,
    /// Whether all of the order was removed, since not even its head can be read. Its place says so.
    removed: bool,
}

/// What the list is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Entries of a page, 1 to 500; 100 if not given. A page may be shorter and still have a next one.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The routes of what is parked.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(release))
        .routes(routes!(fail))
}

fn none_parked() -> Problem {
    Problem::new(Code::NothingParked, "nothing of an order with this id is parked")
}

/// What can't be read
///
/// Orders and parcels whose records can't be read. They wait here, apart from all others, until they are released or failed.
/// While the list changes an entry may be told twice or passed over. Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/parked", tag = "parked", operation_id = "listParked", params(Asked),
    responses(
        (status = 200, description = "A page of entries; `Link` names the next one.", body = ParkedPage),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn list(
    _: Admin,
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let limit = number("limit", asked.limit.as_deref(), 1..=500, 100)?;
    let cursor = asked.cursor.as_deref().map(str::parse::<ParkedCursor>).transpose();
    let cursor = cursor.map_err(|_| {
        Problem::parameter("cursor", "invalid_cursor", "the next_cursor of a page of this list")
    })?;
    let page = state.store.list_parked(cursor, usize::try_from(limit).unwrap_or(1)).await?;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let limit = asked.limit.is_some().then(|| limit.to_string());
        link(&mut headers, "/v1/parked", &[("limit", limit)], cursor);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let items = page.entries.into_iter().map(ParkedView::from).collect();
    let partitions_missing = page.away;
    Ok((headers, Json(ParkedPage { items, next_cursor, partitions_missing })).into_response())
}

/// What is parked of one order
///
/// Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/parked/{id}", tag = "parked", operation_id = "getParked",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "What is parked of it.", body = ParkedOrder),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn show(
    _: Admin,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
) -> Result<Response, Problem> {
    let entries = state.store.parked_of(&suffix).await?;
    if entries.is_empty() {
        return Err(none_parked());
    }
    let items = entries.into_iter().map(ParkedView::from).collect();
    let order = ParkedOrder { order_id: suffix.order_id(), items };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(order)).into_response())
}

/// Try an order again
///
/// Puts what is parked of it back where its records ask for: after an upgrade, or when its record was repaired. What still
/// can't be read is parked again within moments. Needs the scope `admin`. May be repeated.
#[utoipa::path(
    post, path = "/v1/parked/{id}/release", tag = "parked", operation_id = "releaseParked",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "It is tried again.", body = Released),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn release(
    _: Admin,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
) -> Result<Json<Released>, Problem> {
    let released = state.store.release_parked(&suffix).await.map_err(written)?;
    if released == 0 {
        return Err(none_parked());
    }
    tracing::info!(order = suffix.order_id(), released, "parked records were released by an operator");
    Ok(Json(Released { released }))
}

/// End an order
///
/// Where the rows of a parked parcel can be read, those not sent become `failed` with the reason `record_unreadable`, and those
/// that may have been sent become `unknown`; where they can't, all of them become `unknown`. An order whose head can't be read
/// is removed as a whole; from then on it is told with the code `order_ended_unreadable`, until its retention is over. This
/// can't be undone. Needs the scope `admin`. May be repeated.
#[utoipa::path(
    post, path = "/v1/parked/{id}/fail", tag = "parked", operation_id = "failParked",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "It is ended.", body = Failed),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn fail(
    _: Admin,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
) -> Result<Json<Failed>, Problem> {
    let failed = match state.store.fail_parked(&suffix).await.map_err(written)? {
        None => return Err(none_parked()),
        Some(ParkedFailed::Rows(rows)) => Failed { rows, removed: false },
        Some(ParkedFailed::Order) => Failed { rows: 0, removed: true },
        Some(ParkedFailed::Busy) => {
            return Err(Problem::new(Code::OrderState, "a courier works on it at this moment; try again"));
        }
        Some(ParkedFailed::Newer) => {
            let detail = "its record is of a later version: a newer program reads it, release it there";
            return Err(Problem::new(Code::RecordUnreadable, detail));
        }
    };
    let (rows, removed) = (failed.rows, failed.removed);
    tracing::info!(order = suffix.order_id(), rows, removed, "parked records were ended by an operator");
    Ok(Json(failed))
}

/// What a failed call means to who wanted to change something.
fn written(error: CallError) -> Problem {
    match error {
        CallError::Away(_) => Problem::outcome_unknown(),
        error => error.into(),
    }
}
