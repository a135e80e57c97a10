//! Who wants no more gets no more: what providers say is kept, and looked up before the next send.

use std::sync::Arc;

use posthaste_courier::{Abilities, List, Notice, Outcome};
use posthaste_model::{Reason, State};
use tokio::time::Instant;

use super::house::{House, Order, brisk, eventually_async, person};
use super::script::{Answer, Script};

fn to_the_same(rows: u32) -> Order {
    Order { rows, same_people: true, ..Order::default() }
}

/// Row 1 is refused for good.
fn refusing(outcome: Outcome) -> Arc<Script> {
    Script::new(Abilities::default(), move |seen| {
        Answer::Say(if seen.index == 1 { outcome.clone() } else { Outcome::Accepted })
    })
}

#[tokio::test]
async fn a_hard_failure_suppresses_the_address_for_later_orders_small_and_big() {
    let house = House::open().await;
    let script = refusing(Outcome::Suppress(Reason::Blocked));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    for (rows, calls) in [(3, 3), (2, 1), (700, 699)] {
        let before = script.calls();
        let order = house.tell(&to_the_same(rows)).await;
        house.ended(&order).await;
        let rows = house.outcomes(&order).await;
        assert_eq!((rows[1].state, rows[1].reason), (State::Suppressed, Reason::Blocked));
        assert!(rows.iter().filter(|row| row.state == State::Sent).count() == rows.len() - 1);
        assert_eq!(script.calls() - before, calls, "nobody is asked about the address again");
    }
    let strangers = house.rows(3).await;
    house.eventually(&strangers, State::Suppressed, 1).await;
    courier.stopped().await;
}

#[tokio::test]
async fn failures_of_one_day_are_one_strike() {
    let house = House::open().await;
    let script = refusing(Outcome::Strike { reason: Reason::BadAddress, of: 2 });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    for _ in 0..3 {
        let order = house.tell(&to_the_same(2)).await;
        house.ended(&order).await;
        let row = house.outcomes(&order).await[1];
        assert_eq!((row.state, row.reason), (State::Failed, Reason::BadAddress));
    }
    assert_eq!(script.calls(), 6);
    courier.stopped().await;
}

#[tokio::test]
async fn a_senders_list_is_the_senders_alone() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    let (ours, theirs) = ("u1".parse().unwrap(), "u2".parse().unwrap());
    desk.suppress(&person(0), &List::Sender(ours), Reason::Unsubscribed, &Notice::heard(Instant::now()))
        .await
        .unwrap();
    desk.suppress(&person(1), &List::Sender(theirs), Reason::Unsubscribed, &Notice::heard(Instant::now()))
        .await
        .unwrap();
    let order = house.tell(&to_the_same(2)).await;
    house.ended(&order).await;
    let rows = house.outcomes(&order).await;
    assert_eq!((rows[0].state, rows[0].reason), (State::Suppressed, Reason::Unsubscribed));
    assert_eq!(rows[1].state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn nothing_is_sent_while_nobody_knows_who_must_not_be_sent_anything() {
    let house = House::open().await;
    let list = "suppressed:{0}:email";
    house.command(&["SET", list, "not a list"]);
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let orders = [house.rows(1).await, house.rows(3).await, house.rows(700).await];
    // Several looks have come to nothing.
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
