//! Rate limits: the channel waits as a whole, a recipient waits alone and is returned to at the end.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_courier::{Abilities, Outcome, Point, Probe, Scope};
use posthaste_model::{Reason, State};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::house::{House, brisk};
use super::script::{Answer, Script};

const WAIT: Duration = Duration::from_secs(1);

fn one_call() -> Abilities {
    Abilities { concurrency: 1, max_concurrency: 1, ..Abilities::default() }
}

fn throttled(scope: Scope) -> Answer {
    Answer::Say(Outcome::Throttled { scope, wait: WAIT })
}

#[tokio::test]
async fn the_channel_waits_as_a_whole() {
    let house = House::open().await;
    let script = Script::new(one_call(), |seen| match seen.call {
        2 => throttled(Scope::Channel),
        _ => Answer::Say(Outcome::Accepted),
    });
    let big = house.rows(90).await;
    let small = house.rows(1).await;
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    house.ended(&big).await;
    house.ended(&small).await;
    let seen = script.seen();
    assert!(seen[3].at >= seen[2].at + WAIT, "nothing is sent while the channel waits");
    assert_eq!(seen.len(), 92);
    for outcome in house.outcomes(&big).await {
        assert_eq!((outcome.state, outcome.tries), (State::Sent, 0), "a rate limit spends no try");
    }
    courier.stopped().await;
}

#[tokio::test]
async fn a_recipient_waits_and_everyone_else_goes_first() {
    let house = House::open().await;
    let script = Script::new(one_call(), |seen| match seen.call {
        0 => throttled(Scope::Recipient),
        _ => Answer::Say(Outcome::Accepted),
    });
    let order = house.rows(5).await;
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    script.eventually(5).await;
    let later = house.rows(1).await;
    house.ended(&order).await;
    house.ended(&later).await;
    let seen = script.seen();
    let indexes: Vec<u32> = seen.iter().map(|seen| seen.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 0, 0], "five rows, the later order, and the one that waited");
    assert_eq!((&seen[5].suffix, &seen[6].suffix), (&later, &order));
    assert!(seen[6].at >= seen[0].at + WAIT);
    assert_eq!((seen[6].attempt, seen[6].tries), (2, 0));
    courier.stopped().await;
}

#[tokio::test]
async fn a_long_wait_hands_the_lease_back() {
    let house = House::open().await;
    let hour = Outcome::Throttled { scope: Scope::Channel, wait: Duration::from_secs(3600) };
    let script = Script::new(one_call(), move |_| Answer::Say(hour.clone()));
    let orders = [house.rows(90).await, house.rows(3).await];
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    script.eventually(1).await;
    super::house::eventually_async("no lease", async || match house.size("leased:{0}:email") {
        0 => Ok(()),
        n => Err(n),
    })
    .await;
    for order in &orders {
        let counters = house.counters(order).await;
        assert_eq!(u64::from(counters[State::Pending]), counters.accepted());
    }
    assert_eq!(script.calls(), 1);
    courier.stopped().await;
}

/// Lets the first call end between the begin of the second row and its send.
struct InBetween {
    gate: Arc<Semaphore>,
    begins: AtomicUsize,
    script: Mutex<Option<Arc<Script>>>,
}

impl Probe for InBetween {
    fn reached(&self, point: Point) {
        if point != Point::AfterBegin || self.begins.fetch_add(1, Ordering::SeqCst) != 1 {
            return;
        }
        // From another thread: what this one wakes would wait for it.
        let gate = Arc::clone(&self.gate);
        std::thread::spawn(move || gate.add_permits(1)).join().unwrap();
        let script = self.script.lock().unwrap().clone().unwrap();
        let until = Instant::now() + posthaste_rig::patience();
        while script.on_wire() > 0 {
            assert!(Instant::now() < until, "the first call ends");
            std::thread::yield_now();
        }
        // Its report to the engine is a few instructions behind.
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_begun_when_the_limit_came_is_not_sent_during_it() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let script =
        Script::new(Abilities { concurrency: 2, max_concurrency: 2, ..Abilities::default() }, move |seen| {
            match seen.call {
                0 => Answer::After(
                    Arc::clone(&waits),
                    Outcome::Throttled { scope: Scope::Channel, wait: WAIT },
                ),
                _ => Answer::Say(Outcome::Accepted),
            }
        });
    let probe =
        InBetween { gate, begins: AtomicUsize::new(0), script: Mutex::new(Some(Arc::clone(&script))) };
    let courier = house.courier_watched(Arc::clone(&script), brisk(), Arc::new(probe), None).await;
    let first = house.rows(1).await;
    script.eventually(1).await;
    let second = house.rows(1).await;
    house.ended(&first).await;
    house.ended(&second).await;
    let seen = script.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen[1].at >= seen[0].at + WAIT, "after {:?}", seen[1].at - seen[0].at);
    let outcome = house.outcome(&second).await;
    assert_eq!((outcome.state, outcome.tries, outcome.reason), (State::Sent, 0, Reason::None));
    courier.stopped().await;
}
