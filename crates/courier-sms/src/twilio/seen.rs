//! Whose message is whose: numbers of messages this process has heard of, and the attempts they belong to. Bounded: the oldest
//! is forgotten first; what other processes heard of is asked of the desk.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use posthaste_courier::AttemptId;
use posthaste_model::Suffix;

/// Messages remembered at most.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19_999);
/// How long the desk remembers whose a message is. The messages of an attempt that is older can't be told from others of the same
/// text.
pub(super) const KEEP: Duration = Duration::from_secs(3600);

/// What was heard of.
pub(super) struct Seen(Mutex<LruCache<String, Suffix>>);

impl Default for Seen {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Seen {
    fn cache(&self) -> MutexGuard<'_, LruCache<String, Suffix>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whose message this is.
    pub(super) fn note(&self, sid: &str, attempt: &AttemptId) {
        self.cache().put(sid.to_owned(), attempt.suffix.clone());
    }

    /// Whose message it is.
    pub(super) fn whose(&self, sid: &str) -> Option<Suffix> {
        self.cache().get(sid).cloned()
    }
}
