//! Connects a store: to a single server, or to all reachable primaries of a cluster.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::Config;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::address_key::SHORTEST;
use crate::cluster::refresh;
use crate::endpoint::{self, address};
use crate::error::{CallError, ConnectError, FatalReason};
use crate::inner::Inner;
use crate::pool;
use crate::preflight;
use crate::preflight::report::{PreflightReport, Severity};
use crate::primary::{Fresh, Primary};
use crate::routes::Routes;
use crate::settings::{Role, Settings};
use crate::store::Store;
use crate::supervise;
use crate::trouble::{ServerTroubles, probe};
use crate::watchdog;

/// Most partitions of an installation.
const MOST_PARTITIONS: u16 = 1_024;
/// Most connections of one store.
const MOST_CONNECTIONS: u16 = 16;
/// How long a start waits for the primaries of a cluster that are reported as up.
const START_PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Connects, checks whether the server is suitable, and registers with every partition.
    ///
    /// # Errors
    /// A [`ConnectError`], named by what to do about it.
    pub async fn connect(settings: Settings, role: Role) -> Result<(Self, PreflightReport), ConnectError> {
        Self::connect_with(settings, role, ServerTroubles::new()).await
    }

    /// [`Store::connect`], which reports the servers' states in `troubles`.
    pub(crate) async fn connect_with(
        settings: Settings,
        role: Role,
        troubles: ServerTroubles,
    ) -> Result<(Self, PreflightReport), ConnectError> {
        let mut opened = Vec::new();
        let connected = Self::assemble(settings, role, troubles, &mut opened).await;
        if connected.is_err() {
            // A retry must not leave connections behind.
            pool::quit(opened.into_iter().filter(ClientLike::is_connected)).await;
        }
        connected
    }

    /// The same; collects the opened clients in `opened`, so that the caller can close them when this fails.
    async fn assemble(
        settings: Settings,
        role: Role,
        troubles: ServerTroubles,
        opened: &mut Vec<Client>,
    ) -> Result<(Self, PreflightReport), ConnectError> {
        check_settings(&settings)?;
        let config = endpoint::config(&settings)?;
        if config.server.is_clustered() {
            return Self::connect_cluster(settings, role, config, troubles).await;
        }
        let stop = CancellationToken::new();
        let address = address(&config.server);
        let (primary, clients) = Primary::new(config.clone(), &address, (None, None), &settings, &stop);
        opened.extend(clients.iter().map(|fresh| fresh.worker.client.clone()));
        let inner =
            Inner::new((settings, role, config), Routes::single(Arc::clone(&primary)), troubles, stop);
        Self::connect_single(inner, &primary, clients).await
    }

    async fn connect_single(
        inner: Arc<Inner>,
        primary: &Arc<Primary>,
        mut clients: Vec<Fresh>,
    ) -> Result<(Self, PreflightReport), ConnectError> {
        let mut run_id = None;
        for fresh in &mut clients {
            fresh.join().await?;
            if run_id.is_none() {
                let found =
                    preflight::look(&fresh.worker.client, inner.settings.durability, &inner.role).await?;
                if found.report.worst() == Severity::Refuse {
                    found.report.log();
                    return Err(ConnectError::Refused(found.report));
                }
                primary.set_confirm(found.confirm);
                *primary.report.lock().unwrap_or_else(PoisonError::into_inner) = found.report;
                run_id = Some(found.run_id);
            }
        }
        for fresh in &clients {
            fresh.worker.set_up(true);
        }
        inner.meet(primary, &primary.pool.workers[0]).await?;
        inner.found(primary, run_id.unwrap_or_default());
        supervise::start(&inner, primary, clients);
        let store = Self(inner);
        let report = store.report();
        report.log();
        store.look_after();
        Ok((store, report))
    }

    /// Starts the tasks that keep the troubles up to date while there are no calls, and notice when the database went
    /// back.
    fn look_after(&self) {
        let (inner, stop) = (Arc::downgrade(&self.0), &self.0.stop);
        tokio::spawn(probe::watch(inner.clone(), self.0.troubles.clone(), stop.clone()));
        if self.0.role != Role::Inspector {
            tokio::spawn(watchdog::watch(inner, stop.clone()));
        }
    }

    /// Connects to all reachable primaries of a cluster; the partitions of the others are registered with when they
    /// return. The data that all partitions share is in the first one: its primary or one of its replicas must
    /// answer.
    async fn connect_cluster(
        settings: Settings,
        role: Role,
        config: Config,
        troubles: ServerTroubles,
    ) -> Result<(Self, PreflightReport), ConnectError> {
        let (map, requested) = refresh::first_look(&config).await?;
        let stop = CancellationToken::new();
        let inner = Inner::new((settings, role, config), Routes::cluster(), troubles, stop.clone());
        inner.take_map(&map, requested);
        tokio::spawn(refresh::keep_fresh(Arc::downgrade(&inner), stop));
        let patience = inner.settings.call_timeout;
        let primaries = inner.routes.primaries();
        let there = primaries.iter().filter(|primary| !primary.has_failed());
        futures::future::join_all(there.map(|primary| primary.pool.wait(patience.min(START_PATIENCE)))).await;
        let store = Self(inner);
        let report = store.report();
        if report.worst() == Severity::Refuse {
            return Err(ConnectError::Refused(report));
        }
        match store.0.guard.check() {
            Ok(()) => {
                store.0.meet_cluster().await?;
                if let Some(missing) = store.missing_words() {
                    tracing::warn!(
                        event = "redis.partitions_missing",
                        partitions = store.partitions_away().len(),
                        of = store.partitions(),
                        missing,
                        "starting without some partitions; their orders wait until these can be reached, all others are served"
                    );
                }
            }
            // Every call reports it; work goes on after a recovery.
            Err(CallError::Fatal(FatalReason::Halted(_))) => {}
            Err(error) => return Err(error.into()),
        }
        store.look_after();
        Ok((store, report))
    }
}

fn check_settings(settings: &Settings) -> Result<(), ConnectError> {
    let refuse = |key, why: String| Err(ConnectError::Settings { key, why });
    if !(1..=MOST_PARTITIONS).contains(&settings.partitions) {
        return refuse("partitions", format!("must be 1 to {MOST_PARTITIONS}"));
    }
    if !(1..=MOST_CONNECTIONS).contains(&settings.connections) {
        return refuse("connections", format!("must be 1 to {MOST_CONNECTIONS}"));
    }
    if settings.call_timeout.is_zero() {
        return refuse("call_timeout", "must not be zero".to_owned());
    }
    if settings.confirm_timeout.is_zero() {
        return refuse("confirm_timeout", "must not be zero: the server would wait forever".to_owned());
    }
    if settings.address_key.as_ref().is_some_and(|key| key.expose_secret().chars().count() < SHORTEST) {
        let why = format!("must have at least {SHORTEST} characters; create one with `openssl rand -hex 32`");
        return refuse("address_key", why);
    }
    Ok(())
}
