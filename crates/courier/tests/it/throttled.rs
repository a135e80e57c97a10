//! Rate limits: the whole channel waits, or a single recipient waits while the others go first.

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{Capabilities, Outcome, Settings, ThrottleScope};
use posthaste_model::{Reason, State};
use posthaste_rig::Proxy;
use posthaste_rig::proxy::Traffic;
use tokio::sync::Semaphore;

use super::house::{House, brisk, start};
use super::script::{Answer, Script};

const WAIT: Duration = Duration::from_secs(1);
/// Long enough to submit and send other orders meanwhile.
const LONG_WAIT: Duration = Duration::from_secs(5);
const LONGER_WAIT: Duration = Duration::from_secs(8);

fn one_call() -> Capabilities {
    Capabilities { concurrency: 1, max_concurrency: 1, ..Capabilities::default() }
}

fn throttled(scope: ThrottleScope, wait: Duration) -> Answer {
    Answer::Say(Outcome::Throttled { scope, wait })
}

#[tokio::test]
async fn the_whole_channel_waits() {
    let house = House::open().await;
    let script = Script::new(one_call(), |seen| match seen.call {
        2 => throttled(ThrottleScope::Channel, WAIT),
        _ => Answer::Say(Outcome::Sent),
    });
    let big = house.deliveries(90).await;
    let small = house.deliveries(1).await;
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
        0 => throttled(ThrottleScope::Recipient, LONG_WAIT),
        _ => Answer::Say(Outcome::Sent),
    });
    let order = house.deliveries(5).await;
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    script.eventually(5).await;
    let later = house.deliveries(1).await;
    house.ended(&order).await;
    house.ended(&later).await;
    let seen = script.seen();
    let indexes: Vec<u32> = seen.iter().map(|seen| seen.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 0, 0], "five deliveries, the later order, and the one that waited");
    assert_eq!((&seen[5].order_id, &seen[6].order_id), (&later, &order));
    assert!(seen[6].at >= seen[0].at + LONG_WAIT);
    assert_eq!((seen[6].attempt, seen[6].tries), (2, 0));
    courier.stopped().await;
}

#[tokio::test]
async fn a_long_wait_releases_the_lease() {
    let house = House::open().await;
    let hour = Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(3600) };
    let script = Script::new(one_call(), move |_| Answer::Say(hour.clone()));
    let orders = [house.deliveries(90).await, house.deliveries(3).await];
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

#[tokio::test]
async fn a_recipient_that_waits_too_long_returns_to_the_queue_and_is_sent_later() {
    let house = House::open().await;
    let script = Script::new(one_call(), |seen| match seen.call {
        0 => throttled(ThrottleScope::Recipient, LONGER_WAIT),
        _ => Answer::Say(Outcome::Sent),
    });
    let order = house.deliveries(5).await;
    let settings = Settings { max_hold: WAIT, ..brisk() };
    let courier = house.courier(Arc::clone(&script), settings).await;
    // All others are sent and the courier has released the one that waits.
    script.eventually(5).await;
    super::house::eventually_async("no lease", async || match house.size("leased:{0}:email") {
        0 => Ok(()),
        n => Err(n),
    })
    .await;
    house.eventually(&order, State::Pending, 1).await;
    assert_eq!(script.calls(), 5, "not sent during its wait");
    house.ended(&order).await;
    let seen = script.seen();
    let indexes: Vec<u32> = seen.iter().map(|seen| seen.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 0]);
    assert!(seen[5].at >= seen[0].at + LONGER_WAIT);
    assert_eq!((seen[5].attempt, seen[5].tries), (2, 0), "a rate limit spends no try");
    courier.stopped().await;
}

/// The first call is throttled while the answer to the begin of the second delivery is still on its way.
#[tokio::test]
async fn what_was_begun_before_a_rate_limit_is_not_sent_during_it() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let capabilities = Capabilities { concurrency: 2, max_concurrency: 2, ..Capabilities::default() };
    let script = Script::new(capabilities, move |seen| match seen.call {
        1 => Answer::After(
            Arc::clone(&waits),
            Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(10) },
        ),
        _ => Answer::Say(Outcome::Sent),
    });
    let proxy = Proxy::unix(house.server.endpoint(), Traffic::Resp).unwrap();
    let courier = start(&proxy.url(), 1, Arc::clone(&script), brisk(), Arc::new(()), None).await;
    // After this order every script is loaded, so that each call is one request and one reply.
    let before = house.deliveries(1).await;
    house.ended(&before).await;
    let first = house.deliveries(1).await;
    script.eventually(2).await;
    // Well below the time after which the store closes a silent connection.
    proxy.set_latency(Duration::from_secs(1));
    let second = house.deliveries(1).await;
    house.eventually(&second, State::Sending, 1).await;
    gate.add_permits(1);
    house.eventually(&first, State::Pending, 1).await;
    assert_eq!(script.calls(), 2, "the limit is known before the begin is");
    house.eventually(&second, State::Pending, 1).await;
    proxy.set_latency(Duration::ZERO);
    house.ended(&first).await;
    house.ended(&second).await;
    let seen = script.seen();
    assert_eq!(seen.len(), 4, "nothing begun was sent meanwhile");
    let outcome = house.outcome(&second).await;
    assert_eq!((outcome.state, outcome.tries, outcome.reason), (State::Sent, 0, Reason::None));
    courier.stopped().await;
}
