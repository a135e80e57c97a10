//! Urgent orders accepted in the middle of a bulk backlog go out at once, before nearly all of it.

use posthaste_model::{Clock, Priority, SystemClock};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

const BULK: usize = 3_000;
const URGENT: u32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn urgent_overtakes_a_backlog() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier =
        scene.courier(&CourierOptions::default().with("misbehaviour", "slow:20").with("concurrency", 8))?;
    scene.accept(&OrderSpec::of(u32::try_from(BULK)? - 500)).await?;
    scene.accept_all((0..500).map(|_| OrderSpec::of(1))).await?;
    scene.until("the backlog is worked on", |record| record.deliveries_taken() >= 100).await;
    let bulk = scene.accepted.len();
    let urgent = |deliveries: u32| OrderSpec { priority: Priority::Urgent, ..OrderSpec::of(deliveries) };
    scene
        .accept_all(
            (0..URGENT / 2).map(|_| urgent(1)).chain([urgent(URGENT / 4).due_in(50), urgent(URGENT / 4)]),
        )
        .await?;
    // How many bulk deliveries went out before all urgent ones were accepted does not depend on couriers.
    let reported = SystemClock.now_ns() / 1_000;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), BULK as u64 + u64::from(URGENT));
    balance.all_sent_once()?;

    let suffixes: Vec<String> =
        scene.accepted[bulk..].iter().map(|order| order.order_id.to_string()).collect();
    let record = scene.record()?;
    let (urgent, bulk): (Vec<_>, Vec<_>) =
        record.taken.iter().partition(|(name, _)| suffixes.contains(&name.order_id));
    let last = urgent.iter().map(|(_, taken)| taken[0].at_us).max().unwrap_or_default();
    let before = bulk.iter().filter(|(_, taken)| (reported..last).contains(&taken[0].at_us)).count();
    assert_eq!(urgent.len(), usize::try_from(URGENT)?);
    assert!(before < BULK / 2, "{before} bulk deliveries went out before the last urgent one");
    Ok(())
}
