//! `POST /v1/orders/{id}/retry`: a new order from selected deliveries of an old one.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{Channel, OrderId, SenderId, State as DeliveryState, UnixMs};
use posthaste_store::{
    AcceptError, CallError, Head, NothingStored, OrderSummary, RetriedOrder, RetryRequest,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accept::{count, problem};
use super::answer::stored;
use super::idempotency::{IdempotencyBinding, IdempotencyKey, REPLAYED, outcome_unknown};
use super::settings::is_role;
use super::sms_limits::{self, Paid};
use super::state::IntakeState;
use super::validation_error::{ValidationCode, ValidationError, refused};
use super::{digest, send_as, times};
use crate::auth::{Caller, Writer};
use crate::middleware::body::SmallJson;
use crate::parameters::OrderIdPath;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// Maximum recipients that may be named.
const MOST_RECIPIENTS: usize = 1_000;
/// States that may be retried without naming recipients: the message did not get through, or the outcome is unknown.
const LOST: &[DeliveryState] = &[
    DeliveryState::Failed,
    DeliveryState::Unknown,
    DeliveryState::Suppressed,
    DeliveryState::Expired,
    DeliveryState::Cancelled,
];
/// States that may be retried only for named recipients: the message got through, so the duplicate is intended.
const THROUGH: &[DeliveryState] = &[DeliveryState::Sent, DeliveryState::Delivered];

/// Which deliveries to retry.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryBody {
    /// Deliveries with these statuses: `failed`, `unknown`, `suppressed`, `expired`, `cancelled`; with `recipient_ids` also
    /// `sent`, `delivered`. Default: the first five.
    statuses: Option<Vec<String>>,
    /// Deliveries of these recipients, at most 1,000; default: all recipients.
    recipient_ids: Option<Vec<String>>,
    /// When the new order is due (RFC 3339 with an offset); default: now. A past time means now.
    deliver_at: Option<String>,
}

/// The new order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RetryView {
    /// Its id.
    id: String,
    /// The order whose deliveries are retried.
    retry_of: String,
    /// Number of deliveries retried.
    delivery_count: u32,
    /// The same, by channel.
    delivery_counts: BTreeMap<String, u32>,
    /// Number of matching deliveries left out because their address is on a suppression list now: remove the entries
    /// first, then retry. `null` if none was left out, and in a replayed response.
    #[schema(required = true)]
    suppressed_count: Option<u32>,
    /// When it is due.
    deliver_at: ApiTime,
    /// `quiet_hours` if quiet hours moved the order.
    #[schema(required = true)]
    delay_reason: Option<&'static str>,
}

/// The checked selection.
#[derive(Debug)]
struct Choice {
    states: Vec<DeliveryState>,
    recipients: Option<HashSet<String>>,
}

/// Retry deliveries of an order
///
/// Creates a new order with the text of the old one, which is not changed. Deliveries whose outcome is still being
/// resolved are not included, nor those whose address is on a suppression list: `suppressed_count` says how many. If
/// nothing else matches, the response is 409 `nothing_to_retry` with the member `suppressed_count`. With
/// `Idempotency-Key`, a repeat within 24 hours returns the same order. A retry does not count towards the daily limit.
/// Needs the scope `write`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/retry", tag = "orders", operation_id = "retryOrder",
    params(
        ("id" = String, Path, description = "The order's id."),
        ("Idempotency-Key" = Option<String>, Header, description = "A unique name for this request."),
    ),
    request_body = RetryBody,
    responses(
        (status = 202, description = "The new order is stored.", body = RetryView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn retry(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    OrderIdPath(old): OrderIdPath,
    headers: HeaderMap,
    SmallJson(body): SmallJson<RetryBody>,
) -> Result<Response, Problem> {
    caller.sees(&old)?;
    let key = IdempotencyKey::of(&headers)?;
    let choice = choice(&body)?;
    // The new order has the text and sender of the old one, which may have been allowed for another key.
    if let Some(content) = state.store.order_content(&old).await? {
        send_as::check(&caller, &content)?;
    }
    let sender: SenderId = old.sender().parse().map_err(|_| Problem::order_not_found())?;
    let summary = state.store.order_summary(&old, None).await?.ok_or_else(Problem::order_not_found)?;
    let tie = IdempotencyBinding::new(&state, &sender, None, key.as_ref(), digest(&old, &body)).await?;
    if tie.before {
        // The old order's deliveries may have changed since: build the response from what was stored.
        let stored = state.store.confirmed_order_summary(&tie.order_id).await;
        let stored = stored.map_err(|error| unanswered_before(&error, &tie.order_id))?;
        if let Some(summary) = stored {
            return Ok(replay(&state, &old, &tie.order_id, &body, &summary));
        }
    }
    match make(&state, &old, &tie, &body, &choice, (&summary.head, &caller)).await {
        Ok(made) => Ok(made),
        Err((problem, proof)) => {
            let Some(proof) = proof else { return Err(problem) };
            let alone = tie.undo(&state, &proof).await;
            Err(tie.reported(&state, problem, alone).await)
        }
    }
}

/// The problem when it can't be read what an earlier request stored.
fn unanswered_before(error: &CallError, order_id: &OrderId) -> Problem {
    if let CallError::Fatal(_) = error { error.into() } else { outcome_unknown(order_id) }
}

/// The response to a retry that was accepted before.
fn replay(
    state: &IntakeState,
    old: &OrderId,
    order_id: &OrderId,
    body: &RetryBody,
    summary: &OrderSummary,
) -> Response {
    let (head, rules) = (&summary.head, &state.rules);
    let requested =
        body.deliver_at.as_deref().and_then(|text| times::parse(text).filter(|at| *at > head.accepted));
    let base = requested.unwrap_or(head.accepted);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, head.priority, order_id));
    let deliveries = head.channels.iter().map(|(channel, deliveries)| (channel.to_string(), *deliveries));
    let deliveries = deliveries.filter(|(_, deliveries)| *deliveries > 0).collect();
    show(old, order_id, deliveries, (head.due, moved), None, true)
}

async fn make(
    state: &IntakeState,
    old: &OrderId,
    tie: &IdempotencyBinding,
    body: &RetryBody,
    choice: &Choice,
    (head, caller): (&Head, &Caller),
) -> Result<Response, (Problem, Option<NothingStored>)> {
    let (now, rules) = (state.clock.now(), &state.rules);
    let requested = match &body.deliver_at {
        Some(text) => times::due(text, now, rules.max_ahead)
            .map_err(|field_error| (refused(vec![field_error]), Some(NothingStored::never_tried())))?,
        None => None,
    };
    let base = requested.unwrap_or(now);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, head.priority, &tie.order_id));
    let ask =
        RetryRequest { order_id: tie.order_id.clone(), due: moved.or(requested), digest: digest(old, body) };
    let chosen = |delivery: &posthaste_model::Delivery, outcome: DeliveryState| {
        choice.states.contains(&outcome)
            && choice.recipients.as_ref().is_none_or(|wanted| wanted.contains(&delivery.recipient))
    };
    // The selection is only known when it is stored, so its messages are counted then; if nothing is left, nothing is stored.
    let never_tried = |problem| (problem, Some(NothingStored::never_tried()));
    let paid = head.channels.iter().map(|(channel, _)| channel).find(|channel| sms_limits::is_paid(channel));
    let content = match paid {
        Some(_) => state.store.order_content(old).await.map_err(|error| never_tried(error.into()))?,
        None => None,
    };
    let by = (&caller.key_id, &tie.order_id);
    if let (Some(channel), Some(content)) = (paid, &content) {
        state.sms_limits.look(by, content, channel).await.map_err(never_tried)?;
    }
    let counted = Mutex::new(Paid::default());
    let take = |channel: &Channel, delivery: &posthaste_model::Delivery| {
        if content.is_some() {
            counted.lock().unwrap_or_else(PoisonError::into_inner).add(channel, &delivery.address);
        }
    };
    let retried = state
        .store
        .retry_order(old, &ask, |_, delivery, outcome| chosen(delivery, outcome.state), take)
        .await;
    let RetriedOrder { accepted, suppressed } = retried.map_err(|error| {
        let reported = match &error {
            AcceptError::Empty => {
                let detail = "nothing to retry: no delivery, of these recipients, has one of the statuses";
                Problem::new(Code::NothingToRetry, detail)
            }
            error => problem(error, tie),
        };
        (reported, error.nothing_stored())
    })?;
    count(&accepted);
    if let Some(content) = content.as_ref().filter(|_| !accepted.already_done) {
        let counted = counted.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.sms_limits.count(by, content, &counted).await;
    }
    let deliveries = stored(&accepted)
        .into_iter()
        .filter(|one| one.deliveries > 0)
        .map(|one| (one.channel, one.deliveries));
    let again = accepted.already_done;
    let suppressed = Some(suppressed).filter(|count| *count > 0 && !again);
    Ok(show(old, &accepted.order_id, deliveries.collect(), (accepted.due, moved), suppressed, again))
}

/// The problem when only suppressed deliveries match.
pub(super) fn all_suppressed(count: u32) -> Problem {
    let detail = format!("{count} suppressed: remove them from the suppression list first, then retry");
    Problem::new(Code::NothingToRetry, detail).with("suppressed_count", count)
}

/// The response. `moved`: the time that quiet hours move the requested one to. `again`: the order was stored by an
/// earlier request.
fn show(
    old: &OrderId,
    order_id: &OrderId,
    deliveries: BTreeMap<String, u32>,
    (due, moved): (UnixMs, Option<UnixMs>),
    suppressed: Option<u32>,
    again: bool,
) -> Response {
    let view = RetryView {
        id: order_id.wire_id(),
        retry_of: old.wire_id(),
        delivery_count: deliveries.values().sum(),
        delivery_counts: deliveries,
        suppressed_count: suppressed,
        deliver_at: ApiTime(due),
        delay_reason: moved.filter(|moved| *moved == due).map(|_| "quiet_hours"),
    };
    let location = HeaderValue::from_str(&format!("/v1/orders/{}", view.id));
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
    let mut field_errors = Vec::new();
    let mut states = Vec::new();
    for (at, name) in body.statuses.iter().flatten().enumerate() {
        let named = body.recipient_ids.is_some();
        let allowed = LOST.iter().chain(THROUGH.iter().filter(|_| named)).find(|state| state.word() == name);
        match allowed {
            Some(state) => states.push(*state),
            None => {
                let detail = "must be failed, unknown, suppressed, expired or cancelled; with recipient_ids also sent or delivered";
                field_errors.push(ValidationError::new(
                    format!("/statuses/{at}"),
                    ValidationCode::UnknownValue,
                    detail,
                ));
            }
        }
    }
    if body.statuses.as_ref().is_some_and(Vec::is_empty) {
        field_errors.push(ValidationError::new(
            "/statuses",
            ValidationCode::Required,
            "name at least one, or leave it out",
        ));
    }
    let ids = body.recipient_ids.as_deref().unwrap_or_default();
    if body.recipient_ids.is_some() && (ids.is_empty() || ids.len() > MOST_RECIPIENTS) {
        field_errors.push(ValidationError::new(
            "/recipient_ids",
            ValidationCode::TooMany,
            "must have 1 to 1,000 entries",
        ));
    }
    for (at, _) in ids.iter().enumerate().filter(|(_, id)| !is_role(id)) {
        field_errors.push(ValidationError::new(
            format!("/recipient_ids/{at}"),
            ValidationCode::InvalidId,
            "must be 1 to 64 characters of A-Z a-z 0-9 _ -",
        ));
    }
    if !field_errors.is_empty() {
        field_errors.truncate(super::validation_error::MAX_ERRORS);
        return Err(refused(field_errors));
    }
    if states.is_empty() {
        states.extend_from_slice(LOST);
    }
    Ok(Choice { states, recipients: body.recipient_ids.clone().map(HashSet::from_iter) })
}

/// A repeated request is recognised by its content.
fn digest(old: &OrderId, body: &RetryBody) -> [u8; 12] {
    let RetryBody { statuses, recipient_ids, deliver_at } = body;
    let join = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(",")).unwrap_or_default();
    let (statuses, ids) = (join(statuses), join(recipient_ids));
    let at = deliver_at.as_deref().unwrap_or_default();
    digest::of_bytes(&[b"retry", old.as_str().as_bytes(), statuses.as_bytes(), ids.as_bytes(), at.as_bytes()])
}
