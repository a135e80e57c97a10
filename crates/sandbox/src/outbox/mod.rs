//! The HTTP port: what was recorded, as JSON and as a plain page, and faults at run time.

mod api;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listen;
mod message;
mod page;
mod parts;
mod places;
mod problem;
mod query;
mod setting;
mod style;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::faults::Faults;
use crate::record::Record;

pub(crate) use self::listen::{Doors, serve};
pub(crate) use self::places::Providers;

/// What the routes read and change.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    pub(crate) record: Arc<Record>,
    pub(crate) faults: Arc<Faults>,
    /// The authority's certificate, PEM.
    pub(crate) authority: Arc<str>,
    /// The stand-ins that speak HTTP.
    pub(crate) providers: Providers,
}

/// All routes.
pub(crate) fn router(outbox: Outbox) -> Router {
    Router::new()
        .route("/", get(page::list))
        .route("/view/{id}", get(view::view))
        .route("/outbox", get(api::list).delete(api::clear))
        .route("/outbox/count", get(api::count))
        .route("/outbox/{id}", get(api::show))
        .route("/outbox/{id}/raw", get(api::raw))
        .route("/faults", get(setting::list).put(setting::replace).post(setting::add).delete(setting::clear))
        .route("/faults/{id}", axum::routing::delete(setting::remove))
        .route("/providers", get(places::list))
        .route("/providers/twilio/replies", post(places::reply))
        .route("/providers/telegram/people", post(places::does))
        .route("/providers/{name}", get(places::one).patch(places::change))
        .route(
            "/providers/{name}/faults",
            get(places::faults).put(places::replace).post(places::add).delete(places::clear),
        )
        .route("/providers/{name}/faults/{id}", axum::routing::delete(places::remove))
        .route("/certificate", get(api::certificate))
        .route("/livez", get(api::livez))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(outbox)
}
