//! What transports hear from outside, through the runtime's own desk.

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{
    Abilities, AttemptId, Ban, Desk, List, Noted, Notice, Outcome, Receipt, RunError, Said, Word,
};
use posthaste_model::{Reason, State, Suffix, UnixMs};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::house::{House, Order, brisk, eventually_async, person};
use super::script::{Answer, Script};

fn attempt(suffix: &Suffix, parcel: u32, row: u16) -> AttemptId {
    AttemptId { suffix: suffix.clone(), parcel, row, attempt: 1 }
}

fn says(attempt: AttemptId, word: Word) -> Receipt {
    Receipt { attempt, word, reason: Reason::None, ban: None }
}

fn now() -> Notice {
    Notice::heard(Instant::now())
}

#[tokio::test]
async fn a_receipt_improves_what_is_known() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    for (rows, parcel, row) in [(1, 0, 0), (700, 1, 150)] {
        let order = house.rows(rows).await;
        house.ended(&order).await;
        let of = attempt(&order, parcel, row);
        let sent = desk.receipt(&says(of.clone(), Word::Sent)).await.unwrap();
        let delivered = desk.receipt(&says(of.clone(), Word::Delivered)).await.unwrap();
        let again = desk.receipt(&says(of.clone(), Word::Delivered)).await.unwrap();
        let after = desk.receipt(&says(of, Word::Failed)).await.unwrap();
        let all = [sent, delivered, again, after];
        assert_eq!(all, [Noted::Known, Noted::Changed, Noted::Known, Noted::Known]);
        assert_eq!(house.counters(&order).await[State::Delivered], 1);
    }
    courier.stopped().await;
}

#[tokio::test]
async fn a_receipt_that_comes_before_the_answer_wins() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script =
        Script::new(Abilities::default(), move |_| Answer::After(Arc::clone(&held), Outcome::Accepted));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    let order = house.rows(1).await;
    script.eventually(1).await;
    let noted = desk.receipt(&says(attempt(&order, 0, 0), Word::Delivered)).await.unwrap();
    assert_eq!(noted, Noted::Changed);
    gate.add_permits(1);
    courier.stopped().await;
    assert_eq!(house.outcome(&order).await.state, State::Delivered);
}

#[tokio::test]
async fn a_receipt_of_an_attempt_nobody_made_changes_nothing() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    let order = house.tell(&Order { same_people: true, ..Order::default() }).await;
    house.ended(&order).await;
    let never = Suffix::new(&"nobody".parse().unwrap(), 1);
    let real = attempt(&order, 0, 0);
    for of in [
        attempt(&never, 0, 0),
        attempt(&order, 0, 1),
        attempt(&order, 1, 0),
        AttemptId { attempt: 2, ..real },
    ] {
        let receipt = Receipt { ban: Some(Ban::Now), reason: Reason::Bounced, ..says(of, Word::Failed) };
        assert_eq!(desk.receipt(&receipt).await.unwrap(), Noted::NoSuchAttempt);
    }
    assert_eq!(house.outcome(&order).await.state, State::Sent);
    assert_eq!(house.command(&["EXISTS", "suppressed:{0}:email"]).int().unwrap(), 0);
    courier.stopped().await;
}

#[tokio::test]
async fn a_message_that_comes_back_fails_and_bars_its_address() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    let people = Order { rows: 3, same_people: true, ..Order::default() };
    let order = house.tell(&people).await;
    house.ended(&order).await;
    let bounced =
        |row, ban| Receipt { ban, reason: Reason::Bounced, ..says(attempt(&order, 0, row), Word::Failed) };
    for receipt in [bounced(0, None), bounced(1, Some(Ban::Now)), bounced(2, Some(Ban::After(2)))] {
        assert_eq!(desk.receipt(&receipt).await.unwrap(), Noted::Changed);
    }
    assert_eq!(house.counters(&order).await[State::Failed], 3);
    let next = house.tell(&people).await;
    house.ended(&next).await;
    let states: Vec<_> = house.outcomes(&next).await.iter().map(|row| row.state).collect();
    assert_eq!(states, [State::Sent, State::Suppressed, State::Sent]);
    assert_eq!(house.outcomes(&next).await[1].reason, Reason::Bounced);
    courier.stopped().await;
}

#[tokio::test]
async fn people_come_back_when_their_own_reason_is_lifted() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    let people = Order { rows: 1, same_people: true, ..Order::default() };
    let first = house.tell(&people).await;
    house.ended(&first).await;
    let of = attempt(&first, 0, 0);
    let barred = desk.suppress_recipient(&of, &List::Channel, Reason::OptedOut, &now()).await.unwrap();
    assert_eq!(barred, Noted::Changed);
    assert!(!desk.opt_in(&person(0), &List::Channel, &[Reason::Blocked], &now()).await.unwrap());
    let second = house.tell(&people).await;
    house.eventually(&second, State::Suppressed, 1).await;
    // Not before the next millisecond is it proved that this was said later.
    eventually_async("the opt-in", async || {
        let back = desk.opt_in(&person(0), &List::Channel, &[Reason::OptedOut], &now()).await.unwrap();
        if back { Ok(()) } else { Err("within the millisecond of the opt-out") }
    })
    .await;
    let third = house.tell(&people).await;
    house.eventually(&third, State::Sent, 1).await;
    courier.stopped().await;
}

#[tokio::test]
async fn a_persons_newest_word_counts_at_once_and_a_copy_is_no_new_one() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk = script.desk().await;
    let second = |n: u64| Said::Provider(UnixMs(1_700_000_000_000 + 1000 * n));
    let says = |name: &str, n| Notice::named(name, second(n)).remembered();
    let (ann, list, reasons) = (&person(0), &List::Channel, &[Reason::OptedOut]);
    let out = async |notice: Notice| desk.suppress(ann, list, Reason::OptedOut, &notice).await.unwrap();
    let back = async |notice: Notice| desk.opt_in(ann, list, reasons, &notice).await.unwrap();
    assert_eq!(out(says("1", 1)).await, Noted::Changed);
    assert!(back(says("2", 2)).await);
    assert_eq!(out(says("1", 1)).await, Noted::Known);
    assert_eq!(out(says("3", 3)).await, Noted::Changed);
    assert!(!back(says("2", 2)).await);
    let people = Order { rows: 1, same_people: true, ..Order::default() };
    let order = house.tell(&people).await;
    house.eventually(&order, State::Suppressed, 1).await;
    // What can't be read is not stored, and said to be.
    let field = house.command(&["HKEYS", "suppressed:{0}:email"]);
    let posthaste_rig::Reply::Bytes(field) = &field.items()[0] else { panic!("no field") };
    for list in ["suppressed:{0}:email", "consent:{0}:email"] {
        let before = house.command_of_bytes(&[b"HGET", list.as_bytes(), field]);
        house.command_of_bytes(&[b"HSET", list.as_bytes(), field, b"of a later version"]);
        let told = desk.suppress(ann, &List::Channel, Reason::OptedOut, &says("4", 4)).await;
        assert!(told.is_err(), "{list}");
        assert!(desk.opt_in(ann, &List::Channel, reasons, &says("5", 5)).await.is_err(), "{list}");
        let posthaste_rig::Reply::Bytes(before) = before else { panic!("no record") };
        house.command_of_bytes(&[b"HSET", list.as_bytes(), field, &before]);
    }
    courier.stopped().await;
}

#[tokio::test]
async fn orders_are_known_by_short_names_for_a_while() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let desk: Arc<dyn Desk> = script.desk().await;
    let order = house.rows(1).await;
    desk.remember("short", &order, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(desk.recall("short").await.unwrap(), Some(order));
    assert_eq!(desk.recall("other").await.unwrap(), None);
    courier.stopped().await;
}

#[tokio::test]
async fn a_channel_that_cannot_listen_ends_and_says_why() {
    let house = House::open().await;
    let script = Script::accepting(Abilities::default());
    script.set_deaf("port 80 is taken");
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let Err(RunError::Serve(why)) = courier.end().await else { panic!("it goes on") };
    assert_eq!(why, "port 80 is taken");
    let order = house.rows(1).await;
    let script = Script::accepting(Abilities::default());
    let next = house.courier(script, brisk()).await;
    eventually_async("the next one at work", async || {
        let state = house.outcome(&order).await.state;
        if state == State::Sent { Ok(()) } else { Err(state.word()) }
    })
    .await;
    next.stopped().await;
}
