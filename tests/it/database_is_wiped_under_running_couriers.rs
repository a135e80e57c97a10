//! The database is wiped while couriers work and while one is idle: each reports it and begins nothing more, including
//! one that is started afterwards; nothing is written except that it is halted.

use anyhow::ensure;
use posthaste_rig::eventually_async;
use posthaste_store::{Assume, Role, Settings, Store};
use posthaste_tests::{CourierOptions, OrderSpec, Scene, left};
use secrecy::SecretString;

#[tokio::test(flavor = "multi_thread")]
async fn database_is_wiped_under_running_couriers() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    scene.accept_all((0..200).map(|_| OrderSpec::of(1))).await?;
    scene.accept(&OrderSpec::of(5_000)).await?;
    let busy = CourierOptions::default().with("misbehaviour", "slow:20");
    let idle = CourierOptions::default().channel("sms");
    let mut couriers = vec![scene.courier(&busy)?, scene.courier(&busy)?, scene.courier(&idle)?];
    scene.until("work is under way", |record| record.deliveries_taken() >= 100).await;
    scene.server.command(&["FLUSHALL"])?;
    let wiped = |line: &str| line.contains("the database was wiped") && line.contains("posthaste recover");
    for courier in &couriers {
        courier.wait_line("it reports this", wiped)?;
    }
    let late = scene.start_courier(&busy)?;
    late.wait_line("so does one that starts now", wiped)?;
    couriers.push(late);
    // At first it may know only that others have halted it.
    eventually_async("a wiped database refuses orders, and the reason is given", async || {
        let refused = scene.accept(&OrderSpec::of(1)).await.expect_err("it is refused");
        let words = format!("{refused:#}");
        if words.contains("wiped") { Ok(()) } else { Err(words) }
    })
    .await;
    let keys = left::keys(&mut scene.server.connect()?)?;
    let ours = ["epoch:{0}", "halted:{0}", "lost:{0}"];
    ensure!(keys.iter().all(|key| ours.contains(&key.as_str())), "written to a wiped database: {keys:?}");
    for courier in &couriers {
        ensure!(courier.exit_status()?.is_none(), "it stays: {}", courier.tail(20));
    }
    scene.check_leaks()?;

    let settings = Settings { url: SecretString::from(scene.server.url()), ..Settings::default() };
    let (inspector, _) = Store::connect(settings, Role::Inspector).await?;
    ensure!(inspector.recover(Assume::Sent, None, |_| {}).await?.partitions == 1, "it is recovered");
    let before = scene.record()?.deliveries_taken();
    eventually_async("it is accepted again", async || {
        scene.accept(&OrderSpec::of(1)).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    scene.until("it is sent", |record| record.deliveries_taken() > before).await;
    Ok(())
}
