//! Orders whose fault was told: what is wrong with a message is wrong for each of its rows, and one word about it is enough. When
//! nobody is sent it, asking for the other rows as well only annoys the provider.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use posthaste_model::{Channel, Suffix};

use crate::metrics;

/// Orders remembered; the one not met for longest is forgotten first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Refusals of what an order says, in a row, after which it is given up.
const IN_A_ROW: u32 = 20;

/// The orders of a channel whose fault was told.
pub struct Told {
    channel: Channel,
    /// With the refusals of what they say since one of their messages was taken.
    orders: Mutex<LruCache<Suffix, u32>>,
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
        orders.put(order.clone(), 0);
        drop(orders);
        metrics::alarm(&self.channel, "content");
        true
    }

    /// What the order says was refused, whoever is to get it. Whether it was for the 20th time with nothing taken between: then the
    /// caller tells that it is given up.
    pub fn refused(&self, order: &Suffix) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = orders.get_or_insert_mut(order.clone(), || 0);
        *refused = refused.saturating_add(1);
        *refused == IN_A_ROW
    }

    /// A message of the order was taken.
    pub fn taken(&self, order: &Suffix) {
        if let Some(refused) = self.orders.lock().unwrap_or_else(PoisonError::into_inner).get_mut(order) {
            *refused = 0;
        }
    }

    /// Whether the order is given up: its messages are refused without asking.
    pub fn is_given_up(&self, order: &Suffix) -> bool {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.peek(order).is_some_and(|refused| *refused >= IN_A_ROW)
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
    fn an_order_is_given_up_when_nothing_of_it_is_taken() {
        let told = Told::new("sms".parse().unwrap());
        for _ in 0..3 {
            assert!((1..IN_A_ROW).all(|_| !told.refused(&order(1))) && !told.is_given_up(&order(1)));
            told.taken(&order(1));
        }
        assert!((1..IN_A_ROW).all(|_| !told.refused(&order(1))) && told.refused(&order(1)));
        assert!(!told.refused(&order(1)), "it is told once");
        assert!(told.is_given_up(&order(1)) && !told.is_given_up(&order(2)));
        // One that was on the wire.
        told.taken(&order(1));
        assert!(!told.is_given_up(&order(1)));
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
