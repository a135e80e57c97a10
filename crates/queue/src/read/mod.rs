//! Reads orders, their deliveries, couriers and limits.

mod couriers;
mod deliveries;
mod delivery_list;
mod limit;
mod order_details;
mod orders;
mod state;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use state::ReadState;

/// The routes that read.
pub(crate) fn routes() -> OpenApiRouter<Arc<ReadState>> {
    OpenApiRouter::new()
        .routes(routes!(orders::list))
        .routes(routes!(orders::show))
        .routes(routes!(delivery_list::list))
        .routes(routes!(couriers::list))
        .routes(routes!(limit::show))
}
