//! Feedback from outside, through the runtime's feedback sink.

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{
    AttemptId, Capabilities, ConsentNotice, DeliveryReceipt, FeedbackSink, NoticeMoment, Outcome,
    ReceiptResult, ReceiptStatus, RunError, SuppressAfter, SuppressionList,
};
use posthaste_model::{CodedReason, EnhancedStatus, OrderId, ProviderCode, Reason, State, UnixMs};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::house::{House, Order, brisk, eventually_async, person};
use super::script::{Answer, Script};

fn attempt(order_id: &OrderId, parcel: u32, delivery: u16) -> AttemptId {
    AttemptId { order_id: order_id.clone(), parcel, delivery, attempt: 1 }
}

fn says(attempt: AttemptId, word: ReceiptStatus) -> DeliveryReceipt {
    DeliveryReceipt { attempt, word, reason: Reason::None.into(), suppress_after: None }
}

fn now() -> ConsentNotice {
    ConsentNotice::received(Instant::now())
}

#[tokio::test]
async fn a_receipt_improves_what_is_known() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    for (deliveries, parcel, delivery) in [(1, 0, 0), (700, 1, 150)] {
        let order = house.deliveries(deliveries).await;
        house.ended(&order).await;
        let of = attempt(&order, parcel, delivery);
        let sent = feedback.receipt(&says(of.clone(), ReceiptStatus::Sent)).await.unwrap();
        let delivered = feedback.receipt(&says(of.clone(), ReceiptStatus::Delivered)).await.unwrap();
        let again = feedback.receipt(&says(of.clone(), ReceiptStatus::Delivered)).await.unwrap();
        let after = feedback.receipt(&says(of, ReceiptStatus::Failed)).await.unwrap();
        let all = [sent, delivered, again, after];
        assert_eq!(
            all,
            [ReceiptResult::Known, ReceiptResult::Changed, ReceiptResult::Known, ReceiptResult::Known]
        );
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
        Script::new(Capabilities::default(), move |_| Answer::After(Arc::clone(&held), Outcome::Sent));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    let order = house.deliveries(1).await;
    script.eventually(1).await;
    let noted = feedback.receipt(&says(attempt(&order, 0, 0), ReceiptStatus::Delivered)).await.unwrap();
    assert_eq!(noted, ReceiptResult::Changed);
    gate.add_permits(1);
    courier.stopped().await;
    assert_eq!(house.outcome(&order).await.state, State::Delivered);
}

#[tokio::test]
async fn a_receipt_for_an_unknown_attempt_changes_nothing() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    let order = house.tell(&Order { same_people: true, ..Order::default() }).await;
    house.ended(&order).await;
    let never = OrderId::new(&"nobody".parse().unwrap(), 1);
    let real = attempt(&order, 0, 0);
    for of in [
        attempt(&never, 0, 0),
        attempt(&order, 0, 1),
        attempt(&order, 1, 0),
        AttemptId { attempt: 2, ..real },
    ] {
        let receipt = DeliveryReceipt {
            suppress_after: Some(SuppressAfter::Now),
            reason: Reason::Bounced.into(),
            ..says(of, ReceiptStatus::Failed)
        };
        assert_eq!(feedback.receipt(&receipt).await.unwrap(), ReceiptResult::NoSuchAttempt);
    }
    assert_eq!(house.outcome(&order).await.state, State::Sent);
    assert_eq!(house.command(&["EXISTS", "suppressed:{0}:email"]).int().unwrap(), 0);
    courier.stopped().await;
}

/// What is acknowledged never comes again, so a bounce is not acknowledged before it could be stored.
#[tokio::test]
async fn a_receipt_about_an_unreadable_order_is_to_be_repeated() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    for deliveries in [1, 700] {
        let order = house.deliveries(deliveries).await;
        house.ended(&order).await;
        let history = format!("history:{{0}}:{order}");
        let head = house.command(&["HGET", &history, "h"]).bytes().unwrap().to_vec();
        let receipt = DeliveryReceipt {
            suppress_after: Some(SuppressAfter::Now),
            reason: Reason::Bounced.into(),
            ..says(attempt(&order, 0, 0), ReceiptStatus::Failed)
        };
        let newer = [&[u8::MAX], &head[1..]].concat();
        for unreadable in [newer, head[..9].to_vec()] {
            house.command_of_bytes(&[b"HSET", history.as_bytes(), b"h", &unreadable]);
            feedback.receipt(&receipt).await.expect_err("nothing was stored");
        }
        house.command_of_bytes(&[b"HSET", history.as_bytes(), b"h", &head]);
        let noted = feedback.receipt(&receipt).await.unwrap();
        assert_eq!(noted, ReceiptResult::Changed);
    }
    courier.stopped().await;
}

#[tokio::test]
async fn a_returned_message_fails_and_suppresses_its_address() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    let people = Order { deliveries: 3, same_people: true, ..Order::default() };
    let order = house.tell(&people).await;
    house.ended(&order).await;
    let code = ProviderCode::of_smtp(Some(550), EnhancedStatus::new(5, 1, 1));
    let bounced = |delivery, suppress_after| DeliveryReceipt {
        suppress_after,
        reason: CodedReason { reason: Reason::Bounced, code },
        ..says(attempt(&order, 0, delivery), ReceiptStatus::Failed)
    };
    for receipt in
        [bounced(0, None), bounced(1, Some(SuppressAfter::Now)), bounced(2, Some(SuppressAfter::After(2)))]
    {
        assert_eq!(feedback.receipt(&receipt).await.unwrap(), ReceiptResult::Changed);
    }
    assert_eq!(house.counters(&order).await[State::Failed], 3);
    assert!(house.outcomes(&order).await.iter().all(|delivery| delivery.code == code));
    let next = house.tell(&people).await;
    house.ended(&next).await;
    let states: Vec<_> = house.outcomes(&next).await.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [State::Sent, State::Suppressed, State::Sent]);
    assert_eq!(house.outcomes(&next).await[1].reason, Reason::Bounced);
    courier.stopped().await;
}

#[tokio::test]
async fn an_opt_in_deletes_the_persons_own_reason() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    let people = Order { deliveries: 1, same_people: true, ..Order::default() };
    let first = house.tell(&people).await;
    house.ended(&first).await;
    let of = attempt(&first, 0, 0);
    let suppressed =
        feedback.suppress_recipient(&of, &SuppressionList::Channel, Reason::OptedOut, &now()).await.unwrap();
    assert_eq!(suppressed, ReceiptResult::Changed);
    assert!(
        !feedback.opt_in(&person(0), &SuppressionList::Channel, &[Reason::Blocked], &now()).await.unwrap()
    );
    let second = house.tell(&people).await;
    house.eventually(&second, State::Suppressed, 1).await;
    // The opt-in is provably later only from the next millisecond on.
    eventually_async("the opt-in", async || {
        let back = feedback
            .opt_in(&person(0), &SuppressionList::Channel, &[Reason::OptedOut], &now())
            .await
            .unwrap();
        if back { Ok(()) } else { Err("within the millisecond of the opt-out") }
    })
    .await;
    let third = house.tell(&people).await;
    house.eventually(&third, State::Sent, 1).await;
    courier.stopped().await;
}

#[tokio::test]
async fn a_persons_latest_notice_counts_at_once_and_a_copy_is_ignored() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback = script.feedback().await;
    let second = |n: u64| NoticeMoment::Provider(UnixMs(1_700_000_000_000 + 1000 * n));
    let says = |name: &str, n| ConsentNotice::named(name, second(n)).remembered();
    let (ann, list, reasons) = (&person(0), &SuppressionList::Channel, &[Reason::OptedOut]);
    let out =
        async |notice: ConsentNotice| feedback.suppress(ann, list, Reason::OptedOut, &notice).await.unwrap();
    let back = async |notice: ConsentNotice| feedback.opt_in(ann, list, reasons, &notice).await.unwrap();
    assert_eq!(out(says("1", 1)).await, ReceiptResult::Changed);
    assert!(back(says("2", 2)).await);
    assert_eq!(out(says("1", 1)).await, ReceiptResult::Known);
    assert_eq!(out(says("3", 3)).await, ReceiptResult::Changed);
    assert!(!back(says("2", 2)).await);
    let people = Order { deliveries: 1, same_people: true, ..Order::default() };
    let order = house.tell(&people).await;
    house.eventually(&order, State::Suppressed, 1).await;
    // If the record is unreadable, the call returns an error.
    let field = house.command(&["HKEYS", "suppressed:{0}:email"]);
    let posthaste_rig::RespReply::Bytes(field) = &field.items()[0] else { panic!("no field") };
    for list in ["suppressed:{0}:email", "consent:{0}:email"] {
        let before = house.command_of_bytes(&[b"HGET", list.as_bytes(), field]);
        house.command_of_bytes(&[b"HSET", list.as_bytes(), field, b"of a later version"]);
        let reported =
            feedback.suppress(ann, &SuppressionList::Channel, Reason::OptedOut, &says("4", 4)).await;
        assert!(reported.is_err(), "{list}");
        assert!(
            feedback.opt_in(ann, &SuppressionList::Channel, reasons, &says("5", 5)).await.is_err(),
            "{list}"
        );
        let posthaste_rig::RespReply::Bytes(before) = before else { panic!("no record") };
        house.command_of_bytes(&[b"HSET", list.as_bytes(), field, &before]);
    }
    courier.stopped().await;
}

#[tokio::test]
async fn orders_are_remembered_by_short_names() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let feedback: Arc<dyn FeedbackSink> = script.feedback().await;
    let order = house.deliveries(1).await;
    feedback.remember("short", &order, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(feedback.recall("short").await.unwrap(), Some(order));
    assert_eq!(feedback.recall("other").await.unwrap(), None);
    courier.stopped().await;
}

#[tokio::test]
async fn a_channel_that_cannot_listen_ends_with_the_reason() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    script.set_deaf("port 80 is taken");
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let Err(RunError::Serve(why)) = courier.end().await else { panic!("it goes on") };
    assert_eq!(why, "port 80 is taken");
    let order = house.deliveries(1).await;
    let script = Script::accepting(Capabilities::default());
    let next = house.courier(script, brisk()).await;
    eventually_async("the next courier sends", async || {
        let state = house.outcome(&order).await.state;
        if state == State::Sent { Ok(()) } else { Err(state.word()) }
    })
    .await;
    next.stopped().await;
}
