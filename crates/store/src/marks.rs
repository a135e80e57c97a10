//! The marks a process remembers: enough to see that a database shows less than before, since when, and which orders
//! are lost.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use posthaste_model::{OrderId, UnixMs};
use posthaste_protocol::scripts::open_server_run::ServerRun;

/// How many seconds with a mark are remembered.
const SECONDS: usize = 900;
/// How many accepted orders are remembered: about 2 MB.
const ORDERS: usize = 20_000;

/// What one process knows to be lost in one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The mark found; `None`: nothing is known to be lost.
    pub(crate) found: Option<u64>,
    /// The highest mark received before.
    pub(crate) known: u64,
    /// The first change known to be lost, to the second.
    pub(crate) since: Option<UnixMs>,
    /// The last change known to be lost.
    pub(crate) last: Option<UnixMs>,
    /// Acknowledged orders that are lost, and when they were accepted.
    pub(crate) orders: Vec<(OrderId, UnixMs)>,
}

impl Loss {
    /// How much time the database lost, as far as this process knows.
    pub(crate) fn span(&self) -> Option<std::time::Duration> {
        Some(self.last?.since(self.since?))
    }
}

/// The first and last moment with a mark within one second, and the highest mark in it.
#[derive(Debug, Clone, Copy)]
struct Second {
    first: UnixMs,
    last: UnixMs,
    mark: u64,
}

/// The marks of one partition over the last minutes, and the runs of its server during that time.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    seconds: VecDeque<Second>,
    pub(crate) runs: Vec<ServerRun>,
}

impl Trail {
    /// Keeps the mark of an answer.
    pub(crate) fn reported(&mut self, mark: u64, now: UnixMs) {
        if let Some(second) = self.seconds.back_mut() {
            if mark <= second.mark {
                return;
            }
            if now.0 / 1_000 <= second.first.0 / 1_000 {
                (second.mark, second.last) = (mark, second.last.max(now));
                return;
            }
        }
        if self.seconds.len() == SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(Second { first: now, last: now, mark });
    }

    /// What a database that shows `found` has lost, of the marks up to `known`.
    pub(crate) fn loss(&self, found: u64, known: u64) -> Loss {
        let lost = |second: &&Second| second.mark > found && second.mark <= known;
        let since = self.seconds.iter().find(lost).map(|second| second.first);
        let last = self.seconds.iter().rev().find(lost).map(|second| second.last);
        Loss { found: Some(found), known, since, last, orders: Vec::new() }
    }

    /// Compares the runs of the server with those seen before. Returns the lowest mark that a new run found although
    /// the higher mark `known` had been received before the call; or `now`, the mark of the answer, if that is lower
    /// than `known`.
    pub(crate) fn compare(&mut self, runs: Vec<ServerRun>, known: u64, now: u64) -> Option<u64> {
        // A run that others have added a note to is not a new run.
        let seen =
            |run: &ServerRun| self.runs.iter().any(|known| (&known.id, known.found) == (&run.id, run.found));
        let fresh = runs.iter().filter(|run| !seen(run));
        let found = fresh.filter(|run| run.lost(known)).map(|run| run.found).min();
        self.runs = runs;
        found.or((now < known).then_some(now))
    }

    /// The mark found by the run that lost this mark, which an answer of an earlier run had shown.
    pub(crate) fn lost_by(&self, mark: u64) -> Option<u64> {
        self.runs.iter().filter(|run| run.lost(mark)).map(|run| run.found).min()
    }

    /// The run that lost a mark, as far as known; otherwise the newest one.
    pub(crate) fn run_that_lost(&self, mark: u64) -> Option<&ServerRun> {
        self.runs.iter().filter(|run| run.lost(mark)).min_by_key(|run| run.found).or(self.runs.last())
    }

    /// The value to which the newest run raised the fence.
    pub(crate) fn raised(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.raised)
    }
}

/// The orders accepted last, with their marks.
#[derive(Debug, Default)]
pub(crate) struct Accepts(Mutex<VecDeque<(u16, u64, OrderId, UnixMs)>>);

impl Accepts {
    /// Keeps an acknowledged order.
    pub(crate) fn keep(&self, p: u16, mark: u64, order_id: &OrderId, at: UnixMs) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == ORDERS {
            kept.pop_front();
        }
        kept.push_back((p, mark, order_id.clone(), at));
    }

    /// Orders of a partition above a mark, up to the highest known one.
    pub(crate) fn lost(&self, p: u16, found: u64, known: u64) -> Vec<(OrderId, UnixMs)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = kept.iter().filter(|(of, mark, ..)| *of == p && *mark > found && *mark <= known);
        lost.map(|(_, _, order_id, at)| (order_id.clone(), *at)).collect()
    }

    /// Forgets the orders of a partition, after the loss is recorded and recovered.
    pub(crate) fn forget(&self, p: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, ..)| *of != p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, found: u64, raised: u64, opened: u64) -> ServerRun {
        ServerRun { id: id.to_owned(), found, raised, opened: UnixMs(opened), continued: None }
    }

    #[test]
    fn a_loss_has_a_span_and_orders() {
        let (mut trail, accepts) = (Trail::default(), Accepts::default());
        for at in 0..2_000 {
            trail.reported(at + 1, UnixMs(at * 1_000));
            accepts.keep(3, at + 1, &OrderId::new(&"u1".parse().unwrap(), at), UnixMs(at * 1_000));
        }
        let loss = trail.loss(1_990, 2_000);
        assert_eq!((loss.since, loss.last), (Some(UnixMs(1_990_000)), Some(UnixMs(1_999_000))));
        assert_eq!(accepts.lost(3, 1_990, 2_000).len(), 10);
        assert!(accepts.lost(2, 0, 9_999).is_empty());
        assert_eq!(trail.seconds.len(), SECONDS);
        assert_eq!(trail.loss(2_000, 2_000).span(), None);
    }

    #[test]
    fn a_run_that_found_less_than_was_received_is_detected_even_after_later_runs() {
        let mut trail = Trail::default();
        let first = run("a", 0, 0, 1);
        assert_eq!(trail.compare(vec![first.clone()], 0, 0), None);
        let (second, third) = (run("b", 40, 1_000_040, 2), run("c", 1_000_070, 9_000_000, 3));
        assert_eq!(
            trail.compare(vec![first.clone(), second.clone(), third.clone()], 50, 9_000_000),
            Some(40)
        );
        // Already seen, so not reported again.
        assert_eq!(trail.compare(vec![first, second, third], 50, 9_000_000), None);
        assert_eq!((trail.lost_by(41), trail.lost_by(40), trail.raised()), (Some(40), None, 9_000_000));
    }

    #[test]
    fn a_mark_below_an_earlier_one_needs_no_new_run() {
        let mut trail = Trail::default();
        let (first, second) = (run("a", 0, 0, 1), run("b", 40, 1_000_040, 2));
        assert_eq!(trail.compare(vec![first.clone(), second.clone()], 0, 1_000_040), None);
        assert_eq!(trail.compare(vec![first.clone()], 1_000_050, 40), Some(40));
    }
}
