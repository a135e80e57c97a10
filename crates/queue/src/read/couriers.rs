//! `GET /v1/couriers`.

use axum::Json;
use axum::extract::State;
use posthaste_store::KeyScope;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::state::AppState;
use crate::timestamp::ApiTime;

/// All channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Couriers {
    couriers: Vec<Courier>,
    /// Partitions of the database that are unreachable now: couriers were only looked for in the others. Left out if
    /// all partitions answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions_missing: Vec<u16>,
}

/// One channel.
#[derive(Debug, Serialize, ToSchema)]
struct Courier {
    /// The channel's name.
    #[schema(example = "email")]
    channel: String,
    /// When one of its couriers was last seen.
    last_seen: Option<ApiTime>,
    /// Whether a courier is running now.
    present: bool,
    /// Whether the provider reports what happened to a message after taking it; `null` until a courier has reported it.
    receipts: Option<bool>,
}

/// List channels and their couriers
///
/// All channels that couriers or orders have named. Needs the scope `read` or `admin`.
#[utoipa::path(
    get, path = "/v1/couriers", tag = "couriers", operation_id = "listCouriers",
    responses(
        (status = 200, description = "The channels.", body = Couriers),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(caller: Caller, State(state): State<AppState>) -> Result<Json<Couriers>, Problem> {
    if !caller.has(KeyScope::Read) && !caller.has(KeyScope::Admin) {
        return Err(Problem::new(Code::InsufficientScope, "the key needs the scope read or admin"));
    }
    let receipts = state.receipts.said().await?;
    let couriers = state.store.couriers().await?.into_iter().map(|seen| Courier {
        receipts: receipts.get(&seen.channel).copied(),
        channel: seen.channel.to_string(),
        last_seen: seen.last_seen.map(ApiTime),
        present: seen.present,
    });
    let partitions_missing = state.store.partitions_away();
    Ok(Json(Couriers { couriers: couriers.collect(), partitions_missing }))
}
