//! `repair_indexes`, `scan_orders` and `purge_orders`: lost index entries, and final orders.

use std::time::Duration;

use posthaste_model::{OutcomeKind, State, UnixMs};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::purge_orders::{PurgeOrders, PurgedOrders};
use posthaste_protocol::scripts::repair_indexes::{RepairIndexes, RepairedIndexes};
use posthaste_protocol::scripts::scan_orders::{ScanOrders, ScannedOrders};

use crate::db::Db;
use crate::order::{Courier, Order, report};

const MINUTE: Duration = Duration::from_secs(60);

fn audit(db: &Db, order: &Order) -> RepairedIndexes {
    db.reply(&RepairIndexes {
        keys: &db.keys,
        channel: &order.channels[0].0,
        order_id: &order.order_id,
        from: 0,
    })
}

fn scan(db: &Db) -> Vec<String> {
    let ScannedOrders { next, named } = db.unchanged(&ScanOrders { keys: &db.keys, from: 0, limit: 500 });
    assert_eq!(next, None);
    named.iter().map(ToString::to_string).collect()
}

#[test]
fn lost_index_entries_are_put_back() {
    for big in [false, true] {
        for index in ["ready", "leased", "unresolved"] {
            let db = Db::start();
            let order = Order::of_layout(big, "u1:5").deliveries(3).accept(&db).clone();
            let courier = Courier::new(&db, "c1");
            let parcel = courier.claim_one();
            courier.begun(&parcel, &[(0, 1)]);
            if index != "leased" {
                courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Unknown)]);
            }
            db.check_invariants();
            assert_eq!(audit(&db, &order), RepairedIndexes::Ok { next: None, mended: 0 });
            assert_eq!(scan(&db), if big { vec!["u1:5"] } else { vec![] }, "big ones are always checked");
            let key =
                if index == "ready" { "ready:{0}:email:bulk".into() } else { format!("{index}:{{0}}:email") };
            db.raw(&["ZREM", &key, "u1:5:0"]);
            db.raw(&["HDEL", "lease:{0}:email", "u1:5:0"]);
            assert!(!db.faults().is_empty());
            assert_eq!(scan(&db), ["u1:5"]);
            assert_eq!(audit(&db, &order), RepairedIndexes::Ok { next: None, mended: 1 });
            db.again();
            db.check_invariants();
            let states: Vec<_> = order
                .try_outcomes(&db, 0)
                .expect("outcomes")
                .deliveries()
                .map(|delivery| delivery.state)
                .collect();
            assert_eq!(states, [State::Unresolved, State::Pending, State::Pending]);
            assert_eq!(courier.claim().len(), 1);
        }
    }
}

#[test]
fn repair_skips_outcomes_it_cannot_read() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(1_001).accept(&db).clone();
    assert_eq!(Courier::new(&db, "c1").claim().len(), 3);
    db.raw(&["SET", &db.keys.outcome(&order.order_id, &order.channels[0].0, 1), "short"]);
    db.raw(&["DEL", "leased:{0}:email"]);
    assert_eq!(audit(&db, &order), RepairedIndexes::Ok { next: None, mended: 2 });
    assert_eq!(
        db.snapshot().sorted("ready:{0}:email:bulk").into_keys().collect::<Vec<_>>(),
        ["u1:5:0", "u1:5:2"]
    );
}

#[test]
fn an_order_lost_from_due_is_not_sent_early() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").urgent().due_in(&db, MINUTE).accept(&db).clone();
        let due = order.due.expect("a due time").0;
        db.raw(&["DEL", "due:{0}:urgent"]);
        db.raw(&["DEL", "delivery:{0}:u1:5"]);
        assert_eq!(scan(&db), ["u1:5"]);
        let (keys, channel, order_id) = (&db.keys, &order.channels[0].0, &order.order_id);
        let step = db.step(&RepairIndexes { keys, channel, order_id, from: 0 });
        assert_eq!(step.reply, RepairedIndexes::Ok { next: None, mended: 1 });
        step.changed(&[("due", due)], &["+ due:{0}:urgent u1:5: @due", "+ delivery:{0}:u1:5: 0 until @due"]);
        db.again();
        db.check_invariants();
    }
}

#[test]
fn an_order_lost_from_due_after_its_time_goes_to_ready() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(60_000).due_in(&db, MINUTE).accept(&db).clone();
    db.later(MINUTE * 2);
    db.raw(&["DEL", "due:{0}:bulk"]);
    let (keys, channel, order_id) = (&db.keys, &order.channels[0].0, &order.order_id);
    let from = |from| db.reply(&RepairIndexes { keys, channel, order_id, from });
    assert_eq!(from(0), RepairedIndexes::Ok { next: Some(100), mended: 100 });
    assert_eq!(from(100), RepairedIndexes::Ok { next: None, mended: 20 });
    assert_eq!(from(0), RepairedIndexes::Ok { next: Some(100), mended: 0 });
    db.check_invariants();
}

#[test]
fn repair_leaves_due_and_final_orders_alone() {
    let db = Db::start();
    let waiting = Order::inline("u1:1").due_in(&db, MINUTE).accept(&db).clone();
    let gone = Order::inline("u1:2");
    for (order, expected) in
        [(&waiting, RepairedIndexes::Ok { next: None, mended: 0 }), (&gone, RepairedIndexes::Unreadable)]
    {
        let (keys, channel, order_id) = (&db.keys, &order.channels[0].0, &order.order_id);
        assert_eq!(db.unchanged(&RepairIndexes { keys, channel, order_id, from: 0 }), expected);
    }
    db.reply(&Cancel { keys: &db.keys, order_id: &waiting.order_id });
    let (keys, channel, order_id) = (&db.keys, &waiting.channels[0].0, &waiting.order_id);
    assert_eq!(
        db.unchanged(&RepairIndexes { keys, channel, order_id, from: 0 }),
        RepairedIndexes::Ok { next: None, mended: 0 }
    );
    assert!(scan(&db).is_empty());
    let history = db.keys.history(order_id);
    for head in [[[2].as_slice(), &[0; 60]].concat(), vec![1; 9]] {
        db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
        assert_eq!(
            db.unchanged(&RepairIndexes { keys, channel, order_id, from: 0 }),
            RepairedIndexes::Unreadable
        );
        // Unreadable records are parked when first read.
        db.reply(&ScanOrders { keys, from: 0, limit: 500 });
        assert!(scan(&db).is_empty());
    }
}

#[test]
fn scan_orders_walks_the_list_in_steps() {
    let db = Db::start();
    let orders: Vec<Order> = (0..5).map(|n| Order::inline(&format!("u1:{n}"))).collect();
    orders.iter().for_each(|order| drop(order.accept(&db).clone()));
    db.raw(&["DEL", "ready:{0}:email:bulk"]);
    let walk = |from| {
        let ScannedOrders { next, named } = db.unchanged(&ScanOrders { keys: &db.keys, from, limit: 2 });
        (next, named.len())
    };
    assert_eq!((walk(0), walk(2), walk(4)), ((Some(2), 2), (Some(4), 2), (None, 1)));
}

fn retire(db: &Db, day: u64) -> PurgeOrders<'_> {
    PurgeOrders { keys: &db.keys, day, retention_days: 90 }
}

/// Nothing in the database mentions `u1`.
fn nothing_left(db: &Db) {
    let left: Vec<_> = db.snapshot().names().filter(|name| name.contains("u1")).map(str::to_owned).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn final_orders_are_kept_for_the_retention() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, MINUTE).accept(&db).clone();
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    let today = db.now().0 / 86_400_000;
    for day in [today, today - 90] {
        assert_eq!(db.unchanged(&retire(&db, day)), PurgedOrders::TooEarly);
    }
    assert_eq!(db.unchanged(&retire(&db, today - 91)), PurgedOrders::Done(0));
    let day = db.age_final().expect("final orders");
    let step = db.step(&retire(&db, day));
    assert_eq!(step.reply, PurgedOrders::Done(1));
    db.again();
    nothing_left(&db);
    assert!(db.snapshot().get(&db.keys.orders()).is_none());
}

#[test]
fn big_orders_are_removed_in_steps() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 350_000), ("sms", 150_000), ("vk", 1)]);
    let order = order.due_in(&db, MINUTE).accept(&db).clone();
    let small = Order::inline("u1:6").due_in(&db, MINUTE).accept(&db).clone();
    for order in [&order, &small] {
        db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    }
    // As if some outcomes had been written.
    db.raw(&["SET", "outcome:{0}:u1:5:sms:299", "x"]);
    let day = db.age_final().expect("final orders");
    let before = db.raw(&["DBSIZE"]).int().expect("a number");
    assert_eq!(db.reply(&retire(&db, day)), PurgedOrders::More(0));
    let after = db.raw(&["DBSIZE"]).int().expect("a number");
    assert!((before - after - 500).abs() <= 1, "{before} -> {after}");
    assert_eq!(db.reply(&retire(&db, day)), PurgedOrders::More(0));
    assert_eq!(db.reply(&retire(&db, day)), PurgedOrders::Done(2));
    nothing_left(&db);
}

#[test]
fn retiring_is_bounded_by_orders_too() {
    let db = Db::start();
    for n in 0..150 {
        let order = Order::inline(&format!("u1:{n}")).due_in(&db, MINUTE).accept(&db).clone();
        db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    }
    let day = db.age_final().expect("final orders");
    assert_eq!(db.reply(&retire(&db, day)), PurgedOrders::More(100));
    db.check_invariants();
    assert_eq!(db.reply(&retire(&db, day)), PurgedOrders::Done(50));
    nothing_left(&db);
}

#[test]
fn missing_and_unreadable_orders_do_not_block_retirement() {
    let db = Db::start();
    let names = ["u1:1", "u1:2", "u1:3", "u1:4"];
    let orders = names.map(|name| Order::inline(name).due_in(&db, MINUTE).accept(&db).clone());
    orders.iter().for_each(|order| {
        db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    });
    db.raw(&["DEL", "history:{0}:u1:1"]);
    db.raw(&["DEL", "history:{0}:u1:2"]);
    db.raw(&["SET", "history:{0}:u1:2", "x"]);
    let cut = [[1, b'p', b'b', b'd'].as_slice(), &[1; 30], b"\x05emailx"].concat();
    db.raw(&[b"HSET".as_slice(), b"history:{0}:u1:3", b"h", &cut]);
    let day = db.age_final().expect("final orders");
    assert_eq!(db.reply(&retire(&db, day)), PurgedOrders::Done(1));
    assert!(db.snapshot().get("history:{0}:u1:4").is_none());
}

#[test]
fn reports_after_retirement_return_gone() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
    let day = db.age_final().expect("final orders");
    db.reply(&retire(&db, day));
    let before = db.snapshot();
    let (code, _) = courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Delivered)]);
    assert_eq!(code, posthaste_protocol::scripts::ParcelCode::NotFound);
    assert!(db.snapshot() == before, "no field comes back to life");
    let _: UnixMs = db.now();
    drop(order);
}
