//! The store: connecting, and the state that all calls share.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fred::clients::Client;
use fred::types::config::Config;
use posthaste_model::{Durability, OrderId};
use posthaste_protocol::partition_of;
use posthaste_protocol::record::AddressKey;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address_key::SHORTEST;
use crate::call::Requests;
use crate::content_cache::ContentCache;
use crate::epoch_guard::{EpochGuard, Partition};
use crate::error::{CallError, ConnectError, FatalReason};
use crate::link::{Link, LinkState};
use crate::order_watch::Watcher;
use crate::preflight::{self, PreflightReport, Severity};
use crate::primary::{Fresh, Primary};
use crate::routes::Routes;
use crate::settings::{Role, Settings};
use crate::supervise;
use crate::trouble::ServerTroubles;
use crate::trouble::probe::{self, address};
use crate::wakeups::EventReceiver;
use crate::watchdog;
use crate::{cluster, endpoint};

/// Most partitions of an installation.
const MOST_PARTITIONS: u16 = 1_024;
/// Most connections of one store.
const MOST_CONNECTIONS: u16 = 16;
/// How long a start waits for the primaries of a cluster that are reported as up.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// A connected store. Cloning is cheap; the connections close with the last clone, or by [`Store::disconnect`].
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Arc<Inner>);

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) replicas: cluster::Replicas,
    pub(crate) guard: EpochGuard,
    /// Of all servers together; each primary also has its own.
    pub(crate) link: LinkState,
    pub(crate) requests: Requests,
    pub(crate) event_receiver: OnceLock<Arc<EventReceiver>>,
    pub(crate) watcher: OnceLock<Arc<Watcher>>,
    pub(crate) contents: ContentCache,
    pub(crate) address_key: RwLock<Option<Arc<AddressKey>>>,
    pub(crate) troubles: ServerTroubles,
    pub(crate) stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Inner {
    fn new(
        (settings, role, config): (Settings, Role, Config),
        routes: Routes,
        troubles: ServerTroubles,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            routes,
            replicas: cluster::Replicas::default(),
            guard: EpochGuard::new(settings.partitions, settings.failover_hold),
            link: LinkState::down(),
            requests: Requests::new(),
            event_receiver: OnceLock::new(),
            watcher: OnceLock::new(),
            contents: ContentCache::new(),
            address_key: RwLock::default(),
            troubles,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            config,
            role,
            settings,
        })
    }

    pub(crate) fn partition(&self, p: u16) -> Result<&Partition, CallError> {
        self.guard.partition(p)
    }
}

impl Store {
    /// Connects, checks whether the server is suitable, and registers with every partition.
    ///
    /// # Errors
    /// A [`ConnectError`], named by what to do about it.
    pub async fn connect(settings: Settings, role: Role) -> Result<(Self, PreflightReport), ConnectError> {
        Self::connect_with(settings, role, ServerTroubles::new()).await
    }

    /// The same; collects the opened clients in `opened`, so that the caller can close them when this fails.
    pub(crate) async fn assemble(
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
        primary.watch(&inner, clients);
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
        let (map, requested) = cluster::first_look(&config).await?;
        let stop = CancellationToken::new();
        let inner = Inner::new((settings, role, config), Routes::cluster(), troubles, stop.clone());
        inner.take_map(&map, requested);
        tokio::spawn(cluster::keep_fresh(Arc::downgrade(&inner), stop));
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

    /// Whether sending is stopped because the database went back or was wiped, as it changes. For details see
    /// [`Store::stopped`].
    #[must_use]
    pub fn halted(&self) -> watch::Receiver<bool> {
        self.0.guard.watch_halt()
    }

    /// Number of partitions of the installation.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.0.settings.partitions
    }

    /// The partition of an order.
    #[must_use]
    pub fn partition_of(&self, order_id: &OrderId) -> u16 {
        partition_of(order_id, self.partitions())
    }

    /// The random id of this database (of its first partition).
    #[must_use]
    pub fn epoch(&self) -> String {
        self.0.guard.all().first().map_or_else(String::new, |partition| partition.epoch().to_string())
    }

    /// What "accepted" means for this store.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.settings.durability
    }

    /// Whether there is a connection, as it changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Link> {
        self.0.link.watch()
    }

    /// The findings of the last preflight of the server; in a cluster, of each of its primaries.
    #[must_use]
    pub fn report(&self) -> PreflightReport {
        let mut all = PreflightReport::default();
        for primary in self.0.routes.primaries() {
            let report = primary.report.lock().unwrap_or_else(PoisonError::into_inner);
            all.lines.extend(report.lines.iter().cloned());
        }
        all
    }

    /// Why no call can succeed any more, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<FatalReason> {
        match self.0.guard.check() {
            Err(CallError::Fatal(why)) => Some(why),
            _ => None,
        }
    }

    /// Closes all connections for all clones, once everything written to them is answered.
    pub async fn disconnect(&self) {
        let primaries = self.0.routes.primaries();
        let workers = || primaries.iter().flat_map(|primary| &primary.pool.workers);
        for worker in workers() {
            worker.set_up(false);
        }
        self.0.stop.cancel();
        supervise::quit(workers().map(|worker| worker.client.clone())).await;
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
