//! Scripts decide on the database and their arguments alone, so a call made before on the same database is not run again:
//! what it did is remembered. Explorations come by the same database on very many ways.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::command::{CallFault, Command, Heard};
use super::view::View;
use crate::World;
use crate::world::Event;

/// Databases kept at most; on others every call is run.
const MOST: usize = 300_000;
const SHARDS: u64 = 16;

/// A database that was met, with what was done to it.
pub struct Place {
    pub(super) world: World,
    pub(super) view: Arc<View>,
    done: Mutex<Vec<(Deed, Arc<Outcome>)>>,
}

/// What may be done to a database.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    /// A script is called.
    Call(Command),
    /// Its clock moves to this moment in ms.
    Time(i64),
}

/// What came of it. The database after it belongs to the memo, which may not keep it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) heard: Result<Heard, CallFault>,
    pub(super) events: Vec<Event>,
    after: Weak<Place>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Outcome {
    /// What came of something on a database that is not remembered.
    pub(super) fn passing(heard: Result<Heard, CallFault>, events: Vec<Event>) -> Self {
        Self { heard, events, after: Weak::new() }
    }
}

/// All databases that were met.
#[derive(Debug, Default)]
pub(super) struct Memo {
    shards: [Mutex<HashMap<u64, Vec<Arc<Place>>>>; SHARDS as usize],
    count: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memo {
    /// What a deed did the last time, and the database after it.
    pub(super) fn recall(&self, place: &Place, deed: &Deed) -> Option<(Arc<Outcome>, Arc<Place>)> {
        let outcome =
            lock(&place.done).iter().find(|(known, _)| known == deed).map(|(_, it)| Arc::clone(it))?;
        let after = outcome.after.upgrade()?;
        Some((outcome, after))
    }

    /// Remembers what a deed did.
    pub(super) fn remember(
        &self,
        place: &Place,
        deed: Deed,
        heard: Result<Heard, CallFault>,
        events: Vec<Event>,
        after: &Arc<Place>,
    ) -> Arc<Outcome> {
        let outcome = Arc::new(Outcome { heard, events, after: Arc::downgrade(after) });
        let mut done = lock(&place.done);
        done.retain(|(known, _)| *known != deed);
        done.push((deed, Arc::clone(&outcome)));
        outcome
    }

    /// The place of a database, which is looked at when it is new.
    pub(super) fn place(&self, world: &World, look: impl FnOnce(&World) -> View) -> Arc<Place> {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        let hash = hasher.finish();
        let shard = &self.shards[usize::try_from(hash % SHARDS).unwrap_or(0)];
        if let Some(known) = lock(shard).get(&hash).and_then(|all| all.iter().find(|it| it.world == *world)) {
            return Arc::clone(known);
        }
        let view = Arc::new(look(world));
        let place = Arc::new(Place { world: world.clone(), view, done: Mutex::default() });
        if self.count.fetch_add(1, Ordering::Relaxed) < MOST {
            lock(shard).entry(hash).or_default().push(Arc::clone(&place));
        }
        place
    }
}
