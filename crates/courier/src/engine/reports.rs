//! Reports of a parcel that wait to be settled, which count themselves: how many there are in all is asked at every begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use posthaste_store::Report;

/// How many reports of all parcels wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsettled(Arc<AtomicUsize>);

impl Unsettled {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The reports of one parcel.
#[derive(Debug)]
pub(super) struct Reports {
    list: Vec<Report>,
    all: Unsettled,
}

impl Reports {
    pub(super) fn new(all: &Unsettled) -> Self {
        Self { list: Vec::new(), all: all.clone() }
    }

    pub(super) fn push(&mut self, report: Report) {
        self.list.push(report);
        self.all.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Takes so many at most, in the order of their rows.
    pub(super) fn take(&mut self, most: usize) -> Vec<Report> {
        self.list.sort_by_key(|report| report.row);
        let taken: Vec<Report> = self.list.drain(..self.list.len().min(most)).collect();
        self.all.0.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.list.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::{Reason, Verdict};

    use super::*;

    #[test]
    fn they_count_themselves_until_they_are_taken_or_dropped() {
        let all = Unsettled::default();
        let (mut one, mut other) = (Reports::new(&all), Reports::new(&all));
        for row in [3, 1, 2] {
            one.push(Report { row, attempt: 1, verdict: Verdict::Sent, reason: Reason::None, value: 0 });
        }
        other.push(Report { row: 7, attempt: 1, verdict: Verdict::Sent, reason: Reason::None, value: 0 });
        assert_eq!(all.get(), 4);
        let rows: Vec<u16> = one.take(2).iter().map(|report| report.row).collect();
        assert_eq!((rows.as_slice(), all.get(), one.is_empty()), ([1, 2].as_slice(), 2, false));
        drop(one);
        assert_eq!(all.get(), 1);
        assert_eq!((other.take(9).len(), other.is_empty(), all.get()), (1, true, 0));
    }
}
