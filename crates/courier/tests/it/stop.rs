//! Stops: at the soft stage, parcels without begun deliveries are released at once and calls on the wire finish; at
//! the hard stage, calls on the wire are cut off and settled as unknown. Neither counts as a crash.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_courier::{Capabilities, Outcome, Point, Probe};
use posthaste_model::State;
use posthaste_ops::shutdown::Shutdown;
use tokio::sync::Semaphore;

use super::house::{House, brisk};
use super::script::{Answer, Script};

fn two_calls() -> Capabilities {
    Capabilities { concurrency: 2, max_concurrency: 2, ..Capabilities::default() }
}

async fn no_lease_left(house: &House) {
    assert_eq!(house.size("leased:{0}:email"), 0);
    assert_eq!(house.command(&["HLEN", "lease:{0}:email"]).int(), Some(0));
    assert_eq!(house.command(&["HLEN", "crashes:{0}:email"]).int(), Some(0));
}

#[tokio::test]
async fn the_soft_stage_releases_at_once_and_finishes_calls_on_the_wire() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let script = Script::new(two_calls(), move |_| Answer::After(Arc::clone(&waits), Outcome::Sent));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let small = house.deliveries(3).await;
    script.eventually(2).await;
    let big = house.deliveries(90).await;
    super::house::eventually_async("both parcels held", async || match house.size("leased:{0}:email") {
        2 => Ok(()),
        n => Err(n),
    })
    .await;
    courier.stop.request();
    // The parcel with nothing on the wire is available to others while the calls of the first one still last.
    super::house::eventually_async("one parcel released", async || {
        match house.size("ready:{0}:email:bulk") {
            1 => Ok(()),
            n => Err(n),
        }
    })
    .await;
    assert_eq!(script.on_wire(), 2);
    gate.add_permits(10);
    courier.end().await.unwrap();
    let counters = house.counters(&small).await;
    assert_eq!((counters[State::Sent], counters[State::Pending]), (2, 1));
    assert_eq!(house.counters(&big).await[State::Pending], 90);
    no_lease_left(&house).await;

    let courier = house.courier(Arc::clone(&script), brisk()).await;
    gate.add_permits(1_000);
    house.ended(&small).await;
    house.ended(&big).await;
    assert_eq!(script.seen().len(), 93);
    courier.stopped().await;
}

#[tokio::test]
async fn the_hard_stage_cuts_off_calls_on_the_wire() {
    let house = House::open().await;
    let script = Script::new(two_calls(), |_| Answer::Hang);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let orders = [house.deliveries(90).await, house.deliveries(1).await];
    script.eventually(2).await;
    courier.stop.request();
    courier.stop.request();
    courier.end().await.unwrap();
    assert_eq!(script.on_wire(), 0);
    no_lease_left(&house).await;
    let mut by_state = std::collections::BTreeMap::new();
    for order in &orders {
        for delivery in house.outcomes(order).await {
            *by_state.entry(delivery.state).or_insert(0) += 1;
        }
    }
    assert_eq!(by_state.into_iter().collect::<Vec<_>>(), [(State::Pending, 89), (State::Unresolved, 2)]);
}

/// Requests a stop at a step of the engine.
struct StopsAt {
    point: Point,
    visits: AtomicUsize,
    stop: Mutex<Option<Shutdown>>,
}

impl Probe for StopsAt {
    fn reached(&self, point: Point) {
        if point == self.point
            && let Some(stop) = self.stop.lock().unwrap().as_ref()
        {
            self.visits.fetch_add(1, Ordering::SeqCst);
            stop.soft.cancel();
        }
    }
}

/// Whatever the courier is doing when a stop is requested, nothing becomes unknown and no lease is left.
#[tokio::test]
async fn a_stop_at_any_step_leaves_nothing_behind() {
    for point in [Point::BeforeClaim, Point::AfterClaim, Point::AfterBegin, Point::AfterSettle] {
        for deliveries in [1, 3, 120] {
            let house = House::open().await;
            let script = Script::accepting(two_calls());
            let probe = Arc::new(StopsAt { point, visits: AtomicUsize::new(0), stop: Mutex::new(None) });
            let settings = posthaste_courier::Settings { poll: Duration::from_secs(5), ..brisk() };
            let courier =
                house.courier_watched(Arc::clone(&script), settings, Arc::clone(&probe) as _, None).await;
            *probe.stop.lock().unwrap() = Some(courier.stop.clone());
            let order = house.deliveries(deliveries).await;
            courier.end().await.unwrap();
            assert!(probe.visits.load(Ordering::SeqCst) > 0);
            no_lease_left(&house).await;
            let counters = house.counters(&order).await;
            assert_eq!(
                counters[State::Pending] + counters[State::Sent],
                deliveries,
                "{point:?}: {counters:?}"
            );

            let courier = house.courier(Arc::clone(&script), brisk()).await;
            house.ended(&order).await;
            assert!(script.times().values().all(|times| *times == 1), "{point:?}");
            assert_eq!(house.counters(&order).await[State::Sent], deliveries);
            courier.stopped().await;
        }
    }
}
