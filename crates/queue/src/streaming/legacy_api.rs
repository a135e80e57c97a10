//! `POST /track`: the long poll of the legacy API.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use posthaste_model::OrderId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::state::TrackersState;
use super::wait::Poll;
use crate::auth::Reader;
use crate::middleware::body::SmallJson;
use crate::order_response::OrderView;
use crate::problem::{Code, Problem, ProblemDocument, Violation};

/// Body of the long poll.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackBody {
    /// `history:<sender id>:<nanoseconds>`; the order need not exist yet.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
    /// Number of changes to wait for.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 16)]
    touch_count: u64,
    /// Maximum seconds to wait.
    #[serde(default = "ten")]
    #[schema(minimum = 0, maximum = 10)]
    timeout: u64,
}

fn one() -> u64 {
    1
}

fn ten() -> u64 {
    10
}

/// Result of the long poll.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tracked {
    /// The order; null if it does not exist yet.
    #[schema(value_type = Option<HistoryView>, required = true)]
    history: Option<Box<RawValue>>,
    /// Whether the time ran out first.
    timeouted: bool,
}

/// An order with its history key.
#[derive(ToSchema, Serialize)]
#[schema(as = History)]
struct HistoryView {
    /// The key that it was requested by.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
    /// The order, as in `GET /v1/orders/{id}`.
    #[serde(flatten)]
    order: OrderView,
}

/// Track a history (legacy API)
///
/// Responds after `touch_count` changes, or when the time runs out. Needs the scope `read`.
#[utoipa::path(
    post, path = "/track", tag = "legacy", operation_id = "track",
    request_body = TrackBody,
    responses(
        (status = 200, description = "The current order.", body = Tracked),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn track(
    Reader(caller): Reader,
    State(state): State<Arc<TrackersState>>,
    SmallJson(body): SmallJson<TrackBody>,
) -> Result<Response, Problem> {
    let order_id =
        body.history_key.strip_prefix("history:").and_then(|order_id| order_id.parse::<OrderId>().ok());
    let order_id =
        order_id.ok_or_else(|| violation("/history_key", "must be history:<sender id>:<nanoseconds>"))?;
    if !(1..=16).contains(&body.touch_count) {
        return Err(violation("/touch_count", "must be 1 to 16"));
    }
    if body.timeout > 10 {
        return Err(violation("/timeout", "must be 0 to 10"));
    }
    caller.sees(&order_id)?;
    let until = Instant::now() + Duration::from_secs(body.timeout);
    let poll = Poll { touches: body.touch_count, since: None, until, ends: false };
    let (order, timeouted) = poll.run(&state, &caller, &order_id).await?;
    let history = order.and_then(|order| with_key(&body.history_key, &order));
    Ok(Json(Tracked { history, timeouted }).into_response())
}

/// The order as JSON, with its history key as the first field. The key was parsed, so it needs no escapes.
fn with_key(history_key: &str, order: &RawValue) -> Option<Box<RawValue>> {
    let fields = order.get().strip_prefix('{')?;
    RawValue::from_string(format!("{{\"history_key\":\"{history_key}\",{fields}")).ok()
}

fn violation(pointer: &str, rule: &'static str) -> Problem {
    Problem::new(Code::ValidationFailed, "a field of the body is invalid")
        .with_errors([Violation::at(pointer, "invalid", rule)])
}
