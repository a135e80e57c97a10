//! `cancel`: what it stops, and what it comes too late for.

use std::time::Duration;

use posthaste_model::{OutcomeKind, State};
use posthaste_protocol::scripts::cancel::{Cancel, Cancelled};
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::promote_due::PromoteDue;

use crate::db::{Db, Step};
use crate::order::{Courier, LEASE, Order, report};

const MINUTE: Duration = Duration::from_secs(60);

fn cancel(db: &Db, order: &Order) -> Step<Cancelled> {
    db.step(&Cancel { keys: &db.keys, order_id: &order.order_id })
}

fn ok(stopped: u64, too_late: u64) -> Cancelled {
    Cancelled::Ok { already_done: false, stopped, too_late }
}

/// Cancelling again returns the same, and changes nothing.
#[track_caller]
fn again(db: &Db, order: &Order, stopped: u64, too_late: u64) {
    db.again();
    let reply = db.unchanged(&Cancel { keys: &db.keys, order_id: &order.order_id });
    assert_eq!(reply, Cancelled::Ok { already_done: true, stopped, too_late });
}

#[test]
fn an_inline_order_that_is_not_due_ends_here() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2).due_in(&db, MINUTE).accept(&db).clone();
    let step = cancel(&db, &order);
    assert_eq!(step.reply, ok(2, 0));
    let retired = format!("+ retire:{{0}}:{}: u1:5", step.now / 86_400_000);
    step.changed(
        &[],
        &[
            "- due:{0}:bulk u1:5",
            "- delivery:{0}:u1:5",
            "+ history:{0}:u1:5 o: 0/0/0 cancelled#0,cancelledx2",
            "+ history:{0}:u1:5 x: @now",
            "+ history:{0}:u1:5 f: @now",
            "+ history:{0}:u1:5 v: 1",
            &retired,
        ],
    );
    again(&db, &order, 2, 0);
    db.check_invariants();
}

#[test]
fn a_big_order_that_is_not_due_ends_here_without_touching_its_parcels() {
    let db = Db::start();
    let mut order = Order::big("u1:5").channels(&[("email", 501), ("sms", 0), ("vk", 2)]).urgent();
    order.no_contact = vec![0, 9, 1];
    let order = order.due_in(&db, MINUTE).accept(&db).clone();
    let step = cancel(&db, &order);
    assert_eq!(step.reply, ok(503, 0));
    let retired = format!("+ retire:{{0}}:{}: u1:5", step.now / 86_400_000);
    step.changed(
        &[],
        &[
            "- due:{0}:urgent u1:5",
            "- delivery:{0}:u1:5",
            "~ history:{0}:u1:5 c:email: pending=501 -> cancelled=501",
            "~ history:{0}:u1:5 c:vk: pending=2 no_contact=1 -> cancelled=2 no_contact=1",
            "~ history:{0}:u1:5 l: 503 -> 0",
            "+ history:{0}:u1:5 x: @now",
            "+ history:{0}:u1:5 f: @now",
            "+ history:{0}:u1:5 v: 1",
            &retired,
        ],
    );
    again(&db, &order, 503, 0);
    db.check_invariants();
}

#[test]
fn a_promoted_order_is_marked_and_its_parcels_end_when_reached() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(2).due_in(&db, MINUTE).accept(&db).clone();
        db.later(MINUTE * 2);
        db.reply(&PromoteDue { keys: &db.keys });
        let step = cancel(&db, &order);
        assert_eq!(step.reply, ok(2, 0));
        step.changed(&[], &["+ history:{0}:u1:5 x: @now", "+ history:{0}:u1:5 v: 1"]);
        again(&db, &order, 2, 0);
        db.check_invariants();
        let courier = Courier::new(&db, "c1");
        assert_eq!(courier.take(&courier.next()).0.closed, 1);
        again_after(&db, &order, 2, 0);
        db.check_invariants();
    }
}

/// Like `again`, with other calls in between.
#[track_caller]
fn again_after(db: &Db, order: &Order, stopped: u64, too_late: u64) {
    let reply = db.unchanged(&Cancel { keys: &db.keys, order_id: &order.order_id });
    assert_eq!(reply, Cancelled::Ok { already_done: true, stopped, too_late });
}

#[test]
fn a_partly_promoted_order_ends_wholly() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(300_000).due_in(&db, MINUTE).accept(&db).clone();
    db.later(MINUTE * 2);
    assert_eq!(db.reply(&PromoteDue { keys: &db.keys }).parcels, 500);
    let step = cancel(&db, &order);
    assert_eq!(step.reply, ok(300_000, 0));
    assert!(
        step.changes.iter().all(|line| !line.contains("due:")),
        "the rest is promoted too: {:#?}",
        step.changes
    );
    again(&db, &order, 300_000, 0);
    db.check_invariants();
    let courier = Courier::new(&db, "c1");
    let mut closed = 0;
    while closed < 600 {
        let (taken, parcels) = courier.take(&courier.next());
        assert!(parcels.is_empty() && taken.closed > 0);
        closed += taken.closed;
    }
    again_after(&db, &order, 300_000, 0);
    db.check_invariants();
}

#[test]
fn messages_on_the_wire_finish() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(4).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1), (2, 1)]);
        courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent), report(2, 1, OutcomeKind::Retry)]);
        assert_eq!(cancel(&db, &order).reply, ok(2, 2));
        let (_, letters) = courier.settle(&parcel, true, &[report(1, 1, OutcomeKind::Delivered)]);
        assert_eq!(letters, [posthaste_protocol::scripts::settle::Reported::Applied]);
        let states: Vec<_> = order
            .try_outcomes(&db, 0)
            .expect("outcomes")
            .deliveries()
            .map(|delivery| delivery.state)
            .collect();
        assert_eq!(states, [State::Sent, State::Delivered, State::Cancelled, State::Cancelled]);
        again_after(&db, &order, 2, 2);
        db.check_invariants();
    }
}

#[test]
fn a_final_order_is_not_cancelled() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
        let step = cancel(&db, &order);
        assert_eq!((step.reply, step.changes), (Cancelled::Finished, vec![]));
    }
}

#[test]
fn a_late_bell_does_not_bypass_a_cancel() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE).accept(&db).clone();
    // Its time has come, but it has not been promoted yet.
    db.later(MINUTE * 2);
    assert_eq!(cancel(&db, &order).reply, ok(1, 0));
    assert!(Courier::new(&db, "c1").claim().is_empty());
    db.check_invariants();
}

#[test]
fn an_inline_order_whose_first_channel_has_no_deliveries() {
    let db = Db::start();
    let mut order = Order::inline("u1:5").channels(&[("email", 0), ("sms", 1)]);
    order.no_contact = vec![3, 0];
    let order = order.due_in(&db, MINUTE).accept(&db).clone();
    assert_eq!(cancel(&db, &order).reply, ok(1, 0));
    again(&db, &order, 1, 0);
    db.check_invariants();
}

#[test]
fn missing_and_unreadable_orders_are_refused() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE);
    let refused = |why| assert_eq!(db.unchanged(&Cancel { keys: &db.keys, order_id: &order.order_id }), why);
    refused(Cancelled::NotFound);
    let history = db.keys.history(&order.order_id);
    db.raw(&["SET", &history, "x"]);
    refused(Cancelled::Unreadable);
    db.raw(&["DEL", &history]);
    order.accept(&db);
    let fields = db.snapshot().hash(&history);
    let cut = [[1, b'i', b'b', b'd'].as_slice(), &[1; 30], b"\x05emailx"].concat();
    for head in [[[2].as_slice(), &[0; 60]].concat(), vec![1; 20], vec![], cut] {
        db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
        refused(Cancelled::Unreadable);
    }
    db.raw(&[b"HSET", history.as_bytes(), b"h", &fields["h"]]);
    db.raw(&["HSET", &history, "o", "x"]);
    refused(Cancelled::Unreadable);
    db.reset();
    let big = Order::big("u1:5").due_in(&db, MINUTE).accept(&db).clone();
    db.raw(&["HSET", &history, "c:email", "short"]);
    assert_eq!(db.unchanged(&Cancel { keys: &db.keys, order_id: &big.order_id }), Cancelled::Unreadable);
    db.raw(&["HDEL", &history, "c:email"]);
    assert_eq!(db.unchanged(&Cancel { keys: &db.keys, order_id: &big.order_id }), Cancelled::Unreadable);
}

#[test]
fn a_parcel_claimed_before_is_not_begun_after() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    cancel(&db, &order);
    assert_eq!(courier.begin(&parcel, &[(0, 1)]).0, posthaste_protocol::scripts::ParcelCode::Cancelled);
    db.later(LEASE);
    db.reply(&courier.sweeping());
    assert_eq!(order.delivery(&db, 0).state, State::Cancelled);
    let (taken, parcels) = courier.take(&Claim { begin: 9, ..courier.next() });
    assert!(parcels.is_empty() && taken.closed == 0);
    db.check_invariants();
}
