//! Reads orders, their deliveries, couriers and limits.

mod couriers;
mod deliveries;
mod delivery_list;
mod limit;
mod orders;
mod page;
mod parameters;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use orders::provenance;
pub(crate) use page::link;
pub(crate) use parameters::{OrderIdPath, Parameters, flag, number};

use crate::state::AppState;

/// The routes that read.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(orders::list))
        .routes(routes!(orders::show))
        .routes(routes!(delivery_list::list))
        .routes(routes!(couriers::list))
        .routes(routes!(limit::show))
}
