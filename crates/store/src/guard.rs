//! What is known of each partition's database, and the word that ends everything when it is another one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use posthaste_protocol::{Keys, Malformed};

use crate::error::{CallError, Fault, StopWhy};
use crate::node::slot_of;

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) number: u16,
    pub(crate) keys: Keys,
    pub(crate) slot: u16,
    epoch: OnceLock<String>,
    /// The highest fence an answer told.
    fence: AtomicU64,
}

impl Partition {
    /// The epoch first found; empty before.
    pub(crate) fn epoch(&self) -> &str {
        self.epoch.get().map_or("", String::as_str)
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence.load(Ordering::Acquire)
    }
}

/// All partitions, and why nothing is answered any more, if so.
#[derive(Debug)]
pub(crate) struct Guard {
    partitions: Vec<Partition>,
    stopped: AtomicBool,
    why: Mutex<Option<StopWhy>>,
}

impl Guard {
    pub(crate) fn new(partitions: u16) -> Self {
        let partition = |number| {
            let keys = Keys::of_partition(number);
            let slot = slot_of(&keys.epoch());
            Partition { number, keys, slot, epoch: OnceLock::new(), fence: AtomicU64::new(0) }
        };
        Self {
            partitions: (0..partitions).map(partition).collect(),
            stopped: AtomicBool::new(false),
            why: Mutex::new(None),
        }
    }

    pub(crate) fn all(&self) -> &[Partition] {
        &self.partitions
    }

    pub(crate) fn partition(&self, p: u16) -> Result<&Partition, CallError> {
        let malformed = CallError::Fault(Fault::Malformed(Malformed::new("number of a partition")));
        self.partitions.get(usize::from(p)).ok_or(malformed)
    }

    /// Whether calls may be made.
    pub(crate) fn check(&self) -> Result<(), CallError> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.why.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(CallError::Stop(why.clone())),
            None => Ok(()),
        }
    }

    /// From now on nothing is answered. The first reason stays.
    pub(crate) fn stop(&self, why: StopWhy) -> CallError {
        let mut known = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            tracing::error!(%why, "no call is answered any more");
            metrics::counter!("posthaste_store_stops_total").increment(1);
        }
        let why = known.get_or_insert(why).clone();
        self.stopped.store(true, Ordering::Release);
        CallError::Stop(why)
    }

    /// Ends a stop because of a roll-back; any other stays.
    pub(crate) fn go_on(&self) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*why, Some(StopWhy::RolledBack { .. })) {
            *why = None;
            self.stopped.store(false, Ordering::Release);
        }
    }

    /// Keeps the epoch of a partition; another one than before stops everything.
    pub(crate) fn saw_epoch(&self, partition: &Partition, epoch: &str) -> Result<(), CallError> {
        if partition.epoch.get_or_init(|| epoch.to_owned()) == epoch {
            return Ok(());
        }
        Err(self.stop(StopWhy::Epoch { partition: partition.number, found: epoch.to_owned() }))
    }

    /// Keeps the fence of an answer. `floor` is the highest known when the call was sent: answers may overtake each
    /// other, so one below what is known only now says nothing.
    pub(crate) fn saw_fence(&self, partition: &Partition, floor: u64, fence: u64) -> Result<(), CallError> {
        if fence < floor {
            return Err(self.stop(StopWhy::RolledBack {
                partition: partition.number,
                known: floor,
                found: fence,
            }));
        }
        partition.fence.fetch_max(fence, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_that_goes_back_stops_until_told_to_go_on() {
        let guard = Guard::new(2);
        let partition = guard.partition(1).unwrap();
        guard.saw_fence(partition, 0, 7).unwrap();
        // Sent before 7 was known, answered after.
        guard.saw_fence(partition, 5, 6).unwrap();
        assert_eq!(partition.fence(), 7);
        assert!(guard.saw_fence(partition, 7, 6).is_err());
        let why = StopWhy::RolledBack { partition: 1, known: 7, found: 6 };
        assert!(matches!(guard.check(), Err(CallError::Stop(told)) if told == why));
        guard.go_on();
        assert!(guard.check().is_ok());
        guard.saw_epoch(partition, "a").unwrap();
        assert!(guard.saw_epoch(partition, "b").is_err());
        guard.go_on();
        assert!(guard.check().is_err());
        assert!(guard.partition(2).is_err());
    }
}
