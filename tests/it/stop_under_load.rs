//! Couriers are stopped by SIGTERM in the middle of their work: what is on the wire finishes, what is not begun is
//! handed back and claimed by the next one at once. A second signal, or the end of the drain time, cuts off hanging
//! calls, and even that parks nothing.

use std::time::Duration;

use anyhow::ensure;
use posthaste_model::{OnUnknown, State};
use posthaste_rig::proxy::{Proxy, Traffic};
use posthaste_rig::{Child, Sig};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

/// So long that waiting for the end of a lease would exceed the patience of every test.
const LEASE_MS: u64 = 600_000;

#[tokio::test(flavor = "multi_thread")]
async fn couriers_are_replaced_again_and_again() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    scene.accept_all((0..500).map(|n| OrderSpec::of(1).due_in(n * 6))).await?;
    scene.accept_all([OrderSpec::of(1_600), OrderSpec::of(40), OrderSpec::of(1_600).due_in(1_000)]).await?;
    let options = CourierOptions::default().with("misbehaviour", "slow:6").with("lease-ms", LEASE_MS);
    let mut courier = scene.courier(&options)?;
    for round in 1..=8 {
        scene.until("work goes on", |record| record.deliveries_taken() >= round * 400).await;
        courier.signal(Sig::Term)?;
        let next = scene.courier(&options)?;
        let status = courier.wait_exit()?;
        ensure!(status.code() == Some(0), "it ended with {status}: {}", courier.tail(20));
        courier = next;
    }
    let balance = scene.settle_up().await?;
    ensure!(balance.all() == 500 + 3_240);
    balance.all_sent_once()
}

/// The signal arrives while a claim is in flight, and the claim is answered afterwards: everything it returns is
/// handed back, including deliveries it had begun.
#[tokio::test(flavor = "multi_thread")]
async fn stop_meets_a_claim_on_its_way() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let proxy = Proxy::unix(scene.server.endpoint(), Traffic::Resp)?;
    proxy.set_latency(Duration::from_millis(150));
    let options = CourierOptions::default().with("lease-ms", LEASE_MS);
    for (step, nth) in [
        ("before-claim", 1),
        ("before-claim", 2),
        ("before-claim", 3),
        ("after-claim", 1),
        ("after-claim", 2),
    ] {
        scene.accept_all([1, 1, 1, 1, 700, 30].map(OrderSpec::of)).await?;
        let slow = options.clone().at(proxy.url()).with("stop-at", step).with("nth", nth);
        let courier = scene.courier(&slow)?;
        let status = courier.wait_exit()?;
        ensure!(status.code() == Some(0), "it ended with {status}: {}", courier.tail(20));
    }
    let _next = scene.courier(&options)?;
    let balance = scene.settle_up().await?;
    ensure!(balance.all() == 5 * 734);
    balance.all_sent_once()
}

/// What happens between the stop signal and the end.
type Then = fn(&Child) -> posthaste_rig::Result<()>;

/// The same parcels are cut off four times: more often than the crashes that would make them poison.
async fn cut_off_four_times(drain_ms: u64, then: Then) -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    scene
        .accept_all(
            [OrderSpec::of(800), OrderSpec::of(1)].map(|reported| reported.on_unknown(OnUnknown::Hold)),
        )
        .await?;
    let options = CourierOptions::default().with("lease-ms", LEASE_MS);
    // Calls that hang must not end by themselves before they are cut off.
    let hanging = options.clone().with("send-window-ms", 12_000).with("misbehaviour", "hanging");
    let hanging = hanging.with("concurrency", 4).with("drain-ms", drain_ms);
    for round in 0..4 {
        let courier = scene.courier(&hanging)?;
        scene.until("its calls hang", |record| record.senders().contains(&round)).await;
        courier.signal(Sig::Term)?;
        courier.wait_line("it drains", |line| line.contains("draining"))?;
        then(&courier)?;
        let status = courier.wait_exit()?;
        ensure!(status.code() == Some(75), "it ended with {status}: {}", courier.tail(20));
    }
    let _next = scene.courier(&options)?;
    let balance = scene.settle_up().await?;
    // Four calls at once, four times; all that was not on the wire was claimed by the next one at once.
    let held = balance.count(State::Unknown);
    ensure!((4..=16).contains(&held) && balance.count(State::Sent) == 801 - held, "{balance:#?}");
    ensure!(balance.duplicates == 0 && balance.repeated == 0, "{balance:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_cuts_off() -> anyhow::Result<()> {
    cut_off_four_times(600_000, |courier| courier.signal(Sig::Term)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_the_drain_time_cuts_off() -> anyhow::Result<()> {
    cut_off_four_times(200, |_| Ok(())).await
}
