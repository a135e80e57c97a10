//! Leases: renewed while deliveries of their parcel are on the wire; once a lease is lost, nothing more is begun
//! under it.

use std::sync::Arc;
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Capabilities, Outcome, Settings};
use posthaste_model::State;
use tokio::sync::Semaphore;

use super::house::{HANGS, House, brisk, email, short_lease};
use super::script::{Answer, Script};

/// Length of a lease that is renewed in time, or ended by the test.
const LEASE: Duration = Duration::from_secs(3);

fn renewed() -> Settings {
    Settings { lease: LEASE, renew_every: Duration::from_millis(500), ..brisk() }
}

fn gated(gate: &Arc<Semaphore>) -> Arc<Script> {
    let gate = Arc::clone(gate);
    let capabilities = Capabilities { concurrency: 1, max_concurrency: 1, ..Capabilities::default() };
    Script::new(capabilities, move |_| Answer::After(Arc::clone(&gate), Outcome::Sent))
}

/// When the only lease ends, in ms.
fn lease_end(house: &House) -> Option<u64> {
    let reply = house.command(&["ZRANGE", "leased:{0}:email", "0", "0", "WITHSCORES"]);
    reply.items().get(1)?.text()?.parse().ok()
}

#[tokio::test]
async fn a_lease_is_renewed_while_deliveries_are_on_the_wire() {
    let outlives_its_first = async |deliveries: u32| {
        let house = House::open().await;
        let gate = Arc::new(Semaphore::new(0));
        let script = gated(&gate);
        let courier = house.courier(Arc::clone(&script), renewed()).await;
        let order = house.deliveries(deliveries).await;
        script.eventually(1).await;
        let first = lease_end(&house).unwrap();
        // Renewed after the first lease would have been over.
        let later = first + LEASE.as_millis() as u64 + 500;
        eventually_async("a lease that was renewed again and again", async || match lease_end(&house) {
            Some(end) if end >= later => Ok(()),
            end => Err(format!("{end:?}, not {later}")),
        })
        .await;
        gate.add_permits(1_000);
        house.ended(&order).await;
        assert_eq!(script.seen().len(), deliveries as usize);
        let outcomes = house.outcomes(&order).await;
        assert!(outcomes.iter().all(|delivery| delivery.state == State::Sent && delivery.attempt == 1));
        courier.stopped().await;
    };
    tokio::join!(outlives_its_first(2), outlives_its_first(90));
}

#[tokio::test]
async fn after_a_lost_lease_nothing_more_is_begun_under_it() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let script = gated(&gate);
    let courier = house.courier(Arc::clone(&script), renewed()).await;
    let order = house.deliveries(5).await;
    script.eventually(1).await;
    // As if the courier had been suspended for longer than its lease.
    let reply = house.command(&["ZRANGE", "leased:{0}:email", "0", "0"]);
    let parcel_id = reply.items()[0].text().unwrap().to_owned();
    house.command(&["ZADD", "leased:{0}:email", "1", &parcel_id]);
    // The test reclaims the lease, unless the courier's own lease watcher does first.
    house.store.reclaim_leases(0, &email(), 10, true, None).await.unwrap();
    house.eventually(&order, State::Unresolved, 1).await;

    // The other deliveries are claimed again under another fence; the report of the one on the wire counts as
    // evidence.
    gate.add_permits(1_000);
    house.ended(&order).await;
    let outcomes = house.outcomes(&order).await;
    assert!(
        outcomes.iter().all(|delivery| delivery.state == State::Sent && delivery.attempt == 1),
        "{outcomes:?}"
    );
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}

#[tokio::test]
async fn a_dead_couriers_deliveries_are_taken_over() {
    let house = House::open().await;
    let capabilities = Capabilities { send_window: HANGS, ..Capabilities::default() };
    let two_calls = Capabilities { concurrency: 2, max_concurrency: 2, ..capabilities.clone() };
    let hanging = Script::new(two_calls, |_| Answer::Hang);
    let doomed = super::house::Doomed::start(&house, Arc::clone(&hanging), short_lease()).await;
    let order = house.deliveries(90).await;
    hanging.eventually(2).await;
    doomed.crash();
    assert!(hanging.most_on_wire() <= 2);
    let hung = hanging.seen().len() as u32;
    let script = Script::accepting(capabilities);
    let courier = house.courier(Arc::clone(&script), short_lease()).await;
    house.ended(&order).await;
    let counters = house.counters(&order).await;
    assert_eq!((counters[State::Sent], counters[State::Unknown]), (90 - hung, hung));
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}
