//! The store: connecting, and what all calls share.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Config;
use posthaste_model::{Durability, Suffix};
use posthaste_protocol::record::AddressKey;
use posthaste_protocol::scripts::open_run::OpenRun;
use posthaste_protocol::scripts::register::{Register, Registered};
use posthaste_protocol::{SCHEMA, partition_of};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address_key::SHORTEST;
use crate::call::Requests;
use crate::confirm::{Confirmer, Place};
use crate::contents::Contents;
use crate::endpoint;
use crate::error::{CallError, ClientError, ConnectError, Later, Lost, StopWhy};
use crate::gate::Gate;
use crate::guard::{Guard, Partition};
use crate::halted::{self, Halt};
use crate::hearing::Ear;
use crate::link::{Link, LinkState};
use crate::lookout;
use crate::node::Node;
use crate::pool::{self, Pool, UNRESPONSIVE, Worker};
use crate::preflight::{self, Confirm, Level, Report};
use crate::settings::{Role, Settings};
use crate::supervise::{self, Events};
use crate::watching::Watcher;

/// Most partitions of an installation.
const MOST_PARTITIONS: u16 = 1_024;
/// Most connections of one store.
const MOST_CONNECTIONS: u16 = 16;
/// Events of its own connection a client keeps for its supervisor.
const OWN_EVENTS: usize = 64;

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
            Some(confirmer) => confirmer.wait(self.confirm(), &before).await?,
            None => return Err(CallError::Undurable),
        }
        partition.confirmed(mark);
        Ok(())
    }

    /// Says to every partition who we are, over this connection, and learns what it is.
    pub(crate) async fn register(&self, worker: &Arc<Worker>) -> Result<(), CallError> {
        let fresh = format!("{:032x}", rand::random::<u128>());
        let mut halted = Ok(());
        for partition in self.guard.all() {
            let script = Register {
                keys: &partition.keys,
                fresh_epoch: &fresh,
                partitions: self.settings.partitions,
                channel: self.role.channel(),
                receipts: self.role.receipts(),
            };
            let answer = match self.call_on(worker, partition, &script, |_| true).await {
                Ok(answer) => answer,
                // Nothing new is stored then, but who is to drain it must be able to start.
                Err(CallError::Later { why: Later::Memory }) => {
                    self.recognise(worker, partition).await?;
                    self.open_run(worker, partition).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let number = partition.number;
            match answer.reply {
                Registered::Ok { .. } => {
                    self.guard.saw_epoch(partition, &answer.epoch)?;
                    self.open_run(worker, partition).await?;
                }
                // Goes on to learn the epochs of all.
                Registered::Halted => halted = self.guard.saw_epoch(partition, &answer.epoch),
                Registered::Foreign => return Err(self.guard.stop(StopWhy::Foreign { partition: number })),
                Registered::TooOld => return Err(self.guard.stop(StopWhy::TooOld { partition: number })),
            }
        }
        halted
    }

    /// Compares what was told on earlier runs of the server with what the present one began with.
    async fn open_run(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let known = partition.fence();
        let answer = self.call_on(worker, partition, &OpenRun { keys: &partition.keys }, |_| false).await?;
        self.guard.saw_runs(partition, answer.reply, (known, answer.fence), answer.now)
    }

    /// Learns the epochs without writing anything, and what is known of a halt.
    async fn inspect(&self, worker: &Arc<Worker>) -> Result<(), CallError> {
        let node = Node::any(&worker.client);
        let mut whole: Option<Halt> = None;
        for at in self.guard.all() {
            let Some(epoch) = Self::get(&node, at.slot, at.keys.epoch()).await? else { continue };
            // A halt is told by every call.
            let _ = self.guard.saw_epoch(at, &String::from_utf8_lossy(&epoch));
            if let Some(halt) = halted::read(&node, at).await? {
                match &mut whole {
                    Some(whole) => whole.join(halt),
                    None => whole = Some(halt),
                }
            }
        }
        if let Some(halt) = whole {
            self.guard.learn(halt);
        }
        Ok(())
    }

    /// Learns what a partition is by reading alone; one that is not set up stays so.
    async fn recognise(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let node = Node::any(&worker.client);
        let read = |key| Self::get(&node, partition.slot, key);
        let keys = &partition.keys;
        let (epoch, schema) = futures::future::try_join(read(keys.epoch()), read(keys.schema())).await?;
        let words = |bytes: Option<bytes::Bytes>| bytes.map(|b| String::from_utf8_lossy(&b).into_owned());
        let number = partition.number;
        let Some(epoch) = words(epoch) else {
            if partition.epoch().is_empty() {
                return Err(CallError::Later { why: Later::Memory });
            }
            return Err(self.guard.found_epoch(partition, ""));
        };
        self.guard.saw_epoch(partition, &epoch)?;
        let schema = words(schema).unwrap_or_default();
        let numbers: Vec<u32> = schema.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [_, oldest, partitions] if partitions == u32::from(self.settings.partitions) => {
                if SCHEMA < oldest {
                    return Err(self.guard.stop(StopWhy::TooOld { partition: number }));
                }
            }
            _ => return Err(self.guard.stop(StopWhy::Foreign { partition: number })),
        }
        Ok(())
    }

    /// The first words to the database. One that is halted is met all the same: it is told by every call, and goes on when
    /// somebody recovered it.
    async fn meet(&self, worker: &Arc<Worker>) -> Result<(), ConnectError> {
        if self.role == Role::Inspector {
            return Ok(self.inspect(worker).await?);
        }
        match self.register(worker).await {
            Ok(()) => self.agree_on_key(worker).await,
            Err(CallError::Stop(StopWhy::Halted(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
        check_settings(&settings)?;
        let config = endpoint::config(&settings)?;
        let first = pool::client(&config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS);
        let first = Joined::to(first).await?;
        let found = preflight::look(&first.worker.client, settings.durability).await?;
        found.report.log();
        if found.report.worst() == Level::Refuse {
            return Err(ConnectError::Refused(found.report));
        }
        let mut joined = vec![first];
        for _ in 1..settings.connections {
            let client = pool::client(&config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS);
            joined.push(Joined::to(client).await?);
        }
        let stop = CancellationToken::new();
        let guard = Guard::new(settings.partitions, settings.failover_hold);
        guard.set_confirms_itself(found.confirm == Confirm::Reply);
        let (confirmers, confirming) = confirmers(&config, &settings, &guard, &stop).await?;
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
        for joined in joined {
            joined.worker.set_up(true);
            joined.watch(&inner, true);
        }
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
    async fn to(client: Client) -> Result<Self, ConnectError> {
        // Before it connects, so that no event is missed.
        let mut events = Events::of(&client);
        match client.init().await {
            Ok(task) => {
                // The first connection counts as one of them.
                events.reconnects = client.reconnect_rx();
                Ok(Self { worker: Worker::new(client), task, events })
            }
            Err(error) if matches!(error.kind(), ErrorKind::Auth) => {
                Err(ConnectError::Settings { key: "password", why: error.details().to_owned() })
            }
            Err(error) => Err(ConnectError::Unreachable(Lost::Connection(ClientError(error)))),
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
) -> Result<(Vec<Confirmer>, Option<Joined>), ConnectError> {
    if settings.durability == Durability::Fast {
        return Ok((Vec::new(), None));
    }
    let timeout = settings.confirm_timeout;
    let client =
        pool::client(config, timeout + settings.call_timeout, UNRESPONSIVE.max(timeout * 2), OWN_EVENTS);
    let joined = Joined::to(client).await?;
    let count = if config.server.is_clustered() { guard.all().len() } else { 1 };
    let start = |partition: &Partition| {
        let place = Place { key: partition.keys.fence(), slot: partition.slot, timeout };
        Confirmer::start(Arc::clone(&joined.worker), place, stop.clone())
    };
    Ok((guard.all().iter().take(count).map(start).collect(), Some(joined)))
}
