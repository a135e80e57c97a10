//! The connections couriers listen on are killed again and again: what fell due in between is late by the poll at most.

use posthaste_rig::eventually;
use posthaste_tests::{CourierOptions, Scene, Told};

/// Far more than the poll of these couriers, 300 ms, and far less than anybody would wait for a lost bell.
const LATE_MS: u64 = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_killed_again_and_again() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene.courier(&CourierOptions::default())?;
    scene.tell_all((0..300).map(|n| Told::of(1).due_in(n * 10))).await?;
    for _ in 0..10 {
        eventually("a listener is killed", || {
            match scene.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]) {
                Ok(killed) if killed.int() > Some(0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        // Told to a courier that may just be deaf.
        scene.tell_all((0..5).map(|n| Told::of(1).due_in(n * 20))).await?;
    }
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 350);
    assert!(balance.latest_ms < LATE_MS, "late by {} ms", balance.latest_ms);
    balance.all_sent_once()
}
