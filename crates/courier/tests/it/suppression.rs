//! Suppressed addresses get no more messages: what providers report is stored, and looked up before the next send.

use std::sync::Arc;

use posthaste_courier::{Capabilities, ConsentNotice, Outcome, SuppressionList};
use posthaste_model::{CodedReason, ProviderCode, Reason, State};
use tokio::time::Instant;

use super::house::{House, Order, brisk, eventually_async, person};
use super::script::{Answer, Script};

fn to_the_same(deliveries: u32) -> Order {
    Order { deliveries, same_people: true, ..Order::default() }
}

/// Rejects delivery 1 permanently.
fn refusing(outcome: Outcome) -> Arc<Script> {
    Script::new(Capabilities::default(), move |seen| {
        Answer::Say(if seen.index == 1 { outcome.clone() } else { Outcome::Sent })
    })
}

#[tokio::test]
async fn a_hard_failure_suppresses_the_address_for_later_orders_small_and_big() {
    let house = House::open().await;
    let (reason, code) = (Reason::Blocked, Some(403));
    let refusal = CodedReason { reason, code: ProviderCode::of_number(403) };
    let script = refusing(Outcome::HardRefusal(refusal));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    for (deliveries, calls) in [(3, 3), (2, 1), (700, 699)] {
        let before = script.calls();
        let order = house.tell(&to_the_same(deliveries)).await;
        house.ended(&order).await;
        let deliveries = house.outcomes(&order).await;
        // The attempt that was refused has failed; of later orders nothing is tried.
        let (state, attempts) =
            if deliveries.len() == 3 { (State::Failed, 1) } else { (State::Suppressed, 0) };
        let refused = deliveries[1];
        assert_eq!((refused.state, refused.reason), (state, Reason::Blocked));
        assert_eq!(
            (refused.attempts_made(), refused.code.number()),
            (attempts, code.filter(|_| attempts == 1))
        );
        assert!(
            deliveries.iter().filter(|delivery| delivery.state == State::Sent).count()
                == deliveries.len() - 1
        );
        assert_eq!(script.calls() - before, calls, "the provider is not called for the address again");
    }
    let strangers = house.deliveries(3).await;
    house.eventually(&strangers, State::Failed, 1).await;
    courier.stopped().await;
}

#[tokio::test]
async fn failures_on_one_day_are_one_strike() {
    let house = House::open().await;
    let script = refusing(Outcome::Strike { reason: Reason::InvalidAddress.into(), of: 2 });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    for _ in 0..3 {
        let order = house.tell(&to_the_same(2)).await;
        house.ended(&order).await;
        let delivery = house.outcomes(&order).await[1];
        assert_eq!((delivery.state, delivery.reason), (State::Failed, Reason::InvalidAddress));
    }
    assert_eq!(script.calls(), 6);
    courier.stopped().await;
}

#[tokio::test]
async fn a_senders_list_applies_to_that_sender_only() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    let (ours, theirs) = ("u1".parse().unwrap(), "u2".parse().unwrap());
    feedback
        .suppress(
            &person(0),
            &SuppressionList::Sender(ours),
            Reason::Unsubscribed,
            &ConsentNotice::received(Instant::now()),
        )
        .await
        .unwrap();
    feedback
        .suppress(
            &person(1),
            &SuppressionList::Sender(theirs),
            Reason::Unsubscribed,
            &ConsentNotice::received(Instant::now()),
        )
        .await
        .unwrap();
    let order = house.tell(&to_the_same(2)).await;
    house.ended(&order).await;
    let deliveries = house.outcomes(&order).await;
    assert_eq!((deliveries[0].state, deliveries[0].reason), (State::Suppressed, Reason::Unsubscribed));
    assert_eq!(deliveries[1].state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn nothing_is_sent_while_the_suppression_lookup_fails() {
    let house = House::open().await;
    let list = "suppressed:{0}:email";
    house.command(&["SET", list, "not a list"]);
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let orders = [house.deliveries(1).await, house.deliveries(3).await, house.deliveries(700).await];
    // Several claims were released again.
    eventually_async("attempts that did not leave", async || {
        let attempt = house.outcome(&orders[0]).await.attempt;
        if attempt >= 3 { Ok(()) } else { Err(format!("{attempt}")) }
    })
    .await;
    assert_eq!(script.calls(), 0);
    house.command(&["DEL", list]);
    for order in &orders {
        house.ended(order).await;
    }
    assert!(script.times().values().all(|times| *times == 1));
    assert_eq!(script.times().len(), 704);
    courier.stopped().await;
}
