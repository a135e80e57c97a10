//! The orders of messages: the SIDs of messages that this process has seen, and the orders they belong to. Bounded:
//! the oldest is dropped first. Those seen by other processes are looked up in the feedback sink.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use posthaste_courier::AttemptId;
use posthaste_model::OrderId;

/// Maximum number of messages in the cache.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19_999);
/// How long the feedback sink stores the order of a message. For an older attempt, its message can't be distinguished
/// from others with the same text.
pub(super) const KEEP: Duration = Duration::from_secs(3600);

/// The cache of messages seen.
pub(super) struct SidCache(Mutex<LruCache<String, OrderId>>);

impl Default for SidCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl SidCache {
    fn cache(&self) -> MutexGuard<'_, LruCache<String, OrderId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the order of a message.
    pub(super) fn note(&self, sid: &str, attempt: &AttemptId) {
        self.cache().put(sid.to_owned(), attempt.order_id.clone());
    }

    /// The order of a message, if known.
    pub(super) fn whose(&self, sid: &str) -> Option<OrderId> {
        self.cache().get(sid).cloned()
    }
}
