//! `GET /v1/couriers`.

use axum::Json;
use axum::extract::State;
use posthaste_store::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::moment::Moment;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::state::AppState;

/// The channels there are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Couriers {
    couriers: Vec<Courier>,
    /// Partitions of the database that do not answer now: couriers were looked for in the others. Missing when all answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions_missing: Vec<u16>,
}

/// One channel.
#[derive(Debug, Serialize, ToSchema)]
struct Courier {
    /// Its name.
    #[schema(example = "email")]
    channel: String,
    /// When a courier of it was last seen.
    last_seen: Option<Moment>,
    /// Whether one is there now.
    present: bool,
    /// Whether word comes of what became of a message after its provider took it; `null` as long as no courier said so.
    receipts: Option<bool>,
}

/// Channels and their couriers
///
/// All channels that couriers or orders named. Needs the scope `read` or `admin`.
#[utoipa::path(
    get, path = "/v1/couriers", tag = "couriers", operation_id = "listCouriers",
    responses(
        (status = 200, description = "The channels.", body = Couriers),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(caller: Caller, State(state): State<AppState>) -> Result<Json<Couriers>, Problem> {
    if !caller.has(Scope::Read) && !caller.has(Scope::Admin) {
        return Err(Problem::new(Code::ScopeMissing, "the key lacks the scopes read and admin"));
    }
    let receipts = state.receipts.said().await?;
    let couriers = state.store.couriers().await?.into_iter().map(|seen| Courier {
        receipts: receipts.get(&seen.channel).copied(),
        channel: seen.channel.to_string(),
        last_seen: seen.last_seen.map(Moment),
        present: seen.present,
    });
    let partitions_missing = state.store.partitions_away();
    Ok(Json(Couriers { couriers: couriers.collect(), partitions_missing }))
}
