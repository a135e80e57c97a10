//! Which histories are watched, by how many, and which subscriptions still have to be changed at the servers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// State shared by all watchers of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Grows when watchers should look: after a change, after a gap, and when the subscription is active.
    pub(super) looks: u64,
    /// Whether the subscription is active.
    pub(super) listening: bool,
}

#[derive(Debug)]
struct Entry {
    watchers: usize,
    seen: watch::Sender<Seen>,
    /// The server that announces the key.
    home: Arc<str>,
    /// Whether the key is subscribed there, over the current connection.
    subscribed: bool,
}

#[derive(Debug, Default)]
struct Watched {
    entries: HashMap<Arc<str>, Entry>,
    /// By server, keys whose watchers and subscription may not match. Never more than there are entries, plus keys
    /// that recently moved to another server.
    unsettled: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

impl Watched {
    fn unsettle(&mut self, home: &Arc<str>, key: &Arc<str>) {
        self.unsettled.entry(Arc::clone(home)).or_default().insert(Arc::clone(key));
    }
}

/// The next changes of subscriptions at a server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) subscribe: Vec<Arc<str>>,
    pub(super) unsubscribe: Vec<Arc<str>>,
    /// Whether there is more.
    pub(super) more: bool,
}

/// All watched keys.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    watched: Mutex<Watched>,
    /// Grows when a key became unsettled.
    pub(super) unsettled: watch::Sender<u64>,
}

impl Watcher {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.unsettled.send_modify(|times| *times += 1);
    }

    /// Adds a watcher of a key, which `home` announces.
    pub(super) fn join(&self, key: Arc<str>, home: Arc<str>) -> (Arc<str>, watch::Receiver<Seen>) {
        let mut watched = self.lock();
        if let Some(name) = watched.entries.get_key_value(&key).map(|(name, _)| Arc::clone(name))
            && let Some(entry) = watched.entries.get_mut(&key)
        {
            entry.watchers += 1;
            return (name, entry.seen.subscribe());
        }
        let (seen, receiver) = watch::channel(Seen::default());
        watched.unsettle(&home, &key);
        let entry = Entry { watchers: 1, seen, home, subscribed: false };
        watched.entries.insert(Arc::clone(&key), entry);
        self.tell();
        (key, receiver)
    }

    /// Removes a watcher.
    pub(super) fn leave(&self, key: &Arc<str>) {
        let mut watched = self.lock();
        let Some(entry) = watched.entries.get_mut(key) else { return };
        entry.watchers = entry.watchers.saturating_sub(1);
        if entry.watchers == 0 {
            let home = Arc::clone(&entry.home);
            watched.unsettle(&home, key);
            self.tell();
        }
    }

    /// Keys may have moved to other servers: watchers of a moved key must look, and it is subscribed there.
    pub(crate) fn rehome(&self, home_of: impl Fn(&str) -> Arc<str>) {
        let mut watched = self.lock();
        let mut gone = Vec::new();
        for (key, entry) in &mut watched.entries {
            let home = home_of(key);
            if home != entry.home {
                let before = std::mem::replace(&mut entry.home, Arc::clone(&home));
                entry.subscribed = false;
                entry.seen.send_modify(|seen| *seen = Seen { looks: seen.looks + 1, listening: false });
                gone.push((Arc::clone(key), before, home));
            }
        }
        if gone.is_empty() {
            return;
        }
        for (key, before, home) in gone {
            watched.unsettle(&before, &key);
            watched.unsettle(&home, &key);
        }
        self.tell();
    }

    /// A server no longer announces anything.
    pub(super) fn forget(&self, home: &str) {
        self.lock().unsettled.remove(home);
    }

    /// Number of watched keys.
    pub(crate) fn count(&self) -> usize {
        self.lock().entries.values().filter(|entry| entry.watchers > 0).count()
    }

    /// Takes the next changes for a server, for at most this many keys. Changes that fail are put back by
    /// [`Self::failed`].
    pub(super) fn work(&self, home: &Arc<str>, most: usize) -> Work {
        let mut watched = self.lock();
        let mut work = Work::default();
        let keys: Vec<Arc<str>> =
            watched.unsettled.get(home).into_iter().flatten().take(most).cloned().collect();
        for key in keys {
            if let Some(unsettled) = watched.unsettled.get_mut(home) {
                unsettled.remove(&key);
            }
            let Some(entry) = watched.entries.get(&key) else { continue };
            match (entry.home == *home, entry.watchers, entry.subscribed) {
                (false, ..) => work.unsubscribe.push(key),
                (true, 0, subscribed) => {
                    watched.entries.remove(&key);
                    if subscribed {
                        work.unsubscribe.push(key);
                    }
                }
                (true, _, false) => work.subscribe.push(key),
                (true, _, true) => {}
            }
        }
        work.more = watched.unsettled.get(home).is_some_and(|unsettled| !unsettled.is_empty());
        work
    }

    /// A server has confirmed these subscriptions.
    pub(super) fn subscribed(&self, home: &Arc<str>, keys: &[Arc<str>]) {
        let mut watched = self.lock();
        for key in keys {
            if let Some(entry) = watched.entries.get_mut(key).filter(|entry| entry.home == *home) {
                entry.subscribed = true;
                entry.seen.send_modify(|seen| *seen = Seen { looks: seen.looks + 1, listening: true });
            }
        }
    }

    /// These subscriptions failed.
    pub(super) fn failed(&self, home: &Arc<str>, keys: Vec<Arc<str>>) {
        let mut watched = self.lock();
        for key in keys {
            if watched.entries.contains_key(&key) {
                watched.unsettle(home, &key);
            }
        }
    }

    /// A key changed.
    pub(super) fn changed(&self, key: &str) {
        if let Some(entry) = self.lock().entries.get(key) {
            entry.seen.send_modify(|seen| seen.looks += 1);
        }
    }

    /// Any key of a server may have changed.
    pub(super) fn gap(&self, home: &Arc<str>) {
        metrics::counter!("posthaste_redis_event_gaps_total", "listener" => "order_changes").increment(1);
        for entry in self.lock().entries.values().filter(|entry| entry.home == *home) {
            entry.seen.send_modify(|seen| seen.looks += 1);
        }
    }

    /// There are no events from a server for the moment.
    pub(super) fn silent(&self, home: &Arc<str>) {
        for entry in self.lock().entries.values().filter(|entry| entry.home == *home) {
            entry.seen.send_if_modified(|seen| std::mem::take(&mut seen.listening));
        }
    }

    /// There is a new connection to a server; subscriptions of the old one are gone.
    pub(super) fn anew(&self, home: &Arc<str>) {
        let mut watched = self.lock();
        let Watched { entries, unsettled } = &mut *watched;
        // Subscriptions of keys that moved elsewhere are gone as well.
        let unsettled = unsettled.entry(Arc::clone(home)).or_default();
        unsettled.clear();
        for (key, entry) in entries.iter_mut().filter(|(_, entry)| entry.home == *home) {
            entry.subscribed = false;
            entry.seen.send_if_modified(|seen| std::mem::take(&mut seen.listening));
            unsettled.insert(Arc::clone(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Arc<str> {
        name.into()
    }

    fn home() -> Arc<str> {
        "10.0.0.1:7000".into()
    }

    #[test]
    fn a_key_that_moves_to_another_server_is_looked_at_and_subscribed_there() {
        let watcher = Watcher::default();
        let other: Arc<str> = "10.0.0.2:7000".into();
        let (_, seen) = watcher.join(key("a"), home());
        let (_, stays) = watcher.join(key("b"), home());
        watcher.subscribed(&home(), &watcher.work(&home(), 9).subscribe);
        let to = |name: &str| if name == "a" { Arc::clone(&other) } else { home() };
        watcher.rehome(to);
        assert_eq!(*seen.borrow(), Seen { looks: 2, listening: false });
        assert_eq!(*stays.borrow(), Seen { looks: 1, listening: true });
        assert_eq!(watcher.work(&home(), 9), Work { unsubscribe: vec![key("a")], ..Work::default() });
        let work = watcher.work(&other, 9);
        assert_eq!(work, Work { subscribe: vec![key("a")], ..Work::default() });
        // A late confirmation by the old server does not count.
        watcher.subscribed(&home(), &[key("a")]);
        assert!(!seen.borrow().listening);
        watcher.subscribed(&other, &work.subscribe);
        assert_eq!(*seen.borrow(), Seen { looks: 3, listening: true });
        // The other server becomes silent alone.
        watcher.silent(&home());
        assert!(seen.borrow().listening && !stays.borrow().listening);
        watcher.rehome(to);
        assert_eq!(watcher.work(&other, 9), Work::default());
    }

    #[test]
    fn a_key_is_subscribed_once_and_unsubscribed_with_the_last_watcher() {
        let watcher = Watcher::default();
        let (a, mut first) = watcher.join(key("a"), home());
        let (_, second) = watcher.join(key("a"), home());
        let work = watcher.work(&home(), 9);
        assert_eq!(work, Work { subscribe: vec![key("a")], ..Work::default() });
        assert!(!second.borrow().listening);
        watcher.subscribed(&home(), &work.subscribe);
        assert_eq!(*first.borrow_and_update(), Seen { looks: 1, listening: true });
        watcher.changed("a");
        watcher.changed("other");
        assert_eq!(second.borrow().looks, 2);
        watcher.leave(&a);
        assert_eq!((watcher.work(&home(), 9), watcher.count()), (Work::default(), 1));
        watcher.leave(&a);
        assert_eq!(watcher.count(), 0);
        assert_eq!(watcher.work(&home(), 9), Work { unsubscribe: vec![key("a")], ..Work::default() });
        assert_eq!(watcher.work(&home(), 9), Work::default());
    }

    #[test]
    fn a_watcher_that_returns_in_time_changes_no_subscription() {
        let watcher = Watcher::default();
        let (a, _) = watcher.join(key("a"), home());
        watcher.leave(&a);
        // Nothing was subscribed yet, so there is nothing to change.
        assert_eq!(watcher.work(&home(), 9), Work::default());
        let (a, _) = watcher.join(key("a"), home());
        let work = watcher.work(&home(), 9);
        watcher.subscribed(&home(), &work.subscribe);
        watcher.leave(&a);
        let (_, receiver) = watcher.join(key("a"), home());
        assert_eq!(watcher.work(&home(), 9), Work::default());
        assert_eq!(*receiver.borrow(), Seen { looks: 1, listening: true });
    }

    #[test]
    fn a_watcher_that_leaves_during_the_subscription_is_unsubscribed() {
        let watcher = Watcher::default();
        let (a, _) = watcher.join(key("a"), home());
        let work = watcher.work(&home(), 9);
        watcher.leave(&a);
        watcher.subscribed(&home(), &work.subscribe);
        assert_eq!(watcher.work(&home(), 9).unsubscribe, [key("a")]);
    }

    #[test]
    fn a_new_connection_gets_all_subscriptions_in_parts() {
        let watcher = Watcher::default();
        let joined: Vec<_> = (0..5).map(|n| watcher.join(key(&n.to_string()), home())).collect();
        watcher.subscribed(&home(), &watcher.work(&home(), 9).subscribe);
        watcher.silent(&home());
        assert!(joined.iter().all(|(_, seen)| *seen.borrow() == Seen { looks: 1, listening: false }));
        watcher.anew(&home());
        let first = watcher.work(&home(), 3);
        assert_eq!((first.subscribe.len(), first.more), (3, true));
        watcher.failed(&home(), first.subscribe);
        let all = watcher.work(&home(), 9);
        assert_eq!((all.subscribe.len(), all.more), (5, false));
        watcher.subscribed(&home(), &all.subscribe);
        watcher.gap(&home());
        assert!(joined.iter().all(|(_, seen)| *seen.borrow() == Seen { looks: 3, listening: true }));
        // A failed subscription that is no longer wanted is not repeated.
        watcher.anew(&home());
        let all = watcher.work(&home(), 9).subscribe;
        joined.iter().for_each(|(key, _)| watcher.leave(key));
        assert_eq!(watcher.work(&home(), 9), Work::default());
        watcher.failed(&home(), all);
        assert_eq!(watcher.work(&home(), 9), Work::default());
    }
}
