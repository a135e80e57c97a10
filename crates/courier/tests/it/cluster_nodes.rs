//! Servers of a cluster that come and go: one is dead when a courier starts, and one is added while it runs.

use std::time::Duration;

use posthaste_courier::Settings;
use posthaste_model::Durability;
use tokio::time::Instant;

use super::cluster::{AtWork, PARTITIONS, SILENCE, Town, few_calls};
use super::house::{brisk, eventually_async};

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_that_starts_while_a_primary_is_dead_serves_the_others() {
    let mut town = Town::open(3, 0).await;
    let script = few_calls();
    // Not the server with the first partition, which holds the shared keys.
    let holds = |at: usize| town.partitions_at(at).0;
    let victim = (0..3).find(|at| !holds(*at).contains(&0) && !holds(*at).is_empty()).unwrap();
    let (dead, well) = town.partitions_at(victim);
    let mut placed = Vec::new();
    for p in 0..PARTITIONS {
        placed.push(town.tell(p, None).await);
    }
    // A clean stop, so that the server keeps what it acknowledged: losses of a killed server are tested elsewhere.
    town.cluster.node_mut(victim).stop().unwrap();
    let courier = AtWork::start(&town.cluster, &script, Durability::Fast, brisk()).await;
    eventually_async("orders of the other servers are delivered", async || {
        let seen = script.times().len();
        if seen == well.len() { Ok(()) } else { Err(format!("{seen} of {}", well.len())) }
    })
    .await;
    for _ in 0..5 {
        for p in &well {
            let before = Instant::now();
            let order_id = town.tell(*p, None).await;
            placed.push(order_id.clone());
            let seen = eventually_async("a healthy partition's order is sent", async || {
                script.seen().into_iter().find(|seen| seen.order_id == order_id).ok_or("not yet")
            })
            .await;
            let late = seen.at.saturating_duration_since(before);
            assert!(late < SILENCE, "{late:?} in partition {p}");
        }
    }
    let times = script.times();
    let of_dead = |order_id: &&posthaste_model::OrderId| dead.contains(&town.store.partition_of(order_id));
    assert!(placed.iter().filter(of_dead).all(|order_id| !times.contains_key(&(order_id.clone(), 0))));
    town.cluster.node_mut(victim).restart().unwrap();
    for p in &dead {
        placed.push(town.tell(*p, None).await);
    }
    town.all_sent_once(&script, &placed).await;
    courier.stopped().await;
}

/// Orders in partitions of an added server wake a courier that would otherwise sleep for seconds.
#[tokio::test(flavor = "multi_thread")]
async fn bells_of_an_added_server_wake_within_100_ms() {
    const POLL: Duration = Duration::from_secs(9);
    const SOON: Duration = Duration::from_millis(100);
    let mut town = Town::open(2, 0).await;
    let script = few_calls();
    let courier =
        AtWork::start(&town.cluster, &script, Durability::Fast, Settings { poll: POLL, ..brisk() }).await;
    let moved: Vec<u16> = town.partitions_at(0).0.into_iter().filter(|p| *p != 0).take(2).collect();
    assert_eq!(moved.len(), 2);
    let added = town.cluster.add_primary().unwrap();
    for p in &moved {
        town.cluster.move_slot(town.slot(*p), 0, added).unwrap();
    }
    let mut placed = Vec::new();
    // After the first delivery the route to the new server is known; from then on only the orders below cause work.
    for p in &moved {
        placed.push(town.tell(*p, None).await);
    }
    script.eventually(placed.len()).await;
    let mut late = Vec::new();
    for round in 0..10 {
        for p in &moved {
            // Due at once, and due after a while.
            let wait = Duration::from_millis(200 * (round % 2));
            let due = Instant::now() + wait;
            let order_id = town.tell(*p, (round % 2 == 1).then_some(wait)).await;
            placed.push(order_id.clone());
            let seen = eventually_async("the order is sent", async || {
                script.seen().into_iter().find(|seen| seen.order_id == order_id).ok_or("not yet")
            })
            .await;
            // Times of orders are in milliseconds.
            assert!(seen.at + Duration::from_millis(2) >= due, "{:?} early", due - seen.at);
            late.push(seen.at.saturating_duration_since(due));
        }
    }
    for p in &moved {
        assert_eq!(town.store.node_of(*p), Some(town.cluster.address(added)));
    }
    late.sort_unstable();
    let (middle, most) = (late[late.len() / 2], late[late.len() - 1]);
    // A machine busy with other tests may delay some of them; waiting for the poll would delay each.
    assert!(middle < SOON && most < POLL / 3, "middle {middle:?}, most {most:?}");
    town.all_sent_once(&script, &placed).await;
    courier.stopped().await;
}
