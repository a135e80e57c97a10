//! Reports that wait to be settled. They keep a total over all parcels, which is needed at every begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use posthaste_store::AttemptReport;

/// Number of waiting reports of all parcels.
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
    list: Vec<AttemptReport>,
    all: Unsettled,
}

impl Reports {
    pub(super) fn new(all: &Unsettled) -> Self {
        Self { list: Vec::new(), all: all.clone() }
    }

    pub(super) fn push(&mut self, report: AttemptReport) {
        self.list.push(report);
        self.all.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Takes at most `most` reports, in the order of their deliveries.
    pub(super) fn take(&mut self, most: usize) -> Vec<AttemptReport> {
        self.list.sort_by_key(|report| report.delivery);
        let taken: Vec<AttemptReport> = self.list.drain(..self.list.len().min(most)).collect();
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
    use posthaste_model::{OutcomeKind, Reason};

    use super::*;

    #[test]
    fn the_total_follows_reports_taken_or_dropped() {
        let all = Unsettled::default();
        let (mut one, mut other) = (Reports::new(&all), Reports::new(&all));
        for delivery in [3, 1, 2] {
            one.push(AttemptReport {
                delivery,
                attempt: 1,
                outcome: OutcomeKind::Sent,
                reason: Reason::None,
                value: 0,
            });
        }
        other.push(AttemptReport {
            delivery: 7,
            attempt: 1,
            outcome: OutcomeKind::Sent,
            reason: Reason::None,
            value: 0,
        });
        assert_eq!(all.get(), 4);
        let deliveries: Vec<u16> = one.take(2).iter().map(|report| report.delivery).collect();
        assert_eq!((deliveries.as_slice(), all.get(), one.is_empty()), ([1, 2].as_slice(), 2, false));
        drop(one);
        assert_eq!(all.get(), 1);
        assert_eq!((other.take(9).len(), other.is_empty(), all.get()), (1, true, 0));
    }
}
