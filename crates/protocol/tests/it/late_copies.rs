//! Late copies of calls: a network may delay any command and deliver it after the next ones, even after the end.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, report};

const MINUTE: Duration = Duration::from_secs(60);

/// A whole life: accepted, rescheduled, promoted, claimed, renewed, released, begun, refused, unknown, repeated,
/// delivered. `check` runs after each call and may do anything.
fn life(db: &Db, big: bool, mut check: impl FnMut(&Db)) {
    let order = Order::of_layout(big, "u1:5").deliveries(2).due_in(db, MINUTE);
    order.accept(db);
    check(db);
    let due = db.now().after(MINUTE * 2);
    db.reply(&Reschedule { keys: &db.keys, order_id: &order.order_id, due, not_after: None, revision: 0 });
    check(db);
    db.later(MINUTE * 3);
    db.reply(&PromoteDue { keys: &db.keys });
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
    courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Retry)]);
    check(db);
    courier.begun(&parcel, &[(0, 2)]);
    check(db);
    courier.settle(&parcel, false, &[report(1, 1, OutcomeKind::NotSent)]);
    check(db);
    courier.crash();
    check(db);
    let decisions = [(0, 2, Decision::Retry)];
    db.reply(&Resolve { keys, channel, parcel_id: &order.parcel_id(0), decisions: &decisions });
    check(db);
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 3), (1, 2)]);
    check(db);
    courier.settle(&parcel, false, &[report(1, 2, OutcomeKind::Unknown)]);
    check(db);
    courier.settle(&parcel, true, &[report(0, 3, OutcomeKind::Sent)]);
    check(db);
    let decisions = [(1, 2, Decision::Found(OutcomeKind::Failed, Reason::Rejected.into()))];
    db.reply(&Resolve { keys, channel, parcel_id: &order.parcel_id(0), decisions: &decisions });
    check(db);
    db.reply(&Cancel { keys, order_id: &order.order_id });
    check(db);
}

#[test]
fn after_the_end_no_copy_changes_anything() {
    for big in [false, true] {
        let db = Db::start();
        life(&db, big, |_| {});
        db.check_invariants();
        for at in 0..db.sent() {
            db.harmless(at);
        }
    }
}

/// After every step of a life, a copy of every earlier call: whatever it does, no delivery goes back, none is lost,
/// and the next step has the same result as without it.
#[test]
fn a_late_copy_never_breaks_anything() {
    for big in [false, true] {
        let db = Db::start();
        life(&db, big, |db| {
            let before = deliveries(db);
            for at in 0..db.sent() {
                // A late copy of reschedule moves an order that still waits once more: the only copy that has an
                // effect.
                db.late_copy(at);
                let faults = db.faults();
                assert!(faults.is_empty(), "copy of call {at}: {faults:#?}");
            }
            assert_eq!(deliveries(db), before);
        });
    }
}

/// State and attempt of both deliveries.
fn deliveries(db: &Db) -> Vec<(posthaste_model::State, u8)> {
    let outcomes = Order::inline("u1:5").try_outcomes(db, 0).expect("outcomes");
    outcomes.deliveries().map(|delivery| (delivery.state, delivery.attempt)).collect()
}
