//! Keeps new orders out while the server's memory is nearly full, so that what is queued can still be delivered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CallError, Later};
use crate::guard::Partition;
use crate::node::{Node, slot_of};
use crate::store::Inner;

/// How long an answer counts.
const FRESH: Duration = Duration::from_millis(500);

/// What is known of the memory of each server that holds partitions.
#[derive(Debug)]
pub(crate) struct Gate(Vec<Mutex<(Option<Instant>, bool)>>);

impl Gate {
    /// `servers`: 1, or in a cluster one for each partition.
    pub(crate) fn new(servers: usize) -> Self {
        Self((0..servers.max(1)).map(|_| Mutex::new((None, false))).collect())
    }
}

impl Inner {
    /// Whether something new may be stored in a partition.
    pub(crate) async fn room(&self, at: &Partition) -> Result<(), CallError> {
        let place = if self.gate.0.len() > 1 { usize::from(at.number) } else { 0 };
        let Some(state) = self.gate.0.get(place) else { return Ok(()) };
        let stale = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let stale = state.0.is_none_or(|looked| looked.elapsed() >= FRESH);
            if stale {
                // One asks; the others go by what was known before.
                state.0 = Some(Instant::now());
            }
            stale
        };
        if stale && let Some(worker) = self.pool.pick() {
            let full = nearly_full(&Node::any(&worker.client), slot_of(&at.keys.epoch())).await;
            if let Some(full) = full {
                state.lock().unwrap_or_else(PoisonError::into_inner).1 = full;
            }
        }
        if state.lock().unwrap_or_else(PoisonError::into_inner).1 {
            let error = CallError::Later { why: Later::NearlyFull };
            self.troubles.failed(&error);
            return Err(error);
        }
        Ok(())
    }
}

/// `None` when the server does not tell.
async fn nearly_full(node: &Node, slot: u16) -> Option<bool> {
    let info = node.info_of_slot("memory", slot).await.ok()?;
    crate::trouble::probe::nearly_full(&info)
}
