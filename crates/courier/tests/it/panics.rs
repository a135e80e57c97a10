//! A task of the engine that panics: it is noticed, told, and the courier goes on.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use posthaste_courier::{Abilities, Point, Probe};
use posthaste_model::State;
use posthaste_ops::metrics::Metrics;

use super::house::{House, brisk};
use super::pace::value;
use super::script::Script;

/// Breaks the first calls of one kind.
struct Breaks {
    left: AtomicU32,
}

impl Probe for Breaks {
    fn reached(&self, point: Point) {
        // Inside the task that claims.
        let broken = |left: u32| left.checked_sub(1);
        if point == Point::BeforeClaim
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, broken).is_ok()
        {
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
    let probe = Arc::new(Breaks { left: AtomicU32::new(3) });
    let courier = house.courier_watched(transport, brisk(), probe, None).await;
    house.ended(&order).await;
    assert_eq!(house.counters(&order).await[State::Sent], 3);
    let alarms = "posthaste_alarms_total{channel=\"email\",what=\"panic\"}";
    assert_eq!(value(&metrics, alarms), Some(3.0));
    courier.stopped().await;
}
