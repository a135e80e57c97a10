//! Urgent goes before bulk, and bulk leaves a share of the calls free for it.

use std::sync::Arc;

use posthaste_courier::{Capabilities, Outcome};
use posthaste_model::{OrderId, Priority, State};
use tokio::sync::Semaphore;

use super::house::{House, Order, brisk};
use super::script::{Answer, Script};

/// Ten concurrent calls, of which bulk leaves two free.
fn ten() -> Capabilities {
    Capabilities { concurrency: 10, max_concurrency: 10, ..Capabilities::default() }
}

fn gated(gate: &Arc<Semaphore>) -> Arc<Script> {
    let gate = Arc::clone(gate);
    Script::new(ten(), move |_| Answer::After(Arc::clone(&gate), Outcome::Sent))
}

async fn urgent_overtakes(house: &House, script: &Script, gate: &Semaphore, bulk: &[OrderId]) {
    script.eventually(8).await;
    let urgent = house.tell(&Order { deliveries: 5, priority: Priority::Urgent, ..Order::default() }).await;
    script.eventually(10).await;
    // Three calls become free: the rest of the urgent order takes them, before more than a hundred bulk deliveries.
    gate.add_permits(3);
    let seen = script.eventually(13).await;
    assert!(seen[..8].iter().all(|seen| bulk.contains(&seen.order_id)), "bulk takes eight of ten calls");
    assert!(seen[8..13].iter().all(|seen| seen.order_id == urgent), "urgent takes the other calls");
    gate.add_permits(1_000);
    house.eventually(&urgent, State::Sent, 5).await;
    assert!(script.most_on_wire() <= 10);
}

#[tokio::test]
async fn urgent_overtakes_a_big_bulk_order() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let script = gated(&gate);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let bulk = house.deliveries(120).await;
    urgent_overtakes(&house, &script, &gate, std::slice::from_ref(&bulk)).await;
    house.eventually(&bulk, State::Sent, 120).await;
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}

#[tokio::test]
async fn urgent_overtakes_many_small_bulk_orders() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let script = gated(&gate);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let mut bulk = Vec::new();
    for _ in 0..60 {
        bulk.push(house.deliveries(1).await);
    }
    urgent_overtakes(&house, &script, &gate, &bulk).await;
    for order_id in &bulk {
        house.ended(order_id).await;
    }
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}
