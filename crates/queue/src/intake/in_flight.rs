//! State of acceptance in this process: the last id it made, and the orders in progress.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use posthaste_model::{Clock, OrderId, SenderId};

use crate::problem::{Code, Problem};

/// When to retry if the same request is still running.
const RUNNING_RETRY: Duration = Duration::from_secs(1);

/// Maximum number of ids that are skipped because their partition is unreachable.
const MOST_TRIES: u32 = 256;

/// Shared by all requests; clones share the state.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The last timestamp used for an order id, in nanoseconds.
    last: AtomicU64,
    /// The ids and keys in progress.
    busy: Mutex<HashSet<String>>,
}

/// Held while a key or an id is being processed.
#[derive(Debug)]
pub(crate) struct Busy {
    in_flight: InFlight,
    what: String,
}

impl InFlight {
    /// An order id for this sender, later than any id before.
    pub(crate) fn mint(&self, sender: &SenderId, clock: &dyn Clock) -> OrderId {
        let now = clock.now_ns();
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        // The closure always returns a value, so this is the previous one in either case.
        let last = self.0.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or(now);
        OrderId::new(sender, now.max(last.saturating_add(1)))
    }

    /// The same, in a partition that `there` reports as reachable, if one of the next ids is in one.
    pub(crate) fn mint_there(
        &self,
        sender: &SenderId,
        clock: &dyn Clock,
        there: impl Fn(&OrderId) -> bool,
    ) -> OrderId {
        let mut order_id = self.mint(sender, clock);
        for _ in 0..MOST_TRIES {
            if there(&order_id) {
                break;
            }
            order_id = self.mint(sender, clock);
        }
        order_id
    }

    /// Starts work on an id or key; refused while another request is working on it.
    pub(crate) fn begin(&self, what: String) -> Result<Busy, Problem> {
        let fresh = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(what.clone());
        if fresh {
            return Ok(Busy { in_flight: self.clone(), what });
        }
        let detail = "another request with this id or idempotency key is still running";
        Err(Problem::new(Code::IdempotencyKeyInUse, detail).retry_after(RUNNING_RETRY))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.in_flight.0.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.what);
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::UnixMs;
    use posthaste_model::clock::StillClock;

    use super::*;

    #[test]
    fn no_two_orders_get_one_id_while_the_clock_stands_still() {
        let (in_flight, clock) = (InFlight::default(), StillClock::at(UnixMs(5)));
        let sender: SenderId = "u1".parse().unwrap();
        let ids: Vec<_> = (0..3).map(|_| in_flight.mint(&sender, &clock).to_string()).collect();
        assert_eq!(ids, ["u1:5000000", "u1:5000001", "u1:5000002"]);
    }

    #[test]
    fn ids_of_unreachable_partitions_are_skipped() {
        let (in_flight, clock) = (InFlight::default(), StillClock::at(UnixMs(5)));
        let sender: SenderId = "u1".parse().unwrap();
        let order_id = in_flight.mint_there(&sender, &clock, |order_id| order_id.to_string().ends_with('7'));
        assert_eq!(order_id.to_string(), "u1:5000007");
        // It also terminates when no partition is reachable.
        assert_eq!(in_flight.mint_there(&sender, &clock, |_| false).to_string(), "u1:5000264");
        assert_eq!(in_flight.mint_there(&sender, &clock, |_| true).to_string(), "u1:5000265");
    }

    #[test]
    fn one_request_at_a_time_works_on_a_key() {
        let in_flight = InFlight::default();
        let busy = in_flight.begin("a".to_owned()).unwrap();
        assert_eq!(in_flight.begin("a".to_owned()).unwrap_err().code(), Code::IdempotencyKeyInUse);
        assert!(in_flight.begin("b".to_owned()).is_ok());
        drop(busy);
        assert!(in_flight.begin("a".to_owned()).is_ok());
    }
}
