//! Keeps new orders out while the server's memory is nearly full, so that what is queued can still be delivered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CallError, Later};
use crate::guard::Partition;
use crate::node::Node;
use crate::store::Inner;

/// How long an answer counts.
const FRESH: Duration = Duration::from_millis(500);

/// What is known of the memory of one server: when it was looked at, and whether it is nearly full.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<(Option<Instant>, bool)>);

impl Inner {
    /// Whether something new may be stored in a partition.
    pub(crate) async fn room(&self, at: &Partition) -> Result<(), CallError> {
        let primary = self.routes.at(at.slot)?;
        let state = &primary.gate.0;
        let stale = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let stale = state.0.is_none_or(|looked| looked.elapsed() >= FRESH);
            if stale {
                // One asks; the others go by what was known before.
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
            let error = CallError::Later { why: Later::NearlyFull };
            self.troubles.failed(&error);
            return Err(error);
        }
        Ok(())
    }
}

/// `None` when the server does not tell.
async fn nearly_full(node: &Node) -> Option<bool> {
    let info = node.info(&["memory"]).await.ok()?;
    crate::trouble::probe::nearly_full(&info)
}
