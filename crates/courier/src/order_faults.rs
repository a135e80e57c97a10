//! Orders whose content a provider rejected. A fault of the content concerns every delivery of the order, so it is
//! logged once. If no delivery is accepted, the order is given up: sending the others would only annoy the provider.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use posthaste_model::{Channel, OrderId};

use crate::metrics;

/// Number of orders remembered; the least recently used is forgotten first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Consecutive rejections of an order's content after which the order is given up.
const IN_A_DELIVERY: u32 = 20;

/// The orders of a channel with faults in their content.
pub struct OrderFaults {
    channel: Channel,
    /// With the number of rejections since one of their messages was accepted.
    orders: Mutex<LruCache<OrderId, u32>>,
}

impl OrderFaults {
    /// No faults yet.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel, orders: Mutex::new(LruCache::new(MOST)) }
    }

    /// Whether this is the first fault of the order; then the caller logs it. Counts it as an alert.
    pub fn is_new(&self, order: &OrderId) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.get(order).is_some() {
            return false;
        }
        orders.put(order.clone(), 0);
        drop(orders);
        metrics::alert(&self.channel, "content_rejected");
        true
    }

    /// The order's content was rejected, whatever the recipient. Returns true at the 20th rejection with nothing
    /// accepted in between; then the caller logs that the order is given up.
    pub fn refused(&self, order: &OrderId) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = orders.get_or_insert_mut(order.clone(), || 0);
        *refused = refused.saturating_add(1);
        *refused == IN_A_DELIVERY
    }

    /// A message of the order was accepted.
    pub fn taken(&self, order: &OrderId) {
        if let Some(refused) = self.orders.lock().unwrap_or_else(PoisonError::into_inner).get_mut(order) {
            *refused = 0;
        }
    }

    /// Whether the order is given up: its messages are rejected without asking the provider.
    pub fn is_given_up(&self, order: &OrderId) -> bool {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.peek(order).is_some_and(|refused| *refused >= IN_A_DELIVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u64) -> OrderId {
        OrderId::new(&"u1".parse().unwrap(), n)
    }

    #[test]
    fn each_order_is_new_once() {
        let faults = OrderFaults::new("sms".parse().unwrap());
        assert!(faults.is_new(&order(1)) && faults.is_new(&order(2)));
        for _ in 0..9 {
            assert!(!faults.is_new(&order(1)) && !faults.is_new(&order(2)));
        }
    }

    #[test]
    fn an_order_is_given_up_when_nothing_of_it_is_taken() {
        let faults = OrderFaults::new("sms".parse().unwrap());
        for _ in 0..3 {
            assert!((1..IN_A_DELIVERY).all(|_| !faults.refused(&order(1))) && !faults.is_given_up(&order(1)));
            faults.taken(&order(1));
        }
        assert!((1..IN_A_DELIVERY).all(|_| !faults.refused(&order(1))) && faults.refused(&order(1)));
        assert!(!faults.refused(&order(1)), "it is reported once");
        assert!(faults.is_given_up(&order(1)) && !faults.is_given_up(&order(2)));
        // A message that was still on the wire is accepted.
        faults.taken(&order(1));
        assert!(!faults.is_given_up(&order(1)));
    }

    #[test]
    fn orders_not_used_for_long_are_forgotten() {
        let faults = OrderFaults::new("sms".parse().unwrap());
        for n in 0..MOST.get() as u64 {
            assert!(faults.is_new(&order(n)));
        }
        assert!(!faults.is_new(&order(0)) && faults.is_new(&order(5_000)));
        assert!(!faults.is_new(&order(0)) && faults.is_new(&order(1)));
    }
}
