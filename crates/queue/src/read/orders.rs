//! `GET /v1/orders` and `GET /v1/orders/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{OrderId, SenderId};
use posthaste_store::{CallError, KeyScope, OrderCursor, OrderFilter, UnreadableRecord};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::order_details::{ContentView, OrderDetails};
use super::state::ReadState;
use crate::auth::{Caller, Reader};
use crate::order_response::{OrderStatus, OrderView, Provenance};
use crate::page_link::link;
use crate::parameters::{OrderIdPath, Parameters, number};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// Contents read at the same time for one page.
const AT_ONCE: usize = 16;

/// Query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OrdersQuery {
    /// Only orders of this sender. A bound key sees only its own sender's orders.
    sender_id: Option<String>,
    /// `scheduled`, `running`, `finished`, `finished_with_failures` or `cancelled`; separate several with commas.
    status: Option<String>,
    /// Created at this time or later (RFC 3339).
    #[param(value_type = Option<ApiTime>)]
    created_after: Option<String>,
    /// Created before this time (RFC 3339).
    #[param(value_type = Option<ApiTime>)]
    created_before: Option<String>,
    /// Orders per page, 1 to 200; default 50. A page may be shorter even when more follow.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderPage {
    /// Newest first.
    items: Vec<OrderView>,
    /// Orders of the page that can't be read, each with the reason. If `status` is given, none are listed, because
    /// their status is unknown.
    unreadable: Vec<UnreadableOrder>,
    /// Cursor of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// Partitions of the database that are unreachable now: their orders are missing here.
    partitions_missing: Vec<u16>,
}

/// An order that can't be shown.
#[derive(Debug, Serialize, ToSchema)]
struct UnreadableOrder {
    /// Its id.
    id: String,
    /// Why: `newer_version`, `wrong_type`, `damaged`, or `ended_by_operator` if an operator ended it because it could
    /// not be read.
    #[schema(example = "damaged")]
    reason: &'static str,
}

impl UnreadableOrder {
    fn new(order_id: &OrderId, why: UnreadableRecord) -> Self {
        Self { id: order_id.wire_id(), reason: why.word() }
    }
}

/// List orders, newest first
///
/// Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", operation_id = "listOrders", params(OrdersQuery),
    responses(
        (status = 200, description = "A page of orders; `Link` points to the next page.", body = OrderPage),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    Reader(caller): Reader,
    State(state): State<Arc<ReadState>>,
    Parameters(requested): Parameters<OrdersQuery>,
) -> Result<Response, Problem> {
    let filter = filter(&caller, &requested)?;
    let statuses = statuses(requested.status.as_deref())?;
    let limit = number("limit", requested.limit.as_deref(), 1..=200, 50)?;
    let forged = || {
        Problem::parameter(
            "cursor",
            "invalid_cursor",
            "must be the next_cursor of a page with the same filter",
        )
    };
    let cursor =
        requested.cursor.as_deref().map(str::parse::<OrderCursor>).transpose().map_err(|_| forged())?;
    let keep = |_: &OrderId, summary: &_| statuses.is_empty() || statuses.contains(&OrderStatus::of(summary));
    let page =
        state.store.list_orders(&filter, cursor.as_ref(), usize::try_from(limit).unwrap_or(1), keep).await?;
    let page = page.ok_or_else(forged)?;
    let partitions_missing = page.away;
    let receipts = &*state.receipts.current().await?;
    let views = page.orders.into_iter().map(|(order_id, summary)| {
        let state = &state;
        async move {
            match Provenance::read(&state.store, &order_id).await {
                Ok(provenance) => Ok(Ok(OrderView::new(&order_id, &summary, provenance, receipts))),
                // Its record can't be read: list the order as unreadable and continue with the page.
                Err(error) => Ok::<_, CallError>(Err((order_id, error.unreadable().ok_or(error)?))),
            }
        }
    });
    let views: Vec<_> = stream::iter(views).buffered(AT_ONCE).try_collect().await?;
    let mut unreadable = if statuses.is_empty() { page.unreadable } else { Vec::new() };
    let mut items = Vec::new();
    for view in views {
        match view {
            Ok(view) => items.push(view),
            Err(order) => unreadable.push(order),
        }
    }
    let unreadable: Vec<_> =
        unreadable.iter().map(|(order_id, why)| UnreadableOrder::new(order_id, *why)).collect();
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let again = |at: Option<posthaste_model::UnixMs>| at.map(|at| ApiTime(at).to_string());
        let statuses: Vec<_> = statuses.iter().map(|status| status.word()).collect();
        let parameters = [
            (
                "sender_id",
                requested.sender_id.is_some().then(|| filter.sender.clone().map(String::from)).flatten(),
            ),
            ("status", (!statuses.is_empty()).then(|| statuses.join(","))),
            ("created_after", again(filter.from)),
            ("created_before", again(filter.to)),
            ("limit", requested.limit.is_some().then(|| limit.to_string())),
        ];
        link(&mut headers, "/v1/orders", &parameters, cursor);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((headers, Json(OrderPage { items, unreadable, next_cursor, partitions_missing })).into_response())
}

fn filter(caller: &Caller, requested: &OrdersQuery) -> Result<OrderFilter, Problem> {
    let sender = requested.sender_id.as_deref().map(str::parse::<SenderId>).transpose();
    let sender = sender.map_err(|error| Problem::parameter("sender_id", "invalid_id", error.to_string()))?;
    let sender = match sender {
        Some(sender) if caller.acts_for(sender.as_str()) => Some(sender),
        Some(_) => return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender")),
        None if caller.has(KeyScope::AnySender) => None,
        None => match &caller.sender {
            Some(bound) => Some(bound.clone()),
            None => return Err(Problem::new(Code::SenderNotAllowed, "the key is not bound to a sender")),
        },
    };
    let moment = |name, text: Option<&str>| {
        text.map(ApiTime::read).transpose().map_err(|rule| Problem::parameter(name, "invalid_time", rule))
    };
    let from = moment("created_after", requested.created_after.as_deref())?;
    let to = moment("created_before", requested.created_before.as_deref())?;
    Ok(OrderFilter { sender, from: from.map(|ApiTime(at)| at), to: to.map(|ApiTime(at)| at) })
}

fn statuses(given: Option<&str>) -> Result<Vec<OrderStatus>, Problem> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let read = |word: &str| OrderStatus::ALL.into_iter().find(|status| status.word() == word);
    given.split(',').map(|word| read(word.trim())).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let words = OrderStatus::ALL.map(OrderStatus::word).join(", ");
        Problem::parameter("status", "unknown_value", format!("must be one or more of {words}"))
    })
}

/// Show an order
///
/// The response has an `ETag`; `If-None-Match` returns 304 if nothing changed. Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(
        ("id" = String, Path, description = "The order's id."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier response."),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderDetails),
        (status = 304, description = "The order has not changed."),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    Reader(caller): Reader,
    State(state): State<Arc<ReadState>>,
    OrderIdPath(order_id): OrderIdPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.sees(&order_id)?;
    let Some(summary) = state.store.order_summary(&order_id, None).await? else {
        return Err(missing(&state, &order_id).await);
    };
    let receipts = state.receipts.current().await?;
    let content = state.store.order_content(&order_id).await?;
    let provenance = content.as_deref().map(Provenance::from).unwrap_or_default();
    let view = OrderView::new(&order_id, &summary, provenance, &receipts);
    let etag = view.etag();
    let mut response = if etag.as_ref().is_some_and(|etag| matches(&headers, etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let content = content.as_deref().map(ContentView::from).unwrap_or_default();
        Json(OrderDetails { order: view, content }).into_response()
    };
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// The problem for an order that is missing: either an operator ended it because it could not be read, or it never existed.
pub(super) async fn missing(state: &ReadState, order_id: &OrderId) -> Problem {
    match state.store.ended_unreadable(order_id).await {
        Ok(Some(at)) => Problem::new(
            Code::OrderEndedUnreadable,
            "the order's record could not be read, so an operator ended it; `ended_at` says when",
        )
        .with("ended_at", ApiTime(at).to_string()),
        Ok(None) => Problem::order_not_found(),
        Err(error) => error.into(),
    }
}

/// Whether `If-None-Match` names this version, with the weak comparison of RFC 9110.
fn matches(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == etag.as_bytes())
}
