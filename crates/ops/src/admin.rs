//! The admin port for operators: `/livez`, `/readyz` (both JSON, 503 on failure) and `/metrics`.
//!
//! It has a separate listener, so it answers even if the process's own work is stuck. It stays open during the drain, so that
//! the shutdown can be watched. It has no domain data and no authentication: bind it to an address only operators can reach.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::address::ListenAddress;
use crate::health::{CheckReport, Health, HealthReport};
use crate::listen::{ListenError, Listener, ListenerLimits};
use crate::metrics::Metrics;

/// The limits of the admin port, which needs little.
pub const LIMITS: ListenerLimits = ListenerLimits {
    connections: 64,
    header_time: Duration::from_secs(10),
    header_bytes: 16 * 1024,
    body_bytes: 1024,
    write_time: Some(Duration::from_secs(10)),
    connection_life: Some(Duration::from_secs(300)),
    linger: Duration::from_secs(1),
};

/// The section `admin` of a process's settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address to listen on.
    pub address: ListenAddress,
}

/// What the port reports on.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// The name of the process, in every answer of `/livez` and `/readyz`.
    pub name: &'static str,
    /// Its checks.
    pub health: Health,
    /// Its metrics.
    pub metrics: Metrics,
    /// Cancelled when the process takes no new work: from then on it is not ready.
    pub soft: CancellationToken,
}

/// The running port. Dropping it closes the port at once.
#[derive(Debug)]
pub struct AdminPort {
    address: ListenAddress,
    close: CancellationToken,
    task: JoinHandle<()>,
}

impl AdminPort {
    /// Binds the address and serves in a separate task, which also does the upkeep of the metrics.
    ///
    /// The shutdown does not wait for this task: it ends with [`AdminPort::close`], after the others.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(settings: &Settings, subject: AdminState) -> Result<Self, ListenError> {
        Self::start_within(settings, subject, LIMITS).await
    }

    /// Like [`AdminPort::start`], with other limits.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start_within(
        settings: &Settings,
        subject: AdminState,
        limits: ListenerLimits,
    ) -> Result<Self, ListenError> {
        let listener = Listener::bind(&settings.address).await?;
        let address = listener.address().clone();
        tracing::info!(event = "port.opened", port = "admin", %address, "admin port open");
        let close = CancellationToken::new();
        let metrics = subject.metrics.clone();
        let serve = listener.serve(router(subject), limits, close.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = serve => {}
                () = metrics.keep_up() => {}
            }
        });
        Ok(Self { address, close, task })
    }

    /// The bound address, with the actual port.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Finishes current answers (for at most one second) and closes the port.
    pub async fn close(mut self) {
        self.close.cancel();
        // The task cannot be cancelled by anyone else; a panic in it was logged by the panic hook.
        let _ = (&mut self.task).await;
    }
}

impl Drop for AdminPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Only the routes, for a process that mounts them elsewhere.
pub fn router(subject: AdminState) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(subject)
}

/// The body of `/livez` and `/readyz`.
#[derive(Serialize)]
struct Answer<'a> {
    process: &'static str,
    #[serde(flatten)]
    report: &'a HealthReport,
}

async fn livez(State(subject): State<AdminState>) -> Response {
    let report = subject.health.report(Instant::now());
    answer(&subject, &report, report.live)
}

async fn readyz(State(subject): State<AdminState>) -> Response {
    let mut report = subject.health.report(Instant::now());
    if subject.soft.is_cancelled() {
        let why = Some("the process is stopping and takes no new work".to_owned());
        report.add(CheckReport { name: "stopping", ok: false, vital: false, why, note: None, age_ms: None });
    }
    answer(&subject, &report, report.ready)
}

fn answer(subject: &AdminState, report: &HealthReport, well: bool) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&Answer { process: subject.name, report }) {
        Ok(body) => (status, headers("application/json"), body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn metrics(State(subject): State<AdminState>) -> Response {
    (headers("text/plain; version=0.0.4; charset=utf-8"), subject.metrics.render()).into_response()
}

fn headers(content_type: &'static str) -> [(header::HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")]
}
