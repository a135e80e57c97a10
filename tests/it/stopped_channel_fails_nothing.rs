//! The credential of a channel is bad: its courier reports it and stops, no message fails because of it, other
//! channels continue, and everything is sent once it is fixed.

use posthaste_rig::eventually;
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn stopped_channel_fails_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let broken = scene.folder().join("broken");
    let options =
        CourierOptions::default().with("misbehaviour", format!("stopped-while:{}", broken.display()));
    let couriers = [scene.courier(&options)?, scene.courier(&options)?];
    let _sms = scene.courier(&CourierOptions::default().channel("sms"))?;
    scene.accept_all([OrderSpec::of(100), OrderSpec::of(1)]).await?;
    scene.until("it works", |record| record.deliveries_taken() == 101).await;

    std::fs::write(&broken, "")?;
    scene.accept_all((0..20).map(|n| OrderSpec::of(1).due_in(n * 10))).await?;
    scene
        .accept_all([OrderSpec::of(900), OrderSpec { deliveries: vec![("sms", 30)], ..OrderSpec::default() }])
        .await?;
    for courier in &couriers {
        courier.wait_line("it reports this", |line| line.contains("channel stopped"))?;
    }
    scene.until("the other channel goes on", |record| record.deliveries_taken() == 131).await;
    // What they had claimed is handed back.
    eventually("nothing is leased", || match scene.server.command(&["ZCARD", "leased:{0}:email"]) {
        Ok(count) if count.int() == Some(0) => Ok(()),
        other => Err(format!("{other:?}")),
    });

    std::fs::remove_file(&broken)?;
    let balance = scene.settle_up().await?;
    assert_eq!((balance.all(), balance.tries), (101 + 20 + 900 + 30, 0));
    balance.all_sent_once()
}
