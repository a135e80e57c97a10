//! `enqueue`: every reply, and all keys afterwards.

use std::time::Duration;

use posthaste_model::{OnUnknown, UnixMs};
use posthaste_protocol::scripts::enqueue::Enqueued;
use posthaste_protocol::scripts::stage_parcels::StageParcels;

use crate::db::{Db, Step};
use crate::order::{DAY, Order, UPLOAD};

const MINUTE: Duration = Duration::from_secs(60);

fn step(db: &Db, order: &Order) -> Step<Enqueued> {
    let pieces = order.pieces();
    db.step(&order.call(db, pieces.as_deref()))
}

#[track_caller]
fn refused(db: &Db, order: &Order, why: &Enqueued) {
    let pieces = order.pieces();
    assert_eq!(db.unchanged(&order.call(db, pieces.as_deref())), *why);
}

fn accepted(step: &Step<Enqueued>) -> (bool, bool, u64, u64) {
    match &step.reply {
        Enqueued::Accepted { already_done, due_now, accepted, due, .. } => {
            (*already_done, *due_now, accepted.0, due.0)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_for_now_is_ready_at_once() {
    let db = Db::start();
    let step = step(&db, &Order::inline("u1:5").deliveries(2));
    assert_eq!(accepted(&step), (false, true, step.now, step.now));
    step.changed(
        &[],
        &[
            "+ history:{0}:u1:5 h: inline bulk d accepted @now due @now until @now+259200000 digest 7 email=2",
            "+ history:{0}:u1:5 b0: <34 bytes>",
            "+ ready:{0}:email:bulk u1:5:0: @now",
            "+ orders:{0}: u1:5",
            "+ sender:{0}:u1: u1:5",
            "+ channels:{0} email: 0",
        ],
    );
    db.check_invariants();
}

#[test]
fn an_order_for_later_waits_under_its_bell() {
    let db = Db::start();
    let mut order = Order::inline("u1:5").urgent().due_in(&db, MINUTE);
    order.on_unknown = OnUnknown::Hold;
    let due = order.due.expect("a due time").0;
    let step = step(&db, &order);
    assert_eq!(accepted(&step), (false, false, step.now, due));
    step.changed(
        &[("due", due)],
        &[
            "+ history:{0}:u1:5 h: inline urgent h accepted @now due @due until @due+259200000 digest 7 email=1",
            "+ history:{0}:u1:5 b0: <22 bytes>",
            "+ due:{0}:urgent u1:5: @due",
            "+ delivery:{0}:u1:5: 0 until @due",
            "+ orders:{0}: u1:5",
            "+ sender:{0}:u1: u1:5",
            "+ channels:{0} email: 0",
        ],
    );
}

#[test]
fn a_big_order_takes_over_what_was_staged() {
    let db = Db::start();
    let mut order = Order::big("u1:5").channels(&[("email", 501), ("sms", 0), ("vk", 3)]).due_in(&db, MINUTE);
    order.no_contact = vec![1, 504, 501];
    order.not_after = order.due.map(|due| due.after(DAY));
    order.stage(&db);
    let step = step(&db, &order);
    step.changed(
        &[("due", order.due.expect("a due time").0)],
        &[
            "+ history:{0}:u1:5 h: parcels bulk d accepted @now due @due until @due+86400000 digest 7 email=501 sms=0 vk=3",
            "+ history:{0}:u1:5 c:email: pending=501 no_contact=1",
            "+ history:{0}:u1:5 c:sms: no_contact=504",
            "+ history:{0}:u1:5 c:vk: pending=3 no_contact=501",
            "+ history:{0}:u1:5 l: 504",
            "+ due:{0}:bulk u1:5: @due",
            "+ delivery:{0}:u1:5: 0 until @due",
            "- staging:{0} u1:5",
            "- staged:{0}:u1:5 #",
            "- staged:{0}:u1:5 #email",
            "- staged:{0}:u1:5 #vk",
            "- staged:{0}:u1:5 email",
            "- staged:{0}:u1:5 vk",
            "+ orders:{0}: u1:5",
            "+ sender:{0}:u1: u1:5",
            "+ channels:{0} email: 0",
            "+ channels:{0} sms: 0",
            "+ channels:{0} vk: 0",
        ],
    );
    db.check_invariants();
}

#[test]
fn a_big_order_for_now_goes_through_due() {
    let db = Db::start();
    let order = Order::big("u1:5");
    order.stage(&db);
    let step = step(&db, &order);
    assert_eq!(accepted(&step), (false, true, step.now, step.now));
    assert_eq!(db.snapshot().sorted("due:{0}:bulk")["u1:5"], step.now);
    assert!(db.snapshot().get("delivery:{0}:u1:5").is_none());
    db.check_invariants();
}

#[test]
fn an_inline_order_counts_recipients_without_address() {
    let db = Db::start();
    let mut order = Order::inline("u1:5").channels(&[("email", 0), ("sms", 1)]);
    order.no_contact = vec![1, 0];
    let step = step(&db, &order);
    assert!(step.changes.contains(&"+ history:{0}:u1:5 n:email: 1".to_owned()), "{:?}", step.changes);
    let ready: Vec<_> = step.changes.iter().filter(|line| line.contains("ready:")).collect();
    assert_eq!(ready, [&format!("+ ready:{{0}}:sms:bulk u1:5:0: {}", step.now)]);
    // The same through `due`: its parcel is ready on the channel that has deliveries.
    let mut later = Order { order_id: "u1:6".parse().expect("an order id"), ..order };
    later = later.due_in(&db, MINUTE);
    later.accept(&db);
    db.later(MINUTE * 2);
    crate::order::Courier::on(&db, "c1", "email").claim();
    assert!(db.snapshot().sorted("ready:{0}:sms:bulk").contains_key("u1:6:0"));
    db.check_invariants();
}

#[test]
fn last_seen_couriers_are_returned_per_channel() {
    let db = Db::start();
    crate::order::Courier::on(&db, "c1", "vk").claim();
    let seen = db.snapshot().hash("channels:{0}")["vk"].clone();
    let order = Order::big("u1:5").channels(&[("email", 1), ("vk", 1)]);
    order.stage(&db);
    let Enqueued::Accepted { couriers_seen, .. } = order.enqueue(&db) else { panic!("refused") };
    let seen = std::str::from_utf8(&seen).expect("digits").parse().expect("digits");
    assert_eq!(couriers_seen, [None, Some(UnixMs(seen))]);
    let channels = db.snapshot().hash("channels:{0}");
    assert_eq!(
        (channels["email"].as_slice(), channels["vk"].as_slice()),
        (b"0".as_slice(), seen.to_string().as_bytes())
    );
}

#[test]
fn the_same_order_again_gets_the_same_answer() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE);
    let first = step(&db, &order);
    db.again();
    let second = step(&db, &order);
    let (_, now, accepted_at, due) = accepted(&first);
    assert_eq!(accepted(&second), (true, now, accepted_at, due));
    assert_eq!(second.changes, Vec::<String>::new());
    // Also if only its digest is the same, long after it was sent.
    db.later(MINUTE * 2);
    crate::order::Courier::new(&db, "c1").claim_one();
    refused_as_same(&db, &order);
}

fn refused_as_same(db: &Db, order: &Order) {
    let pieces = order.pieces();
    let reply = db.unchanged(&order.call(db, pieces.as_deref()));
    assert!(matches!(reply, Enqueued::Accepted { already_done: true, .. }), "{reply:?}");
}

#[test]
fn another_body_with_the_same_order_id_is_a_conflict() {
    let db = Db::start();
    let order = Order::inline("u1:5");
    order.accept(&db);
    refused(&db, &Order { digest: 8, ..order.clone() }, &Enqueued::Conflict);
    let big = Order { big: true, digest: 8, ..order };
    refused(&db, &big, &Enqueued::Conflict);
}

#[test]
fn an_order_that_ends_before_it_is_due_is_late() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE);
    refused(&db, &Order { not_after: order.due, ..order.clone() }, &Enqueued::ExpiresBeforeDue);
    refused(&db, &Order { not_after: Some(UnixMs(5)), ..Order::inline("u1:6") }, &Enqueued::ExpiresBeforeDue);
    let last = order.due.map(|due| UnixMs(due.0 + 1));
    Order { not_after: last, ..order }.accept(&db);
}

#[test]
fn a_big_order_needs_its_staged_parcels() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 501), ("sms", 1)]);
    refused(&db, &order, &Enqueued::UploadLost);
    order.stage(&db);
    // One parcel less or more, a channel less or more.
    for channels in [
        [("email", 500), ("sms", 1)].as_slice(),
        &[("email", 1001), ("sms", 1)],
        &[("email", 501)],
        &[("email", 501), ("sms", 0)],
        &[("email", 501), ("sms", 1), ("vk", 1)],
        &[("email", 501), ("vk", 1)],
    ] {
        refused(&db, &order.clone().channels(channels), &Enqueued::Incomplete);
    }
    db.later(Duration::from_secs(901));
    refused(&db, &order, &Enqueued::UploadLost);
}

#[test]
fn only_the_first_parcel_staged_is_incomplete() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(1_000);
    let parcels = [(order.channels[0].0.clone(), 0, vec![1])];
    db.reply(&StageParcels {
        keys: &db.keys,
        order_id: &order.order_id,
        upload: UPLOAD,
        open: Some(&[1]),
        parcels: &parcels,
    });
    refused(&db, &order, &Enqueued::Incomplete);
}

#[test]
fn an_order_that_could_not_be_processed_is_bad() {
    let db = Db::start();
    refused(&db, &Order::inline("u1:5").deliveries(0), &Enqueued::Invalid);
    refused(&db, &Order::inline("u1:5").channels(&[]), &Enqueued::Invalid);
    refused(&db, &Order::inline("u1:5").channels(&[("email", 1), ("sms", 1)]), &Enqueued::Invalid);
    let order = Order::inline("u1:5");
    let history = db.keys.history(&order.order_id);
    db.raw(&["SET", &history, "something else"]);
    refused(&db, &order, &Enqueued::Unreadable);
    db.raw(&["DEL", &history]);
    order.accept(&db);
    // A head of a later version, a truncated head.
    for head in [[b"\x02".as_slice(), &[0; 60]].concat(), vec![1; 33]] {
        db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
        refused(&db, &order, &Enqueued::Unreadable);
    }
}

#[test]
fn indexes_of_a_wrong_type_stop_it_before_it_writes() {
    let order = Order::inline("u1:5");
    for key in ["ready:{0}:email:bulk", "orders:{0}", "sender:{0}:u1", "channels:{0}"] {
        let db = Db::start();
        db.raw(&["SET", key, "x"]);
        let (before, pieces) = (db.snapshot(), order.pieces());
        let refusal = db.call(&order.call(&db, pieces.as_deref())).expect_err("refused");
        assert!(refusal.to_string().contains("WRONGTYPE"), "{key}: {refusal}");
        assert!(db.snapshot() == before, "{key}");
    }
}
