//! Notices when a server's memory is nearly full: then new orders are refused, so that queued deliveries can still be
//! sent.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::command::{self, Info};
use crate::pool::Pool;

/// How long an answer is valid.
const FRESH: Duration = Duration::from_millis(500);
/// Percentage of `maxmemory` above which nothing new is accepted.
pub(crate) const FULL_PERCENT: u64 = 90;

/// The last check of one server's memory: when it was, and whether memory was nearly full.
#[derive(Debug, Default)]
pub(crate) struct MemoryGuard(Mutex<(Option<Instant>, bool)>);

impl MemoryGuard {
    fn lock(&self) -> MutexGuard<'_, (Option<Instant>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server's memory is nearly full; asks it, unless the last answer is still valid.
    pub(crate) async fn is_nearly_full(&self, pool: &Pool) -> bool {
        let stale = {
            let mut last = self.lock();
            let stale = last.0.is_none_or(|looked| looked.elapsed() >= FRESH);
            if stale {
                // One caller queries the server; the others use the earlier result.
                last.0 = Some(Instant::now());
            }
            stale
        };
        if stale
            && let Some(worker) = pool.pick()
            && let Ok(info) = command::info(&worker.client, &["memory"]).await
            && let Some(full) = nearly_full(&info)
        {
            self.lock().1 = full;
        }
        self.lock().1
    }
}

/// Whether so much memory is used that nothing new is accepted; `None` when the server does not report it.
pub(crate) fn nearly_full(info: &Info) -> Option<bool> {
    let (used, most) = (info.number("used_memory")?, info.number("maxmemory")?);
    Some(most > 0 && u128::from(used) * 100 >= u128::from(most) * u128::from(FULL_PERCENT))
}
