//! One primary, and all that this process keeps for it alone: connections, confirmations, what is known of its memory, whether
//! there is a link. So that one that dies takes nothing with it but its own partitions. A single server, or the master that
//! sentinels name, is one primary that holds everything.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fred::interfaces::ClientLike;
use fred::types::ConnectHandle;
use fred::types::config::Config;
use posthaste_model::Durability;
use tokio_util::sync::CancellationToken;

use crate::cluster::Address;
use crate::confirm::Confirmer;
use crate::error::ConnectError;
use crate::gate::Gate;
use crate::link::LinkState;
use crate::pool::{self, OWN_EVENTS, Pool, UNRESPONSIVE, Worker};
use crate::preflight::{Confirm, Report};
use crate::settings::Settings;
use crate::store::Inner;
use crate::supervise::{self, Events};

/// One primary.
#[derive(Debug)]
pub(crate) struct Primary {
    /// Where it is, for people.
    pub(crate) address: Arc<str>,
    /// Where it is in a cluster.
    pub(crate) place: Option<Address>,
    /// The name it wants to be called by there.
    pub(crate) hostname: Option<String>,
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) link: LinkState,
    pub(crate) gate: Gate,
    pub(crate) report: Mutex<Report>,
    /// One connection is checked at a time, and one partition made known.
    pub(crate) checking: tokio::sync::Mutex<()>,
    /// `None` when replies confirm themselves.
    confirmer: Option<Confirmer>,
    confirm: AtomicU8,
    /// Partitions this process has registered with here, on the run of the server it is connected to.
    known: Mutex<HashSet<u16>>,
    /// The other primaries hold it to be down.
    failed: AtomicBool,
    /// Whether somebody listens to its bells, and watches its histories.
    hears: AtomicBool,
    watches: AtomicBool,
    pub(crate) stop: CancellationToken,
}

/// A client of a primary that nobody looks after yet.
pub(crate) struct Fresh {
    pub(crate) worker: Arc<Worker>,
    pub(crate) events: Events,
    pub(crate) task: Option<ConnectHandle>,
    /// Whether it takes calls.
    in_pool: bool,
}

impl Fresh {
    /// Connects, and waits for it.
    pub(crate) async fn join(&mut self) -> Result<(), ConnectError> {
        match self.worker.client.init().await {
            Ok(task) => {
                self.task = Some(task);
                // The first connection counts as one of them.
                self.events = Events::of(&self.worker.client);
                Ok(())
            }
            Err(error) => Err(ConnectError::connecting(error)),
        }
    }
}

fn encode(confirm: Confirm) -> u8 {
    match confirm {
        Confirm::Reply => 0,
        Confirm::Replicas(_) => 1,
        Confirm::Disk(0) => 2,
        Confirm::Disk(_) => 3,
    }
}

impl Primary {
    /// A primary, and its clients, which are not connected yet: those for calls first.
    pub(crate) fn new(
        config: Config,
        address: &str,
        (place, hostname): (Option<Address>, Option<String>),
        settings: &Settings,
        stop: &CancellationToken,
    ) -> (Arc<Self>, Vec<Fresh>) {
        let (address, stop): (Arc<str>, _) = (address.into(), stop.child_token());
        let fresh = |client: fred::clients::Client, in_pool| {
            // Before it connects, so that no event is missed.
            let events = Events::of(&client);
            Fresh { worker: Worker::new(client, Arc::clone(&address)), events, task: None, in_pool }
        };
        let for_calls =
            |_| fresh(pool::client(&config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS), true);
        let mut all: Vec<Fresh> = (0..settings.connections).map(for_calls).collect();
        let pool = Pool::new(all.iter().map(|fresh| Arc::clone(&fresh.worker)).collect());
        let confirmer = (settings.durability != Durability::Fast).then(|| {
            let timeout = settings.confirm_timeout;
            let silence = UNRESPONSIVE.max(timeout * 2);
            let confirming =
                fresh(pool::client(&config, timeout + settings.call_timeout, silence, OWN_EVENTS), false);
            let confirmer = Confirmer::start(Arc::clone(&confirming.worker), timeout, stop.clone());
            all.push(confirming);
            confirmer
        });
        let primary = Arc::new(Self {
            address,
            place,
            hostname,
            config,
            pool,
            link: LinkState::down(),
            gate: Gate::default(),
            report: Mutex::default(),
            checking: tokio::sync::Mutex::new(()),
            confirmer,
            confirm: AtomicU8::new(0),
            known: Mutex::default(),
            failed: AtomicBool::new(false),
            hears: AtomicBool::new(false),
            watches: AtomicBool::new(false),
            stop,
        });
        (primary, all)
    }

    /// Looks after clients from now on; those that were not connected are.
    pub(crate) fn watch(self: &Arc<Self>, inner: &Arc<Inner>, clients: Vec<Fresh>) {
        for Fresh { worker, events, task, in_pool } in clients {
            let task = task.unwrap_or_else(|| worker.client.connect());
            let (inner, primary) = (Arc::downgrade(inner), Arc::clone(self));
            tokio::spawn(supervise::watch(inner, primary, worker, task, events, in_pool));
        }
    }

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
    }

    pub(crate) fn confirmer(&self) -> Option<&Confirmer> {
        self.confirmer.as_ref()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<u16>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process has registered with a partition here.
    pub(crate) fn knows(&self, partition: u16) -> bool {
        self.known().contains(&partition)
    }

    /// It has.
    pub(crate) fn knows_now(&self, partition: u16) {
        self.known().insert(partition);
    }

    /// There is a new connection: what was known of the old one does not count.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    /// Whether calls may be made as far as the other primaries know.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn set_failed(&self, failed: bool) {
        self.failed.store(failed, Ordering::Release);
    }

    /// True for the first who asks: it is to listen to the bells there.
    pub(crate) fn begins_to_hear(&self) -> bool {
        !self.hears.swap(true, Ordering::AcqRel)
    }

    /// True for the first who asks: it is to watch histories there.
    pub(crate) fn begins_to_watch(&self) -> bool {
        !self.watches.swap(true, Ordering::AcqRel)
    }

    /// Shows in the metrics whether there is a link.
    pub(crate) fn show(&self, up: bool) {
        metrics::gauge!("posthaste_store_node_up", "node" => self.address.to_string())
            .set(f64::from(u8::from(up)));
    }

    /// Whether calls can be made.
    pub(crate) fn is_up(&self) -> bool {
        !self.has_failed() && self.pool.workers.iter().any(|worker| worker.is_up())
    }
}
