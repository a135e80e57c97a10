//! All couriers are down while ten thousand orders fall due, each at its own time: none is lost, none is early, and
//! none is sent twice when couriers start.

use posthaste_model::{Clock, SystemClock};
use posthaste_rig::eventually_async;
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

const ORDERS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_fall_due_while_all_couriers_are_down() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    // Five per millisecond.
    scene.accept_all((0..ORDERS).map(|n| OrderSpec::of(1).due_in(3_000 + n / 5))).await?;
    let last = scene.accepted.iter().map(|accepted| accepted.due).max().unwrap_or_default();
    eventually_async("the last one is due", async || {
        if SystemClock.now() > last { Ok(()) } else { Err(format!("{last:?} is ahead")) }
    })
    .await;
    let _couriers = [scene.courier(&CourierOptions::default())?, scene.courier(&CourierOptions::default())?];
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), ORDERS);
    balance.all_sent_once()
}
