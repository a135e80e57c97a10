//! The state that all clones of a store share. What is done with it is in the modules above: one connection
//! (`script`, `register`, `supervise`), the way to it (`primaries`, `routing`), and calls (`call`, `reader`).

use std::sync::{Arc, OnceLock, RwLock};

use fred::types::config::Config;
use posthaste_protocol::record::AddressKey;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::replica::Replicas;
use crate::content_cache::ContentCache;
use crate::epoch_guard::{EpochGuard, Partition};
use crate::error::CallError;
use crate::link::LinkState;
use crate::order_watch::Watcher;
use crate::requests::Requests;
use crate::routes::Routes;
use crate::settings::{Role, Settings};
use crate::trouble::ServerTroubles;
use crate::wakeups::EventReceiver;

/// The state of a store.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) replicas: Replicas,
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
    /// Nothing is connected or registered yet.
    pub(crate) fn new(
        (settings, role, config): (Settings, Role, Config),
        routes: Routes,
        troubles: ServerTroubles,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            routes,
            replicas: Replicas::new(config.clone(), stop.clone()),
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

    /// A partition by its number.
    pub(crate) fn partition(&self, p: u16) -> Result<&Partition, CallError> {
        self.guard.partition(p)
    }
}
