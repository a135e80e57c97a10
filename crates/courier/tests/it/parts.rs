//! A message in several parts: each part is begun separately, and accepted parts are not sent again.

use std::sync::Arc;

use posthaste_courier::{Capabilities, Outcome, UnknownHandling};
use posthaste_model::{Reason, State};
use posthaste_ops::metrics::Metrics;

use super::house::{Doomed, HANGS, House, brisk, short_lease};
use super::script::{Answer, Script, Seen};

/// Accepts a message in three parts.
fn in_three(seen: &Seen) -> Answer {
    Answer::Say(match seen.token.unwrap_or(0) {
        done @ 0..2 => Outcome::Part(done + 1),
        _ => Outcome::Sent,
    })
}

#[tokio::test]
async fn each_part_is_an_attempt_of_its_own() {
    let house = House::open().await;
    let script = Script::new(Capabilities::default(), in_three);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let orders = [house.deliveries(1).await, house.deliveries(90).await];
    for order in &orders {
        house.ended(order).await;
        assert!(house.outcomes(order).await.iter().all(|outcome| outcome.state == State::Sent));
    }
    for (delivery, times) in script.times() {
        assert_eq!(times, 3, "{delivery:?}");
    }
    for seen in script.seen() {
        let expected = [(1, None), (2, Some(1)), (3, Some(2))][seen.before];
        assert_eq!((seen.attempt, seen.token), expected);
        assert_eq!(seen.tries, 0, "a part spends no try");
    }
    courier.stopped().await;
}

#[tokio::test]
async fn accepted_parts_survive_their_courier() {
    let house = House::open().await;
    let capabilities = Capabilities {
        on_unknown: UnknownHandling::RetryOnce,
        send_window: HANGS,
        ..Capabilities::default()
    };
    let first = Script::new(capabilities.clone(), |seen| match seen.token {
        Some(1) => Answer::Hang,
        _ => in_three(seen),
    });
    let doomed = Doomed::start(&house, Arc::clone(&first), short_lease()).await;
    let order = house.deliveries(1).await;
    first.eventually(2).await;
    doomed.crash();

    let second = Script::new(capabilities, in_three);
    let courier = house.courier(Arc::clone(&second), short_lease()).await;
    house.ended(&order).await;
    let seen: Vec<_> = second.seen().iter().map(|seen| (seen.attempt, seen.token, seen.repeat)).collect();
    assert_eq!(seen, [(3, Some(1), true), (4, Some(2), true)]);
    let outcome = house.outcome(&order).await;
    assert_eq!((outcome.state, outcome.reason), (State::Sent, Reason::None));
    courier.stopped().await;
}

/// The next part of a delivery is not begun while the report of its previous part is still being settled.
#[tokio::test]
async fn parts_of_many_deliveries_go_on_side_by_side() {
    let (recorder, metrics) = Metrics::recorder(&[]).expect("a recorder");
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let capabilities = Capabilities { concurrency: 8, max_concurrency: 8, ..Capabilities::default() };
    let script = Script::new(capabilities, in_three);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(400).await;
    house.ended(&order).await;
    assert_eq!(script.seen().len(), 1_200);
    assert_eq!(house.counters(&order).await[State::Sent], 400);
    let claimed = super::pace::value(&metrics, "posthaste_parcels_claimed_total{channel=\"email\"}");
    assert_eq!(claimed, Some(1.0), "the parcel stays with its courier until it is done");
    courier.stopped().await;
}
