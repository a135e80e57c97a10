//! `renew` and `release`: a lease is extended, or given back.

use std::time::Duration;

use posthaste_model::OutcomeKind;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::settle::AttemptReport;
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::{Db, Step};
use crate::order::{Courier, LEASE, Order, report};

fn renew<'a>(courier: &'a Courier<'a>, db: &'a Db, parcels: &'a [ParcelRef]) -> Renew<'a> {
    Renew { keys: &db.keys, channel: &courier.channel, lease: LEASE, parcels }
}

fn release(courier: &Courier<'_>, db: &Db, wait: Duration, parcel: &ParcelRef) -> Step<Vec<ParcelCode>> {
    let (keys, channel) = (&db.keys, &courier.channel);
    db.step(&Release { keys, channel, wait, parcels: std::slice::from_ref(parcel) })
}

#[test]
fn a_lease_is_renewed_from_now_on() {
    let db = Db::start();
    Order::inline("u1:1").accept(&db);
    Order::inline("u1:2").accept(&db);
    let courier = Courier::new(&db, "c1");
    let mut parcels = courier.claim();
    parcels[1].fence += 1;
    let until = db.snapshot().sorted("leased:{0}:email")["u1:1:0"];
    db.later(Duration::from_secs(3));
    let step = db.step(&renew(&courier, &db, &parcels));
    assert_eq!(step.reply, [Renewed::Renewed, Renewed::LeaseLost]);
    step.changed(&[("until", until - 3_000)], &["~ leased:{0}:email u1:1:0: @until -> @now+10000"]);
    // A copy with a shorter time changes nothing: a lease is never shortened.
    let shorter = Renew { lease: Duration::from_millis(1), ..renew(&courier, &db, &parcels) };
    assert_eq!(db.unchanged(&shorter)[0], Renewed::Renewed);
    assert_eq!(db.unchanged(&renew(&courier, &db, &[])), []);
}

#[test]
fn a_lease_that_is_over_is_not_renewed() {
    let db = Db::start();
    Order::inline("u1:1").accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcels = [courier.claim_one()];
    db.later(LEASE);
    assert_eq!(db.unchanged(&renew(&courier, &db, &parcels)), [Renewed::LeaseExpired]);
    db.reply(&courier.sweeping());
    assert_eq!(db.unchanged(&renew(&courier, &db, &parcels)), [Renewed::LeaseLost]);
    Courier::new(&db, "c2").claim_one();
    assert_eq!(db.unchanged(&renew(&courier, &db, &parcels)), [Renewed::LeaseLost]);
}

#[test]
fn released_parcels_are_ready_at_once_and_count_no_crash() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    db.pass(db.now());
    let step = release(&courier, &db, Duration::ZERO, &parcel);
    assert_eq!(step.reply, [ParcelCode::Ready]);
    // In its former place: before parcels that came in the meantime.
    step.changed(
        &[("due", order.head(&db).due.0)],
        &["- leased:{0}:email u1:5:0", "- lease:{0}:email u1:5:0", "+ ready:{0}:email:bulk u1:5:0: @due"],
    );
    db.again();
    assert_eq!(release(&courier, &db, Duration::ZERO, &parcel).reply, [ParcelCode::LeaseLost]);
    db.check_invariants();
}

#[test]
fn released_parcels_may_wait() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    let step = release(&courier, &db, Duration::from_secs(60), &parcel);
    assert!(step.changes.contains(&format!("+ ready:{{0}}:email:bulk u1:5:0: {}", step.now + 60_000)));
    // But never past its end.
    db.later(Duration::from_secs(61));
    let parcel = courier.claim_one();
    let step = release(&courier, &db, Duration::from_secs(100 * 3600), &parcel);
    let end = order.head(&db).not_after.0;
    assert!(step.changes.contains(&format!("+ ready:{{0}}:email:bulk u1:5:0: {end}")), "{:#?}", step.changes);
}

#[test]
fn a_parcel_is_ready_when_the_first_of_its_deliveries_may_be_begun() {
    for waits in [[60_000, 5_000], [5_000, 60_000]] {
        let db = Db::start();
        let order = Order::inline("u1:5").deliveries(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        let throttled =
            |delivery, value| AttemptReport { value, ..report(delivery, 1, OutcomeKind::NotSent) };
        courier.settle(&parcel, true, &[throttled(0, waits[0]), throttled(1, waits[1])]);
        let first = (0..2).filter_map(|i| order.delivery(&db, i).not_before).min().expect("a wait");
        assert_eq!(db.snapshot().sorted("ready:{0}:email:bulk")["u1:5:0"], first.0);
    }
}

#[test]
fn a_parcel_with_a_delivery_on_the_wire_stays() {
    let db = Db::start();
    Order::inline("u1:5").deliveries(2).accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let step = release(&courier, &db, Duration::ZERO, &parcel);
    assert_eq!((step.reply, step.changes), (vec![ParcelCode::Sending], vec![]));
}

#[test]
fn a_parcel_without_pending_deliveries_leaves() {
    let db = Db::start();
    Order::inline("u1:5").deliveries(2).accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent)]);
    courier.settle(&parcel, false, &[report(1, 1, OutcomeKind::Unknown)]);
    let step = release(&courier, &db, Duration::ZERO, &parcel);
    assert_eq!(step.reply, [ParcelCode::LeaseLost], "it left when its last delivery was settled");
    db.check_invariants();
}

#[test]
fn deliveries_of_a_cancelled_order_end_when_it_is_released() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    db.raw(&["HSET", "crashes:{0}:email", "u1:5:0", "1 5"]);
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    let step = release(&courier, &db, Duration::ZERO, &parcel);
    assert_eq!(step.reply, [ParcelCode::Settled]);
    let day = step.now / 86_400_000;
    let retired = format!("+ retire:{{0}}:{day}: u1:5");
    step.changed(
        &[],
        &[
            "- leased:{0}:email u1:5:0",
            "- lease:{0}:email u1:5:0",
            "- crashes:{0}:email u1:5:0",
            "+ history:{0}:u1:5 o: 0/0/0 cancelled#0,cancelledx2",
            "~ history:{0}:u1:5 v: 1 -> 2",
            "+ history:{0}:u1:5 f: @now",
            &retired,
        ],
    );
    db.check_invariants();
}

#[test]
fn unreadable_records_stay_for_reclaim_leases() {
    let newer = [[2].as_slice(), &[0; 60]].concat();
    for (head, code) in [
        (None, ParcelCode::NotFound),
        (Some(newer), ParcelCode::NewerVersion),
        (Some(vec![1; 9]), ParcelCode::Unreadable),
    ] {
        let db = Db::start();
        let order = Order::inline("u1:5").accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        let history = db.keys.history(&order.order_id);
        match head {
            None => drop(db.raw(&["DEL", &history])),
            Some(head) => drop(db.raw(&[b"HSET", history.as_bytes(), b"h", &head])),
        }
        let step = release(&courier, &db, Duration::ZERO, &parcel);
        assert_eq!((step.reply, step.changes), (vec![code], vec![]));
    }
    let db = Db::start();
    let courier = Courier::new(&db, "c1");
    let nothing = Release { keys: &db.keys, channel: &courier.channel, wait: Duration::ZERO, parcels: &[] };
    assert_eq!(db.unchanged(&nothing), []);
}
