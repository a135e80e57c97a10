//! Orders for now and for later, of one delivery and of many, reach the provider once each.

use posthaste_tests::{CourierOptions, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn orders_small_and_big_are_delivered() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene.courier(&CourierOptions::default())?;
    for due_in in [None, Some(300), Some(50)] {
        scene.accept(&OrderSpec { due_in, ..OrderSpec::default() }).await?;
        scene.accept(&OrderSpec { due_in, deliveries: vec![("email", 3)], ..OrderSpec::default() }).await?;
        scene
            .accept(&OrderSpec { due_in, deliveries: vec![("email", 1_201)], ..OrderSpec::default() })
            .await?;
    }
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 3 * (1 + 3 + 1_201));
    balance.all_sent_once()
}
