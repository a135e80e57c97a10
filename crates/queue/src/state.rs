//! State that all handlers share.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use posthaste_model::{Clock, OrderId, SenderId};
use posthaste_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::{KeyCache, KeyWatch, Shares, Whole};
use crate::intake::InFlight;
use crate::intake::settings::{Rules, SettingError};
use crate::middleware::guard::LARGEST_KIB;
use crate::offload::Offload;
use crate::receipt_channels::Receipts;
use crate::settings::Settings;
use crate::streaming::OrderWatchers;

/// The state of the service; clones share it.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// The shared state.
pub struct Shared {
    /// The database.
    pub store: Store,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The rules of acceptance, built from the settings.
    pub rules: Arc<Rules>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the service stops taking new work; trackers end then.
    pub soft: CancellationToken,
    /// Permits for requests being processed.
    pub(crate) places: Arc<Semaphore>,
    /// KiB of bodies that may be in memory.
    pub(crate) body_memory: Arc<Semaphore>,
    /// Permits for trackers.
    pub(crate) tracker_places: Arc<Semaphore>,
    /// Threads for checking large bodies.
    pub(crate) aside: Offload,
    /// What each key may hold.
    pub(crate) shares: Shares,
    /// Recently looked-up keys.
    pub(crate) known: Arc<KeyCache>,
    /// Keys of open requests.
    pub(crate) key_watch: KeyWatch,
    /// What couriers reported about receipts.
    pub(crate) receipts: Receipts,
    /// Tracked orders.
    pub(crate) hub: OrderWatchers,
    /// Orders being accepted.
    pub(crate) in_flight: InFlight,
}

impl AppState {
    /// An id for a new order of this sender, in a partition that is reachable now: in a cluster, one unreachable
    /// primary blocks no new order.
    pub(crate) fn mint(&self, sender: &SenderId) -> OrderId {
        let there = |order_id: &OrderId| self.store.can_ask(self.store.partition_of(order_id));
        self.in_flight.mint_there(sender, &*self.clock, there)
    }

    /// Creates the state of a service that uses this store.
    ///
    /// # Errors
    /// An invalid setting of acceptance.
    pub fn new(
        store: Store,
        settings: Settings,
        clock: Arc<dyn Clock>,
        soft: CancellationToken,
    ) -> Result<Self, SettingError> {
        let rules = Rules::new(&settings.orders, &settings.quiet_hours, &settings.daily_limits)?;
        let receipts = Receipts::new(store.clone());
        let aside = Offload::new();
        let whole = Whole {
            requests: settings.http.max_requests,
            trackers: settings.trackers.max_open,
            body_kib: body_memory(&settings),
            checks: aside.places(),
        };
        let cache_for = settings.keys.cache_for.get();
        let known = Arc::new(KeyCache::new(cache_for));
        Ok(Self(Arc::new(Shared {
            hub: OrderWatchers::new(store.clone(), receipts.clone(), &settings.trackers),
            receipts,
            in_flight: InFlight::default(),
            key_watch: KeyWatch::new(store.clone(), Arc::clone(&clock), Arc::clone(&known), cache_for),
            known,
            places: Arc::new(Semaphore::new(settings.http.max_requests)),
            body_memory: Arc::new(Semaphore::new(body_memory(&settings))),
            tracker_places: Arc::new(Semaphore::new(settings.trackers.max_open)),
            shares: Shares::new(settings.keys.share.get(), whole),
            aside,
            settings: Arc::new(settings),
            store,
            rules: Arc::new(rules),
            clock,
            soft,
        })))
    }
}

/// KiB of bodies that may be in memory: at least one body of the largest size.
fn body_memory(settings: &Settings) -> usize {
    let kib = settings.http.body_memory.bytes() / 1_024;
    let kib = kib.max(u64::from(LARGEST_KIB));
    usize::try_from(kib).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
