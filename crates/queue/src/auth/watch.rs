//! Keys of requests that stay open: event streams, long polls, long NDJSON responses.
//!
//! One task for each key with such requests asks the store about it [`CHECKS`] times per `keys.cache_for`, bypassing
//! the cache. An open request ends when its key was revoked or has expired. While the store is unreachable, the last
//! result is valid for `keys.cache_for`; after that nothing more is sent until the key was found again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use posthaste_model::{Clock, UnixMs};
use posthaste_store::{KeyId, KeyRecord, Store};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::bearer::unauthorized;
use super::key_cache::KeyCache;
use crate::problem::{Code, Problem, STORE_RETRY};

/// How often a key is looked up per `keys.cache_for`.
const CHECKS: u32 = 3;
/// Minimum time between two lookups.
const SHORTEST: Duration = Duration::from_millis(20);
/// How long a response waits for the store to confirm that its key is live.
const PATIENCE: Duration = Duration::from_secs(5);
/// Minimum time between two lookups while the store refuses.
const REFUSED: Duration = Duration::from_millis(250);

/// What is known of the key of an open request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    /// When it was last found to be live.
    at: Instant,
    /// Whether it was revoked or has expired.
    over: bool,
}

type Entries = Arc<Mutex<HashMap<KeyId, Weak<Watched>>>>;

/// The keys of open requests.
pub(crate) struct KeyWatch {
    store: Store,
    clock: Arc<dyn Clock>,
    known: Arc<KeyCache>,
    cache_for: Duration,
    entries: Entries,
}

/// One watched key.
#[derive(Debug)]
struct Watched {
    id: KeyId,
    tell: Arc<watch::Sender<Found>>,
    task: AbortHandle,
    entries: Entries,
}

/// The key of one open request, watched until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenKey {
    found: watch::Receiver<Found>,
    cache_for: Duration,
    _watched: Arc<Watched>,
}

fn lock(entries: &Entries) -> MutexGuard<'_, HashMap<KeyId, Weak<Watched>>> {
    // A plain map: intact even if a holder panicked.
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyWatch {
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        known: Arc<KeyCache>,
        cache_for: Duration,
    ) -> Self {
        Self { store, clock, known, cache_for, entries: Entries::default() }
    }

    /// Watches the key of a request, which was read from the store at `found`.
    pub(crate) fn watch(&self, id: &KeyId, expires: Option<UnixMs>, found: Instant) -> OpenKey {
        let mut entries = lock(&self.entries);
        if let Some(watched) = entries.get(id).and_then(Weak::upgrade) {
            return OpenKey { found: watched.tell.subscribe(), cache_for: self.cache_for, _watched: watched };
        }
        let (tell, receiver) = watch::channel(Found { at: found, over: false });
        let tell = Arc::new(tell);
        let watcher = Watcher {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            known: Arc::clone(&self.known),
            id: id.clone(),
            every: (self.cache_for / CHECKS).max(SHORTEST),
            expires,
        };
        let task = tokio::spawn(watcher.run(Arc::clone(&tell), found)).abort_handle();
        let watched = Arc::new(Watched { id: id.clone(), tell, task, entries: Arc::clone(&self.entries) });
        entries.insert(id.clone(), Arc::downgrade(&watched));
        OpenKey { found: receiver, cache_for: self.cache_for, _watched: watched }
    }

    /// Ends the open requests of a key that was revoked here.
    pub(crate) fn end(&self, id: &KeyId) {
        if let Some(watched) = lock(&self.entries).get(id).and_then(Weak::upgrade) {
            watched.tell.send_modify(|found| found.over = true);
        }
    }
}

impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWatch").field("cache_for", &self.cache_for).finish_non_exhaustive()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
        let mut entries = lock(&self.entries);
        // Another request may have started to watch it again meanwhile.
        if entries.get(&self.id).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.id);
        }
    }
}

impl OpenKey {
    /// Waits until the key is revoked or expired. Cancel-safe: may be dropped and called again at any time.
    pub(crate) async fn over(&mut self) {
        // This can't fail: `self` holds the sender.
        drop(self.found.wait_for(|found| found.over).await);
    }

    /// Waits until the key was found live within `keys.cache_for`; usually ready at once. Cancel-safe: may be dropped
    /// and called again at any time.
    ///
    /// # Errors
    /// 503 when the store could not be asked for another [`PATIENCE`], 401 when the key is revoked or expired.
    pub(crate) async fn must_tell(&mut self) -> Result<(), Problem> {
        match timeout(PATIENCE, self.may_tell()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(unauthorized()),
            Err(_) => Err(Problem::new(Code::StorageUnavailable, "the store did not answer in time")
                .retry_after(STORE_RETRY)),
        }
    }

    /// Like [`OpenKey::must_tell`], but waits as long as it takes; false when the key is revoked or expired.
    pub(crate) async fn may_tell(&mut self) -> bool {
        let cache_for = self.cache_for;
        let settled = self.found.wait_for(|found| found.over || found.at.elapsed() < cache_for).await;
        settled.is_ok_and(|found| !found.over)
    }
}

/// The task of one key.
struct Watcher {
    store: Store,
    clock: Arc<dyn Clock>,
    known: Arc<KeyCache>,
    id: KeyId,
    every: Duration,
    expires: Option<UnixMs>,
}

impl Watcher {
    async fn run(self, tell: Arc<watch::Sender<Found>>, found: Instant) {
        let mut pause = self.every.saturating_sub(found.elapsed());
        loop {
            sleep(self.until_expiry().map_or(pause, |left| pause.min(left))).await;
            let requested = Instant::now();
            // Expiry needs no reply from the store.
            let live = match self.until_expiry() {
                Some(Duration::ZERO) => Ok(false),
                _ => self.store.find_key(&self.id).await.map(|found| self.is_live(found.as_ref())),
            };
            pause = self.every;
            match live {
                Ok(true) => {
                    tell.send_modify(|found| found.at = requested);
                }
                Ok(false) => {
                    self.known.forget(&self.id);
                    tell.send_modify(|found| found.over = true);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, key = %self.id, "could not look up the key of an open request");
                    pause = self.every.min(REFUSED);
                }
            }
        }
    }

    fn is_live(&self, found: Option<&KeyRecord>) -> bool {
        found.is_some_and(|record| record.live_at(self.clock.now()))
    }

    /// How long until the key expires; zero if it has expired.
    fn until_expiry(&self) -> Option<Duration> {
        let left = |end: UnixMs| Duration::from_millis(end.0.saturating_sub(self.clock.now().0));
        self.expires.map(left)
    }
}
