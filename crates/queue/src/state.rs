//! What all handlers share.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use posthaste_model::{Clock, SenderId, Suffix};
use posthaste_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::aside::Aside;
use crate::auth::{KeyWatch, KnownKeys, Shares, Whole};
use crate::edge::guard::LARGEST_KIB;
use crate::intake::Desk;
use crate::intake::settings::{Rules, SettingError};
use crate::receipts::Receipts;
use crate::settings::Settings;
use crate::track::Hub;

/// The state of the service; clones are the same.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// What is shared.
pub struct Shared {
    /// Where everything is.
    pub store: Store,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The rules of acceptance, made of the settings.
    pub rules: Arc<Rules>,
    /// Tells the time of day.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the service takes no new work: trackers end then.
    pub soft: CancellationToken,
    /// Places for requests that are worked on.
    pub(crate) places: Arc<Semaphore>,
    /// KiB of bodies that may be in memory.
    pub(crate) body_memory: Arc<Semaphore>,
    /// Places for trackers.
    pub(crate) tracker_places: Arc<Semaphore>,
    /// Places for checks of big bodies.
    pub(crate) aside: Aside,
    /// What each key may hold.
    pub(crate) shares: Shares,
    /// Keys looked up lately.
    pub(crate) known: Arc<KnownKeys>,
    /// Keys of requests that are open.
    pub(crate) key_watch: KeyWatch,
    /// What couriers said of receipts.
    pub(crate) receipts: Receipts,
    /// Orders that are tracked.
    pub(crate) hub: Hub,
    /// What is being accepted.
    pub(crate) desk: Desk,
}

impl AppState {
    /// An id for a new order of this sender, in a partition that can be asked now: in a cluster one primary that is away keeps no
    /// new order out.
    pub(crate) fn mint(&self, sender: &SenderId) -> Suffix {
        let there = |suffix: &Suffix| self.store.can_ask(self.store.partition_of(suffix));
        self.desk.mint_there(sender, &*self.clock, there)
    }

    /// The state of a service on this store.
    ///
    /// # Errors
    /// A setting of acceptance that can't be used.
    pub fn new(
        store: Store,
        settings: Settings,
        clock: Arc<dyn Clock>,
        soft: CancellationToken,
    ) -> Result<Self, SettingError> {
        let rules = Rules::new(&settings.orders, &settings.quiet_hours, &settings.daily_limits)?;
        let receipts = Receipts::new(store.clone());
        let aside = Aside::new();
        let whole = Whole {
            requests: settings.http.requests,
            trackers: settings.trackers.most,
            body_kib: body_memory(&settings),
            checks: aside.places(),
        };
        let known_for = settings.keys.known_for.get();
        let known = Arc::new(KnownKeys::new(known_for));
        Ok(Self(Arc::new(Shared {
            hub: Hub::new(store.clone(), receipts.clone(), &settings.trackers),
            receipts,
            desk: Desk::default(),
            key_watch: KeyWatch::new(store.clone(), Arc::clone(&clock), Arc::clone(&known), known_for),
            known,
            places: Arc::new(Semaphore::new(settings.http.requests)),
            body_memory: Arc::new(Semaphore::new(body_memory(&settings))),
            tracker_places: Arc::new(Semaphore::new(settings.trackers.most)),
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

/// KiB of bodies that may be in memory: one of the largest at least.
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
