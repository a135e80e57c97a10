//! An in-memory model of the Redis commands that our scripts use.
//!
//! A [`FakeRedis`] is one database with its clock. It answers commands as the server does, byte by byte, and
//! records the keyspace events that the server would publish. Values are shared between copies until they are
//! written, so copying a world costs a few reference counts, whatever it holds; keys are ordered, so iteration
//! is deterministic. The tests of this crate compare it with real servers
//! (`tests/differential`).

mod argv;
mod clock;
mod command;
mod commands;
mod data;
mod event;
mod fault;
mod flavour;
mod number;
mod print;
mod reply;
mod sorted_set;

use std::collections::BTreeMap;
use std::hash::{Hash as StdHash, Hasher};
use std::sync::Arc;

pub use argv::Argv;
pub use clock::FakeClock;
pub(crate) use command::command_named;
pub use command::{Access, tag};
use data::Kind;
pub use data::{COMPACT_BYTES, COMPACT_FIELDS, Data, Entry, Hash, List, Set, Str};
pub use event::{Class, Classes, Event};
pub use fault::CommandError;
pub use flavour::Flavour;
pub(crate) use number::{format_argument, format_lua};
pub use reply::{Answer, Reply};
pub use sorted_set::{Limit, Score, SortedSet};

/// One Redis database, its clock, and the events not yet taken by its subscribers.
///
/// Two worlds are equal, and hash alike, if their keys, deadlines, clocks, runs and memory are; recorded events
/// do not count. The order of fields in a compact hash counts, because `HGETALL` shows it; see
/// [`FakeRedis::hash_regardless_of_field_order`].
#[derive(Clone, Default)]
pub struct FakeRedis {
    keys: Arc<BTreeMap<Str, Entry>>,
    clock: FakeClock,
    memory_full: bool,
    /// Number of this run of the server.
    run: u64,
    flavour: Flavour,
    watched: Classes,
    listeners: u32,
    events: Vec<Event>,
}

impl FakeRedis {
    /// An empty database of the given kind of server, at the given time, that records every class of events.
    #[must_use]
    pub fn new(flavour: Flavour, clock: FakeClock) -> Self {
        Self { flavour, clock, ..Self::default() }
    }

    /// The same world, recording only these classes of events (as `notify-keyspace-events` does).
    #[must_use]
    pub fn watching(mut self, classes: Classes) -> Self {
        self.watched = classes;
        self
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> FakeClock {
        self.clock
    }

    /// Moves the clock, in either direction. Nothing else happens: expired keys are removed when they are
    /// touched, or by [`FakeRedis::expire_all_due`].
    pub fn set_clock(&mut self, clock: FakeClock) {
        self.clock = clock;
    }

    /// Moves the clock forward.
    pub fn advance_ms(&mut self, ms: i64) {
        self.clock = self.clock.later_by_ms(ms);
    }

    /// Which server this world behaves like.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Whether used memory is over `maxmemory` (with the policy `noeviction`).
    #[must_use]
    pub fn is_memory_full(&self) -> bool {
        self.memory_full
    }

    /// Sets whether used memory is over `maxmemory`.
    pub fn set_memory_full(&mut self, full: bool) {
        self.memory_full = full;
    }

    /// The server was restarted, or another one took over: its run id changes.
    pub fn set_run(&mut self, run: u64) {
        self.run = run;
    }

    /// Sets the number of subscribers that `PUBLISH` reports; initially none. Not part of what makes
    /// two worlds equal.
    pub fn set_listeners(&mut self, listeners: u32) {
        self.listeners = listeners;
    }

    /// Takes the events recorded so far, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Runs one command outside any script and returns its answer.
    ///
    /// # Errors
    /// The server's error, or [`CommandError::Unmodelled`] for what this model does not support.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Answer {
        let argv = Argv::of(words);
        let command = command_named(&argv)?;
        command.run(self, &argv)
    }

    /// All keys as stored, in order, including expired ones that were not touched yet.
    pub fn entries(&self) -> impl Iterator<Item = (&Str, &Entry)> {
        self.keys.iter()
    }

    /// Number of keys as stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A key as stored: reading it here does not expire it.
    #[must_use]
    pub fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.keys.get(key)
    }

    /// The string in a key; `None` if the key is missing or of another type. Reading it here does not expire it, nor
    /// do the four functions below.
    #[must_use]
    pub fn text(&self, key: &[u8]) -> Option<&[u8]> {
        match &self.entry(key)?.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The hash in a key.
    #[must_use]
    pub fn hash_at(&self, key: &[u8]) -> Option<&Hash> {
        Hash::of(&self.entry(key)?.data)
    }

    /// The sorted set in a key.
    #[must_use]
    pub fn sorted_at(&self, key: &[u8]) -> Option<&SortedSet> {
        SortedSet::of(&self.entry(key)?.data)
    }

    /// The list in a key.
    #[must_use]
    pub fn list_at(&self, key: &[u8]) -> Option<&List> {
        List::of(&self.entry(key)?.data)
    }

    /// The set in a key.
    #[must_use]
    pub fn set_at(&self, key: &[u8]) -> Option<&Set> {
        Set::of(&self.entry(key)?.data)
    }

    /// Keys that have expired but are still stored, because they were not touched.
    pub fn overdue(&self) -> impl Iterator<Item = &Str> {
        let now = self.clock.ms();
        self.keys.iter().filter(move |(_, entry)| is_past(entry, now)).map(|(key, _)| key)
    }

    /// What the server's own expiry does to one key, at a moment of its choice: removes it if it has
    /// expired and records `expired`. Returns whether it did.
    pub fn expire(&mut self, key: &[u8]) -> bool {
        self.expire_if_due(key)
    }

    /// The same for every expired key, in the order of keys. Returns how many there were.
    pub fn expire_all_due(&mut self) -> usize {
        let overdue: Vec<Str> = self.overdue().cloned().collect();
        overdue.iter().filter(|key| self.expire_if_due(key)).count()
    }

    /// Removes expired keys without an event, as a restart from a snapshot (RDB) does. Returns how many.
    pub fn drop_overdue_silently(&mut self) -> usize {
        let (before, now) = (self.keys.len(), self.clock.ms());
        Arc::make_mut(&mut self.keys).retain(|_, entry| !is_past(entry, now));
        before - self.keys.len()
    }

    /// Removes everything without an event, as `FLUSHALL` or a lost disk does.
    pub fn wipe(&mut self) {
        self.keys = Arc::default();
    }

    /// Feeds the world to a hasher as [`std::hash::Hash`] does, but with the fields of every hash sorted: worlds
    /// that differ only in the order in which fields were first written hash alike.
    pub fn hash_regardless_of_field_order<H: Hasher>(&self, state: &mut H) {
        (self.clock, self.memory_full, self.run, self.keys.len()).hash(state);
        for (key, entry) in self.keys.iter() {
            (key, entry.expires_at).hash(state);
            match &entry.data {
                Data::Hash(hash) => {
                    let mut fields: Vec<_> = hash.iter().collect();
                    fields.sort_unstable();
                    fields.hash(state);
                }
                other => other.hash(state),
            }
        }
    }
}

/// The effects of commands on a world.
impl FakeRedis {
    /// Removes a key that has expired, as every access does first.
    fn expire_if_due(&mut self, key: &[u8]) -> bool {
        let due = self.keys.get(key).is_some_and(|entry| is_past(entry, self.clock.ms()));
        if due {
            self.remove(key);
            self.tell(Class::Expired, "expired", key);
        }
        due
    }

    /// A key's value; removes it first if it has expired.
    fn read(&mut self, key: &[u8]) -> Option<&Data> {
        self.expire_if_due(key);
        self.keys.get(key).map(|entry| &entry.data)
    }

    /// A key's string.
    fn read_text(&mut self, key: &[u8]) -> Result<Option<&Str>, CommandError> {
        match self.read(key) {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text)),
            Some(_) => Err(CommandError::WrongType),
        }
    }

    /// A key's collection.
    fn collection<T: Kind>(&mut self, key: &[u8]) -> Result<Option<&T>, CommandError> {
        match self.read(key) {
            None => Ok(None),
            Some(data) => T::of(data).map(Some).ok_or(CommandError::WrongType),
        }
    }

    /// A key's collection, to be changed.
    fn collection_mut<T: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut T>, CommandError> {
        // Read first: the map is copied only if there is something to change.
        if self.collection::<T>(key)?.is_none() {
            return Ok(None);
        }
        Ok(Arc::make_mut(&mut self.keys).get_mut(key).and_then(|entry| T::of_mut(&mut entry.data)))
    }

    /// A key's collection, to be changed; creates an empty one if the key is missing.
    fn collection_or_new<T: Kind>(&mut self, key: &[u8]) -> Result<&mut T, CommandError> {
        let missing = self.collection::<T>(key)?.is_none();
        let keys = Arc::make_mut(&mut self.keys);
        if missing {
            keys.insert(Str::from(key), Entry { data: T::default().into_data(), expires_at: None });
        }
        keys.get_mut(key).and_then(|entry| T::of_mut(&mut entry.data)).ok_or(CommandError::WrongType)
    }

    /// Removes the key if its collection is empty, and returns whether it did. The caller records `del` after its own
    /// event.
    fn remove_if_spent<T: Kind>(&mut self, key: &[u8]) -> bool {
        let spent = self.keys.get(key).and_then(|entry| T::of(&entry.data)).is_some_and(T::is_spent);
        if spent {
            self.remove(key);
        }
        spent
    }

    /// Removes a key without an event.
    fn remove(&mut self, key: &[u8]) {
        Arc::make_mut(&mut self.keys).remove(key);
    }

    /// Writes a key, and its deadline.
    fn put(&mut self, key: &[u8], data: Data, expires_at: Option<i64>) {
        let keys = Arc::make_mut(&mut self.keys);
        match keys.get_mut(key) {
            Some(entry) => *entry = Entry { data, expires_at },
            None => {
                keys.insert(Str::from(key), Entry { data, expires_at });
            }
        }
    }

    /// Writes a string and keeps the key's deadline.
    fn put_text(&mut self, key: &[u8], text: Str) {
        let expires_at = self.keys.get(key).and_then(|entry| entry.expires_at);
        self.put(key, Data::Text(text), expires_at);
    }

    /// Gives a stored key a deadline.
    fn set_deadline(&mut self, key: &[u8], at: i64) {
        if let Some(entry) = Arc::make_mut(&mut self.keys).get_mut(key) {
            entry.expires_at = Some(at);
        }
    }

    /// The clock used for deadlines while a command runs, in milliseconds.
    fn deadline_clock(&self) -> i64 {
        if self.flavour.deadlines_run_on() { self.clock.running_ms() } else { self.clock.ms() }
    }

    /// Puts events back that were taken to keep them apart from those of a run.
    pub(crate) fn put_back_events(&mut self, events: Vec<Event>) {
        self.events = events;
    }

    /// Records a keyspace event, if its class is enabled.
    fn tell(&mut self, class: Class, name: &'static str, key: &[u8]) {
        if self.watched.contains(class) {
            self.events.push(Event::Key { class, name, key: Str::from(key) });
        }
    }
}

impl PartialEq for FakeRedis {
    fn eq(&self, other: &Self) -> bool {
        self.clock == other.clock
            && self.memory_full == other.memory_full
            && self.run == other.run
            && (Arc::ptr_eq(&self.keys, &other.keys) || self.keys == other.keys)
    }
}

impl Eq for FakeRedis {}

impl StdHash for FakeRedis {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.clock, self.memory_full, self.run).hash(state);
        self.keys.hash(state);
    }
}

/// A key has expired only after its time, not at it.
fn is_past(entry: &Entry, now_ms: i64) -> bool {
    entry.expires_at.is_some_and(|at| now_ms > at)
}
