//! Suppression lists: look up, add and delete addresses. Addresses are only accepted in bodies, never in a path or
//! query, where logs and proxies would keep them; no response contains one.

mod request;
mod state;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, future, stream};
use posthaste_model::Reason;
use posthaste_store::{
    CallError, ConsentNotice, Suppress, Suppressed, SuppressionCursor, SuppressionEntry, SuppressionId,
    SuppressionSource,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::state::SuppressionsState;

use self::request::{AddressesBody, Changer, Looker};
use crate::auth::Admin;
use crate::middleware::body::SmallJson;
use crate::order_response::reason_word;
use crate::page_link::link;
use crate::parameters::{Parameters, number};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// Addresses processed at the same time for one request.
const AT_ONCE: usize = 64;

/// An entry of a suppression list.
#[derive(Debug, Serialize, ToSchema)]
struct SuppressionView {
    /// The id to delete the entry by: a keyed hash that does not reveal the address.
    #[schema(example = "5bdcc146bf60754e6a042426089575c7")]
    id: String,
    /// `channel`: applies to all senders; `sender`: applies to one sender, named only inside the hash.
    #[schema(example = "channel")]
    scope: &'static str,
    /// Whether the address receives nothing. If not, failures are being counted, and it still receives everything.
    active: bool,
    /// Why, as a stable word; `provider_error` is one that only the provider's code describes.
    #[schema(example = "bounced")]
    reason: &'static str,
    /// The provider's code; `null` unless `reason` is `provider_error`.
    #[schema(example = 550, required = true)]
    provider_code: Option<u16>,
    /// The source of the entry: `provider`, `bounce`, `stop`, `unsubscribe`, `operator`.
    #[schema(example = "bounce")]
    source: &'static str,
    /// When it became active, or the time of the first failure.
    created_at: ApiTime,
    /// Failures counted.
    failure_count: u8,
}

impl From<SuppressionEntry> for SuppressionView {
    fn from(entry: SuppressionEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            scope: if entry.of_sender { "sender" } else { "channel" },
            active: entry.active,
            reason: reason_word(entry.reason).unwrap_or_default(),
            provider_code: entry.reason.provider_code(),
            source: entry.source.word(),
            created_at: ApiTime(entry.since),
            failure_count: entry.strikes,
        }
    }
}

/// A page of a channel's entries.
#[derive(Debug, Serialize, ToSchema)]
struct SuppressionPage {
    /// Entries, in no particular order.
    items: Vec<SuppressionView>,
    /// Cursor of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// The result of the lookup.
#[derive(Debug, Serialize, ToSchema)]
struct FoundList {
    /// One item for each address, in the order of the body.
    items: Vec<Found>,
}

/// The result for one address.
#[derive(Debug, Serialize, ToSchema)]
struct Found {
    /// Position in the body, from 0.
    index: usize,
    /// Whether the address receives nothing.
    suppressed: bool,
    /// Its entries: on the list of the channel, and on the list of the sender.
    entries: Vec<SuppressionView>,
}

/// The result of adding addresses.
#[derive(Debug, Serialize, ToSchema)]
struct Put {
    /// Addresses newly on the list.
    added_count: usize,
    /// Addresses already on the list.
    unchanged_count: usize,
}

/// The result of deleting addresses.
#[derive(Debug, Serialize, ToSchema)]
struct Deleted {
    /// Addresses taken off the list.
    deleted_count: usize,
    /// Addresses that were not on the list.
    not_found_count: usize,
}

/// Query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SuppressionsQuery {
    /// The channel; required.
    #[param(required, value_type = String)]
    channel: Option<String>,
    /// Entries per page, 1 to 1000; default 100. A page may be shorter or slightly longer.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// The routes of suppressions.
pub(crate) fn routes() -> OpenApiRouter<Arc<SuppressionsState>> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(lookup))
        .routes(routes!(delete))
        .routes(routes!(delete_entry))
}

/// List the suppressions of a channel
///
/// The channel's own list and those of all senders. If the lists change while they are read, an entry may appear
/// twice. Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/suppressions", tag = "suppressions", operation_id = "listSuppressions", params(SuppressionsQuery),
    responses(
        (status = 200, description = "A page of entries; `Link` points to the next page.", body = SuppressionPage),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn list(
    _: Admin,
    State(state): State<Arc<SuppressionsState>>,
    Parameters(requested): Parameters<SuppressionsQuery>,
) -> Result<Response, Problem> {
    let no_channel = || Problem::parameter("channel", "unknown_value", "must be the name of a channel");
    let channel = requested.channel.as_deref().and_then(request::channel).ok_or_else(no_channel)?;
    let limit = number("limit", requested.limit.as_deref(), 1..=1_000, 100)?;
    let cursor = requested.cursor.as_deref().map(str::parse::<SuppressionCursor>).transpose();
    let cursor = cursor.map_err(|_| {
        Problem::parameter("cursor", "invalid_cursor", "must be the next_cursor of a page of this list")
    })?;
    let page = state.store.list_suppressions(&channel, cursor, usize::try_from(limit).unwrap_or(1)).await?;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let items = page.entries.into_iter().map(SuppressionView::from).collect();
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let limit = requested.limit.is_some().then(|| limit.to_string());
        link(
            &mut headers,
            "/v1/suppressions",
            &[("channel", Some(channel.to_string())), ("limit", limit)],
            cursor,
        );
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((headers, Json(SuppressionPage { items, next_cursor })).into_response())
}

/// Suppress addresses
///
/// From now on these addresses receive nothing on this channel: from any sender, or from the named sender. Needs the
/// scope `admin`; for the list of a sender the key acts for, `write`. If an address is invalid, the error names its
/// place and nothing is added. Safe to repeat.
#[utoipa::path(
    post, path = "/v1/suppressions", tag = "suppressions", operation_id = "addSuppressions",
    request_body = AddressesBody,
    responses(
        (status = 200, description = "The addresses are on the list.", body = Put),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn add(
    Changer(caller): Changer,
    State(state): State<Arc<SuppressionsState>>,
    SmallJson(body): SmallJson<AddressesBody>,
) -> Result<Json<Put>, Problem> {
    let requested = body.read(caller, &state, true).await?;
    let notice = ConsentNotice::received(Instant::now());
    let all: Vec<Suppress> = requested
        .addresses
        .into_iter()
        .map(|address| Suppress {
            sender: requested.sender.clone(),
            address,
            reason: Reason::Manual,
            source: SuppressionSource::Operator,
            after: 1,
            notice: notice.clone(),
        })
        .collect();
    let put = state.store.suppress(&requested.channel, &all).await;
    let put = put.map_err(|error| Problem::of_write(&error))?;
    let count = |wanted| put.iter().filter(|one| **one == wanted).count();
    let (added, unchanged) = (count(Suppressed::Added), count(Suppressed::AlreadyListed));
    if added + unchanged < put.len() {
        // The record was written by a newer version.
        return Err(Problem::new(
            Code::StorageUnavailable,
            "not all addresses are on the list; repeat the request",
        ));
    }
    tracing::info!(
        event = "suppression.added",
        channel = %requested.channel,
        added,
        "addresses suppressed"
    );
    Ok(Json(Put { added_count: added, unchanged_count: unchanged }))
}

/// Look up addresses
///
/// Whether each address is suppressed, and why: by the list of the channel, or by that of the sender. Needs the scope
/// `admin`; for a sender the key acts for, `read`.
#[utoipa::path(
    post, path = "/v1/suppressions/lookup", tag = "suppressions", operation_id = "lookUpSuppressions",
    request_body = AddressesBody,
    responses(
        (status = 200, description = "The entries of each address.", body = FoundList),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn lookup(
    Looker(caller): Looker,
    State(state): State<Arc<SuppressionsState>>,
    SmallJson(body): SmallJson<AddressesBody>,
) -> Result<Response, Problem> {
    let requested = body.read(caller, &state, false).await?;
    let (store, channel, sender) = (&state.store, &requested.channel, requested.sender.as_ref());
    let found =
        stream::iter(requested.addresses.into_iter().enumerate()).map(|(index, address)| async move {
            let of_sender = async {
                match sender {
                    Some(_) => store.find_suppression(channel, &address, sender).await,
                    None => Ok(None),
                }
            };
            let (of_channel, of_sender) =
                future::try_join(store.find_suppression(channel, &address, None), of_sender).await?;
            let entries = of_channel.into_iter().chain(of_sender);
            let suppressed = entries.clone().any(|entry| entry.active);
            Ok::<_, CallError>(Found {
                index,
                suppressed,
                entries: entries.map(SuppressionView::from).collect(),
            })
        });
    let items = found.buffered(AT_ONCE).try_collect().await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(FoundList { items })).into_response())
}

/// Delete suppressions
///
/// Takes addresses, and their counted failures, off the one list that is named. Needs the scope `admin`; for the list of a
/// sender the key acts for, `write`. Safe to repeat.
#[utoipa::path(
    post, path = "/v1/suppressions/delete", tag = "suppressions", operation_id = "deleteSuppressions",
    request_body = AddressesBody,
    responses(
        (status = 200, description = "The addresses are off the list.", body = Deleted),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn delete(
    Changer(caller): Changer,
    State(state): State<Arc<SuppressionsState>>,
    SmallJson(body): SmallJson<AddressesBody>,
) -> Result<Json<Deleted>, Problem> {
    let requested = body.read(caller, &state, false).await?;
    let (store, channel, sender) = (&state.store, &requested.channel, requested.sender.as_ref());
    let all = stream::iter(requested.addresses)
        .map(|address| async move { store.delete_suppression(channel, &address, sender).await });
    let done: Vec<Result<bool, CallError>> = all.buffered(AT_ONCE).collect().await;
    let failed: Vec<&CallError> = done.iter().filter_map(|done| done.as_ref().err()).collect();
    if let Some(error) = failed.iter().find(|error| error.may_have_happened()).or(failed.first()) {
        // Some of several addresses may be off the list although others failed.
        let none = failed.len() == done.len();
        return Err(if none { Problem::of_write(error) } else { Problem::outcome_unknown() });
    }
    let deleted = done.iter().flatten().filter(|deleted| **deleted).count();
    tracing::info!(event = "suppression.deleted", %channel, deleted, "suppressions deleted");
    Ok(Json(Deleted { deleted_count: deleted, not_found_count: done.len() - deleted }))
}

/// Delete one suppression
///
/// Needs the scope `admin`.
#[utoipa::path(
    delete, path = "/v1/suppressions/{channel}/{id}", tag = "suppressions", operation_id = "deleteSuppression",
    params(
        ("channel" = String, Path, description = "The channel."),
        ("id" = String, Path, description = "The id of the entry, as listed."),
    ),
    responses(
        (status = 204, description = "The entry is off the list."),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn delete_entry(
    _: Admin,
    State(state): State<Arc<SuppressionsState>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let no_channel = || Problem::parameter("channel", "unknown_value", "must be the name of a channel");
    let channel = request::channel(&name).ok_or_else(no_channel)?;
    let id: SuppressionId =
        id.parse().map_err(|_| Problem::parameter("id", "invalid_id", "must be 32 characters of 0-9 a-f"))?;
    let deleted = state.store.delete_suppression_by_id(&channel, id).await;
    if deleted.map_err(|error| Problem::of_write(&error))? {
        tracing::info!(event = "suppression.deleted", %channel, deleted = 1, "suppression deleted");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::SuppressionNotFound, "this channel has no entry with this id"))
}
