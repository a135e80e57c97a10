//! A task of the engine that panics: it is noticed, told, and the courier goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use posthaste_courier::{Abilities, Point, Probe};
use posthaste_model::State;
use posthaste_ops::metrics::Metrics;

use super::house::{House, brisk, eventually_async, short_lease};
use super::pace::value;
use super::script::Script;

/// Breaks the first calls of one kind.
struct Breaks {
    at: Point,
    left: AtomicU32,
}

impl Probe for Breaks {
    fn reached(&self, point: Point) {
        // Inside the task that makes the call.
        let broken = |left: u32| left.checked_sub(1);
        if point == self.at && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, broken).is_ok() {
            panic!("a test's panic");
        }
    }
}

#[tokio::test]
async fn a_claim_that_panics_is_made_again() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let order = house.rows(3).await;
    let transport = Script::accepting(Abilities::default());
    let probe = Arc::new(Breaks { at: Point::BeforeClaim, left: AtomicU32::new(3) });
    let courier = house.courier_watched(transport, brisk(), probe, None).await;
    house.ended(&order).await;
    assert_eq!(house.counters(&order).await[State::Sent], 3);
    let alarms = "posthaste_alarms_total{channel=\"email\",what=\"panic\"}";
    assert_eq!(value(&metrics, alarms), Some(3.0));
    courier.stopped().await;
}

/// The courier goes on, its stop does not wait for the call, and the parcel is parked once its lease is over.
#[tokio::test]
async fn parking_that_panics_is_noticed_and_made_again() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let bad = house.rows(90).await;
    house.command(&["SET", &format!("parcel:{{0}}:{bad}:email:0"), "\u{1}rubbish"]);
    let transport = Script::accepting(Abilities::default());
    let probe = Arc::new(Breaks { at: Point::BeforePark, left: AtomicU32::new(1) });
    let courier = house.courier_watched(transport, short_lease(), probe, None).await;
    let good = house.rows(3).await;
    house.ended(&good).await;
    let name = format!("email:{bad}:0");
    eventually_async("the parcel is parked", async || {
        let reply = house.command(&["HGET", "parked_why:{0}", &name]);
        if reply.text() == Some("rows") { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    let alarms = "posthaste_alarms_total{channel=\"email\",what=\"panic\"}";
    assert_eq!(value(&metrics, alarms), Some(1.0));
    courier.stopped().await;
}
