//! Room kept for rows that are being begun, by partition. A server that has not answered for a while keeps no room from the
//! others: one that hangs must not stop the rows of all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer may take before its rows keep no room any more.
const SLOW: Duration = Duration::from_millis(300);

/// Calls that begin rows, and how many envelopes each.
#[derive(Debug, Default)]
pub(super) struct Starting {
    calls: BTreeMap<u16, Vec<(Instant, usize)>>,
    /// Partitions whose last answer was not confirmed by disk or replica, or did not come. Calls there keep no room at all: with
    /// many of them there would always be one that does.
    doubted: BTreeSet<u16>,
}

impl Starting {
    /// Room for so many envelopes is kept from now on.
    pub(super) fn add(&mut self, p: u16, now: Instant, envelopes: usize) {
        if envelopes > 0 {
            self.calls.entry(p).or_default().push((now, envelopes));
        }
    }

    /// The answer to what was asked then is there.
    pub(super) fn done(&mut self, p: u16, asked: Instant, envelopes: usize) {
        let Some(calls) = self.calls.get_mut(&p) else { return };
        if let Some(at) = calls.iter().position(|call| *call == (asked, envelopes)) {
            calls.swap_remove(at);
        }
        if calls.is_empty() {
            self.calls.remove(&p);
        }
    }

    /// What begins rows there is not confirmed, or not answered.
    pub(super) fn doubt(&mut self, p: u16) {
        self.doubted.insert(p);
    }

    /// It is again.
    pub(super) fn trust(&mut self, p: u16) {
        self.doubted.remove(&p);
    }

    /// Whether rows of a partition keep no room.
    pub(super) fn is_doubted(&self, p: u16) -> bool {
        self.doubted.contains(&p)
    }

    /// Whether a call that begins rows there has not been answered.
    pub(super) fn is_begun(&self, p: u16) -> bool {
        self.calls.contains_key(&p)
    }

    /// Envelopes room is kept for.
    pub(super) fn room(&self, now: Instant) -> usize {
        let fresh = |(asked, _): &&(Instant, usize)| now.saturating_duration_since(*asked) < SLOW;
        let trusted = self.calls.iter().filter(|(p, _)| !self.doubted.contains(p));
        trusted.flat_map(|(_, calls)| calls).filter(fresh).map(|(_, envelopes)| envelopes).sum()
    }

    /// Whether no answer is awaited, but of these partitions.
    pub(super) fn is_idle_but(&self, away: impl Fn(u16) -> bool) -> bool {
        self.calls.keys().all(|p| away(*p))
    }

    /// When the next call becomes slow.
    pub(super) fn next_slow(&self, now: Instant) -> Option<Instant> {
        self.calls.values().flatten().map(|(asked, _)| *asked + SLOW).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_partition_keeps_no_room_and_is_not_forgotten() {
        let (mut starting, then) = (Starting::default(), Instant::now());
        starting.add(0, then, 3);
        starting.add(1, then, 4);
        starting.add(1, then, 0);
        assert_eq!((starting.room(then), starting.next_slow(then)), (7, Some(then + SLOW)));
        starting.done(0, then, 3);
        assert_eq!(starting.room(then), 4);
        let later = then + SLOW;
        assert_eq!((starting.room(later), starting.next_slow(later)), (0, None));
        assert!(starting.is_idle_but(|p| p == 1) && !starting.is_idle_but(|_| false));
        starting.done(1, then, 4);
        assert!(starting.is_idle_but(|_| false));
    }

    #[test]
    fn a_partition_that_confirms_nothing_keeps_no_room() {
        let (mut starting, then) = (Starting::default(), Instant::now());
        starting.add(0, then, 3);
        starting.add(1, then, 4);
        starting.doubt(1);
        assert_eq!(starting.room(then), 3);
        assert!(starting.is_doubted(1) && starting.is_begun(1) && !starting.is_doubted(0));
        starting.trust(1);
        assert_eq!(starting.room(then), 7);
    }
}
