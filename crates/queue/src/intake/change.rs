//! `PATCH /v1/orders/{id}` and `POST /v1/orders/{id}/cancel`: reschedule or cancel an order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use posthaste_model::OrderId;
use posthaste_store::{Cancelled, OrderSummary, Rescheduled};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accept::unanswered;
use super::quiet_hours::QuietHours;
use super::state::IntakeState;
use super::times;
use super::validation_error::{ValidationCode, ValidationError, refused};
use crate::auth::Writer;
use crate::middleware::body::SmallJson;
use crate::order_response::OrderStatus;
use crate::parameters::OrderIdPath;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// How often a move is tried while other requests change the order too.
const TRIES: u32 = 4;

/// The new times.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// The new due time (RFC 3339 with an offset).
    deliver_at: String,
    /// The new expiry; if left out, the span between due time and expiry stays the same.
    expires_at: Option<String>,
}

/// The order's times after the move.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MovedView {
    /// When it is due.
    deliver_at: ApiTime,
    /// When it expires.
    expires_at: ApiTime,
    /// `quiet_hours` if quiet hours moved the order.
    #[schema(required = true)]
    delay_reason: Option<&'static str>,
}

/// The effect of cancelling.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancelledView {
    /// Deliveries that will not be sent.
    cancelled_count: u64,
    /// Deliveries that can no longer be stopped.
    too_late_count: u64,
}

/// Move an order to another time
///
/// Only possible before the order is due; afterwards the response is 409, and the member `order_status` gives the
/// order's status. Needs the scope `write`.
#[utoipa::path(
    patch, path = "/v1/orders/{id}", tag = "orders", operation_id = "moveOrder",
    params(("id" = String, Path, description = "The order's id.")),
    request_body = MoveBody,
    responses(
        (status = 200, description = "The order was moved.", body = MovedView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reschedule(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    OrderIdPath(order_id): OrderIdPath,
    SmallJson(body): SmallJson<MoveBody>,
) -> Result<Json<MovedView>, Problem> {
    caller.sees(&order_id)?;
    let summary = state.store.order_summary(&order_id, None).await?.ok_or_else(Problem::order_not_found)?;
    let (now, rules) = (state.clock.now(), &state.rules);
    let requested = times::due(&body.deliver_at, now, rules.max_ahead)
        .map_err(|field_error| refused(vec![field_error]))?;
    let base = requested.unwrap_or(now);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, summary.head.priority, &order_id));
    let due = moved.unwrap_or(base);
    let not_after = match &body.expires_at {
        Some(text) => Some(
            times::expires(text, due, rules.max_lifetime)
                .map_err(|field_error| refused(vec![field_error]))?,
        ),
        None => None,
    };
    let p = state.store.partition_of(&order_id);
    let mut revision = summary.revision;
    let mut tries = 1;
    let reply = loop {
        let answer = state.store.reschedule(p, &order_id, due, not_after, revision).await;
        match answer.map_err(|error| unanswered(&error, &order_id))?.reply {
            // Either the order is already as requested, or another request changed it in between.
            Rescheduled::Changed { due: is, not_after: ends, .. }
                if is == due && not_after.is_none_or(|end| end == ends) =>
            {
                break Rescheduled::Ok { due: is, not_after: ends };
            }
            Rescheduled::Changed { revision: now, .. } if tries < TRIES => {
                (revision, tries) = (now, tries + 1);
            }
            reply => break reply,
        }
    };
    match reply {
        Rescheduled::Ok { due, not_after } => Ok(Json(MovedView {
            deliver_at: ApiTime(due),
            expires_at: ApiTime(not_after),
            delay_reason: moved.map(|_| "quiet_hours"),
        })),
        Rescheduled::Changed { .. } => {
            Err(in_status("other requests are moving it too; try again", OrderStatus::Scheduled))
        }
        reply @ (Rescheduled::Started | Rescheduled::Finished) => {
            let now =
                state.store.order_summary(&order_id, Some(&summary)).await.ok().flatten().unwrap_or(summary);
            // A repeat of a move whose reply was lost, after the order became due.
            if let Some(view) = moved_before(&body, rules.quiet.as_ref(), &order_id, &now) {
                return Ok(Json(view));
            }
            Err(match reply {
                Rescheduled::Started => in_status("the order is already due", OrderStatus::Running),
                _ => in_status("every delivery of the order is final", OrderStatus::of(&now)),
            })
        }
        Rescheduled::Cancelled => Err(in_status("the order was cancelled", OrderStatus::Cancelled)),
        Rescheduled::ExpiresBeforeDue => {
            let field_error = ValidationError::new(
                "/expires_at",
                ValidationCode::ExpiresBeforeDelivery,
                "must be after the due time",
            );
            Err(refused(vec![field_error]))
        }
        Rescheduled::NotFound => Err(Problem::order_not_found()),
        Rescheduled::Unreadable => Err(unreadable()),
    }
}

/// Cancel an order
///
/// Stops the deliveries that can still be stopped, and returns how many there are. Cancelling again returns the same;
/// if every delivery is already final, the response is 409. Needs the scope `write`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "The order is cancelled.", body = CancelledView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    OrderIdPath(order_id): OrderIdPath,
) -> Result<Json<CancelledView>, Problem> {
    caller.sees(&order_id)?;
    let answer = state.store.cancel(state.store.partition_of(&order_id), &order_id).await;
    match answer.map_err(|error| unanswered(&error, &order_id))?.reply {
        Cancelled::Ok { stopped, too_late, .. } => {
            Ok(Json(CancelledView { cancelled_count: stopped, too_late_count: too_late }))
        }
        Cancelled::Finished => {
            let summary =
                state.store.order_summary(&order_id, None).await?.ok_or_else(Problem::order_not_found)?;
            Err(ended(&state, &order_id, summary).await)
        }
        Cancelled::NotFound => Err(Problem::order_not_found()),
        Cancelled::Unreadable => Err(unreadable()),
    }
}

/// The times of the order, if they are exactly those requested.
fn moved_before(
    body: &MoveBody,
    quiet: Option<&QuietHours>,
    order_id: &OrderId,
    now: &OrderSummary,
) -> Option<MovedView> {
    let (head, requested) = (&now.head, times::parse(&body.deliver_at)?);
    let moved = quiet.and_then(|quiet| quiet.moved(requested, head.priority, order_id));
    let ends = body.expires_at.as_deref().map(times::parse);
    let same = head.due == moved.unwrap_or(requested) && ends.is_none_or(|end| end == Some(head.not_after));
    (same && now.cancelled.is_none()).then(|| MovedView {
        deliver_at: ApiTime(head.due),
        expires_at: ApiTime(head.not_after),
        delay_reason: moved.map(|_| "quiet_hours"),
    })
}

/// The problem when every delivery is final: with or without failures, as the record says now.
async fn ended(state: &IntakeState, order_id: &OrderId, before: OrderSummary) -> Problem {
    let now = state.store.order_summary(order_id, Some(&before)).await.ok().flatten().unwrap_or(before);
    in_status("every delivery of the order is final", OrderStatus::of(&now))
}

fn in_status(detail: &'static str, status: OrderStatus) -> Problem {
    Problem::new(Code::OrderUnexpectedStatus, detail).with("order_status", status.word())
}

fn unreadable() -> Problem {
    Problem::unreadable(posthaste_store::UnreadableRecord::Damaged)
}
