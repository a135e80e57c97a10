//! Tokens: one per delivery, the same for every attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{Batching, Capabilities, Outcome, ThrottleScope};
use posthaste_model::{OnUnknown, Reason, State};
use tokio::sync::Semaphore;

use super::house::{Doomed, HANGS, House, Order, brisk, short_lease};
use super::script::{Answer, Script};

fn with_tokens(idempotent_for: Duration) -> Capabilities {
    let send_window = Duration::from_millis(300);
    Capabilities { tokens: true, idempotent_for, send_window, ..Capabilities::default() }
}

#[tokio::test]
async fn every_delivery_has_its_own_token_and_keeps_it() {
    let house = House::open().await;
    let script = Script::new(with_tokens(Duration::ZERO), |seen| {
        Answer::Say(match (seen.index % 3, seen.before) {
            (0, 0) => Outcome::Retry { after: None, reason: Reason::ProviderUnavailable.into() },
            (1, 0) => Outcome::Throttled { scope: ThrottleScope::Recipient, wait: Duration::from_secs(1) },
            _ => Outcome::Sent,
        })
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let orders = [house.deliveries(1).await, house.deliveries(3).await, house.deliveries(90).await];
    for order in &orders {
        house.ended(order).await;
    }
    let seen = script.seen();
    let tokens: BTreeSet<u32> = seen.iter().map(|seen| seen.token.unwrap_or(0)).collect();
    assert!(!tokens.contains(&0));
    assert_eq!(tokens.len(), 94, "as many tokens as deliveries");
    for again in seen.iter().filter(|seen| seen.before > 0) {
        let same = |first: &&_| -> bool {
            let first: &super::script::Seen = first;
            first.order_id == again.order_id && first.index == again.index && first.before == 0
        };
        assert_eq!(seen.iter().find(same).and_then(|first| first.token), again.token);
    }
    courier.stopped().await;
}

/// The provider drops a repeat, so it is made even for an order that must not be sent twice.
#[tokio::test]
async fn an_unknown_is_repeated_under_its_token() {
    let house = House::open().await;
    // The second repeat is due after a 64th of this time.
    let script = Script::new(with_tokens(Duration::from_secs(60)), |seen| {
        Answer::Say(match seen.before {
            0 | 1 => Outcome::Unknown(Reason::TimedOut),
            _ => Outcome::Sent,
        })
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.tell(&Order { on_unknown: OnUnknown::Hold, ..Order::default() }).await;
    house.ended(&order).await;
    let seen = script.seen();
    assert_eq!(seen.iter().map(|seen| seen.repeat).collect::<Vec<_>>(), [false, true, true]);
    assert!(seen[0].token.is_some() && seen.iter().all(|again| again.token == seen[0].token));
    assert_eq!(house.outcome(&order).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn a_token_the_provider_has_forgotten_is_not_repeated() {
    let house = House::open().await;
    let script = Script::new(with_tokens(Duration::from_millis(1)), |_| {
        Answer::Say(Outcome::Unknown(Reason::TimedOut))
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.tell(&Order { on_unknown: OnUnknown::Retry, ..Order::default() }).await;
    house.ended(&order).await;
    let outcome = house.outcome(&order).await;
    assert_eq!((outcome.state, outcome.reason), (State::Unknown, Reason::NotRetried));
    assert_eq!(script.seen().len(), 1);
    courier.stopped().await;
}

/// The repeat was decided in time, but then the channel had to wait too long.
#[tokio::test]
async fn a_repeat_that_comes_too_late_is_not_made() {
    let house = House::open().await;
    // Both orders exist from the beginning and are sent before the channel is throttled.
    let (order, other) = (house.deliveries(1).await, house.deliveries(1).await);
    let capabilities =
        Capabilities { send_window: Duration::from_secs(2), ..with_tokens(Duration::from_secs(7)) };
    let gate = Arc::new(Semaphore::new(0));
    let (unknown, waits) = (order.clone(), Arc::clone(&gate));
    let throttled = Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(8) };
    let script = Script::new(capabilities, move |seen| match seen.before {
        0 if seen.order_id == unknown => Answer::Say(Outcome::Unknown(Reason::TimedOut)),
        0 => Answer::After(Arc::clone(&waits), throttled.clone()),
        _ => Answer::Say(Outcome::Sent),
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    script.eventually(2).await;
    gate.add_permits(1);
    house.ended(&order).await;
    house.ended(&other).await;
    let outcome = house.outcome(&order).await;
    assert_eq!((outcome.state, outcome.reason, outcome.repeated), (State::Unknown, Reason::NotRetried, true));
    assert_eq!(script.times()[&(order, 0)], 1);
    assert_eq!(house.outcome(&other).await.state, State::Sent);
    courier.stopped().await;
}

/// The repeat itself was throttled for longer than the provider remembers the first attempt.
#[tokio::test]
async fn a_repeat_that_is_throttled_for_too_long_is_not_made() {
    let house = House::open().await;
    let script = Script::new(with_tokens(Duration::from_secs(8)), |seen| {
        Answer::Say(match seen.before {
            0 => Outcome::Unknown(Reason::TimedOut),
            1 => Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(9) },
            _ => Outcome::Sent,
        })
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    let outcome = house.outcome(&order).await;
    assert_eq!((outcome.state, outcome.reason, outcome.repeated), (State::Unknown, Reason::NotRetried, true));
    assert_eq!(script.seen().len(), 2);
    courier.stopped().await;
}

/// Deliveries sent as one message when their courier died are repeated as one message, with nothing else on the wire.
#[tokio::test]
async fn deliveries_of_one_token_are_repeated_together_when_their_courier_died() {
    let house = House::open().await;
    let capabilities = || Capabilities {
        batching: Batching::Groups { groups: 2, deliveries: 10 },
        deliveries_a_token: 10,
        send_window: HANGS,
        ..with_tokens(Duration::from_secs(3_600))
    };
    let order = house.deliveries(20).await;
    let dying = Script::new(capabilities(), |_| Answer::Hang);
    let doomed = Doomed::start(&house, Arc::clone(&dying), short_lease()).await;
    dying.eventually(20).await;
    doomed.crash();

    let next = Script::accepting(capabilities());
    let courier = house.courier(Arc::clone(&next), brisk()).await;
    house.ended(&order).await;
    let mut calls: BTreeMap<u64, BTreeSet<Option<u32>>> = BTreeMap::new();
    for seen in next.seen() {
        assert!(seen.repeat && seen.token.is_some());
        calls.entry(seen.call).or_default().insert(seen.token);
    }
    assert_eq!(next.seen().len(), 20);
    assert_eq!(calls.len(), 2, "a call for each token: {calls:?}");
    assert!(calls.values().all(|tokens| tokens.len() == 1));
    assert_eq!(next.most_on_wire(), 1);
    courier.stopped().await;
}
