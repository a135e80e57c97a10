//! `POST /v1/orders/{id}/retry`: a new order from chosen rows of an old one.

use std::collections::{BTreeMap, HashSet};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{SenderId, State as RowState, Suffix};
use posthaste_store::{AcceptError, RetryAsk};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accept::{count, problem};
use super::answer::{history_key, stored};
use super::flaw::{Flaw, FlawCode, refused};
use super::key::{Key, REPLAYED, Tie};
use super::settings::is_role;
use super::{digest, times};
use crate::auth::Enqueuer;
use crate::edge::body::SmallJson;
use crate::moment::Moment;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::OrderId;
use crate::state::AppState;

/// Recipients named at most.
const MOST_RECIPIENTS: usize = 1_000;
/// What may be repeated without naming whom: it did not get through, or nobody knows.
const LOST: &[RowState] = &[RowState::Failed, RowState::Unknown, RowState::Expired, RowState::Cancelled];
/// What may be repeated for recipients that are named: it got through, so it is a duplicate that was asked for.
const THROUGH: &[RowState] = &[RowState::Sent, RowState::Delivered];

/// Which rows.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryBody {
    /// Rows in these states: `failed`, `unknown`, `expired`, `cancelled`; with `recipient_ids` also `sent`, `delivered`. All of
    /// the first four when left out.
    states: Option<Vec<String>>,
    /// Rows of these recipients, 1,000 at most; of all when left out.
    recipient_ids: Option<Vec<String>>,
    /// When the new order is due (RFC 3339 with an offset); now when left out or past.
    deliver_at: Option<String>,
}

/// The new order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RetryView {
    /// Its id.
    order_id: String,
    /// The same, as the history is called.
    history_key: String,
    /// The order whose rows it repeats.
    retry_of: String,
    /// Rows it repeats.
    recipients: u32,
    /// The same, by channel.
    rows: BTreeMap<String, u32>,
    /// When it is due.
    due_at: Moment,
    /// `quiet_hours` when they moved it.
    moved_by: Option<&'static str>,
}

/// Which rows, once it is checked.
#[derive(Debug)]
struct Choice {
    states: Vec<RowState>,
    recipients: Option<HashSet<String>>,
}

/// Repeat rows of an order
///
/// Makes a new order with the text of the old one, which stays as it is. A row whose outcome is still being found out is not
/// taken. `Idempotency-Key` makes a repeated request the same one for 24 hours. Does not count for the day's limit. Needs the
/// scope `enqueue`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/retry", tag = "orders", operation_id = "retryOrder",
    params(
        ("id" = String, Path, description = "The order's id."),
        ("Idempotency-Key" = Option<String>, Header, description = "The client's own name of this request."),
    ),
    request_body = RetryBody,
    responses(
        (status = 202, description = "The new order is stored.", body = RetryView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn retry(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    OrderId(old): OrderId,
    headers: HeaderMap,
    SmallJson(body): SmallJson<RetryBody>,
) -> Result<Response, Problem> {
    caller.sees(&old)?;
    let key = Key::of(&headers)?;
    let choice = choice(&body)?;
    let sender: SenderId = old.sender().parse().map_err(|_| Problem::order_not_found())?;
    let glance = state.store.glance(&old, None).await?.ok_or_else(Problem::order_not_found)?;
    let tie = Tie::new(&state, &sender, None, key.as_ref(), digest(&old, &body)).await?;
    let made = make(&state, &old, &tie, &body, &choice, glance.head.lane).await;
    if made.as_ref().is_err_and(|problem| problem.code() != Code::OutcomeUnknown) {
        tie.undo(&state).await;
    }
    made
}

async fn make(
    state: &AppState,
    old: &Suffix,
    tie: &Tie,
    body: &RetryBody,
    choice: &Choice,
    lane: posthaste_model::Lane,
) -> Result<Response, Problem> {
    let (now, rules) = (state.clock.now(), &state.rules);
    let asked = match &body.deliver_at {
        Some(text) => times::due(text, now, rules.max_ahead).map_err(|flaw| refused(vec![flaw]))?,
        None => None,
    };
    let base = asked.unwrap_or(now);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, lane, &tie.suffix));
    let ask = RetryAsk { suffix: tie.suffix.clone(), due: moved.or(asked), digest: digest(old, body) };
    let chosen = |row: &posthaste_model::Row, outcome: RowState| {
        choice.states.contains(&outcome)
            && choice.recipients.as_ref().is_none_or(|wanted| wanted.contains(&row.recipient))
    };
    let accepted = state.store.retry_order(old, &ask, |_, row, outcome| chosen(row, outcome.state)).await;
    let accepted = accepted.map_err(|error| match error {
        AcceptError::Empty => Problem::new(Code::NothingToRetry, "no row of the order is in these states"),
        error => problem(&error, tie),
    })?;
    count(&accepted);
    let rows: BTreeMap<_, _> =
        stored(&accepted).into_iter().filter(|one| one.rows > 0).map(|one| (one.channel, one.rows)).collect();
    let view = RetryView {
        order_id: accepted.suffix.order_id(),
        history_key: history_key(&accepted.suffix),
        retry_of: old.order_id(),
        recipients: rows.values().sum(),
        rows,
        due_at: Moment(accepted.due),
        moved_by: moved.filter(|moved| *moved == accepted.due).map(|_| "quiet_hours"),
    };
    let location = HeaderValue::from_str(&format!("/v1/orders/{}", view.order_id));
    let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if accepted.again {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn choice(body: &RetryBody) -> Result<Choice, Problem> {
    let mut flaws = Vec::new();
    let mut states = Vec::new();
    for (at, name) in body.states.iter().flatten().enumerate() {
        let named = body.recipient_ids.is_some();
        let allowed = LOST.iter().chain(THROUGH.iter().filter(|_| named)).find(|state| state.word() == name);
        match allowed {
            Some(state) => states.push(*state),
            None => {
                let detail =
                    "failed, unknown, expired or cancelled; with recipient_ids also sent or delivered";
                flaws.push(Flaw::new(format!("/states/{at}"), FlawCode::UnknownValue, detail));
            }
        }
    }
    if body.states.as_ref().is_some_and(Vec::is_empty) {
        flaws.push(Flaw::new("/states", FlawCode::Missing, "name one at least, or leave it out"));
    }
    let ids = body.recipient_ids.as_deref().unwrap_or_default();
    if body.recipient_ids.is_some() && (ids.is_empty() || ids.len() > MOST_RECIPIENTS) {
        flaws.push(Flaw::new("/recipient_ids", FlawCode::TooMany, "1 to 1,000"));
    }
    for (at, _) in ids.iter().enumerate().filter(|(_, id)| !is_role(id)) {
        flaws.push(Flaw::new(
            format!("/recipient_ids/{at}"),
            FlawCode::InvalidId,
            "1 to 64 of A-Z a-z 0-9 _ -",
        ));
    }
    if !flaws.is_empty() {
        flaws.truncate(super::flaw::MOST_FLAWS);
        return Err(refused(flaws));
    }
    if states.is_empty() {
        states.extend_from_slice(LOST);
    }
    Ok(Choice { states, recipients: body.recipient_ids.clone().map(HashSet::from_iter) })
}

/// A repeated request is known by what it asks for.
fn digest(old: &Suffix, body: &RetryBody) -> [u8; 12] {
    let join = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(",")).unwrap_or_default();
    let (states, ids) = (join(&body.states), join(&body.recipient_ids));
    let at = body.deliver_at.as_deref().unwrap_or_default();
    digest::of_bytes(&[b"retry", old.as_str().as_bytes(), states.as_bytes(), ids.as_bytes(), at.as_bytes()])
}
