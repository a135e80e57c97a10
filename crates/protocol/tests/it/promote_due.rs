//! `promote_due`: orders whose time has come move from `due` to `ready`, urgent first, in bounded steps.

use std::time::Duration;

use posthaste_model::{Priority, UnixMs};
use posthaste_protocol::scripts::promote_due::{PromoteDue, Promoted};

use crate::db::{Db, channel};
use crate::order::{Courier, Order};

const MINUTE: Duration = Duration::from_secs(60);

fn ring(db: &Db) -> PromoteDue<'_> {
    PromoteDue { keys: &db.keys }
}

/// An order whose time has come since it was accepted.
fn overdue(db: &Db, order: Order) -> Order {
    let order = order.due_in(db, MINUTE);
    order.accept(db);
    order
}

#[test]
fn nothing_is_promoted_early() {
    let db = Db::start();
    assert_eq!(db.unchanged(&ring(&db)), Promoted { next: None, parcels: 0, persisted: 0, lost: 0 });
    let order = overdue(&db, Order::inline("u1:5"));
    assert_eq!(db.unchanged(&ring(&db)), Promoted { next: order.due, parcels: 0, persisted: 0, lost: 0 });
}

#[test]
fn a_due_order_is_ready_on_all_its_channels() {
    let db = Db::start();
    let order = overdue(&db, Order::big("u1:5").channels(&[("email", 501), ("sms", 0), ("vk", 3)]));
    let due = order.due.expect("a due time").0 - 61_000;
    db.later(Duration::from_secs(61));
    let step = db.step(&ring(&db));
    assert_eq!(step.reply, Promoted { next: None, parcels: 3, persisted: 0, lost: 0 });
    step.changed(
        &[("due", due)],
        &[
            "- due:{0}:bulk u1:5",
            "+ ready:{0}:email:bulk u1:5:0: @due",
            "+ ready:{0}:email:bulk u1:5:1: @due",
            "+ ready:{0}:vk:bulk u1:5:0: @due",
        ],
    );
    db.again();
    db.check_invariants();
}

#[test]
fn the_next_due_time_is_returned() {
    let db = Db::start();
    overdue(&db, Order::inline("u1:5"));
    db.later(MINUTE);
    let next = overdue(&db, Order::inline("u1:6").urgent()).due;
    overdue(&db, Order::inline("u1:7"));
    db.pass(UnixMs(db.now().0 + 1));
    assert_eq!(db.reply(&ring(&db)), Promoted { next, parcels: 1, persisted: 0, lost: 0 });
}

#[test]
fn a_remaining_bell_is_left_briefly_and_then_deleted() {
    let db = Db::start();
    // Whether a call falls into those few milliseconds depends on the machine; one of many tries does.
    let mut lead = Duration::from_millis(20);
    posthaste_rig::eventually("a call while the key may still be taken for lagging", || {
        db.reset();
        lead = (lead + Duration::from_millis(5)).min(Duration::from_millis(500));
        if promoted_past_a_persisted_bell(&db, lead) > 0 { Ok(()) } else { Err("not this time") }
    });
}

/// Promotes repeatedly until past the due time of an order whose key was made persistent; returns how many calls left
/// it alone. The order is due after `lead`.
fn promoted_past_a_persisted_bell(db: &Db, lead: Duration) -> u32 {
    let order = overdue(db, Order::inline("u1:5"));
    let passed = MINUTE - lead;
    let due = order.due.expect("a due time").0 - u64::try_from(passed.as_millis()).expect("a span");
    let delivery = db.keys.bell_of(&order.order_id);
    db.later(passed);
    db.raw(&["SET", &delivery, "0"]);
    let mut left = 0;
    loop {
        let answer = db.answer(&ring(db));
        let (promoted, now) = (answer.reply, answer.now.0);
        if now >= due + 5 {
            assert_eq!((promoted.parcels, promoted.persisted), (1, 1));
            assert!(db.snapshot().get(&delivery).is_none());
            db.check_invariants();
            return left;
        }
        assert_eq!((promoted.parcels, promoted.persisted), (0, 0));
        let next = if now <= due { due } else { now + 1 };
        assert_eq!(promoted.next, Some(UnixMs(next)), "{now} and due at {due}");
        left += u32::from(now > due);
    }
}

/// A due order with this many parcels, staged with as few bytes as possible.
fn huge(db: &Db, name: &str, channels: &[(&str, u32)]) -> Order {
    let order = overdue(db, Order::big(name).channels(channels));
    db.later(MINUTE * 2);
    order
}

fn ready(db: &Db, name: &str) -> usize {
    db.snapshot().sorted(&db.keys.ready(&channel(name), Priority::Bulk)).len()
}

#[test]
fn a_big_order_is_promoted_500_parcels_per_call() {
    let db = Db::start();
    // 1,201 parcels: 700 of e-mail, 501 of SMS, the last with one delivery.
    let order = huge(&db, "u1:5", &[("email", 350_000), ("sms", 250_001)]);
    let progress = || db.snapshot().hash(&db.keys.history(&order.order_id)).get("g").cloned();
    let due = Some(order.due.map(|due| UnixMs(due.0 - 120_000)).expect("a due time"));
    assert_eq!(db.reply(&ring(&db)), Promoted { next: due, parcels: 500, persisted: 0, lost: 0 });
    assert_eq!((ready(&db, "email"), ready(&db, "sms"), progress()), (500, 0, Some(b"500".to_vec())));
    db.check_invariants();
    assert_eq!(db.reply(&ring(&db)), Promoted { next: due, parcels: 500, persisted: 0, lost: 0 });
    assert_eq!((ready(&db, "email"), ready(&db, "sms"), progress()), (700, 300, Some(b"1000".to_vec())));
    db.check_invariants();
    assert_eq!(db.reply(&ring(&db)), Promoted { next: None, parcels: 201, persisted: 0, lost: 0 });
    assert_eq!((ready(&db, "email"), ready(&db, "sms"), progress()), (700, 501, None));
    db.check_invariants();
    assert_eq!(db.unchanged(&ring(&db)).parcels, 0);
}

#[test]
fn every_claim_promotes_for_all_channels() {
    let db = Db::start();
    huge(&db, "u1:5", &[("email", 350_000), ("sms", 250_001)]);
    let courier = Courier::on(&db, "c1", "vk");
    let promoted: Vec<u64> = (0..4).map(|_| courier.take(&courier.next()).0.promoted).collect();
    assert_eq!(promoted, [500, 500, 201, 0]);
    db.check_invariants();
}

#[test]
fn urgent_is_promoted_before_bulk() {
    let db = Db::start();
    overdue(&db, Order::big("u1:1").deliveries(250_000));
    db.later(Duration::from_secs(1));
    overdue(&db, Order::big("u1:2").urgent().deliveries(2_000));
    db.later(MINUTE * 2);
    assert_eq!(db.reply(&ring(&db)).parcels, 500);
    let urgent = db.snapshot().sorted(&db.keys.ready(&channel("email"), Priority::Urgent)).len();
    assert_eq!((urgent, ready(&db, "email")), (4, 496));
}

#[test]
fn unreadable_records_block_no_others() {
    for (name, spoil) in [
        ("gone", None),
        ("another type", Some(("SET", vec![]))),
        ("a head cut short", Some(("HSET", vec![1; 20]))),
        (
            "channels cut short",
            Some(("HSET", [[1, b'p', b'b', b'd'].as_slice(), &[1; 30], b"\x05ema"].concat())),
        ),
        ("no channels", Some(("HSET", [[1, b'p', b'b', b'd'].as_slice(), &[1; 30]].concat()))),
        (
            "an inline head cut short",
            Some(("HSET", [[1, b'i', b'b', b'd'].as_slice(), &[1; 30], b"\x05ema"].concat())),
        ),
        ("version 0", Some(("HSET", vec![0; 60]))),
    ] {
        let db = Db::start();
        let broken = overdue(&db, Order::inline("u1:1"));
        let history = db.keys.history(&broken.order_id);
        match spoil {
            None => drop(db.raw(&["DEL", &history])),
            Some(("SET", _)) => drop(db.raw(&["SET", &history, "x"])),
            Some((_, head)) => drop(db.raw(&[b"HSET", history.as_bytes(), b"h", &head])),
        }
        overdue(&db, Order::inline("u1:2"));
        db.later(MINUTE * 2);
        let step = db.step(&ring(&db));
        // Of the missing order nothing is left to keep; the others are parked.
        let lost = u64::from(name == "gone");
        assert_eq!(step.reply, Promoted { next: None, parcels: 1, persisted: 0, lost }, "{name}");
        assert_eq!(db.snapshot().sorted("parked:{0}").contains_key("u1:1"), lost == 0, "{name}");
        let found = db.snapshot().sorted(&db.keys.ready(&channel("email"), Priority::Bulk));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["u1:2:0"], "{name}");
    }
}

#[test]
fn a_newer_record_is_left_for_a_newer_program() {
    let db = Db::start();
    let newer = overdue(&db, Order::inline("u1:1"));
    let head = [[2].as_slice(), &[9; 50]].concat();
    db.raw(&[b"HSET", db.keys.history(&newer.order_id).as_bytes(), b"h", &head]);
    overdue(&db, Order::inline("u1:2"));
    db.later(MINUTE * 2);
    let step = db.step(&ring(&db));
    assert_eq!(
        step.reply,
        Promoted { next: Some(UnixMs(step.now + 10_000)), parcels: 1, persisted: 0, lost: 0 }
    );
    assert_eq!(db.snapshot().sorted("due:{0}:bulk")["u1:1"], step.now + 10_000);
}

/// If the index of one channel has another type, only the orders of that channel wait.
#[test]
fn a_ready_key_of_a_wrong_type_holds_up_no_other_channel() {
    let db = Db::start();
    overdue(&db, Order::big("u1:5").channels(&[("email", 1), ("sms", 1)]));
    overdue(&db, Order::inline("u1:6"));
    db.later(MINUTE * 2);
    db.raw(&["SET", "ready:{0}:sms:bulk", "x"]);
    let courier = Courier::new(&db, "c1");
    let parcels = courier.claim();
    assert_eq!(parcels.iter().map(|parcel| parcel.parcel_id.to_string()).collect::<Vec<_>>(), ["u1:6:0"]);
    assert!(db.snapshot().sorted("due:{0}:bulk").contains_key("u1:5"));
    db.raw(&["DEL", "ready:{0}:sms:bulk"]);
    db.later(MINUTE);
    assert_eq!(db.reply(&ring(&db)).parcels, 2);
}
