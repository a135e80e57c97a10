//! Two couriers of one channel share a big order: both send, and no delivery twice.

use posthaste_tests::{CourierOptions, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn couriers_share_a_big_order() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let options = CourierOptions::default().with("misbehaviour", "slow:5");
    let _couriers = [scene.courier(&options)?, scene.courier(&options)?];
    scene.accept(&OrderSpec::of(6_000)).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 6_000);
    balance.all_sent_once()?;
    let record = scene.record()?;
    for courier in 0..2 {
        let sent = record.taken.values().flatten().filter(|sighting| sighting.courier == courier).count();
        assert!(sent >= 500, "courier {courier} sent {sent} deliveries");
    }
    Ok(())
}
