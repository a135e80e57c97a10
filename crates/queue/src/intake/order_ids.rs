//! `POST /v1/order-ids`: an id for an order that will come. Nothing is stored until it comes.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::history_key;
use super::draft;
use super::order::SenderBody;
use crate::auth::Enqueuer;
use crate::edge::body::SmallJson;
use crate::problem::{Problem, ProblemDocument};
use crate::state::AppState;

/// Whose order it will be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderIdBody {
    /// The sender; that of the key when left out.
    sender_id: Option<String>,
}

/// An id that no other order has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderIdView {
    /// For `PUT /v1/orders/{id}`.
    #[schema(example = "u17.1763618400000000000")]
    order_id: String,
    /// The same, as the history will be called.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
}

/// Make an id for an order
///
/// Nothing is stored until the order comes; it may be tracked before. Needs the scope `enqueue`.
#[utoipa::path(
    post, path = "/v1/order-ids", tag = "orders", operation_id = "createOrderId",
    request_body = OrderIdBody,
    responses(
        (status = 200, description = "The id.", body = OrderIdView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    SmallJson(body): SmallJson<OrderIdBody>,
) -> Result<Json<OrderIdView>, Problem> {
    let sender = SenderBody { id: body.sender_id, ..SenderBody::default() };
    let (sender, _) = draft::sender(&caller, Some(&sender), None)?;
    let suffix = state.mint(&sender);
    Ok(Json(OrderIdView { order_id: suffix.order_id(), history_key: history_key(&suffix) }))
}
