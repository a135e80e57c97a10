//! `GET /v1/senders/{id}/daily-limit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use posthaste_model::SenderId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::state::ReadState;
use crate::auth::Caller;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::timestamp::ApiTime;

/// Query of the limit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitQuery {
    /// The role whose limit applies; default: the role of the key.
    role: Option<String>,
}

/// How many orders a sender has sent today, and may still send.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DailyLimit)]
pub(super) struct DailyLimitView {
    /// Orders sent today.
    used: u32,
    /// Orders per day; `null`: no limit.
    #[schema(required = true)]
    limit: Option<u32>,
    /// Orders that may still be sent today; `null`: no limit.
    #[schema(required = true)]
    remaining: Option<u32>,
    /// When the next day begins.
    resets_at: ApiTime,
}

/// Show the daily limit of a sender
///
/// Needs the scope `read` or `write`.
#[utoipa::path(
    get, path = "/v1/senders/{id}/daily-limit", tag = "senders", operation_id = "getDailyLimit",
    params(("id" = String, Path, description = "The sender's id."), LimitQuery),
    responses(
        (status = 200, description = "Orders sent today, and the limit.", body = DailyLimitView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    caller: Caller,
    State(state): State<Arc<ReadState>>,
    Path(id): Path<String>,
    Parameters(requested): Parameters<LimitQuery>,
) -> Result<Json<DailyLimitView>, Problem> {
    use posthaste_store::KeyScope;
    if !caller.has(KeyScope::Read) && !caller.has(KeyScope::Write) {
        return Err(Problem::new(Code::InsufficientScope, "the key needs the scope read or write"));
    }
    let sender: SenderId = id.parse().map_err(|_| {
        Problem::parameter("id", "invalid_id", "must be 1 to 64 characters of A-Z a-z 0-9 _ -")
    })?;
    if !caller.acts_for(sender.as_str()) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender"));
    }
    let role = match (&caller.role, requested.role.as_deref()) {
        (Some(bound), Some(role)) if bound != role => {
            return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another role"));
        }
        (Some(bound), _) => Some(bound.as_str()),
        (None, role) => role,
    };
    let today = state.daily_limits.of(&sender, role).await?;
    Ok(Json(DailyLimitView {
        used: today.used,
        limit: today.limit,
        remaining: today.limit.map(|limit| limit.saturating_sub(today.used)),
        resets_at: ApiTime(today.ends),
    }))
}
