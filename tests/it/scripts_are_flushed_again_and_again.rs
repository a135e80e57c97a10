//! The server's scripts are flushed repeatedly: couriers load them again, and nothing else happens.

use posthaste_tests::{CourierOptions, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_flushed_again_and_again() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene.courier(&CourierOptions::default().with("misbehaviour", "slow:2"))?;
    for round in 0..40_u32 {
        scene.accept_all((0..10).map(|n| OrderSpec::of(1).due_in(n * 5))).await?;
        scene.accept(&OrderSpec::of(60)).await?;
        let deliveries = usize::try_from(round * 70)? + 30;
        scene.until("work goes on", |record| record.deliveries_taken() >= deliveries).await;
        scene.server.command(&["SCRIPT", "FLUSH"])?;
    }
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 40 * 70);
    balance.all_sent_once()
}
