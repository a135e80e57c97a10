//! The HTTP port: the record, as JSON and as a plain page, and faults at run time.

mod api;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listen;
mod message;
mod page;
mod parts;
mod problem;
mod providers;
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
pub(crate) use self::providers::Providers;

/// State the routes read and change.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    pub(crate) record: Arc<Record>,
    pub(crate) faults: Arc<Faults>,
    /// The authority's certificate, PEM.
    pub(crate) authority: Arc<str>,
    /// The fake providers over HTTP.
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
        .route("/providers", get(providers::list))
        .route("/providers/twilio/replies", post(providers::reply))
        .route("/providers/telegram/people", post(providers::does))
        .route("/providers/{name}", get(providers::one).patch(providers::change))
        .route(
            "/providers/{name}/faults",
            get(providers::faults).put(providers::replace).post(providers::add).delete(providers::clear),
        )
        .route("/providers/{name}/faults/{id}", axum::routing::delete(providers::remove))
        .route("/certificate", get(api::certificate))
        .route("/livez", get(api::livez))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(outbox)
}
