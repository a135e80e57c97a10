//! Which envelopes share a call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use posthaste_courier::{Batching, Capabilities};
use posthaste_model::{OrderId, Priority};

use super::house::{House, Order, brisk};
use super::script::{Script, Seen};

fn calls(seen: Vec<Seen>) -> Vec<Vec<Seen>> {
    let mut calls: BTreeMap<u64, Vec<Seen>> = BTreeMap::new();
    for seen in seen {
        calls.entry(seen.call).or_default().push(seen);
    }
    calls.into_values().collect()
}

async fn sent(batching: Batching, orders: &[Order]) -> (Vec<OrderId>, Vec<Vec<Seen>>) {
    let house = House::open().await;
    let capabilities =
        Capabilities { batching, concurrency: 2, max_concurrency: 2, ..Capabilities::default() };
    let script = Script::accepting(capabilities);
    let mut placed = Vec::new();
    for order in orders {
        placed.push(house.tell(order).await);
    }
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    for order_id in &placed {
        house.ended(order_id).await;
    }
    courier.stopped().await;
    assert!(script.times().values().all(|times| *times == 1));
    assert!(script.most_on_wire() <= 2);
    (placed, calls(script.seen()))
}

fn order(deliveries: u32) -> Order {
    Order { deliveries, ..Order::default() }
}

#[tokio::test]
async fn single_envelopes_go_alone() {
    let (_, calls) = sent(Batching::Single, &[order(3), order(90)]).await;
    assert_eq!(calls.len(), 93);
}

#[tokio::test]
async fn deliveries_of_one_order_share_a_call() {
    let (placed, calls) = sent(Batching::SameOrder(10), &[order(600), order(3), order(25)]).await;
    for call in &calls {
        assert!(call.len() <= 10 && call.iter().all(|seen| seen.order_id == call[0].order_id));
    }
    for (order_id, least) in placed.iter().zip([60, 1, 3]) {
        let of = calls.iter().filter(|call| call[0].order_id == *order_id).count();
        // A call starts with what has been begun: calls are full except for a few at the end of a begin.
        assert!((least..=least + least / 4 + 2).contains(&of), "{of} calls, {least} would be enough");
    }
}

#[tokio::test]
async fn deliveries_of_any_orders_share_a_call() {
    let orders: Vec<Order> = (0..80)
        .map(|at| Order { priority: if at % 2 == 0 { Priority::Urgent } else { Priority::Bulk }, ..order(1) })
        .collect();
    let (_, calls) = sent(Batching::Any(8), &orders).await;
    assert!(calls.iter().all(|call| call.len() <= 8));
    assert!(calls.iter().any(|call| call.len() == 8), "full calls are made");
    assert!(calls.iter().any(|call| call[0].order_id != call[call.len() - 1].order_id));
    assert!(calls.len() < 40, "{} calls for 80 deliveries", calls.len());
}

#[tokio::test]
async fn a_call_has_groups_of_one_order_each() {
    let mut orders: Vec<Order> = (0..30).map(|_| order(1)).collect();
    orders.push(order(37));
    let batching = Batching::Groups { groups: 4, deliveries: 10 };
    let (_, calls) = sent(batching, &orders).await;
    for call in &calls {
        let mut of_orders: BTreeMap<&OrderId, usize> = BTreeMap::new();
        for seen in call {
            *of_orders.entry(&seen.order_id).or_default() += 1;
        }
        let groups: usize = of_orders.values().map(|deliveries| deliveries.div_ceil(10)).sum();
        assert!(groups <= 4, "{groups} groups of {} envelopes", call.len());
    }
    let full = |call: &Vec<Seen>| call.iter().map(|seen| &seen.order_id).collect::<BTreeSet<_>>().len() == 4;
    assert!(calls.iter().any(full), "orders share a call");
    assert!(calls.iter().any(|call| call.len() > 10), "an order has several groups in a call");
}
