//! Late second copies: a network may hold any command back and deliver it after the next ones, even after the end.

use std::time::Duration;

use posthaste_model::{Reason, Verdict};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::ring::Ring;

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, report};

const MINUTE: Duration = Duration::from_secs(60);

/// A whole life: accepted, moved, rung, claimed, renewed, handed back, begun, refused, unknown, repeated, delivered. After
/// each call, `check` may do what it likes.
fn life(db: &Db, big: bool, mut check: impl FnMut(&Db)) {
    let order = Order::of_layout(big, "u1:5").rows(2).due_in(db, MINUTE);
    order.accept(db);
    check(db);
    let due = db.now().after(MINUTE * 2);
    db.reply(&Reschedule { keys: &db.keys, suffix: &order.suffix, due, not_after: None, revision: 0 });
    check(db);
    db.later(MINUTE * 3);
    db.reply(&Ring { keys: &db.keys });
    check(db);
    let courier = Courier::new(db, "c1");
    let (keys, channel) = (&db.keys, &courier.channel);
    let parcel = courier.claim_one();
    check(db);
    let parcels = std::slice::from_ref(&parcel);
    db.reply(&Renew { keys, channel, lease: LEASE, parcels });
    db.reply(&Release { keys, channel, wait: Duration::ZERO, parcels });
    check(db);
    let parcel = courier.take(&Claim { begin: 9, ..courier.next() }).1.remove(0);
    check(db);
    courier.begin(&parcel, &[(0, 1), (1, 1)]);
    check(db);
    courier.settle(&parcel, false, &[report(0, 1, Verdict::Retry)]);
    check(db);
    courier.begun(&parcel, &[(0, 2)]);
    check(db);
    courier.settle(&parcel, false, &[report(1, 1, Verdict::NotSent)]);
    check(db);
    courier.crash();
    check(db);
    let decisions = [(0, 2, Decision::Retry)];
    db.reply(&Resolve { keys, channel, member: &order.member(0), decisions: &decisions });
    check(db);
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 3), (1, 2)]);
    check(db);
    courier.settle(&parcel, false, &[report(1, 2, Verdict::Unknown)]);
    check(db);
    courier.settle(&parcel, true, &[report(0, 3, Verdict::Sent)]);
    check(db);
    let decisions = [(1, 2, Decision::Found(Verdict::Failed, Reason::Rejected))];
    db.reply(&Resolve { keys, channel, member: &order.member(0), decisions: &decisions });
    check(db);
    db.reply(&Cancel { keys, suffix: &order.suffix });
    check(db);
}

#[test]
fn after_the_end_no_copy_changes_anything() {
    for big in [false, true] {
        let db = Db::start();
        life(&db, big, |_| {});
        db.sound();
        for at in 0..db.sent() {
            db.harmless(at);
        }
    }
}

/// At every moment of a life, every copy of everything before: whatever it does, no row goes back, none is lost, and the
/// next step of the life does what it would have done.
#[test]
fn at_no_moment_does_a_copy_break_anything() {
    for big in [false, true] {
        let db = Db::start();
        life(&db, big, |db| {
            let before = rows(db);
            for at in 0..db.sent() {
                // A late move of an order that still waits moves it once more: the one copy that does something.
                db.late_copy(at);
                let faults = db.faults();
                assert!(faults.is_empty(), "copy of call {at}: {faults:#?}");
            }
            assert_eq!(rows(db), before);
        });
    }
}

/// State and attempt of both rows.
fn rows(db: &Db) -> Vec<(posthaste_model::State, u8)> {
    let outcomes = Order::inline("u1:5").try_outcomes(db, 0).expect("outcomes");
    outcomes.rows().map(|row| (row.state, row.attempt)).collect()
}
