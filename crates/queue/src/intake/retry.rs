//! `POST /v1/orders/{id}/retry`: a new order from chosen rows of an old one.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{Channel, SenderId, State as RowState, Suffix, UnixMs};
use posthaste_store::{AcceptError, CallError, Glance, Head, NothingStored, RetryAsk};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accept::{count, problem};
use super::answer::{history_key, stored};
use super::flaw::{Flaw, FlawCode, refused};
use super::key::{Key, REPLAYED, Tie, outcome_unknown};
use super::quota::{self, Paid};
use super::settings::is_role;
use super::{digest, send_as, times};
use crate::auth::{Caller, Enqueuer};
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
    // The new order has the text of the old one, sender and all: another key may have been allowed that.
    if let Some(content) = state.store.order_content(&old).await? {
        send_as::check(&caller, content.sender_name.expose(), content.sender_email.expose())?;
    }
    let sender: SenderId = old.sender().parse().map_err(|_| Problem::order_not_found())?;
    let glance = state.store.glance(&old, None).await?.ok_or_else(Problem::order_not_found)?;
    let tie = Tie::new(&state, &sender, None, key.as_ref(), digest(&old, &body)).await?;
    if tie.before {
        // The rows of the old order may have changed since: the answer is made from what was stored.
        let stored = state.store.glance_confirmed(&tie.suffix).await;
        let stored = stored.map_err(|error| unanswered_before(&error, &tie.suffix))?;
        if let Some(glance) = stored {
            return Ok(replay(&state, &old, &tie.suffix, &body, &glance));
        }
    }
    match make(&state, &old, &tie, &body, &choice, (&glance.head, &caller)).await {
        Ok(made) => Ok(made),
        Err((problem, proof)) => {
            let Some(proof) = proof else { return Err(problem) };
            let alone = tie.undo(&state, &proof).await;
            Err(tie.told(&state, problem, alone).await)
        }
    }
}

/// What is told when nobody can see what an earlier request stored.
fn unanswered_before(error: &CallError, suffix: &Suffix) -> Problem {
    if let CallError::Stop(_) = error { error.into() } else { outcome_unknown(suffix) }
}

/// The answer to a retry that was accepted before.
fn replay(state: &AppState, old: &Suffix, suffix: &Suffix, body: &RetryBody, glance: &Glance) -> Response {
    let (head, rules) = (&glance.head, &state.rules);
    let asked =
        body.deliver_at.as_deref().and_then(|text| times::parse(text).filter(|at| *at > head.accepted));
    let base = asked.unwrap_or(head.accepted);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, head.lane, suffix));
    let rows = head.channels.iter().map(|(channel, rows)| (channel.to_string(), *rows));
    let rows = rows.filter(|(_, rows)| *rows > 0).collect();
    show(old, suffix, rows, (head.due, moved), true)
}

async fn make(
    state: &AppState,
    old: &Suffix,
    tie: &Tie,
    body: &RetryBody,
    choice: &Choice,
    (head, caller): (&Head, &Caller),
) -> Result<Response, (Problem, Option<NothingStored>)> {
    let (now, rules) = (state.clock.now(), &state.rules);
    let asked = match &body.deliver_at {
        Some(text) => times::due(text, now, rules.max_ahead)
            .map_err(|flaw| (refused(vec![flaw]), Some(NothingStored::never_tried())))?,
        None => None,
    };
    let base = asked.unwrap_or(now);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, head.lane, &tie.suffix));
    let ask = RetryAsk { suffix: tie.suffix.clone(), due: moved.or(asked), digest: digest(old, body) };
    let chosen = |row: &posthaste_model::Row, outcome: RowState| {
        choice.states.contains(&outcome)
            && choice.recipients.as_ref().is_none_or(|wanted| wanted.contains(&row.recipient))
    };
    // Which rows these are is known when they are stored; so they are counted then, and none are stored when nothing is left.
    let never_tried = |problem| (problem, Some(NothingStored::never_tried()));
    let paid = head.channels.iter().map(|(channel, _)| channel).find(|channel| quota::is_paid(channel));
    let content = match paid {
        Some(_) => state.store.order_content(old).await.map_err(|error| never_tried(error.into()))?,
        None => None,
    };
    let by = (&caller.key_id, &tie.suffix);
    if let (Some(channel), Some(content)) = (paid, &content) {
        quota::look(state, by, content, channel).await.map_err(never_tried)?;
    }
    let counted = Mutex::new(Paid::default());
    let choose = |channel: &Channel, row: &posthaste_model::Row, outcome: RowState| {
        let chosen = chosen(row, outcome);
        if chosen && content.is_some() {
            counted.lock().unwrap_or_else(PoisonError::into_inner).add(channel, &row.address);
        }
        chosen
    };
    let accepted =
        state.store.retry_order(old, &ask, |channel, row, outcome| choose(channel, row, outcome.state)).await;
    let accepted = accepted.map_err(|error| {
        let told = match &error {
            AcceptError::Empty => {
                Problem::new(Code::NothingToRetry, "no row of the order is in these states")
            }
            error => problem(error, tie),
        };
        (told, error.nothing_stored())
    })?;
    count(&accepted);
    if let Some(content) = content.as_ref().filter(|_| !accepted.again) {
        let counted = counted.into_inner().unwrap_or_else(PoisonError::into_inner);
        quota::count(state, by, content, &counted).await;
    }
    let rows = stored(&accepted).into_iter().filter(|one| one.rows > 0).map(|one| (one.channel, one.rows));
    Ok(show(old, &accepted.suffix, rows.collect(), (accepted.due, moved), accepted.again))
}

/// The answer. `moved`: where quiet hours move what was asked for.
fn show(
    old: &Suffix,
    suffix: &Suffix,
    rows: BTreeMap<String, u32>,
    (due, moved): (UnixMs, Option<UnixMs>),
    again: bool,
) -> Response {
    let view = RetryView {
        order_id: suffix.order_id(),
        history_key: history_key(suffix),
        retry_of: old.order_id(),
        recipients: rows.values().sum(),
        rows,
        due_at: Moment(due),
        moved_by: moved.filter(|moved| *moved == due).map(|_| "quiet_hours"),
    };
    let location = HeaderValue::from_str(&format!("/v1/orders/{}", view.order_id));
    let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if again {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
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
