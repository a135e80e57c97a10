//! Trackers: requests that wait for changes of an order, as a long poll or an event stream.
//!
//! All trackers of one order share one read of it; see [`order_watchers`].

mod events;
mod legacy_api;
mod order_watchers;
mod state;
mod tracker_permit;
mod wait;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use state::TrackersState;

/// The routes of trackers. They take a tracker permit instead of a work permit.
pub(crate) fn routes() -> OpenApiRouter<Arc<TrackersState>> {
    OpenApiRouter::new()
        .routes(routes!(wait::wait))
        .routes(routes!(events::stream))
        .routes(routes!(legacy_api::track))
}
