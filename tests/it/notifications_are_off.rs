//! The server sends no notifications: couriers poll, are late by the poll interval at most, and report that they
//! receive none.

use posthaste_rig::servers::PrivateServer;
use posthaste_tests::{CourierOptions, LATE_MS, Scene, Told};

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_switched_off_again_and_again() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let courier = scene.courier(&CourierOptions::default())?;
    let far = scene.tell(&Told::in_an_hour()).await?;
    for round in 0..20_usize {
        scene.server.command(&["CONFIG", "SET", "notify-keyspace-events", ""])?;
        scene.tell_all([Told::of(1), Told::of(1).due_in(40), Told::of(20).due_in(80)]).await?;
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
    let far = scene.tell(&Told::in_an_hour()).await?;
    scene.tell_all((0..50).map(|n| Told::of(1).due_in(n * 20))).await?;
    scene.until("all others are sent", |record| record.deliveries_taken() == 50).await;
    scene.cancel(&far).await?;
    let balance = scene.settle_up().await?;
    assert!(balance.latest_ms < LATE_MS, "late by {} ms", balance.latest_ms);
    courier.wait_line("it reports this", |line| line.contains("no Redis keyspace events"))?;
    scene.tell_all([Told::of(1), Told::of(700), Told::of(700).due_in(200)]).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 52 + 1_400);
    balance.all_sent_once_but(1)
}
