//! `expire_parcels`: deliveries that will never be claimed.

use std::panic::catch_unwind;

use posthaste_model::{OutcomeKind, Priority, State};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, ExpiredParcels, Index};

use crate::db::Db;
use crate::mutant::Mutant;
use crate::order::{Courier, Order, SPAN, report};

const BULK: Index = Index::Ready(Priority::Bulk);

fn close(db: &Db, order: &Order, index: Index, from: u64, limit: u32) -> ExpiredParcels {
    db.reply(&ExpireParcels { keys: &db.keys, channel: &order.channels[0].0, index, from, limit })
}

/// Promoted orders, and no courier to claim them.
fn promoted(db: &Db, orders: &[Order]) {
    orders.iter().for_each(|order| drop(order.accept(db).clone()));
    let bystander = Courier::on(db, "c0", "vk");
    bystander.take(&Claim { limit: 0, ..bystander.next() });
}

#[test]
fn orders_on_a_channel_without_courier_end_too() {
    let db = Db::start();
    let orders =
        [Order::inline("u1:1").deliveries(2), Order::big("u1:2").deliveries(501), Order::inline("u1:3")];
    promoted(&db, &orders);
    db.reply(&Cancel { keys: &db.keys, order_id: &orders[2].order_id });
    assert_eq!(close(&db, &orders[0], BULK, 0, 200), ExpiredParcels { next: None, closed: 1, lost: 0 });
    assert_eq!(orders[2].delivery(&db, 0).state, State::Cancelled);
    db.check_invariants();
    db.later(SPAN);
    assert_eq!(close(&db, &orders[0], BULK, 0, 200), ExpiredParcels { next: None, closed: 3, lost: 0 });
    for order in &orders[..2] {
        assert!(
            order
                .try_outcomes(&db, 0)
                .expect("outcomes")
                .deliveries()
                .all(|delivery| delivery.state == State::Expired)
        );
    }
    assert!(db.snapshot().get("ready:{0}:email:bulk").is_none());
    db.check_invariants();
    db.again();
}

#[test]
fn a_walk_continues_where_it_stopped() {
    let db = Db::start();
    let order = |n: u32| Order::inline(&format!("u1:{n}"));
    let orders: Vec<Order> = (0..6).map(order).collect();
    promoted(&db, &orders);
    for at in [1, 2, 3, 5] {
        db.reply(&Cancel { keys: &db.keys, order_id: &orders[at].order_id });
    }
    let walk = |from| close(&db, &orders[0], BULK, from, 2);
    // Ranks move up as members leave: 0 is kept, 1 closed; then 2, 3; then 4 kept and 5 closed.
    assert_eq!(walk(0), ExpiredParcels { next: Some(1), closed: 1, lost: 0 });
    assert_eq!(walk(1), ExpiredParcels { next: Some(1), closed: 2, lost: 0 });
    assert_eq!(walk(1), ExpiredParcels { next: Some(2), closed: 1, lost: 0 });
    assert_eq!(walk(2), ExpiredParcels { next: None, closed: 0, lost: 0 });
    db.check_invariants();
}

#[test]
fn a_walk_that_closed_all_it_saw_is_not_at_its_end() {
    let db = Db::start();
    let order = Order::big("u1:1").deliveries(5_000);
    promoted(&db, std::slice::from_ref(&order));
    db.later(SPAN);
    assert_eq!(close(&db, &order, BULK, 0, 3), ExpiredParcels { next: Some(0), closed: 3, lost: 0 });
    // 4,000 deliveries per call, whatever the limit.
    db.reset();
    let order = Order::big("u1:1").deliveries(6_000);
    promoted(&db, std::slice::from_ref(&order));
    db.later(SPAN);
    assert_eq!(close(&db, &order, BULK, 0, 200), ExpiredParcels { next: Some(0), closed: 8, lost: 0 });
    assert_eq!(close(&db, &order, BULK, 0, 200), ExpiredParcels { next: None, closed: 4, lost: 0 });
    db.check_invariants();
}

/// Orders of one delivery take a fast path through `expire_parcels`. It has the same results as the general path.
#[test]
fn an_order_of_one_delivery_ends_like_any_other() {
    let long_way = Mutant {
        script: Some("expire_parcels"),
        guard: "if what == 'ready' and sub(member, -2) == ':0' then",
        instead: "if false then",
    };
    let db = Db::start();
    let mut seen = Vec::new();
    for (counts, delivery) in [
        (None, [0; 12]),
        (Some([0, 1, 0, 0, 0, 0]), [16, 3, 2, 0, 0, 0, 0, 5, 0, 0, 0, 200]),
        // A delivery waiting for its repeat after an unknown, one with a token, and both.
        (Some([0, 1, 0, 0, 0, 0]), [16, 1, 16, 0, 1, 0, 0, 5, 0, 0, 0, 0]),
        (Some([0, 1, 0, 0, 0, 0]), [16, 1, 32, 0, 1, 0, 0, 5, 0, 0, 0, 9]),
        (Some([0, 1, 0, 0, 0, 0]), [16, 1, 49, 0, 1, 0, 0, 5, 0, 0, 0, 9]),
        // Sending, sent, unresolved; and invalid records.
        (Some([0, 0, 0, 1, 0, 0]), [17, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (Some([0, 0, 0, 0, 0, 0]), [18, 1, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (Some([0, 0, 0, 0, 0, 1]), [25, 1, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (Some([0, 0, 0, 0, 0, 0]), [16, 1, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (Some([0, 0, 0, 1, 0, 0]), [16, 1, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (Some([0, 1, 0, 0, 0, 0]), [32, 1, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
    ] {
        // Kept, expired, cancelled, cancelled and expired; one that is final, of another channel, truncated, named twice, whose
        // score nobody would claim, and one among the unresolved that is cancelled.
        for what in
            ["kept", "over", "cancelled", "both", "final", "foreign", "short", "twice", "far", "unresolved"]
        {
            let by = |way: &dyn Fn(Index) -> ExpiredParcels| {
                db.reset();
                let orders = [Order::inline("u1:1"), Order::inline("u1:2")];
                promoted(&db, &orders);
                let history = db.keys.history(&orders[0].order_id);
                if let Some(counts) = counts {
                    let record = [counts.as_slice(), &delivery].concat();
                    db.raw(&[b"HSET".as_slice(), history.as_bytes(), b"o", &record]);
                }
                if !matches!(what, "kept" | "cancelled" | "far" | "unresolved") {
                    db.later(SPAN);
                }
                match what {
                    "cancelled" | "both" => drop(db.raw(&["HSET", &history, "x", "5"])),
                    "unresolved" => {
                        db.raw(&["HSET", &history, "x", "5"]);
                        db.raw(&["ZADD", "unresolved:{0}:email", "5", "u1:1:0"]);
                    }
                    "short" => {
                        let record = [[0, 1, 0, 0, 0, 0].as_slice(), &[16], &[0; 10]].concat();
                        db.raw(&[b"HSET".as_slice(), history.as_bytes(), b"o", &record]);
                    }
                    "far" => drop(db.raw(&["ZADD", "ready:{0}:email:bulk", "9e15", "u1:1:0"])),
                    "final" => drop(db.raw(&["HSET", &history, "f", "5"])),
                    "foreign" => crate::damage::head(&db, &orders[0], |head| head[35] = b'x'),
                    "twice" => drop(db.raw(&["ZADD", "ready:{0}:email:bulk", "5", "u1:1:00"])),
                    _ => {}
                }
                let closed = way(if what == "unresolved" { Index::Unresolved } else { BULK });
                let end = |order: &Order| {
                    let history = db.keys.history(&order.order_id);
                    let o = db.raw(&["HGET", &history, "o"]).bytes().map(<[u8]>::to_vec);
                    // The time it ended, in seconds since it was due, depends on the clock.
                    let o = o.map(|o| if o.len() == 18 { [&o[..11], &o[14..]].concat() } else { o });
                    let is_final = db.raw(&["HGET", &history, "f"]).text().is_some();
                    (o, is_final, order.revision(&db))
                };
                let all = db.snapshot();
                let names = |key| all.sorted(key).into_keys().collect::<Vec<_>>();
                let lists = ["ready:{0}:email:bulk", "unresolved:{0}:email", "parked:{0}:email"];
                let left = lists.map(names);
                let is_far = all.sorted("ready:{0}:email:bulk").values().any(|at| *at > 9_000_000_000_000);
                let retiring: Vec<_> = all
                    .names()
                    .filter(|name| name.starts_with("retire:"))
                    .map(|name| all.get(name).cloned())
                    .collect();
                (closed, orders.each_ref().map(end), left, is_far, retiring)
            };
            let call = |index| close(&db, &Order::inline("u1:1"), index, 0, 200);
            let (short, long) = (by(&call), by(&|index| long_way.under(|| call(index))));
            assert_eq!(short, long, "{counts:?} {delivery:?}, {what}");
            seen.push(short.0);
        }
    }
    // The table contains both: deliveries that end, and ones that are left alone.
    assert!(seen.iter().any(|closed| closed.closed == 2) && seen.iter().any(|closed| closed.closed == 0));
}

#[test]
fn every_missing_guard_of_the_short_way_is_detected() {
    let mutants = [
        ("if what == 'ready' and sub(member, -2) == ':0' then", "if sub(member, -2) == ':0' then"),
        ("if not r or orders[order_id] or r[5] or", "if not r or r[5] or"),
        ("if not r or orders[order_id] or r[5] or", "if not r or orders[order_id] or"),
        ("or not is_single(r[1], channel) then", "then"),
        ("if not r[4] and now < not_after then", "if now < not_after then"),
        ("if not r[4] and now < not_after then", "if false then"),
        ("r[4] and CANCELLED or EXPIRED,", "EXPIRED,"),
        ("r[4] and CANCELLED_NOW or EXPIRED_NOW", "EXPIRED_NOW"),
        (
            "if #o ~= 18 or s ~= DELIVERY_VERSION + PENDING or flags >= REPEATED",
            "if s ~= DELIVERY_VERSION + PENDING or flags >= REPEATED",
        ),
        ("or s ~= DELIVERY_VERSION + PENDING or flags >= REPEATED", "or flags >= REPEATED"),
        ("PENDING or flags >= REPEATED or", "PENDING or"),
        ("or flags >= REPEATED or sub(o, 1, 6) ~= '\\0\\1\\0\\0\\0\\0' then", "or flags >= REPEATED then"),
        ("elseif single then\n    keep(member, score, not_after)", "elseif single then\n    kept = kept + 1"),
        ("write_orders()\nwrite_singles()", "write_orders()"),
    ];
    let undetected: Vec<_> = mutants
        .into_iter()
        .map(|(guard, instead)| Mutant { script: Some("expire_parcels"), guard, instead })
        .filter(|mutant| mutant.under(|| catch_unwind(an_order_of_one_delivery_ends_like_any_other).is_ok()))
        .collect();
    assert!(undetected.is_empty(), "undetected: {undetected:#?}");
}

#[test]
fn unknowns_are_held_when_their_order_is_over() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(3).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1), (2, 1)]);
    courier.settle(&parcel, false, &[report(2, 1, OutcomeKind::Sent)]);
    courier.crash();
    assert_eq!(
        close(&db, &order, Index::Unresolved, 0, 200),
        ExpiredParcels { next: None, closed: 0, lost: 0 }
    );
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    assert_eq!(close(&db, &order, Index::Unresolved, 0, 200).closed, 0, "the resolver still has time");
    db.later(SPAN);
    assert_eq!(
        close(&db, &order, Index::Unresolved, 0, 200),
        ExpiredParcels { next: None, closed: 1, lost: 0 }
    );
    let delivery = order.delivery(&db, 1);
    assert_eq!((delivery.state, delivery.reason), (State::Unknown, posthaste_model::Reason::NotRetried));
    assert_eq!(order.delivery(&db, 2).state, State::Sent);
    assert!(db.snapshot().get("crashes:{0}:email").is_none());
    db.check_invariants();
}

#[test]
fn members_without_a_record_leave_and_newer_ones_stay() {
    let newer = [[2].as_slice(), &[0; 60]].concat();
    for (head, lost, parked) in [(None, 1, false), (Some(vec![1; 9]), 1, true), (Some(newer), 0, false)] {
        let db = Db::start();
        let orders = [Order::inline("u1:1"), Order::inline("u1:2")];
        promoted(&db, &orders);
        db.raw(&["ZADD", "ready:{0}:email:bulk", "5", "nonsense"]);
        let history = db.keys.history(&orders[0].order_id);
        match &head {
            None => drop(db.raw(&["DEL", &history])),
            Some(head) => drop(db.raw(&[b"HSET", history.as_bytes(), b"h", head])),
        }
        assert_eq!(
            close(&db, &orders[0], BULK, 0, 200),
            ExpiredParcels { next: None, closed: 0, lost: lost + 1 }
        );
        let all = db.snapshot();
        assert_eq!(all.sorted("parked:{0}:email").contains_key("u1:1:0"), parked);
        assert_eq!(all.sorted("ready:{0}:email:bulk").contains_key("u1:1:0"), lost == 0);
    }
}
