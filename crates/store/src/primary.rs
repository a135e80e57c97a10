//! One primary, and everything this process keeps for it alone: connections, confirmations, the state of its memory
//! and its link. So a primary that fails affects only its own partitions. A single server, or the master named by
//! sentinels, is one primary that holds everything.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fred::interfaces::ClientLike;
use fred::types::ConnectHandle;
use fred::types::config::Config;
use posthaste_model::Durability;
use tokio_util::sync::CancellationToken;

use crate::cluster::NodeAddress;
use crate::confirmer::Confirmer;
use crate::error::ConnectError;
use crate::link::LinkState;
use crate::memory_guard::MemoryGuard;
use crate::pool::{self, Events, OWN_EVENTS, Pool, UNRESPONSIVE, Worker};
use crate::preflight::{Confirm, PreflightReport};
use crate::settings::Settings;

/// One primary.
#[derive(Debug)]
pub(crate) struct Primary {
    /// Its address, as text for people.
    pub(crate) address: Arc<str>,
    /// Its address in a cluster.
    pub(crate) place: Option<NodeAddress>,
    /// Its preferred host name there.
    pub(crate) hostname: Option<String>,
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) link: LinkState,
    pub(crate) gate: MemoryGuard,
    pub(crate) report: Mutex<PreflightReport>,
    /// Only one connection is checked at a time, and one partition registered.
    pub(crate) checking: tokio::sync::Mutex<()>,
    /// `None` when the replies themselves are the confirmation.
    confirmer: Option<Confirmer>,
    confirm: AtomicU8,
    /// Partitions this process has registered with here, on the current run of the server.
    known: Mutex<HashSet<u16>>,
    /// The other primaries consider it down.
    failed: AtomicBool,
    /// Whether its bells are already listened to, and its histories watched.
    hears: AtomicBool,
    watches: AtomicBool,
    pub(crate) stop: CancellationToken,
}

/// A new client of a primary that has no supervisor yet.
pub(crate) struct Fresh {
    pub(crate) worker: Arc<Worker>,
    pub(crate) events: Events,
    pub(crate) task: Option<ConnectHandle>,
    /// Whether it takes calls.
    pub(crate) in_pool: bool,
}

impl Fresh {
    /// Connects, and waits until connected.
    pub(crate) async fn join(&mut self) -> Result<(), ConnectError> {
        match self.worker.client.init().await {
            Ok(task) => {
                self.task = Some(task);
                // So that the first connection does not count as a reconnection.
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
    /// A primary and its clients, which are not connected yet; those for calls come first.
    pub(crate) fn new(
        config: Config,
        address: &str,
        (place, hostname): (Option<NodeAddress>, Option<String>),
        settings: &Settings,
        stop: &CancellationToken,
    ) -> (Arc<Self>, Vec<Fresh>) {
        let (address, stop): (Arc<str>, _) = (address.into(), stop.child_token());
        let fresh = |client: fred::clients::Client, in_pool| {
            // Subscribed before connecting, so that no event is missed.
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
            gate: MemoryGuard::default(),
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

    /// Records that it has registered with the partition.
    pub(crate) fn knows_now(&self, partition: u16) {
        self.known().insert(partition);
    }

    /// There is a new connection: registrations over the old one no longer count.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    /// Whether the other primaries consider it down, so that no calls should be made.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn set_failed(&self, failed: bool) {
        self.failed.store(failed, Ordering::Release);
    }

    /// True for the first caller, which then listens to the bells there.
    pub(crate) fn begins_to_hear(&self) -> bool {
        !self.hears.swap(true, Ordering::AcqRel)
    }

    /// True for the first caller, which then watches histories there.
    pub(crate) fn begins_to_watch(&self) -> bool {
        !self.watches.swap(true, Ordering::AcqRel)
    }

    /// Sets the metric for the link.
    pub(crate) fn show(&self, up: bool) {
        metrics::gauge!("posthaste_redis_node_up", "node" => self.address.to_string())
            .set(f64::from(u8::from(up)));
    }

    /// Whether calls can be made.
    pub(crate) fn is_up(&self) -> bool {
        !self.has_failed() && self.pool.workers.iter().any(|worker| worker.is_up())
    }
}
