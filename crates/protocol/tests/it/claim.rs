//! `claim`: what is taken, in which order, and what happens to the rest.

use std::time::Duration;

use posthaste_model::{Priority, UnixMs};
use posthaste_protocol::scripts::begin::DeliveryBegun;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::{Claim, ClaimReply, ClaimedParcels};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN};

pub(crate) fn accept(db: &Db, names: &[&str]) -> Vec<Order> {
    names.iter().map(|name| Order::inline(name).accept(db).clone()).collect()
}

pub(crate) fn parcel_ids(taken: &ClaimedParcels) -> Vec<String> {
    taken.parcels.iter().map(|parcel| parcel.parcel_id.to_string()).collect()
}

#[test]
fn claimed_parcels_get_a_lease_and_one_fence() {
    let db = Db::start();
    accept(&db, &["u1:1", "u1:2"]);
    let courier = Courier::new(&db, "c1");
    let step = db.step(&courier.next());
    let ClaimReply::Claimed(taken) = &step.reply else { panic!("{:?}", step.reply) };
    assert_eq!(parcel_ids(taken), ["u1:1:0", "u1:2:0"]);
    assert!(!taken.already_done && taken.unreadable.is_empty() && taken.oldest.is_none());
    assert_eq!((taken.waiting, taken.promoted, taken.next), (0, 0, Some(UnixMs(step.now + 10_000))));
    let first = &taken.parcels[0];
    assert!(!first.careful && first.head.inline);
    assert_eq!(first.inline.as_ref().expect("deliveries").deliveries.len(), 1);
    assert_eq!(first.outcomes.as_ref().expect("outcomes").counts(), (1, 0, 0));
    step.changed(
        &[],
        &[
            "- ready:{0}:email:bulk u1:1:0",
            "- ready:{0}:email:bulk u1:2:0",
            "+ leased:{0}:email u1:1:0: @now+10000",
            "+ leased:{0}:email u1:2:0: @now+10000",
            "+ lease:{0}:email u1:1:0: 3 0 0 0 c1",
            "+ lease:{0}:email u1:2:0: 3 0 0 0 c1",
            "~ fence:{0}: 2 -> 3",
            "+ request:{0}:email c1: 1 3 u1:1:0 u1:2:0",
            "+ couriers:{0}:email c1: @now",
            "~ channels:{0} email: 0 -> @now",
        ],
    );
    db.check_invariants();
}

#[test]
fn an_empty_claim_uses_no_fence() {
    let db = Db::start();
    let courier = Courier::new(&db, "c1");
    let step = db.step(&courier.next());
    let ClaimReply::Claimed(taken) = &step.reply else { panic!("{:?}", step.reply) };
    assert!(taken.parcels.is_empty() && taken.next.is_none());
    step.changed(
        &[],
        &["+ request:{0}:email c1: 1 0 ", "+ couriers:{0}:email c1: @now", "+ channels:{0} email: @now"],
    );
}

#[test]
fn a_parcel_claimed_by_itself_is_marked_alone() {
    let db = Db::start();
    accept(&db, &["u1:1"]);
    Courier::new(&db, "c1").claim_one();
    assert_eq!(db.snapshot().hash("lease:{0}:email")["u1:1:0"], b"2 0 1 0 c1");
}

#[test]
fn a_lost_reply_is_repeated_for_the_same_number() {
    let db = Db::start();
    accept(&db, &["u1:1", "u1:2", "u1:3"]);
    let courier = Courier::new(&db, "c1");
    let first = db.answer(&Claim { limit: 2, ..courier.next() });
    let ClaimReply::Claimed(taken) = &first.reply else { panic!("{first:?}") };
    // Another courier claims in the meantime.
    Order::inline("u1:4").accept(&db);
    let other = Courier::new(&db, "c9");
    other.take(&Claim { limit: 1, ..other.next() });
    let again = db.answer(&courier.same());
    let ClaimReply::Claimed(same) = &again.reply else { panic!("{again:?}") };
    assert!(same.already_done && first.fence == again.fence);
    assert_eq!(parcel_ids(same), parcel_ids(taken));
    assert_eq!((same.waiting, same.parcels[0].head.clone()), (1, taken.parcels[0].head.clone()));
    assert!(matches!(db.unchanged(&courier.same()), ClaimReply::Claimed(_)));
    // Parcels settled or released in the meantime are no longer in the reply.
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence: first.fence };
    courier.begun(&parcel, &[(0, 1)]);
    courier.settle(&parcel, true, &[crate::order::report(0, 1, posthaste_model::OutcomeKind::Sent)]);
    let (same, _) = courier.take(&courier.same());
    assert_eq!(parcel_ids(&same), ["u1:2:0"]);
    courier.crash();
    let other = Courier::new(&db, "c2");
    other.claim();
    assert!(courier.take(&courier.same()).1.is_empty());
}

#[test]
fn a_smaller_number_is_an_old_copy() {
    let db = Db::start();
    let courier = Courier::new(&db, "c1");
    courier.claim();
    courier.claim();
    accept(&db, &["u1:1"]);
    let old = Claim { number: 1, ..courier.same() };
    assert!(matches!(db.unchanged(&old), ClaimReply::Outdated));
    assert!(courier.take(&courier.same()).1.is_empty(), "a number already answered takes nothing more");
    assert_eq!(courier.claim().len(), 1);
    // Numbers are each courier's own.
    let other = Courier::new(&db, "c2");
    assert!(!other.take(&other.next()).0.already_done);
}

#[test]
fn urgent_comes_before_bulk_and_bulk_has_a_limit() {
    let db = Db::start();
    accept(&db, &["u1:1", "u1:2", "u1:3"]);
    for name in ["u2:1", "u2:2", "u2:3"] {
        Order::inline(name).urgent().accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    let (taken, _) = courier.take(&Claim { limit: 2, bulk_limit: 2, ..courier.next() });
    assert_eq!(parcel_ids(&taken), ["u2:1:0", "u2:2:0"]);
    let (taken, _) = courier.take(&Claim { limit: 4, bulk_limit: 1, ..courier.next() });
    assert_eq!(parcel_ids(&taken), ["u2:3:0", "u1:1:0"]);
    let (taken, _) = courier.take(&Claim { limit: 4, bulk_limit: 0, ..courier.next() });
    assert!(parcel_ids(&taken).is_empty() && taken.waiting == 2);
    assert!(taken.oldest.is_some());
}

#[test]
fn a_parcel_that_waits_is_not_taken_early() {
    let db = Db::start();
    let order = accept(&db, &["u1:1"]).remove(0);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let mut retry = crate::order::report(0, 1, posthaste_model::OutcomeKind::Retry);
    retry.value = 5_000;
    courier.settle(&parcel, true, &[retry]);
    let until = order.delivery(&db, 0).not_before.expect("a wait");
    let (taken, parcels) = courier.take(&courier.next());
    assert_eq!((parcels.len(), taken.waiting, taken.oldest), (0, 1, Some(until)));
    db.later(Duration::from_millis(5_010));
    courier.claim_one();
}

#[test]
fn deliveries_of_inline_orders_are_begun_at_once() {
    let db = Db::start();
    let orders = [
        Order::inline("u1:1").deliveries(2),
        Order::big("u1:2"),
        Order::inline("u1:3"),
        Order::inline("u1:4"),
    ];
    orders.iter().for_each(|order| drop(order.accept(&db).clone()));
    let courier = Courier::new(&db, "c1");
    let step = db.step(&Claim { begin: 3, ..courier.next() });
    let ClaimReply::Claimed(taken) = &step.reply else { panic!("{:?}", step.reply) };
    let counts: Vec<_> =
        taken.parcels.iter().map(|p| p.outcomes.as_ref().map(|outcomes| outcomes.counts())).collect();
    assert_eq!(counts, [Some((0, 2, 0)), None, Some((0, 1, 0)), Some((1, 0, 0))]);
    let until = step.now + 30_000;
    let lease = db.snapshot().hash("lease:{0}:email");
    assert_eq!(lease["u1:1:0"], format!("5 1 0 {until} c1").as_bytes());
    assert_eq!(lease["u1:2:0"], b"5 0 0 0 c1");
    assert_eq!(lease["u1:4:0"], b"5 0 0 0 c1");
    // The reply matches what is stored, and a repeat begins nothing more.
    for (parcel, order) in taken.parcels.iter().zip(&orders).filter(|(_, order)| !order.big) {
        assert_eq!(parcel.outcomes, order.try_outcomes(&db, 0));
    }
    assert_eq!(parcel_ids(&courier.take(&courier.same()).0).len(), 4);
    db.again();
    db.check_invariants();
}

#[test]
fn a_retried_delivery_is_begun_at_once_under_its_next_attempt() {
    let db = Db::start();
    for deliveries in [1, 2] {
        db.reset();
        let order = Order::inline("u1:1").deliveries(deliveries).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        courier.settle(&parcel, true, &[crate::order::report(0, 1, posthaste_model::OutcomeKind::Retry)]);
        let (taken, parcels) = courier.take(&Claim { begin: 1, ..courier.next() });
        let delivery =
            taken.parcels[0].outcomes.as_ref().and_then(|outcomes| outcomes.delivery(0)).expect("a delivery");
        assert_eq!(
            (delivery.state, delivery.attempt, delivery.tries),
            (posthaste_model::State::Sending, 2, 1)
        );
        assert_eq!(Some(delivery), order.try_outcomes(&db, 0).and_then(|outcomes| outcomes.delivery(0)));
        let (code, begun) = courier.begin(&parcels[0], &[(0, 2)]);
        assert_eq!((code, begun), (ParcelCode::Ok, vec![DeliveryBegun::Begun { token: 0 }]), "begun already");
        assert_eq!(db.snapshot().hash("history:{0}:u1:1")["v"], b"3", "revisions count on");
        db.check_invariants();
    }
}

#[test]
fn deliveries_that_wait_are_not_begun_at_once() {
    let db = Db::start();
    for tokens in [false, true] {
        db.reset();
        let order = Order::inline("u1:1").deliveries(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begin_with(&parcel, &[(0, 1)], u16::from(tokens));
        let mut throttled = crate::order::report(0, 1, posthaste_model::OutcomeKind::NotSent);
        throttled.value = 60_000;
        courier.settle(&parcel, true, &[throttled]);
        courier.take(&Claim { begin: 9, ..courier.next() });
        let outcomes = order.try_outcomes(&db, 0).expect("outcomes");
        assert_eq!(outcomes.counts(), (1, 1, 0), "tokens: {tokens}");
        assert_eq!(outcomes.delivery(0).expect("a delivery").attempt, 1);
    }
}

#[test]
fn a_marked_parcel_is_claimed_alone() {
    let db = Db::start();
    accept(&db, &["u1:1", "u1:2", "u1:3"]);
    let courier = Courier::new(&db, "c1");
    db.raw(&["HSET", "crashes:{0}:email", "u1:2:0", &format!("0 {}", db.now().0)]);
    let (taken, _) = courier.take(&Claim { begin: 9, ..courier.next() });
    assert_eq!(parcel_ids(&taken), ["u1:1:0", "u1:3:0"]);
    assert!(taken.parcels.iter().all(|p| p.outcomes.as_ref().expect("outcomes").counts() == (0, 1, 0)));
    accept(&db, &["u1:4"]);
    let (taken, _) = courier.take(&Claim { begin: 9, ..courier.next() });
    assert_eq!(parcel_ids(&taken), ["u1:2:0"]);
    assert!(taken.parcels[0].careful);
    assert_eq!(
        taken.parcels[0].outcomes.as_ref().expect("outcomes").counts(),
        (1, 0, 0),
        "nothing is begun at once"
    );
    assert_eq!(db.snapshot().hash("lease:{0}:email")["u1:2:0"], b"6 0 1 0 c1");
    let (again, _) = courier.take(&courier.same());
    assert!(again.parcels[0].careful);
    let (taken, _) = courier.take(&courier.next());
    assert_eq!(parcel_ids(&taken), ["u1:4:0"]);
}

#[test]
fn a_marked_bulk_parcel_that_waited_long_goes_before_urgent_ones() {
    let db = Db::start();
    // On a machine that stalls for a second it has waited long after all: then try again.
    let courier = posthaste_rig::eventually("a claim before it has waited long", || {
        db.reset();
        accept(&db, &["u1:1"]);
        let courier = Courier::new(&db, "c1");
        db.raw(&["HSET", "crashes:{0}:email", "u1:1:0", &format!("0 {}", db.now().0)]);
        let since = db.now().0 - 29_000;
        db.raw(&["ZADD", "ready:{0}:email:bulk", &since.to_string(), "u1:1:0"]);
        Order::inline("u1:2").urgent().accept(&db);
        let (taken, _) = courier.take(&courier.next());
        if db.now().0 >= since + 30_000 {
            return Err("not this time");
        }
        assert_eq!(parcel_ids(&taken), ["u1:2:0"], "it has not waited long");
        Ok(courier)
    });
    db.later(Duration::from_secs(2));
    Order::inline("u1:3").urgent().accept(&db);
    let none = Claim { bulk_limit: 0, limit: 0, ..courier.next() };
    assert_eq!(parcel_ids(&courier.take(&none).0), [""; 0], "no room for bulk");
    let (taken, _) = courier.take(&courier.next());
    assert_eq!(parcel_ids(&taken), ["u1:1:0"]);
    assert!(taken.parcels[0].careful);
    assert_eq!(parcel_ids(&courier.take(&courier.next()).0), ["u1:3:0"]);
}

#[test]
fn parcels_of_a_cancelled_or_expired_order_end_when_claimed() {
    for (cancel, word) in [(true, "cancelled#0,cancelled"), (false, "expired#0,expired")] {
        let db = Db::start();
        let orders = [
            Order::inline("u1:1").deliveries(2).accept(&db).clone(),
            Order::big("u1:2").deliveries(501).accept(&db).clone(),
        ];
        let courier = Courier::new(&db, "c1");
        // Promoted, but not claimed.
        courier.take(&Claim { limit: 0, ..courier.next() });
        if cancel {
            for order in &orders {
                db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
            }
        } else {
            db.later(SPAN);
        }
        let deliveries = if cancel { "cancelled" } else { "expired" };
        let step = db.step(&courier.next());
        let ClaimReply::Claimed(taken) = &step.reply else { panic!("{:?}", step.reply) };
        assert_eq!((taken.closed, taken.parcels.len()), (3, 0));
        let reported = |name: &str| step.changes.iter().any(|line| line == name);
        assert!(reported(&format!("+ history:{{0}}:u1:1 o: 0/0/0 {word}x2")), "{:#?}", step.changes);
        assert!(reported(&format!("+ outcome:{{0}}:u1:2:email:0: 0/0/0 {word}x500")), "{:#?}", step.changes);
        assert!(reported(&format!("+ outcome:{{0}}:u1:2:email:1: 0/0/0 {word}")), "{:#?}", step.changes);
        assert!(
            reported(&format!("~ history:{{0}}:u1:2 c:email: pending=501 -> {deliveries}=501")),
            "{:#?}",
            step.changes
        );
        db.check_invariants();
        assert_eq!(courier.take(&courier.next()).0.closed, 0);
    }
}

#[test]
fn closing_is_bounded() {
    let db = Db::start();
    Order::big("u1:1").deliveries(5_000).accept(&db);
    let courier = Courier::new(&db, "c1");
    db.later(SPAN);
    assert_eq!(courier.take(&courier.next()).0.closed, 8, "4,000 deliveries per call");
    db.check_invariants();
    assert_eq!(courier.take(&courier.next()).0.closed, 2);
    db.check_invariants();
}

#[test]
fn two_couriers_never_hold_the_same_parcel() {
    let db = Db::start();
    accept(&db, &["u1:1", "u1:2", "u1:3"]);
    let (one, two) = (Courier::new(&db, "c1"), Courier::new(&db, "c2"));
    let (first, _) = one.take(&Claim { limit: 2, ..one.next() });
    let (second, _) = two.take(&two.next());
    assert_eq!(
        (parcel_ids(&first), parcel_ids(&second)),
        (vec!["u1:1:0".into(), "u1:2:0".into()], vec!["u1:3:0".to_owned()])
    );
    db.later(LEASE * 2);
    assert!(two.claim().is_empty(), "an expired lease is left to reclaim_leases");
}

#[test]
fn priorities_are_claimed_by_age() {
    let db = Db::start();
    let orders = accept(&db, &["u1:1"]);
    db.later(Duration::from_secs(5));
    accept(&db, &["u1:2"]);
    let ready = db.snapshot().sorted(&db.keys.ready(&orders[0].channels[0].0, Priority::Bulk));
    assert!(ready["u1:1:0"] < ready["u1:2:0"]);
    let courier = Courier::new(&db, "c1");
    let (taken, _) = courier.take(&Claim { limit: 1, ..courier.next() });
    assert_eq!(
        (parcel_ids(&taken), taken.oldest),
        (vec!["u1:1:0".to_owned()], Some(UnixMs(ready["u1:2:0"])))
    );
}

#[test]
fn the_next_moment_is_the_first_of_lease_due_time_and_send_by() {
    let db = Db::start();
    Order::inline("u1:1").accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    courier.settle(&parcel, true, &[crate::order::report(0, 1, posthaste_model::OutcomeKind::Unknown)]);
    let next = || courier.take(&courier.next()).0.next.map(|at| at.0);
    let send_by = db.snapshot().sorted("unresolved:{0}:email")["u1:1:0"];
    assert_eq!(next(), Some(send_by));
    let soon = Order::inline("u1:2").due_in(&db, Duration::from_secs(20)).accept(&db).clone();
    assert_eq!(next(), soon.due.map(|due| due.0));
    let sooner = Order::inline("u1:3").urgent().due_in(&db, Duration::from_secs(15)).accept(&db).clone();
    assert_eq!(next(), sooner.due.map(|due| due.0));
    Order::inline("u1:4").accept(&db);
    courier.claim_one();
    assert_eq!(next(), Some(db.snapshot().sorted("leased:{0}:email")["u1:4:0"]));
}

#[test]
fn marks_of_dropped_parcels_are_removed() {
    let db = Db::start();
    let orders = accept(&db, &["u1:1", "u1:2"]);
    for order in &orders {
        db.raw(&["HSET", "crashes:{0}:email", &order.parcel_id(0).to_string(), &format!("1 {}", db.now().0)]);
    }
    db.raw(&["DEL", &db.keys.history(&orders[0].order_id)]);
    db.reply(&Cancel { keys: &db.keys, order_id: &orders[1].order_id });
    let courier = Courier::new(&db, "c1");
    assert!(courier.claim().is_empty());
    assert!(db.snapshot().get("crashes:{0}:email").is_none());
}
