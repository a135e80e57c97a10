//! `PATCH /v1/orders/{id}` and `POST /v1/orders/{id}/cancel`: another time, or not at all.

use axum::Json;
use axum::extract::State;
use posthaste_model::Suffix;
use posthaste_store::{Cancelled, Glance, Rescheduled};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accept::unanswered;
use super::flaw::{Flaw, FlawCode, refused};
use super::quiet::QuietHours;
use super::times;
use crate::auth::Enqueuer;
use crate::edge::body::SmallJson;
use crate::moment::Moment;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::OrderId;
use crate::state::AppState;
use crate::view::OrderState;

/// Tries of a move while others change the order too.
const TRIES: u32 = 4;

/// Another time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// When it is due now (RFC 3339 with an offset).
    deliver_at: String,
    /// When it ends now; the span between due time and end stays when left out.
    not_after: Option<String>,
}

/// The new times.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MovedView {
    /// When it is due.
    due_at: Moment,
    /// When it ends.
    not_after: Moment,
    /// `quiet_hours` when they moved it on.
    moved_by: Option<&'static str>,
}

/// What cancelling did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancelledView {
    /// Rows that will not be sent.
    cancelled: u64,
    /// Rows it came too late for.
    too_late: u64,
}

/// Move an order to another time
///
/// Only before its time has come: else 409, and the member `state` says how far it is. Needs the scope `enqueue`.
#[utoipa::path(
    patch, path = "/v1/orders/{id}", tag = "orders", operation_id = "moveOrder",
    params(("id" = String, Path, description = "The order's id.")),
    request_body = MoveBody,
    responses(
        (status = 200, description = "It was moved.", body = MovedView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reschedule(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
    SmallJson(body): SmallJson<MoveBody>,
) -> Result<Json<MovedView>, Problem> {
    caller.sees(&suffix)?;
    let glance = state.store.glance(&suffix, None).await?.ok_or_else(Problem::order_not_found)?;
    let (now, rules) = (state.clock.now(), &state.rules);
    let asked = times::due(&body.deliver_at, now, rules.max_ahead).map_err(|flaw| refused(vec![flaw]))?;
    let base = asked.unwrap_or(now);
    let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, glance.head.lane, &suffix));
    let due = moved.unwrap_or(base);
    let not_after = match &body.not_after {
        Some(text) => Some(times::not_after(text, due, rules.max_span).map_err(|flaw| refused(vec![flaw]))?),
        None => None,
    };
    let p = state.store.partition_of(&suffix);
    let mut revision = glance.revision;
    let mut tries = 1;
    let reply = loop {
        let answer = state.store.reschedule(p, &suffix, due, not_after, revision).await;
        match answer.map_err(|error| unanswered(&error, &suffix))?.reply {
            // It is as was asked, or was changed by somebody else in between.
            Rescheduled::Moved { due: is, not_after: ends, .. }
                if is == due && not_after.is_none_or(|end| end == ends) =>
            {
                break Rescheduled::Ok { due: is, not_after: ends };
            }
            Rescheduled::Moved { revision: now, .. } if tries < TRIES => {
                (revision, tries) = (now, tries + 1);
            }
            reply => break reply,
        }
    };
    match reply {
        Rescheduled::Ok { due, not_after } => Ok(Json(MovedView {
            due_at: Moment(due),
            not_after: Moment(not_after),
            moved_by: moved.map(|_| "quiet_hours"),
        })),
        Rescheduled::Moved { .. } => Err(in_state("others are moving it too", OrderState::Scheduled)),
        reply @ (Rescheduled::Rung | Rescheduled::Final) => {
            let now = state.store.glance(&suffix, Some(&glance)).await.ok().flatten().unwrap_or(glance);
            // A repeat of a move whose answer was lost, and whose time has come meanwhile.
            if let Some(view) = moved_before(&body, rules.quiet.as_ref(), &suffix, &now) {
                return Ok(Json(view));
            }
            Err(match reply {
                Rescheduled::Rung => in_state("its time has come", OrderState::Running),
                _ => in_state("every row is final", OrderState::of(&now)),
            })
        }
        Rescheduled::Cancelled => Err(in_state("it was cancelled", OrderState::Cancelled)),
        Rescheduled::Late => {
            let flaw = Flaw::new("/not_after", FlawCode::EndsBeforeDue, "it must be after the due time");
            Err(refused(vec![flaw]))
        }
        Rescheduled::Gone => Err(Problem::order_not_found()),
        Rescheduled::Unreadable => Err(unreadable()),
    }
}

/// Cancel an order
///
/// Stops what can still be stopped, and says how much that is. Cancelling again answers the same; an order whose every row is
/// final answers 409. Needs the scope `enqueue`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "It is cancelled.", body = CancelledView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
) -> Result<Json<CancelledView>, Problem> {
    caller.sees(&suffix)?;
    let answer = state.store.cancel(state.store.partition_of(&suffix), &suffix).await;
    match answer.map_err(|error| unanswered(&error, &suffix))?.reply {
        Cancelled::Ok { stopped, too_late, .. } => Ok(Json(CancelledView { cancelled: stopped, too_late })),
        Cancelled::Final => {
            let glance = state.store.glance(&suffix, None).await?.ok_or_else(Problem::order_not_found)?;
            Err(ended(&state, &suffix, glance).await)
        }
        Cancelled::Gone => Err(Problem::order_not_found()),
        Cancelled::Unreadable => Err(unreadable()),
    }
}

/// The times of an order that has exactly those asked for.
fn moved_before(
    body: &MoveBody,
    quiet: Option<&QuietHours>,
    suffix: &Suffix,
    now: &Glance,
) -> Option<MovedView> {
    let (head, asked) = (&now.head, times::parse(&body.deliver_at)?);
    let moved = quiet.and_then(|quiet| quiet.moved(asked, head.lane, suffix));
    let ends = body.not_after.as_deref().map(times::parse);
    let same = head.due == moved.unwrap_or(asked) && ends.is_none_or(|end| end == Some(head.not_after));
    (same && now.cancelled.is_none()).then(|| MovedView {
        due_at: Moment(head.due),
        not_after: Moment(head.not_after),
        moved_by: moved.map(|_| "quiet_hours"),
    })
}

/// Every row is final: with or without failures, as the record says now.
async fn ended(state: &AppState, suffix: &Suffix, before: Glance) -> Problem {
    let now = state.store.glance(suffix, Some(&before)).await.ok().flatten().unwrap_or(before);
    in_state("every row is final", OrderState::of(&now))
}

fn in_state(detail: &'static str, state: OrderState) -> Problem {
    Problem::new(Code::OrderState, detail).with("state", state.word())
}

fn unreadable() -> Problem {
    Problem::unreadable(posthaste_store::Unreadable::Damaged)
}
