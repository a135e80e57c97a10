//! `GET /v1/senders/{id}/limit`.

use axum::Json;
use axum::extract::{Path, State};
use posthaste_model::SenderId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Parameters;
use crate::auth::Caller;
use crate::intake::{LimitView, limit_of};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::state::AppState;

/// Query of the limit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitQuery {
    /// The role whose limit applies; default: the role of the key.
    role: Option<String>,
}

/// Show the daily limit of a sender
///
/// Needs the scope `read` or `enqueue`.
#[utoipa::path(
    get, path = "/v1/senders/{id}/limit", tag = "senders", operation_id = "getLimit",
    params(("id" = String, Path, description = "The sender's id."), LimitQuery),
    responses(
        (status = 200, description = "Orders sent today, and the limit.", body = LimitView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    caller: Caller,
    State(state): State<AppState>,
    Path(id): Path<String>,
    Parameters(asked): Parameters<LimitQuery>,
) -> Result<Json<LimitView>, Problem> {
    use posthaste_store::KeyScope;
    if !caller.has(KeyScope::Read) && !caller.has(KeyScope::Enqueue) {
        return Err(Problem::new(Code::InsufficientScope, "the key needs the scope read or enqueue"));
    }
    let sender: SenderId = id.parse().map_err(|_| {
        Problem::parameter("id", "invalid_id", "must be 1 to 64 characters of A-Z a-z 0-9 _ -")
    })?;
    if !caller.acts_for(sender.as_str()) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender"));
    }
    let role = match (&caller.role, asked.role.as_deref()) {
        (Some(bound), Some(role)) if bound != role => {
            return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another role"));
        }
        (Some(bound), _) => Some(bound.as_str()),
        (None, role) => role,
    };
    limit_of(&state, &sender, role).await.map(Json)
}
