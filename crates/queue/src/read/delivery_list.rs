//! `GET /v1/orders/{id}/deliveries`: one page, or all deliveries as NDJSON.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use posthaste_model::{Channel, OrderId, State as DeliveryState};
use posthaste_store::{
    DeliveryCursor, DeliveryFilter, DeliveryPage, Head, ListedDelivery, UnreadableParcelPart,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::deliveries::DeliveryView;
use super::orders::missing;
use super::state::ReadState;

use crate::auth::{OpenKey, Reader};
use crate::page_link::link;
use crate::parameters::{OrderIdPath, Parameters, number};
use crate::problem::{Code, Problem, ProblemDocument};

const LINES: &str = "application/x-ndjson";
/// Deliveries read at a time when all are requested.
const AT_ONCE: usize = 1_000;

/// Query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Only deliveries on this channel.
    channel: Option<String>,
    /// Only deliveries to the recipient with this id, as given in the order.
    recipient_id: Option<String>,
    /// Only deliveries with this status; separate several with commas.
    status: Option<String>,
    /// Deliveries per page, 1 to 5,000; default 500. A page may be shorter even when more follow.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 5_000)]
    limit: Option<String>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryPage)]
pub(super) struct DeliveryPageView {
    /// Channel by channel, in the order of the recipients.
    items: Vec<DeliveryView>,
    /// Deliveries of the same span that can't be read, parcel by parcel. They are listed whatever `status`
    /// says, because their statuses may be unknown.
    unreadable_deliveries: Vec<UnreadableView>,
    /// Cursor of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Deliveries that can't be read: an operator finds them in `GET /v1/parked` once a courier has tried to read them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnreadableView {
    /// Their channel.
    #[schema(example = "email")]
    channel: String,
    /// The number of their parcel on the channel, as in `GET /v1/parked`.
    parcel: u32,
    /// How many there are.
    delivery_count: u32,
    /// Why: `newer_version`, `wrong_type` or `damaged`.
    #[schema(example = "damaged")]
    reason: &'static str,
}

impl From<UnreadableParcelPart> for UnreadableView {
    fn from(deliveries: UnreadableParcelPart) -> Self {
        let UnreadableParcelPart { channel, parcel, deliveries, why } = deliveries;
        Self { channel: channel.to_string(), parcel, delivery_count: deliveries, reason: why.word() }
    }
}

/// A line for deliveries that can't be read.
#[derive(Debug, Serialize)]
struct UnreadableLine {
    unreadable_deliveries: UnreadableView,
}

/// List the deliveries of an order
///
/// One for each address: its status, the reason, and what it waits for. With `Accept: application/x-ndjson`,
/// all matching deliveries, one per line. If such a response can't be completed, the connection breaks off.
/// Deliveries that can't be read are listed in `unreadable_deliveries`; in NDJSON, as a line
/// `{"unreadable_deliveries": {…}}` for each parcel. Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/deliveries", tag = "orders", operation_id = "listDeliveries",
    params(("id" = String, Path, description = "The order's id."), DeliveriesQuery),
    responses(
        (status = 200, description = "A page of deliveries, or all deliveries as NDJSON.", content(
            (DeliveryPageView = "application/json"), (DeliveryView = "application/x-ndjson"),
        )),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    Reader(caller): Reader,
    State(state): State<Arc<ReadState>>,
    OrderIdPath(order_id): OrderIdPath,
    Parameters(requested): Parameters<DeliveriesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.sees(&order_id)?;
    let filter = filter(&requested)?;
    let limit = number("limit", requested.limit.as_deref(), 1..=5_000, 500)?;
    let cursor = requested.cursor.as_deref().map(str::parse::<DeliveryCursor>).transpose().map_err(|_| {
        Problem::parameter(
            "cursor",
            "invalid_cursor",
            "must be the next_cursor of a page with the same filter",
        )
    })?;
    let lines = wants_lines(&headers)?;
    let limit = if lines { AT_ONCE } else { usize::try_from(limit).unwrap_or(AT_ONCE) };
    let first = state.store.recipients(&order_id, &filter, cursor.as_ref(), limit).await?;
    let Some(first) = first else { return Err(missing(&state, &order_id).await) };
    if lines {
        let key = caller.stay(&state.key_watch);
        return Ok(stream_all(state, key, order_id, filter, first));
    }
    let quiet = moved(&state, &order_id, &first.summary.head);
    let next_cursor = first.next.map(|cursor| cursor.to_string());
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let states: Vec<_> = filter.states.iter().map(|state| state.word()).collect();
        let parameters = [
            ("channel", filter.channel.as_ref().map(ToString::to_string)),
            ("status", (!states.is_empty()).then(|| states.join(","))),
            ("recipient_id", filter.recipient.clone()),
            ("limit", requested.limit.is_some().then(|| limit.to_string())),
        ];
        link(&mut headers, &format!("/v1/orders/{}/deliveries", order_id.wire_id()), &parameters, cursor);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let items = first.deliveries.into_iter().map(|delivery| DeliveryView::new(delivery, quiet)).collect();
    let unreadable_deliveries = first.unreadable.into_iter().map(UnreadableView::from).collect();
    Ok((headers, Json(DeliveryPageView { items, unreadable_deliveries, next_cursor })).into_response())
}

fn filter(requested: &DeliveriesQuery) -> Result<DeliveryFilter, Problem> {
    let channel = requested.channel.as_deref().map(str::parse::<Channel>).transpose();
    let channel = channel.map_err(|error| Problem::parameter("channel", "invalid_id", error.to_string()))?;
    let read = |word: &str| DeliveryState::ALL.into_iter().find(|state| state.word() == word);
    let words = requested.status.as_deref().into_iter().flat_map(|list| list.split(','));
    let states = words.map(|word| read(word.trim())).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let rule =
            "must be one or more of pending, sending, sent, delivered, failed, unknown, suppressed, expired, cancelled";
        Problem::parameter("status", "unknown_value", rule)
    })?;
    let recipient = requested.recipient_id.clone();
    let is_id = |id: &String| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    if recipient.as_ref().is_some_and(|id| !is_id(id)) {
        let rule = "must be 1 to 64 characters of A-Z a-z 0-9 _ -";
        return Err(Problem::parameter("recipient_id", "invalid_id", rule));
    }
    Ok(DeliveryFilter { channel, states, recipient })
}

/// Whether `Accept` prefers NDJSON to JSON.
fn wants_lines(headers: &HeaderMap) -> Result<bool, Problem> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for entry in accepted.flat_map(|list| list.split(',')) {
        any = true;
        match entry.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            LINES => return Ok(true),
            "application/json" | "application/*" | "*/*" => return Ok(false),
            _ => {}
        }
    }
    if any {
        Err(Problem::new(Code::NotAcceptable, "this path returns application/json or application/x-ndjson"))
    } else {
        Ok(false)
    }
}

/// Whether quiet hours moved the order.
fn moved(state: &ReadState, order_id: &OrderId, head: &Head) -> bool {
    let quiet = state.rules.quiet.as_ref();
    quiet.is_some_and(|quiet| quiet.moved_to(head.due, head.priority, order_id))
}

/// Reads page after page as the client reads the response: one page is in memory at a time.
fn stream_all(
    state: Arc<ReadState>,
    key: OpenKey,
    order_id: OrderId,
    filter: DeliveryFilter,
    first: DeliveryPage,
) -> Response {
    let quiet = moved(&state, &order_id, &first.summary.head);
    let pages = stream::unfold(Some((state, key, Next::Page(Box::new(first)))), move |at| {
        let (order_id, filter) = (order_id.clone(), filter.clone());
        async move {
            let (state, mut key, next) = at?;
            let page = match next {
                Next::Page(page) => *page,
                Next::Cursor(cursor) => {
                    if key.must_tell().await.is_err() {
                        return Some((Err(Broken), None));
                    }
                    match state.store.recipients(&order_id, &filter, Some(&cursor), AT_ONCE).await {
                        Ok(Some(page)) => page,
                        // The status line is already sent: the broken transfer shows the client that data is missing.
                        Ok(None) => return Some((Err(Broken), None)),
                        Err(error) => {
                            tracing::warn!(
                                event = "response.cut_off",
                                %error,
                                "could not finish an NDJSON response; the connection was closed"
                            );
                            return Some((Err(Broken), None));
                        }
                    }
                }
            };
            let next = page.next.map(|cursor| (state, key, Next::Cursor(cursor)));
            Some((Ok(as_lines(page.deliveries, page.unreadable, quiet)), next))
        }
    });
    let mut response = Body::from_stream(pages).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The next step.
enum Next {
    Page(Box<DeliveryPage>),
    Cursor(DeliveryCursor),
}

/// The response can't be completed.
#[derive(Debug, thiserror::Error)]
#[error("the response can't be completed")]
struct Broken;

fn as_lines(deliveries: Vec<ListedDelivery>, unreadable: Vec<UnreadableParcelPart>, quiet: bool) -> Bytes {
    let mut out = Vec::with_capacity(deliveries.len() * 192);
    for delivery in deliveries {
        // Deliveries hold only texts and numbers: serializing them into memory cannot fail.
        if serde_json::to_writer(&mut out, &DeliveryView::new(delivery, quiet)).is_ok() {
            out.push(b'\n');
        }
    }
    for deliveries in unreadable {
        if serde_json::to_writer(&mut out, &UnreadableLine { unreadable_deliveries: deliveries.into() })
            .is_ok()
        {
            out.push(b'\n');
        }
    }
    out.into()
}
