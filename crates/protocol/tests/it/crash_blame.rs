//! `reclaim_leases`: what a courier's death is blamed on. It depends on what was in flight.

use posthaste_model::{OutcomeKind, Reason, State};
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::reclaim_leases::{ReclaimLeases, ReclaimedLeases};
use posthaste_protocol::scripts::resolve::{Decision, Resolve};

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN, WINDOW, report};

const NONE: ReclaimedLeases =
    ReclaimedLeases { next: None, parcels: 0, unresolved: 0, poison: 0, lost: 0, forgotten: 0 };

/// Deaths counted against a parcel: after a claim, and alone on the wire.
fn mark(db: &Db, parcel_id: &str) -> Option<(u64, u64)> {
    let marks = db.snapshot().hash("crashes:{0}:email");
    let text = String::from_utf8(marks.get(parcel_id)?.clone()).expect("a mark is text");
    let mut words = text.split(' ').map(|word| word.parse().expect("a number"));
    Some((words.next().expect("deaths"), words.nth(1).unwrap_or(0)))
}

fn states(db: &Db, order: &Order) -> Vec<State> {
    order.try_outcomes(db, 0).expect("outcomes").deliveries().map(|delivery| delivery.state).collect()
}

/// Claims one parcel alone and dies with nothing begun.
fn die_alone(courier: &Courier<'_>) -> ReclaimedLeases {
    courier.claim_one();
    courier.crash()
}

fn resolve(db: &Db, courier: &Courier<'_>, order: &Order, delivery: u16, attempt: u8, decision: Decision) {
    let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
    db.reply(&Resolve { keys, channel, parcel_id, decisions: &[(delivery, attempt, decision)] });
}

#[test]
fn three_deaths_after_a_claim_end_a_parcel() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(3).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        assert_eq!(courier.crash(), ReclaimedLeases { parcels: 1, unresolved: 1, ..NONE });
        assert_eq!(
            mark(&db, "u1:5:0"),
            None,
            "a delivery was on the wire, so deliveries not begun are not suspect"
        );
        for deaths in 1..=2 {
            assert_eq!(die_alone(&courier), ReclaimedLeases { parcels: 1, ..NONE });
            assert_eq!(mark(&db, "u1:5:0"), Some((deaths, 0)));
            db.check_invariants();
        }
        assert_eq!(die_alone(&courier), ReclaimedLeases { parcels: 1, poison: 1, ..NONE });
        assert_eq!(
            states(&db, &order),
            [State::Unresolved, State::Failed, State::Failed],
            "a delivery that may have been sent is not failed"
        );
        assert_eq!(order.delivery(&db, 1).reason, Reason::Poison);
        assert!(courier.claim().is_empty());
        assert!(mark(&db, "u1:5:0").is_some(), "its unresolved delivery may still be repeated, alone");
        db.check_invariants();
    }
}

#[test]
fn a_parcel_that_ended_leaves_no_mark() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    for poison in [0, 0, 1] {
        assert_eq!(die_alone(&courier).poison, poison);
    }
    assert_eq!(order.delivery(&db, 0).state, State::Failed);
    assert_eq!(mark(&db, "u1:5:0"), None);
    db.check_invariants();
}

#[test]
fn parcels_leased_or_sent_among_others_are_not_blamed() {
    let db = Db::start();
    let orders: Vec<_> =
        (1..=4).map(|n| Order::inline(&format!("u1:{n}")).deliveries(9).accept(&db).clone()).collect();
    let courier = Courier::new(&db, "c1");
    for death in 0..8 {
        let parcels = courier.claim();
        assert_eq!(parcels.len(), 4, "all are ready again together");
        // Of the first order nothing is ever on the wire.
        for parcel in &parcels[1..] {
            courier.begun(parcel, &[(death, 1)]);
        }
        assert_eq!(courier.crash(), ReclaimedLeases { parcels: 4, unresolved: 3, ..NONE });
        assert!(db.snapshot().get("crashes:{0}:email").is_none(), "death {death}");
        db.check_invariants();
    }
    assert_eq!(states(&db, &orders[0]), [State::Pending; 9]);
    assert_eq!(states(&db, &orders[1])[7..], [State::Unresolved, State::Pending]);
}

#[test]
fn a_parcel_taken_alone_is_not_blamed_when_its_courier_lived_on() {
    let db = Db::start();
    Order::inline("u1:1").accept(&db);
    let courier = Courier::new(&db, "c1");
    courier.claim_one();
    courier.take(&Claim { limit: 0, ..courier.next() });
    assert_eq!(courier.crash(), ReclaimedLeases { parcels: 1, ..NONE });
    assert_eq!(mark(&db, "u1:1:0"), None, "it claimed again, so it had not died of this one");
}

#[test]
fn a_parcel_taken_beside_others_is_not_blamed_but_claimed_alone() {
    let db = Db::start();
    let courier = Courier::new(&db, "c1");
    Order::inline("u1:1").accept(&db);
    for _ in 0..4 {
        courier.take(&Claim { empty_handed: false, ..courier.next() });
        assert_eq!(courier.crash().poison, 0);
        assert_eq!(mark(&db, "u1:1:0"), Some((0, 0)));
    }
    Order::inline("u1:2").accept(&db);
    assert_eq!(courier.claim_one().parcel_id.to_string(), "u1:1:0");
}

/// A delivery that kills every courier that sends it: the first time among others, then alone.
#[test]
fn three_deaths_alone_on_the_wire_hold_the_delivery_and_spare_its_neighbours() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(4).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        courier.crash();
        resolve(&db, &courier, &order, 1, 1, Decision::Found(OutcomeKind::Sent, Reason::None.into()));
        for death in 1..=3_u8 {
            resolve(&db, &courier, &order, 0, death, Decision::Repeat);
            let parcel = courier.claim_one();
            courier.begun(&parcel, &[(0, death + 1)]);
            let poison = u64::from(death == 3);
            assert_eq!(courier.crash(), ReclaimedLeases { parcels: 1, unresolved: 1, poison, ..NONE });
            let reason = if death == 3 { Reason::Poison } else { Reason::CourierDied };
            assert_eq!(
                (order.delivery(&db, 0).state, order.delivery(&db, 0).reason),
                (State::Unresolved, reason)
            );
            assert_eq!(mark(&db, "u1:5:0"), Some((0, u64::from(death % 3))));
            db.again();
            db.check_invariants();
        }
        resolve(&db, &courier, &order, 0, 4, Decision::Hold(Reason::Poison));
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(2, 1), (3, 1)]);
        courier.settle(&parcel, true, &[report(2, 1, OutcomeKind::Sent), report(3, 1, OutcomeKind::Sent)]);
        assert_eq!(states(&db, &order), [State::Unknown, State::Sent, State::Sent, State::Sent]);
        assert_eq!(order.delivery(&db, 0).reason, Reason::Poison);
        assert_eq!(mark(&db, "u1:5:0"), None);
        db.check_invariants();
    }
}

/// Couriers killed for other reasons leave many deliveries of a big parcel alone on the wire, but hardly any of them
/// three times.
#[test]
fn deaths_with_different_deliveries_give_up_none_of_them() {
    let db = Db::start();
    let order = Order::of_layout(true, "u1:5").deliveries(4).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1), (2, 1), (3, 1)]);
    courier.crash();
    for delivery in 0..4_u16 {
        resolve(&db, &courier, &order, delivery, 1, Decision::Repeat);
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(delivery, 2)]);
        assert_eq!(
            courier.crash(),
            ReclaimedLeases { parcels: 1, unresolved: 1, ..NONE },
            "delivery {delivery}"
        );
        assert_eq!(mark(&db, "u1:5:0"), Some((0, 1)), "delivery {delivery}");
        assert_eq!(order.delivery(&db, usize::from(delivery)).reason, Reason::CourierDied);
        db.again();
        db.check_invariants();
    }
}

#[test]
fn a_suspect_sent_beside_others_is_not_blamed() {
    // With the others of its parcel, before them, or after them.
    for beside in [vec![vec![0, 1]], vec![vec![0], vec![1]], vec![vec![1], vec![0]]] {
        let db = Db::start();
        let order = Order::inline("u1:5").deliveries(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        courier.crash();
        resolve(&db, &courier, &order, 0, 1, Decision::Retry);
        let parcel = courier.claim_one();
        for deliveries in &beside {
            let named: Vec<_> =
                deliveries.iter().map(|delivery| (*delivery, if *delivery == 0 { 2 } else { 1 })).collect();
            courier.begun(&parcel, &named);
        }
        assert_eq!(courier.crash().unresolved, 2);
        assert_eq!(mark(&db, "u1:5:0"), Some((0, 0)), "{beside:?}");
    }
}

#[test]
fn a_claim_begins_no_delivery_that_must_be_sent_alone() {
    for deliveries in [1, 2] {
        let db = Db::start();
        let order = Order::inline("u1:5").deliveries(deliveries).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        courier.crash();
        resolve(&db, &courier, &order, 0, 1, Decision::Retry);
        db.raw(&["DEL", "crashes:{0}:email"]);
        db.later(WINDOW);
        let (taken, _) = courier.take(&Claim { begin: 9, ..courier.next() });
        let outcomes = taken.parcels[0].outcomes.as_ref().expect("outcomes");
        let begun = u16::try_from(deliveries - 1).expect("deliveries");
        assert_eq!(outcomes.counts(), (1, begun, 0));
        assert_eq!(outcomes.delivery(0).expect("a delivery").state, State::Pending);
    }
}

#[test]
fn nothing_is_blamed_when_the_server_was_away() {
    let db = Db::start();
    Order::inline("u1:5").deliveries(2).accept(&db);
    let courier = Courier::new(&db, "c1");
    for _ in 0..4 {
        courier.claim_one();
        db.later(LEASE);
        assert_eq!(
            db.reply(&ReclaimLeases { blame: false, ..courier.sweeping() }),
            ReclaimedLeases { parcels: 1, ..NONE }
        );
    }
    assert_eq!(mark(&db, "u1:5:0"), None);
    db.check_invariants();
}

#[test]
fn crashes_three_days_apart_are_not_added_up() {
    let db = Db::start();
    let mut order = Order::inline("u1:5");
    order.span = SPAN * 4;
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    die_alone(&courier);
    die_alone(&courier);
    db.later(SPAN);
    assert_eq!(die_alone(&courier).poison, 0);
    assert_eq!(mark(&db, "u1:5:0"), Some((1, 0)));
}

#[test]
fn progress_between_deaths_counts() {
    let db = Db::start();
    Order::inline("u1:5").deliveries(9).accept(&db);
    let courier = Courier::new(&db, "c1");
    for delivery in 0..8 {
        assert_eq!(die_alone(&courier).poison, 0, "delivery {delivery}");
        assert_eq!(die_alone(&courier).poison, 0, "delivery {delivery}");
        let parcel: ParcelRef = courier.claim_one();
        courier.begun(&parcel, &[(delivery, 1)]);
        courier.settle(&parcel, false, &[report(delivery, 1, OutcomeKind::Sent)]);
        courier.crash();
    }
}
