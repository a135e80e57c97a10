//! `reclaim_leases`: expired leases, deliveries that were on the wire, and what is to blame.

use std::time::Duration;

use posthaste_model::{OutcomeKind, State, UnixMs};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::reclaim_leases::{ReclaimLeases, ReclaimedLeases};

use crate::db::Db;
use crate::order::{Courier, DAY, LEASE, Order, report};

const NONE: ReclaimedLeases =
    ReclaimedLeases { next: None, parcels: 0, unresolved: 0, poison: 0, lost: 0, forgotten: 0 };

fn mark(db: &Db, parcel_id: &str) -> Option<String> {
    let marks = db.snapshot().hash("crashes:{0}:email");
    marks.get(parcel_id).map(|mark| String::from_utf8_lossy(mark).into_owned())
}

#[test]
fn running_leases_are_left_alone() {
    let db = Db::start();
    let courier = Courier::new(&db, "c1");
    assert_eq!(db.unchanged(&courier.sweeping()), NONE);
    Order::inline("u1:5").accept(&db);
    let until = db.answer(&courier.next()).now.after(LEASE);
    assert_eq!(db.unchanged(&courier.sweeping()), ReclaimedLeases { next: Some(until), ..NONE });
}

#[test]
fn deliveries_not_begun_are_ready_again() {
    let db = Db::start();
    let first = Order::inline("u1:1").deliveries(2).accept(&db).clone();
    let second = Order::inline("u1:2").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    courier.claim();
    db.later(LEASE);
    Order::inline("u1:3").accept(&db);
    let step = db.step(&courier.sweeping());
    assert_eq!(step.reply, ReclaimedLeases { parcels: 2, ..NONE });
    // In their former place, before parcels that came in the meantime; nothing of them was on the wire, so nothing is
    // marked.
    step.changed(
        &[("first", first.head(&db).due.0), ("second", second.head(&db).due.0)],
        &[
            "- leased:{0}:email u1:1:0",
            "- leased:{0}:email u1:2:0",
            "- lease:{0}:email u1:1:0",
            "- lease:{0}:email u1:2:0",
            "+ ready:{0}:email:bulk u1:1:0: @first",
            "+ ready:{0}:email:bulk u1:2:0: @second",
        ],
    );
    db.again();
    db.check_invariants();
    let next: Vec<_> = courier.claim().iter().map(|parcel| parcel.parcel_id.to_string()).collect();
    assert_eq!(next, ["u1:1:0", "u1:2:0", "u1:3:0"]);
}

#[test]
fn a_wait_outlasts_the_lease() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let throttled = posthaste_protocol::scripts::settle::AttemptReport {
        value: 60_000,
        ..report(0, 1, OutcomeKind::NotSent)
    };
    courier.settle(&parcel, false, &[throttled]);
    let until = order.delivery(&db, 0).not_before.expect("a wait");
    courier.crash();
    let ready = db.snapshot().sorted("ready:{0}:email:bulk")["u1:5:0"];
    assert_eq!(ready, until.0 - 10_000, "a wait does not get shorter because the courier died");
}

#[test]
fn begun_deliveries_are_unresolved_until_their_send_by() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(3).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        let send_by = {
            courier.begun(&parcel, &[(0, 1), (2, 1)]);
            let lease =
                String::from_utf8(db.snapshot().hash("lease:{0}:email")["u1:5:0"].clone()).expect("text");
            lease.split(' ').nth(3).and_then(|word| word.parse::<u64>().ok()).expect("a moment")
        };
        db.later(LEASE);
        let step = db.step(&courier.sweeping());
        assert_eq!(step.reply, ReclaimedLeases { parcels: 1, unresolved: 2, ..NONE });
        let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
        let deliveries = format!(
            "~ {outcome}: 1/2/0 sending#1 pending#0 sending#1 -> \
             1/0/2 unresolved#1,courier_died pending#0 unresolved#1,courier_died"
        );
        let mut expected = vec![
            "- leased:{0}:email u1:5:0",
            "- lease:{0}:email u1:5:0",
            "+ ready:{0}:email:bulk u1:5:0: @due",
            "+ unresolved:{0}:email u1:5:0: @sendby",
            "~ history:{0}:u1:5 v: 1 -> 2",
            &deliveries,
        ];
        if big {
            expected.push("~ history:{0}:u1:5 c:email: pending=1 sending=2 -> pending=1 unresolved=2");
        }
        step.changed(&[("sendby", send_by - 10_000), ("due", order.head(&db).due.0)], &expected);
        db.again();
        db.check_invariants();
        assert_eq!(order.delivery(&db, 0).attempt, 1);
    }
}

#[test]
fn a_past_send_by_is_due_for_the_resolver_now() {
    let db = Db::start();
    Order::inline("u1:5").accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    db.later(Duration::from_secs(3600));
    let step = db.step(&courier.sweeping());
    assert!(
        step.changes.contains(&format!("+ unresolved:{{0}}:email u1:5:0: {}", step.now)),
        "{:#?}",
        step.changes
    );
}

#[test]
fn an_unresolved_delivery_keeps_the_moment_of_its_begin() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    db.later(Duration::from_secs(100));
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let begun = order.delivery(&db, 0).changed;
    assert!(begun.since(order.head(&db).due) >= Duration::from_secs(100));
    db.later(Duration::from_secs(50));
    db.reply(&courier.sweeping());
    assert_eq!(order.delivery(&db, 0).changed, UnixMs(begun.0 - 50_000));
}

#[test]
fn a_parcel_with_nothing_left_is_dropped_without_blame() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(1).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
    let (word, reason) =
        (posthaste_protocol::scripts::apply_receipt::ReceiptStatus::Delivered, posthaste_model::Reason::None);
    db.reply(&posthaste_protocol::scripts::apply_receipt::ApplyReceipt {
        keys,
        channel,
        parcel_id,
        delivery: 0,
        attempt: 1,
        status: word,
        reason: reason.into(),
    });
    assert_eq!(courier.crash(), ReclaimedLeases { parcels: 1, ..NONE });
    assert_eq!(mark(&db, "u1:5:0"), None);
    db.check_invariants();
}

#[test]
fn deliveries_of_a_cancelled_order_end_with_their_lease() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(3).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    courier.crash();
    let states: Vec<_> =
        order.try_outcomes(&db, 0).expect("outcomes").deliveries().map(|delivery| delivery.state).collect();
    assert_eq!(states, [State::Unresolved, State::Cancelled, State::Cancelled]);
    db.check_invariants();
}

#[test]
fn members_without_a_record_are_dropped() {
    let newer = [[2].as_slice(), &[0; 60]].concat();
    for (head, lost, place) in
        [(None, 1, "nowhere"), (Some(vec![1; 9]), 1, "parked"), (Some(newer), 0, "leased")]
    {
        let db = Db::start();
        let broken = Order::inline("u1:1").accept(&db).clone();
        Order::inline("u1:2").accept(&db);
        let courier = Courier::new(&db, "c1");
        courier.claim();
        db.raw(&["HSET", "crashes:{0}:email", "u1:1:0", &format!("1 {}", db.now().0)]);
        let history = db.keys.history(&broken.order_id);
        match &head {
            None => drop(db.raw(&["DEL", &history])),
            Some(head) => drop(db.raw(&[b"HSET", history.as_bytes(), b"h", head])),
        }
        db.later(LEASE);
        let step = db.step(&courier.sweeping());
        let next = (place == "leased").then_some(UnixMs(step.now + 10_000));
        assert_eq!(step.reply, ReclaimedLeases { next, parcels: 1, lost, ..NONE });
        let all = db.snapshot();
        assert_eq!(all.sorted("parked:{0}:email").contains_key("u1:1:0"), place == "parked");
        assert_eq!(
            all.sorted("leased:{0}:email").contains_key("u1:1:0"),
            place == "leased",
            "left to a newer program"
        );
        assert_eq!(all.hash("lease:{0}:email").contains_key("u1:1:0"), place == "leased");
        assert_eq!(mark(&db, "u1:1:0").is_some(), place == "leased");
        assert!(all.sorted("ready:{0}:email:bulk").contains_key("u1:2:0"));
    }
}

#[test]
fn a_member_without_a_lease_record_is_taken_back() {
    let db = Db::start();
    Order::inline("u1:5").accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    for record in [None, Some("nonsense")] {
        match record {
            None => db.raw(&["HDEL", "lease:{0}:email", "u1:5:0"]),
            Some(text) => db.raw(&["HSET", "lease:{0}:email", "u1:5:0", text]),
        };
    }
    db.later(LEASE);
    assert_eq!(db.reply(&courier.sweeping()), ReclaimedLeases { parcels: 1, unresolved: 1, ..NONE });
    db.check_invariants();
}

#[test]
fn reclaiming_is_bounded() {
    let db = Db::start();
    for n in 0..5 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    courier.claim();
    db.later(LEASE);
    let sweep = |limit| db.reply(&ReclaimLeases { limit, ..courier.sweeping() });
    let first = sweep(3);
    assert!(first.parcels == 3 && first.next.is_some_and(|next| next <= db.now()), "{first:?}");
    assert_eq!(sweep(3), ReclaimedLeases { parcels: 2, ..NONE });
}

#[test]
fn idle_couriers_are_forgotten() {
    let db = Db::start();
    let (gone, here) = (Courier::new(&db, "c1"), Courier::new(&db, "c2"));
    gone.claim();
    db.later(DAY);
    here.claim();
    let step = db.step(&here.sweeping());
    assert_eq!(step.reply, ReclaimedLeases { forgotten: 1, ..NONE });
    step.changed(&[], &["- request:{0}:email c1", "- couriers:{0}:email c1"]);
    let claim: Claim<'_> = gone.same();
    assert!(!gone.take(&claim).0.already_done, "its number is free again");
}
