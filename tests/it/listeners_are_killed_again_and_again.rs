//! The connections on which couriers listen are killed repeatedly: what falls due in between is late by the poll
//! interval at most.

use posthaste_rig::eventually;
use posthaste_tests::{CourierOptions, LATE_MS, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_killed_again_and_again() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene.courier(&CourierOptions::default())?;
    let far = scene.accept(&OrderSpec::in_an_hour()).await?;
    scene.accept_all((0..300).map(|n| OrderSpec::of(1).due_in(n * 10))).await?;
    for _ in 0..10 {
        eventually("a listener is killed", || {
            match scene.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]) {
                Ok(killed) if killed.int() > Some(0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        // Accepted while the courier may receive no notifications.
        scene.accept_all((0..5).map(|n| OrderSpec::of(1).due_in(n * 20))).await?;
    }
    // The last ones are accepted while the courier receives notifications, or polls.
    scene.until("all others are sent", |record| record.deliveries_taken() == 350).await;
    scene.cancel(&far).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 351);
    assert!(balance.latest_ms < LATE_MS, "late by {} ms", balance.latest_ms);
    balance.all_sent_once_but(1)
}
