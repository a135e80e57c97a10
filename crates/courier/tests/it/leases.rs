//! Leases: renewed while rows of their parcel are out; once lost, nothing more is begun under them.

use std::sync::Arc;
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Abilities, Outcome, Settings};
use posthaste_model::State;
use tokio::sync::Semaphore;

use super::house::{HANGS, House, brisk, email, short_lease};
use super::script::{Answer, Script};

/// How long a lease lasts that is to be renewed in time, or taken away by the test.
const LEASE: Duration = Duration::from_secs(3);

fn renewed() -> Settings {
    Settings { lease: LEASE, renew_every: Duration::from_millis(500), ..brisk() }
}

fn gated(gate: &Arc<Semaphore>) -> Arc<Script> {
    let gate = Arc::clone(gate);
    let abilities = Abilities { concurrency: 1, max_concurrency: 1, ..Abilities::default() };
    Script::new(abilities, move |_| Answer::After(Arc::clone(&gate), Outcome::Accepted))
}

/// When the only lease ends, in ms.
fn lease_end(house: &House) -> Option<u64> {
    let reply = house.command(&["ZRANGE", "leased:{0}:email", "0", "0", "WITHSCORES"]);
    reply.items().get(1)?.text()?.parse().ok()
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_rows_are_out() {
    let outlives_its_first = async |rows: u32| {
        let house = House::open().await;
        let gate = Arc::new(Semaphore::new(0));
        let script = gated(&gate);
        let courier = house.courier(Arc::clone(&script), renewed()).await;
        let order = house.rows(rows).await;
        script.eventually(1).await;
        let first = lease_end(&house).unwrap();
        // Renewed when the first one would have been over.
        let later = first + LEASE.as_millis() as u64 + 500;
        eventually_async("a lease that was renewed again and again", async || match lease_end(&house) {
            Some(end) if end >= later => Ok(()),
            end => Err(format!("{end:?}, not {later}")),
        })
        .await;
        gate.add_permits(1_000);
        house.ended(&order).await;
        assert_eq!(script.seen().len(), rows as usize);
        let outcomes = house.outcomes(&order).await;
        assert!(outcomes.iter().all(|row| row.state == State::Sent && row.attempt == 1));
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
    let order = house.rows(5).await;
    script.eventually(1).await;
    // As if the courier had been away for longer than its lease.
    let reply = house.command(&["ZRANGE", "leased:{0}:email", "0", "0"]);
    let member = reply.items()[0].text().unwrap().to_owned();
    house.command(&["ZADD", "leased:{0}:email", "1", &member]);
    // By us, or by the courier's own sweeper if that comes first.
    house.store.sweep(0, &email(), 10, true, None).await.unwrap();
    house.eventually(&order, State::Unresolved, 1).await;

    // The other rows are claimed again under another fence; the one that is out is evidence.
    gate.add_permits(1_000);
    house.ended(&order).await;
    let outcomes = house.outcomes(&order).await;
    assert!(outcomes.iter().all(|row| row.state == State::Sent && row.attempt == 1), "{outcomes:?}");
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}

#[tokio::test]
async fn a_dead_couriers_rows_are_taken_over() {
    let house = House::open().await;
    let abilities = Abilities { send_window: HANGS, ..Abilities::default() };
    let two_calls = Abilities { concurrency: 2, max_concurrency: 2, ..abilities.clone() };
    let hanging = Script::new(two_calls, |_| Answer::Hang);
    let doomed = super::house::Doomed::start(&house, Arc::clone(&hanging), short_lease()).await;
    let order = house.rows(90).await;
    hanging.eventually(2).await;
    doomed.crash();
    assert!(hanging.most_on_wire() <= 2);
    let hung = hanging.seen().len() as u32;
    let script = Script::accepting(abilities);
    let courier = house.courier(Arc::clone(&script), short_lease()).await;
    house.ended(&order).await;
    let counters = house.counters(&order).await;
    assert_eq!((counters[State::Sent], counters[State::Unknown]), (90 - hung, hung));
    assert!(script.times().values().all(|times| *times == 1));
    courier.stopped().await;
}
