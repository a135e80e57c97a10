//! `GET /v1/couriers`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use posthaste_store::KeyScope;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ReadState;
use crate::auth::Caller;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// All channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CourierList {
    /// One for each channel.
    items: Vec<Courier>,
    /// Partitions of the database that are unreachable now: couriers were only looked for in the others.
    partitions_missing: Vec<u16>,
}

/// One channel.
#[derive(Debug, Serialize, ToSchema)]
struct Courier {
    /// The channel's name.
    #[schema(example = "email")]
    channel: String,
    /// When one of its couriers was last seen.
    #[schema(required = true)]
    last_seen_at: Option<ApiTime>,
    /// Whether a courier is running now.
    online: bool,
    /// What its couriers do, the best of them: `working`, `paused` (the provider asked to wait), `resting` (the provider
    /// keeps failing, so calls rest), `stopped` (an operator must fix something), `silent` (a courier was there a moment
    /// ago), `absent`.
    #[schema(example = "working")]
    state: &'static str,
    /// Since when; `null` if no courier has reported it.
    #[schema(required = true)]
    since: Option<ApiTime>,
    /// When that may end by itself, if known.
    #[schema(required = true)]
    until: Option<ApiTime>,
    /// Why, in words for operators.
    #[schema(required = true)]
    cause: Option<String>,
    /// What to do about it; `null` while there is nothing to do.
    #[schema(required = true)]
    remedy: Option<&'static str>,
    /// Number of couriers that report.
    courier_count: usize,
    /// Deliveries that are due and not sent, as measured within the last seconds.
    waiting_count: u64,
    /// When the oldest of them was due, whatever was tried since.
    #[schema(required = true)]
    oldest_due_at: Option<ApiTime>,
    /// Whether the provider reports what happened to a message after taking it; `null` until a courier has reported it.
    #[schema(required = true)]
    delivery_receipts: Option<bool>,
}

/// List channels and their couriers
///
/// All channels that couriers or orders have named. Needs the scope `read` or `admin`.
#[utoipa::path(
    get, path = "/v1/couriers", tag = "couriers", operation_id = "listCouriers",
    responses(
        (status = 200, description = "The channels.", body = CourierList),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    caller: Caller,
    State(state): State<Arc<ReadState>>,
) -> Result<Json<CourierList>, Problem> {
    if !caller.has(KeyScope::Read) && !caller.has(KeyScope::Admin) {
        return Err(Problem::new(Code::InsufficientScope, "the key needs the scope read or admin"));
    }
    let receipts = state.receipts.current().await?;
    let channels = state.store.couriers().await?;
    let waiting = state.backlogs.current(&channels).await?;
    let items = channels.into_iter().map(|seen| Courier {
        delivery_receipts: receipts.get(&seen.channel).copied(),
        state: seen.state.word(),
        since: seen.since.map(ApiTime),
        until: seen.until.map(ApiTime),
        cause: seen.why,
        remedy: seen.state.remedy(),
        courier_count: seen.couriers,
        waiting_count: waiting.get(&seen.channel).map_or(0, |backlog| backlog.deliveries),
        oldest_due_at: waiting.get(&seen.channel).and_then(|backlog| backlog.oldest).map(ApiTime),
        channel: seen.channel.to_string(),
        last_seen_at: seen.last_seen.map(ApiTime),
        online: seen.present,
    });
    let partitions_missing = state.store.partitions_away();
    Ok(Json(CourierList { items: items.collect(), partitions_missing }))
}
