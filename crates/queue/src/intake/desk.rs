//! What this process remembers of acceptance: the last id it made, and which orders it is working on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use posthaste_model::{Clock, SenderId, Suffix};

use crate::problem::{Code, Problem};

/// How soon to ask again for what is still running.
const RUNNING_RETRY: Duration = Duration::from_secs(1);

/// Ids that are passed over at most, because the partition of each is away.
const MOST_TRIES: u32 = 256;

/// Shared by all requests; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The last moment given to an order, in nanoseconds.
    last: AtomicU64,
    /// What is being worked on.
    busy: Mutex<HashSet<String>>,
}

/// Held while a key or an id is worked on.
#[derive(Debug)]
pub(crate) struct Busy {
    desk: Desk,
    what: String,
}

impl Desk {
    /// A suffix for an order of this sender, later than any before.
    pub(crate) fn mint(&self, sender: &SenderId, clock: &dyn Clock) -> Suffix {
        let now = clock.now_ns();
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        // The closure always gives a value, so that this is the last one either way.
        let last = self.0.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or(now);
        Suffix::new(sender, now.max(last.saturating_add(1)))
    }

    /// The same, in a partition that `there` says can be asked now, if one of the next ids is.
    pub(crate) fn mint_there(
        &self,
        sender: &SenderId,
        clock: &dyn Clock,
        there: impl Fn(&Suffix) -> bool,
    ) -> Suffix {
        let mut suffix = self.mint(sender, clock);
        for _ in 0..MOST_TRIES {
            if there(&suffix) {
                break;
            }
            suffix = self.mint(sender, clock);
        }
        suffix
    }

    /// Begins work on an id or key; refused while another request is at it.
    pub(crate) fn begin(&self, what: String) -> Result<Busy, Problem> {
        let fresh = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(what.clone());
        if fresh {
            return Ok(Busy { desk: self.clone(), what });
        }
        let detail = "another request with this id or idempotency key is still running";
        Err(Problem::new(Code::IdempotencyKeyInUse, detail).retry_after(RUNNING_RETRY))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.desk.0.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.what);
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::UnixMs;
    use posthaste_model::clock::StillClock;

    use super::*;

    #[test]
    fn no_two_orders_get_one_id_while_the_clock_stands_still() {
        let (desk, clock) = (Desk::default(), StillClock::at(UnixMs(5)));
        let sender: SenderId = "u1".parse().unwrap();
        let ids: Vec<_> = (0..3).map(|_| desk.mint(&sender, &clock).to_string()).collect();
        assert_eq!(ids, ["u1:5000000", "u1:5000001", "u1:5000002"]);
    }

    #[test]
    fn ids_of_partitions_that_are_away_are_passed_over() {
        let (desk, clock) = (Desk::default(), StillClock::at(UnixMs(5)));
        let sender: SenderId = "u1".parse().unwrap();
        let suffix = desk.mint_there(&sender, &clock, |suffix| suffix.to_string().ends_with('7'));
        assert_eq!(suffix.to_string(), "u1:5000007");
        // With none there it ends all the same.
        assert_eq!(desk.mint_there(&sender, &clock, |_| false).to_string(), "u1:5000264");
        assert_eq!(desk.mint_there(&sender, &clock, |_| true).to_string(), "u1:5000265");
    }

    #[test]
    fn one_request_at_a_time_works_on_a_key() {
        let desk = Desk::default();
        let busy = desk.begin("a".to_owned()).unwrap();
        assert_eq!(desk.begin("a".to_owned()).unwrap_err().code(), Code::IdempotencyKeyInUse);
        assert!(desk.begin("b".to_owned()).is_ok());
        drop(busy);
        assert!(desk.begin("a".to_owned()).is_ok());
    }
}
