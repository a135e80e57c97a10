//! What trackers share.

use std::sync::Arc;
use std::time::Duration;

use posthaste_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::order_watchers::OrderWatchers;
use crate::auth::KeyWatch;
use crate::receipt_channels::Receipts;
use crate::settings::Trackers;

/// The state of the requests that wait for changes.
pub(crate) struct TrackersState {
    /// The database.
    pub(crate) store: Store,
    /// What couriers reported about receipts.
    pub(crate) receipts: Receipts,
    /// Tracked orders.
    pub(crate) watchers: OrderWatchers,
    /// Keys of open requests.
    pub(crate) key_watch: Arc<KeyWatch>,
    /// Permits for trackers.
    pub(crate) permits: Arc<Semaphore>,
    /// Time between two heartbeats of an event stream.
    pub(crate) heartbeat: Duration,
    /// Cancelled when the service stops taking new work; trackers end then.
    pub(crate) soft: CancellationToken,
}

impl TrackersState {
    /// The state of trackers with these settings, which end when `soft` is cancelled.
    pub(crate) fn new(
        store: Store,
        receipts: Receipts,
        key_watch: Arc<KeyWatch>,
        settings: &Trackers,
        soft: CancellationToken,
    ) -> Self {
        Self {
            watchers: OrderWatchers::new(store.clone(), receipts.clone(), settings),
            permits: Arc::new(Semaphore::new(settings.max_open)),
            heartbeat: settings.heartbeat.get(),
            store,
            receipts,
            key_watch,
            soft,
        }
    }
}
