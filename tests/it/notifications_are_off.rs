//! The server sends no notifications: couriers poll, are late by the poll interval at most, and report that they
//! receive none.

use posthaste_rig::servers::PrivateServer;
use posthaste_tests::{CourierOptions, LATE_MS, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_switched_off_again_and_again() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let courier = scene.courier(&CourierOptions::default())?;
    let far = scene.accept(&OrderSpec::in_an_hour()).await?;
    for round in 0..20_usize {
        scene.server.command(&["CONFIG", "SET", "notify-keyspace-events", ""])?;
        scene
            .accept_all([OrderSpec::of(1), OrderSpec::of(1).due_in(40), OrderSpec::of(20).due_in(80)])
            .await?;
        scene.until("these are sent", |record| record.deliveries_taken() >= (round + 1) * 22).await;
    }
    courier.wait_line("it reports this", |line| line.contains("no Redis keyspace events"))?;
    scene.cancel(&far).await?;
    let balance = scene.settle_up().await?;
    assert!(balance.latest_ms < LATE_MS, "late by {} ms", balance.latest_ms);
    balance.all_sent_once_but(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_cannot_be_switched_on() -> anyhow::Result<()> {
    let server = PrivateServer::builder().events("").line("rename-command CONFIG \"\"").start()?;
    let mut scene = Scene::open_on(server).await?;
    let courier = scene.courier(&CourierOptions::default())?;
    let far = scene.accept(&OrderSpec::in_an_hour()).await?;
    scene.accept_all((0..50).map(|n| OrderSpec::of(1).due_in(n * 20))).await?;
    scene.until("all others are sent", |record| record.deliveries_taken() == 50).await;
    scene.cancel(&far).await?;
    let balance = scene.settle_up().await?;
    assert!(balance.latest_ms < LATE_MS, "late by {} ms", balance.latest_ms);
    courier.wait_line("it reports this", |line| line.contains("no Redis keyspace events"))?;
    scene.accept_all([OrderSpec::of(1), OrderSpec::of(700), OrderSpec::of(700).due_in(200)]).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 52 + 1_400);
    balance.all_sent_once_but(1)
}
