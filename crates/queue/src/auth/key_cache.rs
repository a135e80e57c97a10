//! Caches recently looked-up keys, so that not every request asks the store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use posthaste_store::{KeyId, KeyRecord, Store};
use tokio::time::Instant;

use crate::problem::Problem;

/// Maximum cached keys; the store holds at most 1,000.
const MOST: usize = 1_024;
/// How often the last use of a key is recorded.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// The cache of keys.
#[derive(Debug)]
pub(crate) struct KeyCache {
    fresh_for: Duration,
    keys: Mutex<HashMap<KeyId, Known>>,
}

#[derive(Debug)]
struct Known {
    record: KeyRecord,
    looked: Instant,
    touched: Option<Instant>,
}

impl KeyCache {
    pub(crate) fn new(fresh_for: Duration) -> Self {
        Self { fresh_for, keys: Mutex::default() }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyId, Known>> {
        // Plain values: intact even if a holder panicked.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a key, and when the store was asked for it. Only existing keys are cached.
    pub(crate) async fn look_up(
        &self,
        store: &Store,
        id: &KeyId,
    ) -> Result<Option<(KeyRecord, Instant)>, Problem> {
        let fresh = |known: &&Known| known.looked.elapsed() < self.fresh_for;
        if let Some(known) = self.keys().get(id).filter(fresh) {
            return Ok(Some((known.record.clone(), known.looked)));
        }
        let looked = Instant::now();
        let found = store.find_key(id).await?;
        let mut keys = self.keys();
        match &found {
            Some(record) => {
                let touched = keys.get(id).and_then(|known| known.touched);
                if keys.len() >= MOST && !keys.contains_key(id) {
                    keys.clear();
                }
                keys.insert(id.clone(), Known { record: record.clone(), looked, touched });
            }
            None => {
                keys.remove(id);
            }
        }
        Ok(found.map(|record| (record, looked)))
    }

    /// Removes a key that was changed here from the cache.
    pub(crate) fn forget(&self, id: &KeyId) {
        self.keys().remove(id);
    }

    /// Records the last use of a cached key, once a minute, in the background.
    pub(crate) fn touch(&self, store: &Store, id: &KeyId) {
        let mut keys = self.keys();
        let Some(known) = keys.get_mut(id) else { return };
        if known.touched.is_some_and(|at| at.elapsed() < TOUCH_EVERY) {
            return;
        }
        known.touched = Some(Instant::now());
        let (store, id) = (store.clone(), id.clone());
        tokio::spawn(async move {
            if let Err(error) = store.touch_key(&id).await {
                tracing::debug!(%error, "could not record the last use of a key");
            }
        });
    }
}
