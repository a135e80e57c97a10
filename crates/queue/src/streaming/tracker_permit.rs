//! The permit that a tracker holds while it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::state::TrackersState;
use crate::auth::{Caller, Held};
use crate::problem::{Code, Problem};

/// When to retry if all permits are taken.
const RETRY: Duration = Duration::from_secs(5);

/// Counts as an open tracker until it is dropped.
#[derive(Debug)]
pub(super) struct TrackerPermit {
    _held: (OwnedSemaphorePermit, Held),
}

impl TrackerPermit {
    /// # Errors
    /// 503 when all permits are taken or the service is stopping, 429 when the key uses its whole share.
    pub(super) fn take(state: &TrackersState, caller: &Caller) -> Result<Self, Problem> {
        if state.soft.is_cancelled() {
            return Err(Problem::new(Code::ShuttingDown, "the service is stopping").retry_after(RETRY));
        }
        let permit = Semaphore::try_acquire_owned(Arc::clone(&state.permits)).map_err(|_| {
            Problem::new(Code::Overloaded, "too many trackers are open; retry later").retry_after(RETRY)
        })?;
        let share = caller.share.tracker()?;
        metrics::gauge!("posthaste_order_watchers").increment(1);
        Ok(Self { _held: (permit, share) })
    }
}

impl Drop for TrackerPermit {
    fn drop(&mut self) {
        metrics::gauge!("posthaste_order_watchers").decrement(1);
    }
}
