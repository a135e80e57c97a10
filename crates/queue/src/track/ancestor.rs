//! `POST /track`: the long poll as the ancestor had it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use posthaste_model::Suffix;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::wait::Poll;
use crate::auth::Reader;
use crate::edge::body::SmallJson;
use crate::problem::{Code, Problem, ProblemDocument, Violation};
use crate::state::AppState;
use crate::view::OrderView;

/// What is tracked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackBody {
    /// `history:<sender id>:<nanoseconds>`; the order need not be there yet.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
    /// Changes to wait for.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 16)]
    touch_count: u64,
    /// Seconds to wait at most.
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

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tracked {
    /// The order; null as long as there is none.
    #[schema(value_type = Option<OrderView>)]
    history: Option<Box<RawValue>>,
    /// Whether the time was over first.
    timeouted: bool,
}

/// Track a history (the ancestor's path)
///
/// Answers after `touch_count` changes, or when the time is over. Needs the scope `read`.
#[utoipa::path(
    post, path = "/track", tag = "ancestor", operation_id = "track",
    request_body = TrackBody,
    responses(
        (status = 200, description = "The order as it is then.", body = Tracked),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn track(
    Reader(caller): Reader,
    State(state): State<AppState>,
    SmallJson(body): SmallJson<TrackBody>,
) -> Result<Response, Problem> {
    let suffix = body.history_key.strip_prefix("history:").and_then(|suffix| suffix.parse::<Suffix>().ok());
    let suffix = suffix.ok_or_else(|| violation("/history_key", "history:<sender id>:<nanoseconds>"))?;
    if !(1..=16).contains(&body.touch_count) {
        return Err(violation("/touch_count", "1 to 16"));
    }
    if body.timeout > 10 {
        return Err(violation("/timeout", "0 to 10"));
    }
    caller.sees(&suffix)?;
    let until = Instant::now() + Duration::from_secs(body.timeout);
    let poll = Poll { touches: body.touch_count, since: None, until, ends: false };
    let (history, timeouted) = poll.run(&state, &caller, &suffix).await?;
    Ok(Json(Tracked { history, timeouted }).into_response())
}

fn violation(pointer: &str, rule: &'static str) -> Problem {
    Problem::new(Code::InvalidBody, "a field of the body is wrong")
        .with_errors([Violation::at(pointer, "invalid", rule)])
}
