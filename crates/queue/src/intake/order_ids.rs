//! `POST /v1/order-ids`: an id for a future order. Nothing is stored until the order is created.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::order::SenderBody;
use super::state::IntakeState;
use super::validated_order;
use crate::auth::Writer;
use crate::middleware::body::SmallJson;
use crate::problem::{Problem, ProblemDocument};

/// The sender of the future order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderIdBody {
    /// The sender; default: the sender of the key.
    sender_id: Option<String>,
}

/// A unique order id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderIdView {
    /// For use in `PUT /v1/orders/{id}`.
    #[schema(example = "u17.1763618400000000000")]
    id: String,
}

/// Create an order id
///
/// Nothing is stored until the order is created; the order may be waited for before. Needs the scope `write`.
#[utoipa::path(
    post, path = "/v1/order-ids", tag = "orders", operation_id = "createOrderId",
    request_body = OrderIdBody,
    responses(
        (status = 200, description = "The id.", body = OrderIdView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    SmallJson(body): SmallJson<OrderIdBody>,
) -> Result<Json<OrderIdView>, Problem> {
    let sender = SenderBody { id: body.sender_id, ..SenderBody::default() };
    let (sender, _) = validated_order::sender(&caller, Some(&sender), None)?;
    let order_id = state.mint(&sender);
    Ok(Json(OrderIdView { id: order_id.wire_id() }))
}
