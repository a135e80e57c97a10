//! A call of the engine that panics is detected and counted, and the courier goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use posthaste_courier::{Capabilities, Point, Probe};
use posthaste_model::State;
use posthaste_ops::metrics::Metrics;

use super::house::{House, brisk, eventually_async, short_lease};
use super::pace::value;
use super::script::Script;

/// Makes the first calls of one kind panic.
struct Breaks {
    at: Point,
    left: AtomicU32,
}

impl Probe for Breaks {
    fn reached(&self, point: Point) {
        // This runs inside the task that makes the call.
        let broken = |left: u32| left.checked_sub(1);
        if point == self.at && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, broken).is_ok() {
            panic!("a test's panic");
        }
    }
}

#[tokio::test]
async fn a_claim_that_panics_is_repeated() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let order = house.deliveries(3).await;
    let transport = Script::accepting(Capabilities::default());
    let probe = Arc::new(Breaks { at: Point::BeforeClaim, left: AtomicU32::new(3) });
    let courier = house.courier_watched(transport, brisk(), probe, None).await;
    house.ended(&order).await;
    assert_eq!(house.counters(&order).await[State::Sent], 3);
    let alerts = "posthaste_alerts_total{channel=\"email\",type=\"panic\"}";
    assert_eq!(value(&metrics, alerts), Some(3.0));
    courier.stopped().await;
}

/// The courier goes on, a stop does not wait for the call, and the parcel is parked after its lease is over.
#[tokio::test]
async fn a_park_call_that_panics_is_repeated() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let bad = house.deliveries(90).await;
    house.command(&["SET", &format!("parcel:{{0}}:{bad}:email:0"), "\u{1}rubbish"]);
    let transport = Script::accepting(Capabilities::default());
    let probe = Arc::new(Breaks { at: Point::BeforePark, left: AtomicU32::new(1) });
    let courier = house.courier_watched(transport, short_lease(), probe, None).await;
    let good = house.deliveries(3).await;
    house.ended(&good).await;
    let name = format!("email:{bad}:0");
    eventually_async("the parcel is parked", async || {
        let reply = house.command(&["HGET", "parked_why:{0}", &name]);
        if reply.text() == Some("deliveries") { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    let alerts = "posthaste_alerts_total{channel=\"email\",type=\"panic\"}";
    assert_eq!(value(&metrics, alerts), Some(1.0));
    courier.stopped().await;
}
