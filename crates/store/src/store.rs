//! The store: connecting, and what all calls share.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Config;
use posthaste_model::{Durability, Suffix};
use posthaste_protocol::partition_of;
use posthaste_protocol::record::AddressKey;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address_key::SHORTEST;
use crate::call::Requests;
use crate::confirm::{Confirmer, Place};
use crate::contents::Contents;
use crate::endpoint;
use crate::error::{CallError, ConnectError, StopWhy};
use crate::gate::Gate;
use crate::guard::{Guard, Partition};
use crate::hearing::Ear;
use crate::link::{Link, LinkState};
use crate::lookout;
use crate::pool::{self, OWN_EVENTS, Pool, UNRESPONSIVE, Worker};
use crate::preflight::{self, Confirm, Level, Report};
use crate::settings::{Role, Settings};
use crate::supervise::{self, Events};
use crate::trouble::Troubles;
use crate::trouble::probe::{self, address};
use crate::watching::Watcher;

/// Most partitions of an installation.
const MOST_PARTITIONS: u16 = 1_024;
/// Most connections of one store.
const MOST_CONNECTIONS: u16 = 16;

/// A connected store. Cloning is cheap; the connections close with the last clone, or by [`Store::disconnect`].
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Arc<Inner>);

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) guard: Guard,
    pub(crate) link: LinkState,
    pub(crate) requests: Requests,
    /// One of all partitions, or in a cluster one of each. None when replies confirm themselves.
    confirmers: Vec<Confirmer>,
    confirm: AtomicU8,
    pub(crate) ear: OnceLock<Arc<Ear>>,
    pub(crate) watcher: OnceLock<Arc<Watcher>>,
    pub(crate) contents: Contents,
    pub(crate) address_key: RwLock<Option<Arc<AddressKey>>>,
    pub(crate) gate: Gate,
    /// Where the server is, without credentials.
    pub(crate) address: Arc<str>,
    pub(crate) troubles: Troubles,
    pub(crate) report: Mutex<Report>,
    pub(crate) checking: tokio::sync::Mutex<()>,
    pub(crate) stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

fn encode(confirm: Confirm) -> u8 {
    match confirm {
        Confirm::Reply => 0,
        Confirm::Replicas(_) => 1,
        Confirm::Disk(0) => 2,
        Confirm::Disk(_) => 3,
    }
}

impl Inner {
    /// How answers are confirmed now.
    pub(crate) fn confirm(&self) -> Confirm {
        match self.confirm.load(Ordering::Acquire) {
            0 => Confirm::Reply,
            1 => Confirm::Replicas(1),
            2 => Confirm::Disk(0),
            _ => Confirm::Disk(1),
        }
    }

    pub(crate) fn set_confirm(&self, confirm: Confirm) {
        self.confirm.store(encode(confirm), Ordering::Release);
        self.guard.set_confirms_itself(confirm == Confirm::Reply);
    }

    /// The link as it is before a call that is to be confirmed; `None` when its reply confirms itself.
    pub(crate) fn before_confirm(&self) -> Option<Link> {
        (self.confirm() != Confirm::Reply).then(|| self.link.watch().borrow().clone())
    }

    /// Waits until what was answered in a partition is as safe as asked.
    pub(crate) async fn confirmed(&self, p: u16, before: Option<Link>) -> Result<(), CallError> {
        let Some(before) = before else { return Ok(()) };
        let partition = self.guard.partition(p)?;
        let mark = partition.fence();
        let at = if self.confirmers.len() > 1 { usize::from(p) } else { 0 };
        match self.confirmers.get(at) {
            Some(confirmer) => {
                let confirmed = confirmer.wait(self.confirm(), &before).await;
                self.troubles.confirmed(&self.node_of(p), confirmed.is_ok());
                confirmed.inspect_err(|error| self.troubles.failed(error))?;
            }
            None => return Err(CallError::Undurable),
        }
        partition.confirmed(mark);
        Ok(())
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
        let first = pool::client(&config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS);
        let first = Joined::to(first, opened).await?;
        let found = preflight::look(&first.worker.client, settings.durability).await?;
        if found.report.worst() == Level::Refuse {
            found.report.log();
            return Err(ConnectError::Refused(found.report));
        }
        let mut joined = vec![first];
        for _ in 1..settings.connections {
            let client = pool::client(&config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS);
            joined.push(Joined::to(client, opened).await?);
        }
        let stop = CancellationToken::new();
        let guard = Guard::new(settings.partitions, settings.failover_hold);
        guard.set_confirms_itself(found.confirm == Confirm::Reply);
        let (confirmers, confirming) = confirmers(&config, &settings, &guard, &stop, opened).await?;
        let clustered = config.server.is_clustered();
        let inner = Arc::new(Inner {
            pool: Pool::new(joined.iter().map(|joined| Arc::clone(&joined.worker)).collect()),
            link: LinkState::new(found.run_id),
            requests: Requests::new(),
            confirmers,
            confirm: AtomicU8::new(encode(found.confirm)),
            ear: OnceLock::new(),
            watcher: OnceLock::new(),
            contents: Contents::new(),
            address_key: RwLock::default(),
            gate: Gate::new(if clustered { usize::from(settings.partitions) } else { 1 }),
            address: address(&config.server),
            troubles: troubles.clone(),
            report: Mutex::new(found.report.clone()),
            checking: tokio::sync::Mutex::new(()),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            guard,
            config,
            role,
            settings,
        });
        inner.meet(&inner.pool.workers[0]).await?;
        found.report.log();
        for joined in joined {
            joined.worker.set_up(true);
            joined.watch(&inner, true);
        }
        tokio::spawn(probe::watch(Arc::downgrade(&inner), troubles, inner.stop.clone()));
        if let Some(joined) = confirming {
            joined.worker.set_up(true);
            joined.watch(&inner, false);
        }
        if inner.role != Role::Inspector {
            tokio::spawn(lookout::watch(Arc::downgrade(&inner), inner.stop.clone()));
        }
        Ok((Self(inner), found.report))
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

    /// What the last look at the server found.
    #[must_use]
    pub fn report(&self) -> Report {
        self.0.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
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
        for worker in &self.0.pool.workers {
            worker.set_up(false);
        }
        self.0.stop.cancel();
        supervise::quit(self.0.pool.workers.iter().map(|worker| worker.client.clone())).await;
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

/// A connected client whose events nobody reads yet.
struct Joined {
    worker: Arc<Worker>,
    task: fred::types::ConnectHandle,
    events: Events,
}

impl Joined {
    async fn to(client: Client, opened: &mut Vec<Client>) -> Result<Self, ConnectError> {
        // Before it connects, so that no event is missed.
        let mut events = Events::of(&client);
        match client.init().await {
            Ok(task) => {
                // The first connection counts as one of them.
                events.reconnects = client.reconnect_rx();
                opened.push(client.clone());
                Ok(Self { worker: Worker::new(client), task, events })
            }
            Err(error) => Err(ConnectError::connecting(error)),
        }
    }

    fn watch(self, inner: &Arc<Inner>, in_pool: bool) {
        let Self { worker, task, events } = self;
        tokio::spawn(supervise::watch(
            Arc::downgrade(inner),
            worker,
            task,
            events,
            inner.stop.clone(),
            in_pool,
        ));
    }
}

/// The confirmers a durability needs, and their connection.
async fn confirmers(
    config: &Config,
    settings: &Settings,
    guard: &Guard,
    stop: &CancellationToken,
    opened: &mut Vec<Client>,
) -> Result<(Vec<Confirmer>, Option<Joined>), ConnectError> {
    if settings.durability == Durability::Fast {
        return Ok((Vec::new(), None));
    }
    let timeout = settings.confirm_timeout;
    let client =
        pool::client(config, timeout + settings.call_timeout, UNRESPONSIVE.max(timeout * 2), OWN_EVENTS);
    let joined = Joined::to(client, opened).await?;
    let count = if config.server.is_clustered() { guard.all().len() } else { 1 };
    let start = |partition: &Partition| {
        let place = Place { key: partition.keys.fence(), slot: partition.slot, timeout };
        Confirmer::start(Arc::clone(&joined.worker), place, stop.clone())
    };
    Ok((guard.all().iter().take(count).map(start).collect(), Some(joined)))
}
