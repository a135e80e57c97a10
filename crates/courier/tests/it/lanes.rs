//! Urgent goes before bulk, and finds the share that bulk leaves free.

use std::sync::Arc;

use posthaste_courier::{Abilities, Outcome};
use posthaste_model::{Lane, State, Suffix};
use tokio::sync::Semaphore;

use super::house::{House, Order, brisk};
use super::script::{Answer, Script};

/// Ten calls at once, of which bulk leaves two.
fn ten() -> Abilities {
    Abilities { concurrency: 10, max_concurrency: 10, ..Abilities::default() }
}

fn gated(gate: &Arc<Semaphore>) -> Arc<Script> {
    let gate = Arc::clone(gate);
    Script::new(ten(), move |_| Answer::After(Arc::clone(&gate), Outcome::Accepted))
}

async fn urgent_overtakes(house: &House, script: &Script, gate: &Semaphore, bulk: &[Suffix]) {
    script.eventually(8).await;
    let urgent = house.tell(&Order { rows: 5, lane: Lane::Urgent, ..Order::default() }).await;
    script.eventually(10).await;
    // Three calls come free: the rest of the urgent order takes them, before more than a hundred bulk rows.
    gate.add_permits(3);
    let seen = script.eventually(13).await;
    assert!(seen[..8].iter().all(|seen| bulk.contains(&seen.suffix)), "bulk takes eight of ten calls");
    assert!(seen[8..13].iter().all(|seen| seen.suffix == urgent), "urgent takes the others");
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
    let bulk = house.rows(120).await;
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
        bulk.push(house.rows(1).await);
    }
    urgent_overtakes(&house, &script, &gate, &bulk).await;
    for suffix in &bulk {
        house.ended(suffix).await;
    }
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}
