//! Trackers: requests that wait for changes of an order, as a long poll or an event stream.
//!
//! All trackers of one order share one read of it; see [`OrderWatchers`].

mod events;
mod legacy_api;
mod order_watchers;
mod tracker_permit;
mod wait;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use order_watchers::OrderWatchers;

use crate::state::AppState;

/// The routes of trackers. They take a tracker permit instead of a work permit.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(wait::wait))
        .routes(routes!(events::stream))
        .routes(routes!(legacy_api::track))
}
