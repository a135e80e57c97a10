//! Which primary has a slot, and which slots are held because they are being moved.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cluster::{Map, NodeAddress};
use crate::error::{CallError, NoReplyCause};
use crate::primary::Primary;
use crate::retryable::Retryable;
use crate::slot::SLOTS;

/// The routes to all slots.
#[derive(Debug)]
pub(crate) struct Routes {
    state: RwLock<State>,
    clustered: bool,
    /// Notified when the map may be outdated.
    pub(crate) stale: Notify,
    /// Grows with every change of the map.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// All current primaries.
    primaries: Vec<Arc<Primary>>,
    /// In a cluster, the owner of each slot.
    slots: Vec<Option<Arc<Primary>>>,
    /// The replicas of each primary.
    replicas: HashMap<NodeAddress, Vec<NodeAddress>>,
    /// Slots being moved: those marked by their servers, and those where a call found it, with the time.
    marked: BTreeSet<u16>,
    noticed: HashMap<u16, Instant>,
}

/// The primaries that a new map adds and removes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// New primaries.
    pub(crate) new: Vec<NodeAddress>,
    /// Servers that are no longer primaries.
    pub(crate) gone: Vec<Arc<Primary>>,
}

impl Routes {
    /// A single server that holds everything.
    pub(crate) fn single(primary: Arc<Primary>) -> Self {
        Self::with(State { primaries: vec![primary], ..State::default() }, false)
    }

    /// A cluster about which nothing is known yet.
    pub(crate) fn cluster() -> Self {
        Self::with(State { slots: vec![None; usize::from(SLOTS)], ..State::default() }, true)
    }

    fn with(state: State, clustered: bool) -> Self {
        let changes = watch::Sender::new(0);
        Self { state: RwLock::new(state), clustered, stale: Notify::new(), changes }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.clustered
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All primaries.
    pub(crate) fn primaries(&self) -> Vec<Arc<Primary>> {
        self.read().primaries.clone()
    }

    /// The owner of a slot, whether it can be reached or not.
    pub(crate) fn home(&self, slot: u16) -> Option<Arc<Primary>> {
        let state = self.read();
        if self.clustered {
            state.slots.get(usize::from(slot)).cloned().flatten()
        } else {
            state.primaries.first().cloned()
        }
    }

    /// Whether a slot is at this primary.
    pub(crate) fn has(&self, primary: &Primary, slot: u16) -> bool {
        self.home(slot).is_some_and(|home| std::ptr::eq(&*home, primary))
    }

    /// The address of the owner of a slot; empty while no server has it.
    pub(crate) fn home_address(&self, slot: u16) -> Arc<str> {
        self.home(slot).map_or_else(|| Arc::from(""), |primary| Arc::clone(&primary.address))
    }

    /// Whether there is no link to the primary of a slot.
    pub(crate) fn is_away(&self, slot: u16) -> bool {
        self.home(slot).is_some_and(|primary| !primary.is_up())
    }

    /// Whether calls about a slot can be made now, as far as known.
    pub(crate) fn can_ask(&self, slot: u16) -> bool {
        self.at(slot).is_ok_and(|primary| primary.is_up())
    }

    /// The primary for calls about a slot.
    pub(crate) fn at(&self, slot: u16) -> Result<Arc<Primary>, CallError> {
        if self.is_held(slot) {
            return Err(CallError::Retryable { why: Retryable::Moving });
        }
        let primary = self.home(slot).ok_or(CallError::Retryable { why: Retryable::ClusterDown })?;
        if primary.has_failed() {
            return Err(CallError::NoReply(NoReplyCause::NotConnected));
        }
        Ok(primary)
    }

    /// Whether a slot is being moved.
    pub(crate) fn is_held(&self, slot: u16) -> bool {
        if !self.clustered {
            return false;
        }
        let state = self.read();
        state.marked.contains(&slot) || state.noticed.contains_key(&slot)
    }

    /// A call found that a slot is being moved: it is held until a later map shows it settled.
    fn hold(&self, slot: u16) {
        if self.clustered {
            self.write().noticed.insert(slot, Instant::now());
            self.stale.notify_one();
            self.reported();
        }
    }

    /// Holds a slot when the error of a call means that it is being moved.
    pub(crate) fn heed(&self, slot: u16, error: CallError) -> CallError {
        if matches!(
            error,
            CallError::Retryable { why: Retryable::Moving } | CallError::NoReply(NoReplyCause::OnTheMove)
        ) {
            self.hold(slot);
        }
        error
    }

    /// A server replied that another one has the slot.
    pub(crate) fn moved(&self, slot: u16, to: &Arc<Primary>) {
        if let Some(home) = self.write().slots.get_mut(usize::from(slot)) {
            *home = Some(Arc::clone(to));
        }
        self.stale.notify_one();
        self.reported();
    }

    /// Notifies that partitions may have become reachable or unreachable.
    pub(crate) fn reported(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The primary with this address or host name.
    pub(crate) fn find(&self, address: &NodeAddress) -> Option<Arc<Primary>> {
        let state = self.read();
        let at = |primary: &&Arc<Primary>| {
            let Some(place) = &primary.place else { return false };
            let named = primary.hostname.as_ref() == Some(&address.host) && place.port == address.port;
            place == address || named
        };
        state.primaries.iter().find(at).cloned()
    }

    /// The replicas of the primary that has a slot.
    pub(crate) fn replicas_of(&self, slot: u16) -> Vec<NodeAddress> {
        let Some(place) = self.home(slot).and_then(|primary| primary.place.clone()) else {
            return Vec::new();
        };
        self.read().replicas.get(&place).cloned().unwrap_or_default()
    }

    /// Adds a primary, unless there is one at the same address.
    pub(crate) fn add(&self, primary: &Arc<Primary>) -> bool {
        let mut state = self.write();
        if state.primaries.iter().any(|other| other.place == primary.place) {
            return false;
        }
        state.primaries.push(Arc::clone(primary));
        true
    }

    /// Which primaries a map adds and removes.
    pub(crate) fn compare(&self, map: &Map) -> Change {
        let state = self.read();
        let place = |primary: &Arc<Primary>| primary.place.clone();
        let there: BTreeSet<NodeAddress> = state.primaries.iter().filter_map(place).collect();
        let gone = |primary: &&Arc<Primary>| {
            primary.place.as_ref().is_some_and(|place| !map.primaries.contains(place))
        };
        Change {
            new: map.primaries.difference(&there).cloned().collect(),
            gone: state.primaries.iter().filter(gone).cloned().collect(),
        }
    }

    /// Applies a map that was requested at `requested`. All its primaries have been added.
    pub(crate) fn take(&self, map: &Map, requested: Instant) {
        let mut state = self.write();
        state
            .primaries
            .retain(|primary| primary.place.as_ref().is_none_or(|place| map.primaries.contains(place)));
        let mut changed = false;
        for primary in &state.primaries {
            let failed = primary.place.as_ref().is_some_and(|place| map.failed.contains(place));
            changed |= primary.has_failed() != failed;
            primary.set_failed(failed);
        }
        let by_place: HashMap<&NodeAddress, &Arc<Primary>> =
            state.primaries.iter().filter_map(|primary| Some((primary.place.as_ref()?, primary))).collect();
        let holders: Vec<Option<Arc<Primary>>> = map
            .primaries
            .iter()
            .map(|address| by_place.get(address).map(|primary| Arc::clone(primary)))
            .collect();
        let owner = |slot: usize| {
            let place = (*map.owners.get(slot)?)?;
            holders.get(usize::from(place)).cloned().flatten()
        };
        let slots: Vec<Option<Arc<Primary>>> = (0..usize::from(SLOTS)).map(owner).collect();
        let same = |a: &Option<Arc<Primary>>, b: &Option<Arc<Primary>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        changed |= state.slots.iter().zip(&slots).any(|(before, after)| !same(before, after));
        state.slots = slots;
        let noticed = state.noticed.len();
        state.noticed.retain(|slot, at| *at >= requested || map.moving.contains(slot));
        changed |= noticed != state.noticed.len() || state.marked != map.moving;
        state.marked.clone_from(&map.moving);
        state.replicas.clear();
        for (replica, of) in &map.replicas {
            if let Some(of) = of {
                state.replicas.entry(of.clone()).or_default().push(replica.clone());
            }
        }
        drop(state);
        if changed {
            self.reported();
        }
    }
}
