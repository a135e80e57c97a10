//! `reschedule`: an order that is wholly in `due` moves, any other does not.

use std::time::Duration;

use posthaste_model::{OutcomeKind, UnixMs};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::reschedule::{Reschedule, Rescheduled};

use crate::db::Db;
use crate::order::{Courier, Order, report};

const MINUTE: Duration = Duration::from_secs(60);

fn to<'a>(db: &'a Db, order: &'a Order, due: UnixMs) -> Reschedule<'a> {
    let revision = order.revision(db);
    Reschedule { keys: &db.keys, order_id: &order.order_id, due, not_after: None, revision }
}

#[test]
fn an_order_moves_with_its_bell_and_its_end() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").urgent().due_in(&db, MINUTE).accept(&db).clone();
        let head = order.head(&db);
        let due = head.due.after(MINUTE * 30);
        let step = db.step(&to(&db, &order, due));
        assert_eq!(step.reply, Rescheduled::Ok { due, not_after: due.after(crate::order::SPAN) });
        let names = [("was", head.due.0), ("due", due.0), ("accepted", head.accepted.0)];
        let kind = if big { "parcels" } else { "inline" };
        let line = format!(
            "~ history:{{0}}:u1:5 h: {kind} urgent d accepted @accepted due @was until @was+259200000 digest 7 email=1 -> \
             {kind} urgent d accepted @accepted due @due until @due+259200000 digest 7 email=1"
        );
        step.changed(
            &names,
            &[
                &line,
                "+ history:{0}:u1:5 v: 1",
                "~ due:{0}:urgent u1:5: @was -> @due",
                "~ delivery:{0}:u1:5: 0 until @was -> 0 until @due",
            ],
        );
        db.check_invariants();
        // Nothing is promoted at the old time; the order is at the new one.
        db.later(MINUTE * 2);
        assert_eq!(db.reply(&PromoteDue { keys: &db.keys }).parcels, 0);
        db.later(MINUTE * 30);
        assert_eq!(db.reply(&PromoteDue { keys: &db.keys }).parcels, 1);
    }
}

#[test]
fn moving_twice_to_the_same_time_only_counts_up() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE).accept(&db).clone();
    let due = db.now().after(MINUTE * 2);
    db.reply(&to(&db, &order, due));
    let step = db.step(&to(&db, &order, due));
    step.changed(&[], &["~ history:{0}:u1:5 v: 1 -> 2"]);
}

#[test]
fn an_old_copy_moves_nothing_back() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").due_in(&db, MINUTE).accept(&db).clone();
        let (first, then) = (db.now().after(MINUTE * 2), db.now().after(MINUTE * 4));
        let old = to(&db, &order, first);
        db.reply(&old);
        let not_after = first.after(crate::order::SPAN);
        // Its reply was lost: the same call again shows that it was done.
        assert_eq!(db.unchanged(&old), Rescheduled::Changed { revision: 1, due: first, not_after });
        db.reply(&to(&db, &order, then));
        let not_after = then.after(crate::order::SPAN);
        assert_eq!(db.unchanged(&old), Rescheduled::Changed { revision: 2, due: then, not_after });
        // Not even to its former time.
        db.reply(&to(&db, &order, order.head(&db).due));
        assert!(matches!(db.unchanged(&old), Rescheduled::Changed { revision: 3, .. }));
    }
}

#[test]
fn an_order_may_be_moved_to_now() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").due_in(&db, MINUTE).accept(&db).clone();
        let step = db.step(&to(&db, &order, UnixMs(5)));
        let now = UnixMs(step.now);
        assert_eq!(step.reply, Rescheduled::Ok { due: now, not_after: now.after(crate::order::SPAN) });
        db.check_invariants();
        db.pass(now);
        assert_eq!(Courier::new(&db, "c1").claim().len(), 1);
        db.check_invariants();
    }
}

#[test]
fn an_order_may_get_another_end() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE).accept(&db).clone();
    let (due, end) = (db.now().after(MINUTE * 2), db.now().after(MINUTE * 3));
    let moved = Reschedule { not_after: Some(end), ..to(&db, &order, due) };
    assert_eq!(db.reply(&moved), Rescheduled::Ok { due, not_after: end });
    assert_eq!((order.head(&db).due, order.head(&db).not_after), (due, end));
    let late = Reschedule { not_after: Some(due), ..to(&db, &order, due) };
    assert_eq!(db.unchanged(&late), Rescheduled::ExpiresBeforeDue);
}

#[test]
fn a_promoted_order_does_not_move() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(300_000).due_in(&db, MINUTE).accept(&db).clone();
    let later = db.now().after(MINUTE * 9);
    db.later(MINUTE * 2);
    assert_eq!(db.unchanged(&to(&db, &order, later)), Rescheduled::Started, "its time has come");
    db.reply(&PromoteDue { keys: &db.keys });
    assert_eq!(db.unchanged(&to(&db, &order, later)), Rescheduled::Started, "some parcels are in ready");
    db.reply(&PromoteDue { keys: &db.keys });
    assert_eq!(db.unchanged(&to(&db, &order, later)), Rescheduled::Started, "all parcels are in ready");
    let now = Order::inline("u1:6").accept(&db).clone();
    assert_eq!(db.unchanged(&to(&db, &now, later)), Rescheduled::Started, "it was for now");
}

#[test]
fn an_ended_order_does_not_move() {
    let db = Db::start();
    let later = db.now().after(MINUTE * 9);
    let done = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
    assert_eq!(db.unchanged(&to(&db, &done, later)), Rescheduled::Finished);
    for big in [false, true] {
        let order =
            Order::of_layout(big, if big { "u1:6" } else { "u1:7" }).due_in(&db, MINUTE).accept(&db).clone();
        db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
        assert_eq!(db.unchanged(&to(&db, &order, later)), Rescheduled::Cancelled);
    }
}

#[test]
fn missing_and_unreadable_orders_are_refused() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE);
    let later = db.now().after(MINUTE * 9);
    let call =
        Reschedule { keys: &db.keys, order_id: &order.order_id, due: later, not_after: None, revision: 0 };
    let refused = |why| assert_eq!(db.unchanged(&call), why);
    refused(Rescheduled::NotFound);
    let history = db.keys.history(&order.order_id);
    db.raw(&["SET", &history, "x"]);
    refused(Rescheduled::Unreadable);
    db.raw(&["DEL", &history]);
    order.accept(&db);
    for head in [[[2].as_slice(), &[0; 60]].concat(), vec![1; 20], vec![]] {
        db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
        refused(Rescheduled::Unreadable);
    }
}
