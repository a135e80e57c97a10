//! The port for whoever runs the process: `/livez`, `/readyz` (both JSON, 503 when not well) and `/metrics`.
//!
//! It has a listener of its own, so it answers while the process's own work is stuck, and it outlives the drain, so
//! that the end can be watched. It carries no domain data and no authentication: bind it where only operators reach it.

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

use crate::address::Address;
use crate::health::{CheckReport, Health, Report};
use crate::listen::{Limits, ListenError, Listener};
use crate::metrics::Metrics;

/// What the admin port lets its clients hold: it needs little.
pub const LIMITS: Limits = Limits {
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
    /// Where to listen.
    pub address: Address,
}

/// What the port tells about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The name of the process, in every answer of `/livez` and `/readyz`.
    pub name: &'static str,
    /// Its checks.
    pub health: Health,
    /// Its numbers.
    pub metrics: Metrics,
    /// Cancelled when it takes no new work: from then on it is not ready.
    pub soft: CancellationToken,
}

/// The running port. Dropping it closes the port at once.
#[derive(Debug)]
pub struct Admin {
    address: Address,
    close: CancellationToken,
    task: JoinHandle<()>,
}

impl Admin {
    /// Binds the address and serves in a task of its own, which also does the upkeep of the metrics.
    ///
    /// The task is not one of those the stop waits for: it ends with [`Admin::close`], after them.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(settings: &Settings, subject: Subject) -> Result<Self, ListenError> {
        Self::start_within(settings, subject, LIMITS).await
    }

    /// As [`Admin::start`], with other limits.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start_within(
        settings: &Settings,
        subject: Subject,
        limits: Limits,
    ) -> Result<Self, ListenError> {
        let listener = Listener::bind(&settings.address).await?;
        let address = listener.address().clone();
        tracing::info!(%address, "admin port open");
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

    /// The address that was bound, with the port that was taken.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Answers what was begun (for a second at most) and closes the port.
    pub async fn close(mut self) {
        self.close.cancel();
        // The task cannot be cancelled by anyone else; a panic in it was logged by the panic hook.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The routes alone, for a process that mounts them elsewhere.
pub fn router(subject: Subject) -> Router {
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
    report: &'a Report,
}

async fn livez(State(subject): State<Subject>) -> Response {
    let report = subject.health.report(Instant::now());
    answer(&subject, &report, report.live)
}

async fn readyz(State(subject): State<Subject>) -> Response {
    let mut report = subject.health.report(Instant::now());
    if subject.soft.is_cancelled() {
        let why = Some("the process takes no new work".to_owned());
        report.add(CheckReport { name: "stopping", ok: false, vital: false, why, note: None, age_ms: None });
    }
    answer(&subject, &report, report.ready)
}

fn answer(subject: &Subject, report: &Report, well: bool) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&Answer { process: subject.name, report }) {
        Ok(body) => (status, headers("application/json"), body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn metrics(State(subject): State<Subject>) -> Response {
    (headers("text/plain; version=0.0.4; charset=utf-8"), subject.metrics.render()).into_response()
}

fn headers(content_type: &'static str) -> [(header::HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")]
}
