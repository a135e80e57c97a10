//! Which channels get delivery receipts from their provider. Couriers report this when they start; the value is
//! cached for a few seconds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::Channel;
use posthaste_store::{CallError, Store};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A courier that starts with other settings is noticed this much later.
const KNOWN_FOR: Duration = Duration::from_secs(5);

/// By channel; a channel is missing until one of its couriers has reported.
pub(crate) type ReceiptSupport = Arc<BTreeMap<Channel, bool>>;

/// The last reports of couriers; clones share them.
#[derive(Clone)]
pub(crate) struct Receipts {
    store: Store,
    known: Arc<Mutex<Option<(Instant, ReceiptSupport)>>>,
}

impl Receipts {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Arc::default() }
    }

    /// The current reports. Concurrent callers share one lookup.
    pub(crate) async fn current(&self) -> Result<ReceiptSupport, CallError> {
        let mut known = self.known.lock().await;
        if let Some((at, said)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return Ok(Arc::clone(said));
        }
        let said = Arc::new(self.store.receipts().await?);
        *known = Some((Instant::now(), Arc::clone(&said)));
        Ok(said)
    }
}

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipts").finish_non_exhaustive()
    }
}
