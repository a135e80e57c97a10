//! Refuses new orders while the server's memory is nearly full, so that queued deliveries can still be sent.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::epoch_guard::Partition;
use crate::error::{CallError, Retryable};
use crate::node::Node;
use crate::store::Inner;

/// How long an answer is valid.
const FRESH: Duration = Duration::from_millis(500);

/// The last check of one server's memory: when it was, and whether memory was nearly full.
#[derive(Debug, Default)]
pub(crate) struct MemoryGuard(Mutex<(Option<Instant>, bool)>);

impl Inner {
    /// Whether anything new may be stored in a partition.
    pub(crate) async fn room(&self, at: &Partition) -> Result<(), CallError> {
        let primary = self.routes.at(at.slot)?;
        let state = &primary.gate.0;
        let stale = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let stale = state.0.is_none_or(|looked| looked.elapsed() >= FRESH);
            if stale {
                // One caller queries the server; the others use the earlier result.
                state.0 = Some(Instant::now());
            }
            stale
        };
        if stale && let Some(worker) = primary.pool.pick() {
            let full = nearly_full(&Node::any(&worker.client)).await;
            if let Some(full) = full {
                state.lock().unwrap_or_else(PoisonError::into_inner).1 = full;
            }
        }
        if state.lock().unwrap_or_else(PoisonError::into_inner).1 {
            let error = CallError::Retryable { why: Retryable::NearlyFull };
            self.troubles.failed(&error);
            return Err(error);
        }
        Ok(())
    }
}

/// `None` when the server does not report it.
async fn nearly_full(node: &Node) -> Option<bool> {
    let info = node.info(&["memory"]).await.ok()?;
    crate::trouble::probe::nearly_full(&info)
}
