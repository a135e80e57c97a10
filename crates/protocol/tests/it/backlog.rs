//! `measure_backlog`: what is due and not sent, since the due time of its order.

use std::time::Duration;

use posthaste_model::{Channel, OutcomeKind, UnixMs};
use posthaste_protocol::scripts::measure_backlog::{BacklogPart, BacklogPlace, MeasureBacklog};
use posthaste_protocol::scripts::promote_due::PromoteDue;

use crate::db::{Db, channel};
use crate::mutant::Mutant;
use crate::order::{Courier, Order, report};

/// Walks the whole backlog of a channel in steps of this many members: calls, deliveries, due time of the oldest.
fn walk(db: &Db, channel: &Channel, limit: u32) -> (u32, u64, Option<UnixMs>) {
    let (mut from, mut calls, mut deliveries, mut oldest) = (Some(BacklogPlace::START), 0, 0, None);
    while let Some(place) = from {
        let script = MeasureBacklog { keys: &db.keys, channel, from: place, limit };
        let part: BacklogPart = db.unchanged(&script);
        calls += 1;
        deliveries += part.deliveries;
        oldest = [oldest, part.oldest].into_iter().flatten().min();
        from = part.next;
        assert!(calls < 100, "it does not end");
    }
    (calls, deliveries, oldest)
}

fn everything_due_is_counted() {
    let db = Db::start();
    let (email, sms) = (channel("email"), channel("sms"));
    assert_eq!(walk(&db, &email, 500), (1, 0, None));
    // Not promoted yet, not due yet, cancelled, of another channel.
    let first = Order::inline("u1:1").deliveries(3);
    first.accept(&db);
    let due = first.head(&db).due;
    Order::inline("u1:2").due_in(&db, Duration::from_secs(60)).accept(&db);
    Order::inline("u1:3").channels(&[("sms", 2)]).accept(&db);
    Order::big("u1:4").deliveries(502).urgent().accept(&db);
    db.later(Duration::from_secs(1));
    let moved = first.head(&db).due;
    assert!(moved <= due);
    for promoted in [false, true] {
        if promoted {
            db.reply(&PromoteDue { keys: &db.keys });
        }
        for limit in [500, 1] {
            let (calls, deliveries, oldest) = walk(&db, &email, limit);
            assert_eq!((deliveries, oldest), (505, Some(moved)), "promoted: {promoted}, {limit} at once");
            assert_eq!(calls > 1, limit == 1);
        }
        assert_eq!(walk(&db, &sms, 500).1, 2);
    }
    // An entry that another program put there: its order is due later.
    db.raw(&["ZADD", "ready:{0}:email:bulk", "1", "u1:2:0"]);
    assert_eq!(walk(&db, &email, 500).1, 505);
}

fn a_retry_does_not_make_it_younger() {
    let db = Db::start();
    let email = channel("email");
    let order = Order::inline("u1:1").deliveries(2);
    order.accept(&db);
    db.later(Duration::from_secs(1));
    let due = order.head(&db).due;
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    assert_eq!(walk(&db, &email, 500), (1, 2, Some(due)), "leased");
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    assert_eq!(walk(&db, &email, 500), (1, 2, Some(due)), "on the wire");
    let mut later = report(0, 1, OutcomeKind::Retry);
    later.value = 60_000;
    courier.settle(&parcel, true, &[later, report(1, 1, OutcomeKind::Sent)]);
    assert_eq!(walk(&db, &email, 500), (1, 1, Some(due)), "waits for its next try");
    db.raw(&["HSET", &db.keys.history(&order.order_id), "x", "1"]);
    assert_eq!(walk(&db, &email, 500), (1, 0, None), "cancelled");
}

#[test]
fn what_waits_is_counted_from_its_due_time() {
    everything_due_is_counted();
    a_retry_does_not_make_it_younger();
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let db = Db::start();
    let email = channel("email");
    let order = Order::inline("u1:1");
    order.accept(&db);
    db.later(Duration::from_secs(1));
    db.reply(&PromoteDue { keys: &db.keys });
    db.raw(&["ZADD", "ready:{0}:email:bulk", "1", "nonsense", "2", "u1:9:0", "3", "u1:7:0"]);
    db.raw(&["SET", "history:{0}:u1:7", "x"]);
    db.raw(&["SET", "leased:{0}:email", "x"]);
    assert_eq!(walk(&db, &email, 500).1, 1);
}

#[test]
fn a_guard_that_is_missing_is_noticed() {
    for (guard, instead) in [
        ("or r[3] or r[4]", ""),
        ("if open == 0 or due > now then", "if open == 0 then"),
        ("open = u16(o, 1) + u16(o, 3)", ""),
        ("math.min(PARCEL_DELIVERIES, open - n * PARCEL_DELIVERIES)", "open"),
        ("due < oldest", "due > oldest"),
        ("rank = rank + #members", "rank = rank"),
    ] {
        let mutant = Mutant { script: Some("measure_backlog"), guard, instead };
        let table = || std::panic::catch_unwind(what_waits_is_counted_from_its_due_time);
        assert!(mutant.under(table).is_err(), "not noticed: {guard}");
    }
}
