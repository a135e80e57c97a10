//! The pace of a channel: concurrency grows with successes and falls with rate limits and failures, and the breaker
//! opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::faulty_transports::{FaultyTransport, Misbehaviour};
use posthaste_courier::{Capabilities, Outcome, Settings, ThrottleScope};
use posthaste_model::{Reason, State};
use posthaste_ops::metrics::Metrics;
use tokio::time::Instant;

use super::house::{House, brisk, email};
use super::script::{Answer, Script};

/// The value of a metric.
pub(crate) fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

const CONCURRENCY: &str = "posthaste_provider_concurrency_limit{channel=\"email\"}";
const BREAKER: &str = "posthaste_alerts_total{channel=\"email\",type=\"breaker_open\"}";

fn four_of_twelve() -> Capabilities {
    Capabilities { concurrency: 4, max_concurrency: 12, ..Capabilities::default() }
}

#[tokio::test]
async fn concurrency_grows_by_successes_and_is_halved_by_a_rate_limit() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let throttle = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&throttle);
    let script = Script::new(four_of_twelve(), move |_| {
        Answer::Say(if asks.swap(false, Ordering::SeqCst) {
            Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(1) }
        } else {
            Outcome::Sent
        })
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(300).await;
    house.ended(&order).await;
    eventually_async("all twelve calls", async || match value(&metrics, CONCURRENCY) {
        Some(12.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(script.most_on_wire() <= 12);
    throttle.store(true, Ordering::SeqCst);
    let order = house.deliveries(1).await;
    script.eventually(301).await;
    eventually_async("half of them", async || match value(&metrics, CONCURRENCY) {
        Some(6.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    house.ended(&order).await;
    courier.stopped().await;
}

#[tokio::test]
async fn failures_open_the_breaker_and_a_success_closes_it() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let down = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&down);
    let script = Script::new(four_of_twelve(), move |_| {
        Answer::Say(if fails.load(Ordering::SeqCst) {
            Outcome::NotSent { after: None, reason: Reason::ConnectionFailed }
        } else {
            Outcome::Sent
        })
    });
    let settings = Settings { breaker_after: 5, ..brisk() };
    let courier = house.courier(Arc::clone(&script), settings).await;
    let order = house.deliveries(90).await;
    eventually_async("an open breaker", async || match value(&metrics, BREAKER) {
        Some(1.0..) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let calls = script.calls();
    assert!(calls <= 5 + 4, "{calls} calls before the breaker opened after 5 failures");
    assert_eq!(value(&metrics, CONCURRENCY), Some(1.0));
    // Half open: one call fails and opens the breaker again.
    eventually_async("a breaker that opens again", async || match value(&metrics, BREAKER) {
        Some(2.0..) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(script.calls(), calls + 1);
    down.store(false, Ordering::SeqCst);
    house.ended(&order).await;
    assert_eq!(house.counters(&order).await[State::Sent], 90);
    assert!(value(&metrics, CONCURRENCY).is_some_and(|calls| calls > 1.0));
    courier.stopped().await;
}

#[tokio::test]
async fn a_rate_is_kept() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities { rate: Some(50.0), ..four_of_twelve() });
    let orders = [house.deliveries(60).await, house.deliveries(1).await, house.deliveries(1).await];
    let start = Instant::now();
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    for order in &orders {
        house.ended(order).await;
    }
    let seen = script.seen();
    assert_eq!(seen.len(), 62);
    // It may send one envelope at the start, and one more every fiftieth of a second.
    for (n, seen) in (0..).zip(&seen) {
        let after = seen.at - start;
        assert!(after >= Duration::from_millis(20) * n, "envelope {n} after {after:?}");
    }
    courier.stopped().await;
}

/// All faulty transports of the library, one after the other: whatever they do, every delivery ends.
#[tokio::test]
async fn every_faulty_transport_is_survived() {
    let all_faults = [
        (Misbehaviour::AtOnce, 60, 0),
        (Misbehaviour::Slow(Duration::from_millis(5)), 60, 0),
        (Misbehaviour::Throttling { every: 25, wait: Duration::from_millis(10) }, 60, 0),
        (Misbehaviour::RetryFirst, 60, 0),
        (Misbehaviour::PanicsOn("r7".to_owned()), 59, 1),
        (Misbehaviour::Hanging, 0, 60),
    ];
    for (misbehaviour, sent, unknown) in all_faults {
        let house = House::open().await;
        let capabilities = Capabilities {
            concurrency: 64,
            max_concurrency: 64,
            send_window: Duration::from_millis(500),
            ..Capabilities::default()
        };
        let settings = Settings { breaker_after: 1_000, ..brisk() };
        let adversary = FaultyTransport::new(email(), misbehaviour.clone(), capabilities, Arc::new(()));
        let courier = house.courier(Arc::new(adversary), settings).await;
        let order = house.deliveries(60).await;
        house.ended(&order).await;
        let counters = house.counters(&order).await;
        assert_eq!((counters[State::Sent], counters[State::Unknown]), (sent, unknown), "{misbehaviour:?}");
        courier.stopped().await;
    }
}
