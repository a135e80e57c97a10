//! Which histories are watched, by how many, and what is still to be said to the servers about it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// What all who watch one key share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Grows when they are to look: after a change, after a gap, and when the subscription stands.
    pub(super) looks: u64,
    /// Whether the subscription stands.
    pub(super) listening: bool,
}

#[derive(Debug)]
struct Entry {
    watchers: usize,
    seen: watch::Sender<Seen>,
    /// Whether the servers were told, over the connection there is now.
    subscribed: bool,
}

#[derive(Debug, Default)]
struct Watched {
    entries: HashMap<Arc<str>, Entry>,
    /// Keys of which watchers and subscription may not agree. Never more than there are entries.
    unsettled: HashSet<Arc<str>>,
}

/// What is to be said to the servers next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) subscribe: Vec<Arc<str>>,
    pub(super) unsubscribe: Vec<Arc<str>>,
    /// Whether there is more.
    pub(super) more: bool,
}

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    watched: Mutex<Watched>,
    /// Told when something became unsettled.
    pub(super) unsettled: Notify,
}

impl Watcher {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more watches a key.
    pub(super) fn join(&self, key: Arc<str>) -> (Arc<str>, watch::Receiver<Seen>) {
        let mut watched = self.lock();
        if let Some(name) = watched.entries.get_key_value(&key).map(|(name, _)| Arc::clone(name))
            && let Some(entry) = watched.entries.get_mut(&key)
        {
            entry.watchers += 1;
            return (name, entry.seen.subscribe());
        }
        let (seen, receiver) = watch::channel(Seen::default());
        watched.entries.insert(Arc::clone(&key), Entry { watchers: 1, seen, subscribed: false });
        watched.unsettled.insert(Arc::clone(&key));
        self.unsettled.notify_one();
        (key, receiver)
    }

    /// One less does.
    pub(super) fn leave(&self, key: &Arc<str>) {
        let mut watched = self.lock();
        let Some(entry) = watched.entries.get_mut(key) else { return };
        entry.watchers = entry.watchers.saturating_sub(1);
        if entry.watchers == 0 {
            watched.unsettled.insert(Arc::clone(key));
            self.unsettled.notify_one();
        }
    }

    /// Keys watched.
    pub(super) fn count(&self) -> usize {
        self.lock().entries.values().filter(|entry| entry.watchers > 0).count()
    }

    /// Takes what is to be said next about at most so many keys. What fails is put back by [`Self::failed`].
    pub(super) fn work(&self, most: usize) -> Work {
        let mut watched = self.lock();
        let mut work = Work::default();
        let keys: Vec<Arc<str>> = watched.unsettled.iter().take(most).cloned().collect();
        for key in keys {
            watched.unsettled.remove(&key);
            let Some(entry) = watched.entries.get(&key) else { continue };
            match (entry.watchers, entry.subscribed) {
                (0, subscribed) => {
                    watched.entries.remove(&key);
                    if subscribed {
                        work.unsubscribe.push(key);
                    }
                }
                (_, false) => work.subscribe.push(key),
                (_, true) => {}
            }
        }
        work.more = !watched.unsettled.is_empty();
        work
    }

    /// The servers have taken these subscriptions.
    pub(super) fn subscribed(&self, keys: &[Arc<str>]) {
        let mut watched = self.lock();
        for key in keys {
            if let Some(entry) = watched.entries.get_mut(key) {
                entry.subscribed = true;
                entry.seen.send_modify(|seen| *seen = Seen { looks: seen.looks + 1, listening: true });
            }
        }
    }

    /// These subscriptions failed.
    pub(super) fn failed(&self, keys: Vec<Arc<str>>) {
        let mut watched = self.lock();
        let there: Vec<_> = keys.into_iter().filter(|key| watched.entries.contains_key(key)).collect();
        watched.unsettled.extend(there);
    }

    /// Something happened to a key.
    pub(super) fn changed(&self, key: &str) {
        if let Some(entry) = self.lock().entries.get(key) {
            entry.seen.send_modify(|seen| seen.looks += 1);
        }
    }

    /// Something may have happened to any key.
    pub(super) fn gap(&self) {
        metrics::counter!("posthaste_store_watching_gaps_total").increment(1);
        for entry in self.lock().entries.values() {
            entry.seen.send_modify(|seen| seen.looks += 1);
        }
    }

    /// Nothing is heard for the moment.
    pub(super) fn silent(&self) {
        for entry in self.lock().entries.values() {
            entry.seen.send_if_modified(|seen| std::mem::take(&mut seen.listening));
        }
    }

    /// There is a new connection, which knows nothing of the old one's subscriptions.
    pub(super) fn anew(&self) {
        let mut watched = self.lock();
        let Watched { entries, unsettled } = &mut *watched;
        for (key, entry) in entries {
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

    #[test]
    fn a_key_is_subscribed_once_and_given_up_by_the_last() {
        let watcher = Watcher::default();
        let (a, mut first) = watcher.join(key("a"));
        let (_, second) = watcher.join(key("a"));
        let work = watcher.work(9);
        assert_eq!(work, Work { subscribe: vec![key("a")], ..Work::default() });
        assert!(!second.borrow().listening);
        watcher.subscribed(&work.subscribe);
        assert_eq!(*first.borrow_and_update(), Seen { looks: 1, listening: true });
        watcher.changed("a");
        watcher.changed("other");
        assert_eq!(second.borrow().looks, 2);
        watcher.leave(&a);
        assert_eq!((watcher.work(9), watcher.count()), (Work::default(), 1));
        watcher.leave(&a);
        assert_eq!(watcher.count(), 0);
        assert_eq!(watcher.work(9), Work { unsubscribe: vec![key("a")], ..Work::default() });
        assert_eq!(watcher.work(9), Work::default());
    }

    #[test]
    fn one_who_comes_back_in_time_costs_nothing() {
        let watcher = Watcher::default();
        let (a, _) = watcher.join(key("a"));
        watcher.leave(&a);
        // Nobody was told yet: nothing is to be said.
        assert_eq!(watcher.work(9), Work::default());
        let (a, _) = watcher.join(key("a"));
        let work = watcher.work(9);
        watcher.subscribed(&work.subscribe);
        watcher.leave(&a);
        let (_, receiver) = watcher.join(key("a"));
        assert_eq!(watcher.work(9), Work::default());
        assert_eq!(*receiver.borrow(), Seen { looks: 1, listening: true });
    }

    #[test]
    fn one_who_leaves_while_it_is_subscribed_is_given_up() {
        let watcher = Watcher::default();
        let (a, _) = watcher.join(key("a"));
        let work = watcher.work(9);
        watcher.leave(&a);
        watcher.subscribed(&work.subscribe);
        assert_eq!(watcher.work(9).unsubscribe, [key("a")]);
    }

    #[test]
    fn a_new_connection_is_told_everything_in_parts() {
        let watcher = Watcher::default();
        let joined: Vec<_> = (0..5).map(|n| watcher.join(key(&n.to_string()))).collect();
        watcher.subscribed(&watcher.work(9).subscribe);
        watcher.silent();
        assert!(joined.iter().all(|(_, seen)| *seen.borrow() == Seen { looks: 1, listening: false }));
        watcher.anew();
        let first = watcher.work(3);
        assert_eq!((first.subscribe.len(), first.more), (3, true));
        watcher.failed(first.subscribe);
        let all = watcher.work(9);
        assert_eq!((all.subscribe.len(), all.more), (5, false));
        watcher.subscribed(&all.subscribe);
        watcher.gap();
        assert!(joined.iter().all(|(_, seen)| *seen.borrow() == Seen { looks: 3, listening: true }));
        // What failed and is not wanted any more is not asked for again.
        watcher.anew();
        let all = watcher.work(9).subscribe;
        joined.iter().for_each(|(key, _)| watcher.leave(key));
        assert_eq!(watcher.work(9), Work::default());
        watcher.failed(all);
        assert_eq!(watcher.work(9), Work::default());
    }
}
