//! Begin never marks more than can be on the wire: a kill makes few rows unknown.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{Abilities, Batching, Envelope, Outcome, Transport};
use posthaste_model::{Channel, State, Suffix};
use posthaste_store::Store;
use tokio::time::Instant;

use super::house::{House, brisk, email};

/// Counts at each call the rows that were begun and have no outcome yet.
struct Counting {
    store: Store,
    orders: Mutex<Vec<Suffix>>,
    abilities: Abilities,
    answered: AtomicU64,
    most: AtomicU64,
}

impl Counting {
    fn new(house: &House, abilities: Abilities) -> Arc<Self> {
        let (answered, most) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { store: house.store.clone(), orders: Mutex::default(), abilities, answered, most })
    }

    /// Every row goes out once, so rows not pending were begun. They only grow, as do the answers, which are read last: so
    /// the difference is never more than was on its way at once.
    async fn under_way(&self) -> u64 {
        let orders = self.orders.lock().unwrap().clone();
        let mut begun = 0;
        for suffix in &orders {
            let p = self.store.partition_of(suffix);
            let counters = self.store.load_order(p, suffix).await.unwrap().unwrap().counters[0].1;
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

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
    }

    async fn send(&self, batch: &[Envelope], _deadline: Instant) -> Vec<Outcome> {
        self.most.fetch_max(self.under_way().await, Ordering::SeqCst);
        self.answered.fetch_add(batch.len() as u64, Ordering::SeqCst);
        vec![Outcome::Accepted; batch.len()]
    }
}

/// Tells orders of so many rows each, sends them all, and answers how many rows were under way at once at most.
async fn most_under_way(house: &House, abilities: Abilities, orders: &[u32]) -> u64 {
    let counting = Counting::new(house, abilities);
    for rows in orders {
        let suffix = house.rows(*rows).await;
        counting.orders.lock().unwrap().push(suffix);
    }
    let courier = house.courier(Arc::clone(&counting), brisk()).await;
    let told = counting.orders.lock().unwrap().clone();
    for suffix in &told {
        house.ended(suffix).await;
        assert_eq!(house.view(suffix).await.head.rows(&email()), house.counters(suffix).await[State::Sent]);
    }
    courier.stopped().await;
    counting.most.load(Ordering::SeqCst)
}

fn abilities(batching: Batching, calls: usize) -> Abilities {
    let send_window = Duration::from_secs(30);
    Abilities { batching, concurrency: calls, max_concurrency: calls, send_window, ..Abilities::default() }
}

#[tokio::test]
async fn rows_of_a_big_order() {
    let house = House::open().await;
    let most = most_under_way(&house, abilities(Batching::Single, 4), &[200]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn rows_of_small_orders() {
    let house = House::open().await;
    let most = most_under_way(&house, abilities(Batching::Single, 4), &[1; 40]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn rows_of_small_orders_in_several_partitions() {
    let house = House::with_partitions(4).await;
    let most = most_under_way(&house, abilities(Batching::Single, 4), &[1; 60]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn orders_small_and_big_together() {
    let house = House::open().await;
    let most =
        most_under_way(&house, abilities(Batching::Single, 4), &[1, 1, 120, 1, 3, 80, 1, 1, 3, 1]).await;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn batches_of_any_orders() {
    let house = House::open().await;
    let most = most_under_way(&house, abilities(Batching::Any(5), 2), &[1; 60]).await;
    assert!((1..=10).contains(&most), "{most}");
}

#[tokio::test]
async fn batches_of_one_order() {
    let house = House::open().await;
    let most = most_under_way(&house, abilities(Batching::SameOrder(10), 2), &[300]).await;
    assert!((1..=20).contains(&most), "{most}");
}

/// Each of these calls carries one row, however many it could.
#[tokio::test]
async fn small_orders_that_cannot_share_a_call() {
    let house = House::open().await;
    let most = most_under_way(&house, abilities(Batching::SameOrder(10), 2), &[1; 40]).await;
    assert!((1..=2).contains(&most), "{most}");
}
