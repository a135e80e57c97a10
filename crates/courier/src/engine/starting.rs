//! Room reserved for deliveries that are being begun, by partition. A server that is slow to answer loses its
//! reservation: one hanging server must not stop all deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer may take before its deliveries lose their room.
const SLOW: Duration = Duration::from_millis(300);

/// Calls that begin deliveries, with the number of envelopes of each.
#[derive(Debug, Default)]
pub(super) struct Starting {
    calls: BTreeMap<u16, Vec<(Instant, usize)>>,
    /// Partitions whose last answer was not confirmed by disk or replica, or did not arrive. Their calls reserve no
    /// room: with many such partitions, some call would always hold room.
    doubted: BTreeSet<u16>,
}

impl Starting {
    /// Reserves room for this many envelopes.
    pub(super) fn add(&mut self, p: u16, now: Instant, envelopes: usize) {
        if envelopes > 0 {
            self.calls.entry(p).or_default().push((now, envelopes));
        }
    }

    /// The call made at `requested` was answered.
    pub(super) fn done(&mut self, p: u16, requested: Instant, envelopes: usize) {
        let Some(calls) = self.calls.get_mut(&p) else { return };
        if let Some(at) = calls.iter().position(|call| *call == (requested, envelopes)) {
            calls.swap_remove(at);
        }
        if calls.is_empty() {
            self.calls.remove(&p);
        }
    }

    /// Calls that begin deliveries in this partition are not confirmed or not answered.
    pub(super) fn doubt(&mut self, p: u16) {
        self.doubted.insert(p);
    }

    /// They are confirmed again.
    pub(super) fn trust(&mut self, p: u16) {
        self.doubted.remove(&p);
    }

    /// Whether deliveries of a partition reserve no room.
    pub(super) fn is_doubted(&self, p: u16) -> bool {
        self.doubted.contains(&p)
    }

    /// Whether a call that begins deliveries in this partition is unanswered.
    pub(super) fn is_begun(&self, p: u16) -> bool {
        self.calls.contains_key(&p)
    }

    /// Number of envelopes with reserved room.
    pub(super) fn room(&self, now: Instant) -> usize {
        let fresh = |(requested, _): &&(Instant, usize)| now.saturating_duration_since(*requested) < SLOW;
        let trusted = self.calls.iter().filter(|(p, _)| !self.doubted.contains(p));
        trusted.flat_map(|(_, calls)| calls).filter(fresh).map(|(_, envelopes)| envelopes).sum()
    }

    /// Whether no answer is pending, except from these partitions.
    pub(super) fn is_idle_but(&self, away: impl Fn(u16) -> bool) -> bool {
        self.calls.keys().all(|p| away(*p))
    }

    /// When the next call becomes slow.
    pub(super) fn next_slow(&self, now: Instant) -> Option<Instant> {
        self.calls.values().flatten().map(|(requested, _)| *requested + SLOW).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_partition_reserves_no_room_but_is_not_forgotten() {
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
    fn a_partition_that_confirms_nothing_reserves_no_room() {
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
