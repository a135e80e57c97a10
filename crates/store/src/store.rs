//! The store: connecting, and what all calls share.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fred::clients::Client;
use fred::types::config::Config;
use posthaste_model::{Durability, Suffix};
use posthaste_protocol::partition_of;
use posthaste_protocol::record::AddressKey;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address_key::SHORTEST;
use crate::call::Requests;
use crate::contents::Contents;
use crate::error::{CallError, ConnectError, StopWhy};
use crate::guard::{Guard, Partition};
use crate::hearing::Ear;
use crate::link::{Link, LinkState};
use crate::lookout;
use crate::preflight::{self, Level, Report};
use crate::primary::{Fresh, Primary};
use crate::routes::Routes;
use crate::settings::{Role, Settings};
use crate::supervise;
use crate::trouble::Troubles;
use crate::trouble::probe::{self, address};
use crate::watching::Watcher;
use crate::{cluster, endpoint};

/// Most partitions of an installation.
const MOST_PARTITIONS: u16 = 1_024;
/// Most connections of one store.
const MOST_CONNECTIONS: u16 = 16;
/// How long a start waits for those primaries of a cluster that are said to be there.
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
    pub(crate) guard: Guard,
    /// Of all servers together; each primary has its own.
    pub(crate) link: LinkState,
    pub(crate) requests: Requests,
    pub(crate) ear: OnceLock<Arc<Ear>>,
    pub(crate) watcher: OnceLock<Arc<Watcher>>,
    pub(crate) contents: Contents,
    pub(crate) address_key: RwLock<Option<Arc<AddressKey>>>,
    pub(crate) troubles: Troubles,
    pub(crate) stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Inner {
    fn new(
        (settings, role, config): (Settings, Role, Config),
        routes: Routes,
        troubles: Troubles,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            routes,
            replicas: cluster::Replicas::default(),
            guard: Guard::new(settings.partitions, settings.failover_hold),
            link: LinkState::down(),
            requests: Requests::new(),
            ear: OnceLock::new(),
            watcher: OnceLock::new(),
            contents: Contents::new(),
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
    /// Connects, looks whether the server will do, and registers with every partition.
    ///
    /// # Errors
    /// A [`ConnectError`], named by what to do about it.
    pub async fn connect(settings: Settings, role: Role) -> Result<(Self, Report), ConnectError> {
        Self::connect_with(settings, role, Troubles::new()).await
    }

    /// The same, with what is opened in `opened`, for whoever closes it when this fails.
    pub(crate) async fn assemble(
        settings: Settings,
        role: Role,
        troubles: Troubles,
        opened: &mut Vec<Client>,
    ) -> Result<(Self, Report), ConnectError> {
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
    ) -> Result<(Self, Report), ConnectError> {
        let mut run_id = None;
        for fresh in &mut clients {
            fresh.join().await?;
            if run_id.is_none() {
                let found =
                    preflight::look(&fresh.worker.client, inner.settings.durability, &inner.role).await?;
                if found.report.worst() == Level::Refuse {
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

    /// Keeps what is wrong with the servers true while nobody calls, and notices when the database went back.
    fn look_after(&self) {
        let (inner, stop) = (Arc::downgrade(&self.0), &self.0.stop);
        tokio::spawn(probe::watch(inner.clone(), self.0.troubles.clone(), stop.clone()));
        if self.0.role != Role::Inspector {
            tokio::spawn(lookout::watch(inner, stop.clone()));
        }
    }

    /// Connects to all primaries of a cluster that can be reached; what the others hold is met when they return. What all
    /// partitions share is in the first one: that must be asked, or one of its replicas.
    async fn connect_cluster(
        settings: Settings,
        role: Role,
        config: Config,
        troubles: Troubles,
    ) -> Result<(Self, Report), ConnectError> {
        let (map, asked) = cluster::first_look(&config).await?;
        let stop = CancellationToken::new();
        let inner = Inner::new((settings, role, config), Routes::cluster(), troubles, stop.clone());
        inner.take_map(&map, asked);
        tokio::spawn(cluster::keep_fresh(Arc::downgrade(&inner), stop));
        let patience = inner.settings.call_timeout;
        let primaries = inner.routes.primaries();
        let there = primaries.iter().filter(|primary| !primary.has_failed());
        futures::future::join_all(there.map(|primary| primary.pool.wait(patience.min(START_PATIENCE)))).await;
        let store = Self(inner);
        let report = store.report();
        if report.worst() == Level::Refuse {
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
                        "starting without {missing}: their orders wait until they can be asked, all others are served"
                    );
                }
            }
            // Told by every call; it goes on when somebody has recovered it.
            Err(CallError::Stop(StopWhy::Halted(_))) => {}
            Err(error) => return Err(error.into()),
        }
        store.look_after();
        Ok((store, report))
    }

    /// Whether sending is stopped because the database went back or was wiped, as it changes. What is known of it:
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
    pub fn partition_of(&self, suffix: &Suffix) -> u16 {
        partition_of(suffix, self.partitions())
    }

    /// The random id of this database (of its first partition).
    #[must_use]
    pub fn epoch(&self) -> String {
        self.0.guard.all().first().map_or_else(String::new, |partition| partition.epoch().to_string())
    }

    /// What "accepted" means here.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.settings.durability
    }

    /// Whether there is a connection, as it changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Link> {
        self.0.link.watch()
    }

    /// What the last look at the server found; in a cluster at each of its primaries.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut all = Report::default();
        for primary in self.0.routes.primaries() {
            let report = primary.report.lock().unwrap_or_else(PoisonError::into_inner);
            all.lines.extend(report.lines.iter().cloned());
        }
        all
    }

    /// Why no call is answered any more, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<StopWhy> {
        match self.0.guard.check() {
            Err(CallError::Stop(why)) => Some(why),
            _ => None,
        }
    }

    /// Closes all connections once what was written to them is answered, for all clones.
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
        return refuse("partitions", format!("1 to {MOST_PARTITIONS}"));
    }
    if !(1..=MOST_CONNECTIONS).contains(&settings.connections) {
        return refuse("connections", format!("1 to {MOST_CONNECTIONS}"));
    }
    if settings.call_timeout.is_zero() {
        return refuse("call_timeout", "it must not be zero".to_owned());
    }
    if settings.confirm_timeout.is_zero() {
        return refuse("confirm_timeout", "it must not be zero: the server would wait for ever".to_owned());
    }
    if settings.address_key.as_ref().is_some_and(|key| key.expose_secret().chars().count() < SHORTEST) {
        let why = format!("it has less than {SHORTEST} characters; `openssl rand -hex 32` makes a good one");
        return refuse("address_key", why);
    }
    Ok(())
}
