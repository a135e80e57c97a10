//! Scripts decide only on the database and their arguments, so a call that was made before on the same database is not
//! run again: its result is cached. Explorations reach the same database on very many paths.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::command::{CallFault, ScriptRequest, ServerAnswer};
use super::view::DatabaseView;
use crate::FakeRedis;
use crate::fake_redis::Event;

/// Most databases kept; on others every call is run.
const MOST: usize = 300_000;
const SHARDS: u64 = 16;

/// A known database, with the results of what was done to it.
pub struct CachedDatabase {
    pub(super) world: FakeRedis,
    pub(super) view: Arc<DatabaseView>,
    done: Mutex<Vec<(Deed, Arc<Outcome>)>>,
}

/// What can be done to a database.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    /// A script is called.
    Call(ScriptRequest),
    /// Its clock moves to this moment in ms.
    Time(i64),
}

/// The result. The database after it belongs to the cache, which may not keep it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) received: Result<ServerAnswer, CallFault>,
    pub(super) events: Vec<Event>,
    after: Weak<CachedDatabase>,
}

impl fmt::Debug for CachedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Outcome {
    /// The result on a database that is not cached.
    pub(super) fn passing(received: Result<ServerAnswer, CallFault>, events: Vec<Event>) -> Self {
        Self { received, events, after: Weak::new() }
    }
}

/// All known databases.
#[derive(Debug, Default)]
pub(super) struct CallCache {
    shards: [Mutex<HashMap<u64, Vec<Arc<CachedDatabase>>>>; SHARDS as usize],
    count: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CallCache {
    /// The earlier result of a deed, and the database after it.
    pub(super) fn recall(
        &self,
        place: &CachedDatabase,
        deed: &Deed,
    ) -> Option<(Arc<Outcome>, Arc<CachedDatabase>)> {
        let outcome =
            lock(&place.done).iter().find(|(known, _)| known == deed).map(|(_, it)| Arc::clone(it))?;
        let after = outcome.after.upgrade()?;
        Some((outcome, after))
    }

    /// Stores the result of a deed.
    pub(super) fn remember(
        &self,
        place: &CachedDatabase,
        deed: Deed,
        received: Result<ServerAnswer, CallFault>,
        events: Vec<Event>,
        after: &Arc<CachedDatabase>,
    ) -> Arc<Outcome> {
        let outcome = Arc::new(Outcome { received, events, after: Arc::downgrade(after) });
        let mut done = lock(&place.done);
        done.retain(|(known, _)| *known != deed);
        done.push((deed, Arc::clone(&outcome)));
        outcome
    }

    /// The cache entry of a database, which is decoded when it is new.
    pub(super) fn place(
        &self,
        world: &FakeRedis,
        look: impl FnOnce(&FakeRedis) -> DatabaseView,
    ) -> Arc<CachedDatabase> {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        let hash = hasher.finish();
        let shard = &self.shards[usize::try_from(hash % SHARDS).unwrap_or(0)];
        if let Some(known) = lock(shard).get(&hash).and_then(|all| all.iter().find(|it| it.world == *world)) {
            return Arc::clone(known);
        }
        let view = Arc::new(look(world));
        let place = Arc::new(CachedDatabase { world: world.clone(), view, done: Mutex::default() });
        if self.count.fetch_add(1, Ordering::Relaxed) < MOST {
            lock(shard).entry(hash).or_default().push(Arc::clone(&place));
        }
        place
    }
}
