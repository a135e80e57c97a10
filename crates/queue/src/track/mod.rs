//! Trackers: who waits for the changes of an order, by long poll or as a stream of events.
//!
//! All trackers of one order share one look at it; see [`Hub`].

mod ancestor;
mod events;
mod hub;
mod place;
mod wait;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use hub::Hub;

use crate::state::AppState;

/// The routes of trackers. They hold no place for work, but one for trackers.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(wait::wait))
        .routes(routes!(events::stream))
        .routes(routes!(ancestor::track))
}
