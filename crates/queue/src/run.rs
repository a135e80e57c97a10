//! The service as a process: settings, store, ports, shutdown.

use std::sync::Arc;

use posthaste_model::SystemClock;
use posthaste_ops::admin::{AdminPort, AdminState};
use posthaste_ops::exit::ExitFailure;
use posthaste_ops::health::{Check, Health};
use posthaste_ops::listen::{Listener, ListenerLimits};
use posthaste_ops::metrics::{Buckets, Metrics};
use posthaste_ops::shutdown::{ProcessEnd, Shutdown, ShutdownStage};
use posthaste_ops::{ready_file, telemetry};
use posthaste_store::{ConnectError, Role, ServerTroubles, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::time::Instant;

use crate::settings::{Args, Http};
use crate::state::AppState;
use crate::{api, channel_watch, readiness};

/// Response times: from 0.5 ms to a minute, which long polls take.
pub const BUCKETS: &[Buckets<'static>] = &[(
    "posthaste_http_request_duration_seconds",
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0],
)];

/// The listener's own limit on bodies: none. Each path has a smaller limit of its own, or reads its body in pieces.
const BODY_BYTES: usize = usize::MAX;

/// Runs the service until it is asked to stop. Reads the environment and handles SIGTERM and SIGINT.
///
/// # Errors
/// An [`ExitFailure`] that says why it could not start, or that requests were cut off at the end.
pub async fn run(args: Args) -> Result<(), ExitFailure> {
    let settings = args.load(std::env::vars_os())?.settings;
    telemetry::install(&settings.log)?;
    let metrics = Metrics::install(BUCKETS)?;
    allow_connections(settings.http.max_connections);
    let stop = Shutdown::on_signals(&settings.stop).map_err(ExitFailure::software)?;

    let (health, condition) = (Health::new(), Check::condition("store"));
    health.watch(&condition, Instant::now());
    let channels = Check::condition("channels");
    health.watch(&channels, Instant::now());
    let subject = AdminState { name: "posthaste-queue", health, metrics, soft: stop.soft.clone() };
    let admin = AdminPort::start(&settings.admin, subject).await?;
    let troubles = ServerTroubles::new();
    let connecting = Store::connect_when_ready(settings.redis.clone(), Role::Queue, troubles.clone());
    let (store, report) = tokio::select! {
        connected = connecting => connected.map_err(refusal)?,
        never = readiness::while_connecting(&troubles, &condition) => match never {},
        () = stop.soft.cancelled() => {
            tracing::info!(event = "process.wait_cancelled", "stopped while waiting for Redis");
            return Ok(());
        }
    };
    tracing::info!(
        event = "database.connected",
        durability = ?store.durability(),
        preflight = report.worst().word(),
        "connected to the database"
    );
    stop.spawn("readiness", readiness::watch(store.clone(), condition, stop.soft.clone()));

    let http = settings.http.clone();
    let state = AppState::new(store.clone(), settings, Arc::new(SystemClock), stop.soft.clone());
    let state = state.map_err(ExitFailure::usage)?;
    let backlogs = state.read.backlogs.clone();
    stop.spawn("channels", channel_watch::watch(store.clone(), backlogs, channels, stop.soft.clone()));
    let listener = Listener::bind(&http.address).await?;
    let address = listener.address().clone();
    stop.spawn("http", listener.serve(api::router(state), limits(&http), stop.soft.clone()));
    let (http, admin_url) = (address.url(), admin.address().url());
    tracing::info!(event = "process.ready", http, admin = admin_url, "ready");
    if let Some(path) = args.ready_file {
        let ready = json!({ "http": http, "admin": admin_url });
        let written = tokio::task::spawn_blocking(move || ready_file::write(&path, &ready)).await;
        written.map_err(ExitFailure::software)?.map_err(ExitFailure::unavailable)?;
    }

    let ended = stop.ended().await;
    store.disconnect().await;
    admin.close().await;
    finish(ended)
}

/// What clients may use of their port.
#[must_use]
pub fn limits(http: &Http) -> ListenerLimits {
    ListenerLimits {
        connections: http.max_connections,
        header_time: http.header_time.get(),
        header_bytes: usize::try_from(http.header_bytes.bytes()).unwrap_or(usize::MAX),
        body_bytes: BODY_BYTES,
        write_time: Some(http.write_time.get()),
        connection_life: None,
        linger: http.linger.get(),
    }
}

/// Files the process has open besides client connections.
const OTHER_FILES: u64 = 128;

/// Raises the soft limit on open files as far as the connections need, and warns if the hard limit is too low.
fn allow_connections(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    if raised.is_err() || wanted < needed {
        tracing::warn!(
            event = "process.too_few_files",
            needed,
            allowed = wanted,
            "too few open files allowed for http.max_connections"
        );
    }
}

fn refusal(error: ConnectError) -> ExitFailure {
    match error {
        ConnectError::Settings { .. } => ExitFailure::usage(error),
        ConnectError::Refused(_) | ConnectError::Stop(_) => ExitFailure::refused(error),
        ConnectError::Unreachable(_) | ConnectError::FirstPartition { .. } | ConnectError::Call(_) => {
            ExitFailure::unavailable(error)
        }
    }
}

fn finish(ended: ProcessEnd) -> Result<(), ExitFailure> {
    match (ended.panicked, ended.stage) {
        (Some(task), _) => {
            Err(ExitFailure::software(format!("the task {task} panicked; see the log above for the place")))
        }
        (None, ShutdownStage::Finished | ShutdownStage::Drained) => Ok(()),
        (None, _) => {
            let exit = posthaste_ops::exit::Exit::Interrupted;
            Err(ExitFailure::new(exit, "stopped before all requests were answered"))
        }
    }
}
