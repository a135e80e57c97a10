//! Orders whose fault was told: what is wrong with a message is wrong for each of its rows, and one word about it is enough.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use posthaste_model::{Channel, Suffix};

use crate::metrics;

/// Orders remembered; the one not met for longest is forgotten first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// The orders of a channel whose fault was told.
pub struct Told {
    channel: Channel,
    orders: Mutex<LruCache<Suffix, ()>>,
}

impl Told {
    /// None yet.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel, orders: Mutex::new(LruCache::new(MOST)) }
    }

    /// Whether a fault of this order is new: then the caller tells it in the log. It is counted as an alarm here.
    pub fn is_new(&self, order: &Suffix) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.get(order).is_some() {
            return false;
        }
        orders.put(order.clone(), ());
        drop(orders);
        metrics::alarm(&self.channel, "content");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u64) -> Suffix {
        Suffix::new(&"u1".parse().unwrap(), n)
    }

    #[test]
    fn orders_in_turn_are_new_once_each() {
        let told = Told::new("sms".parse().unwrap());
        assert!(told.is_new(&order(1)) && told.is_new(&order(2)));
        for _ in 0..9 {
            assert!(!told.is_new(&order(1)) && !told.is_new(&order(2)));
        }
    }

    #[test]
    fn those_not_met_for_long_are_forgotten() {
        let told = Told::new("sms".parse().unwrap());
        for n in 0..MOST.get() as u64 {
            assert!(told.is_new(&order(n)));
        }
        assert!(!told.is_new(&order(0)) && told.is_new(&order(5_000)));
        assert!(!told.is_new(&order(0)) && told.is_new(&order(1)));
    }
}
