//! `GET /v1/orders/{id}/recipients`: a page, or everything as lines.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use posthaste_model::{Channel, State as RowState, Suffix, UnixMs};
use posthaste_store::{Head, ListedRow, RowCursor, RowFilter, RowPage, UnreadableRows};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::orders::missing;
use super::page::link;
use super::rows::RecipientRow;
use super::{OrderId, Parameters, number};
use crate::auth::{OpenKey, Reader};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::state::AppState;

const LINES: &str = "application/x-ndjson";
/// Rows read at a time when everything is asked for.
const AT_ONCE: usize = 1_000;

/// What is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Of this channel only.
    channel: Option<String>,
    /// In these states only, with commas.
    state: Option<String>,
    /// Rows of a page, 1 to 5,000; 500 if not given. A page may be shorter and still have a next one.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 5_000)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecipientPage {
    /// Channel by channel, in the order of the recipients.
    items: Vec<RecipientRow>,
    /// Rows of the same span that can't be read, parcel by parcel; left out when there are none. They are told whatever `state`
    /// asks for, since their states may not be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable_rows: Vec<UnreadableView>,
    /// Asks for the next page; missing on the last one.
    next_cursor: Option<String>,
}

/// Rows that can't be read: an operator finds them among what is parked once a courier came upon them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnreadableView {
    /// Their channel.
    #[schema(example = "email")]
    channel: String,
    /// The number of their parcel on the channel, as in `GET /v1/parked`.
    parcel: u32,
    /// How many there are.
    rows: u32,
    /// Why: `newer_version`, `wrong_type` or `damaged`.
    #[schema(example = "damaged")]
    reason: &'static str,
}

impl From<UnreadableRows> for UnreadableView {
    fn from(rows: UnreadableRows) -> Self {
        let UnreadableRows { channel, parcel, rows, why } = rows;
        Self { channel: channel.to_string(), parcel, rows, reason: why.word() }
    }
}

/// A line of rows that can't be read.
#[derive(Debug, Serialize)]
struct UnreadableLine {
    unreadable_rows: UnreadableView,
}

/// The recipients of an order
///
/// One row for each address: what became of it, why, and what it waits for. With `Accept: application/x-ndjson` all rows
/// that fit, one a line. An answer of lines that could not be finished breaks off. Rows that can't be read are named in
/// `unreadable_rows`, in lines by a line `{"unreadable_rows": {…}}` for each parcel. Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/recipients", tag = "orders", operation_id = "listRecipients",
    params(("id" = String, Path, description = "The order's id."), Asked),
    responses(
        (status = 200, description = "A page of rows, or all as lines.", content(
            (RecipientPage = "application/json"), (RecipientRow = "application/x-ndjson"),
        )),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    Reader(caller): Reader,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.sees(&suffix)?;
    let filter = filter(&asked)?;
    let limit = number("limit", asked.limit.as_deref(), 1..=5_000, 500)?;
    let cursor = asked.cursor.as_deref().map(str::parse::<RowCursor>).transpose().map_err(|_| {
        Problem::parameter("cursor", "invalid_cursor", "the next_cursor of a page of the same filter")
    })?;
    let lines = wants_lines(&headers)?;
    let limit = if lines { AT_ONCE } else { usize::try_from(limit).unwrap_or(AT_ONCE) };
    let first = state.store.recipients(&suffix, &filter, cursor.as_ref(), limit).await?;
    let Some(first) = first else { return Err(missing(&state, &suffix).await) };
    if lines {
        let key = caller.stay(&state);
        return Ok(stream_all(state, key, suffix, filter, first));
    }
    let quiet = moved(&state, &suffix, &first.glance.head);
    let next_cursor = first.next.map(|cursor| cursor.to_string());
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let states: Vec<_> = filter.states.iter().map(|state| state.word()).collect();
        let parameters = [
            ("channel", filter.channel.as_ref().map(ToString::to_string)),
            ("state", (!states.is_empty()).then(|| states.join(","))),
            ("limit", asked.limit.is_some().then(|| limit.to_string())),
        ];
        link(&mut headers, &format!("/v1/orders/{}/recipients", suffix.order_id()), &parameters, cursor);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let items = first.rows.into_iter().map(|row| RecipientRow::new(row, quiet)).collect();
    let unreadable_rows = first.unreadable.into_iter().map(UnreadableView::from).collect();
    Ok((headers, Json(RecipientPage { items, unreadable_rows, next_cursor })).into_response())
}

fn filter(asked: &Asked) -> Result<RowFilter, Problem> {
    let channel = asked.channel.as_deref().map(str::parse::<Channel>).transpose();
    let channel = channel.map_err(|error| Problem::parameter("channel", "invalid_id", error.to_string()))?;
    let read = |word: &str| RowState::ALL.into_iter().find(|state| state.word() == word);
    let words = asked.state.as_deref().into_iter().flat_map(|list| list.split(','));
    let states = words.map(|word| read(word.trim())).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let rule =
            "some of pending, sending, sent, delivered, failed, unknown, suppressed, expired, cancelled";
        Problem::parameter("state", "unknown_value", rule)
    })?;
    Ok(RowFilter { channel, states })
}

/// Whether `Accept` prefers lines to JSON.
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
        Err(Problem::new(Code::NotAcceptable, "application/json or application/x-ndjson"))
    } else {
        Ok(false)
    }
}

/// Whether the order was moved to the end of quiet hours: a moment just inside of them leads to the very millisecond it is
/// due, which depends on its id.
fn moved(state: &AppState, suffix: &Suffix, head: &Head) -> bool {
    let Some(quiet) = &state.rules.quiet else { return false };
    let span = state.settings.quiet_hours.jitter.get() + Duration::from_millis(1);
    let before = head.due.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    quiet.moved(UnixMs(before), head.lane, suffix) == Some(head.due)
}

/// Reads page after page as the client takes them: one page is in memory at a time.
fn stream_all(state: AppState, key: OpenKey, suffix: Suffix, filter: RowFilter, first: RowPage) -> Response {
    let quiet = moved(&state, &suffix, &first.glance.head);
    let pages = stream::unfold(Some((state, key, Next::Page(Box::new(first)))), move |at| {
        let (suffix, filter) = (suffix.clone(), filter.clone());
        async move {
            let (state, mut key, next) = at?;
            let page = match next {
                Next::Page(page) => *page,
                Next::Cursor(cursor) => {
                    if key.must_tell().await.is_err() {
                        return Some((Err(Broken), None));
                    }
                    match state.store.recipients(&suffix, &filter, Some(&cursor), AT_ONCE).await {
                        Ok(Some(page)) => page,
                        // The status is sent: the broken transfer tells that something is missing.
                        Ok(None) => return Some((Err(Broken), None)),
                        Err(error) => {
                            tracing::warn!(%error, "an answer of lines broke off");
                            return Some((Err(Broken), None));
                        }
                    }
                }
            };
            let next = page.next.map(|cursor| (state, key, Next::Cursor(cursor)));
            Some((Ok(as_lines(page.rows, page.unreadable, quiet)), next))
        }
    });
    let mut response = Body::from_stream(pages).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What comes next.
enum Next {
    Page(Box<RowPage>),
    Cursor(RowCursor),
}

/// The answer can't be finished.
#[derive(Debug, thiserror::Error)]
#[error("the answer can't be finished")]
struct Broken;

fn as_lines(rows: Vec<ListedRow>, unreadable: Vec<UnreadableRows>, quiet: bool) -> Bytes {
    let mut out = Vec::with_capacity(rows.len() * 192);
    for row in rows {
        // Rows hold texts and numbers alone: writing them into memory cannot fail.
        if serde_json::to_writer(&mut out, &RecipientRow::new(row, quiet)).is_ok() {
            out.push(b'\n');
        }
    }
    for rows in unreadable {
        if serde_json::to_writer(&mut out, &UnreadableLine { unreadable_rows: rows.into() }).is_ok() {
            out.push(b'\n');
        }
    }
    out.into()
}
