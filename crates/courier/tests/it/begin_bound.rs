//! Begin never marks more deliveries than can be on the wire, so a kill makes few of them unknown.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{Batching, Capabilities, Envelope, Outcome, Settings, Transport};
use posthaste_model::{Channel, OrderId, State};
use posthaste_store::Store;
use tokio::time::Instant;

use super::house::{House, brisk, email};

/// Counts, at each call, the deliveries that are begun and have no outcome yet.
struct Counting {
    store: Store,
    orders: Mutex<Vec<OrderId>>,
    capabilities: Capabilities,
    answered: AtomicU64,
    most: AtomicU64,
}

impl Counting {
    fn new(house: &House, capabilities: Capabilities) -> Arc<Self> {
        let (answered, most) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { store: house.store.clone(), orders: Mutex::default(), capabilities, answered, most })
    }

    /// Every delivery is sent once, so every delivery that is not pending has been begun. Both numbers only grow, and
    /// the answers are read last: so the difference is never more than the number that was in progress at one time.
    async fn under_way(&self) -> u64 {
        let orders = self.orders.lock().unwrap().clone();
        let mut begun = 0;
        for order_id in &orders {
            let p = self.store.partition_of(order_id);
            let counters = self.store.load_order(p, order_id).await.unwrap().unwrap().counters[0].1;
            begun += counters.accepted() - u64::from(counters[State::Pending]);
        }
        begun.saturating_sub(self.answered.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Transport for Counting {
    fn channel(&self) -> Channel {
        email()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn send(&self, batch: &[Envelope], _deadline: Instant) -> Vec<Outcome> {
        self.most.fetch_max(self.under_way().await, Ordering::SeqCst);
        self.answered.fetch_add(batch.len() as u64, Ordering::SeqCst);
        vec![Outcome::Sent; batch.len()]
    }
}

/// Submits and sends orders of these sizes; returns the maximum number of deliveries in progress at one time.
async fn most_under_way(house: &House, capabilities: Capabilities, orders: &[u32]) -> u64 {
    most_with(house, capabilities, 0, orders).await
}

/// The same where up to `max_unsettled` deliveries without a stored outcome are allowed, which may be begun ahead.
async fn most_with(house: &House, capabilities: Capabilities, max_unsettled: usize, orders: &[u32]) -> u64 {
    let counting = Counting::new(house, capabilities);
    for deliveries in orders {
        let order_id = house.deliveries(*deliveries).await;
        counting.orders.lock().unwrap().push(order_id);
    }
    let courier = house.courier(Arc::clone(&counting), Settings { max_unsettled, ..brisk() }).await;
    let placed = counting.orders.lock().unwrap().clone();
    for order_id in &placed {
        house.ended(order_id).await;
        assert_eq!(
            house.view(order_id).await.head.deliveries(&email()),
            house.counters(order_id).await[State::Sent]
        );
    }
    courier.stopped().await;
    counting.most.load(Ordering::SeqCst)
}

fn capabilities(batching: Batching, calls: usize) -> Capabilities {
    let send_window = Duration::from_secs(30);
    Capabilities {
        batching,
        concurrency: calls,
        max_concurrency: calls,
        send_window,
        ..Capabilities::default()
    }
}

#[tokio::test]
async fn deliveries_of_a_big_order() {
    let house = House::open().await;
    let most = most_under_way(&house, capabilities(Batching::Single, 4), &[200]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn what_is_begun_ahead_of_the_calls_is_bounded() {
    let house = House::open().await;
    let most = most_with(&house, capabilities(Batching::Single, 4), 3, &[600]).await;
    assert!((5..=4 + 3).contains(&most), "some are begun ahead, and at most three: {most}");
}

#[tokio::test]
async fn deliveries_of_small_orders() {
    let house = House::open().await;
    let most = most_under_way(&house, capabilities(Batching::Single, 4), &[1; 40]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn deliveries_of_small_orders_in_several_partitions() {
    let house = House::with_partitions(4).await;
    let most = most_under_way(&house, capabilities(Batching::Single, 4), &[1; 60]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn orders_small_and_big_together() {
    let house = House::open().await;
    let most =
        most_under_way(&house, capabilities(Batching::Single, 4), &[1, 1, 120, 1, 3, 80, 1, 1, 3, 1]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn batches_of_any_orders() {
    let house = House::open().await;
    let most = most_under_way(&house, capabilities(Batching::Any(5), 2), &[1; 60]).await;
    assert!((1..=10).contains(&most), "{most}");
}

#[tokio::test]
async fn batches_of_one_order() {
    let house = House::open().await;
    let most = most_under_way(&house, capabilities(Batching::SameOrder(10), 2), &[300]).await;
    assert!((1..=20).contains(&most), "{most}");
}

/// Each of these calls carries one delivery, although it could carry more.
#[tokio::test]
async fn small_orders_that_cannot_share_a_call() {
    let house = House::open().await;
    let most = most_under_way(&house, capabilities(Batching::SameOrder(10), 2), &[1; 40]).await;
    assert!((1..=2).contains(&most), "{most}");
}
