//! `scan_orders` lists only the orders that need repair, and `repair_indexes` puts them back.

use std::time::Duration;

use posthaste_protocol::scripts::repair_indexes::{RepairIndexes, RepairedIndexes};
use posthaste_protocol::scripts::scan_orders::{ScanOrders, ScannedOrders};

use crate::db::Db;
use crate::order::{Courier, Order};

fn walk(db: &Db, from: u64, limit: u32) -> ScannedOrders {
    db.unchanged(&ScanOrders { keys: &db.keys, from, limit })
}

#[test]
fn a_sound_database_lists_only_big_orders_in_progress() {
    let db = Db::start();
    let waiting = Order::inline("u1:1").due_in(&db, Duration::from_secs(60));
    let (ready, leased, big) =
        (Order::inline("u1:2"), Order::inline("u1:3").urgent(), Order::big("u1:4").deliveries(3));
    for order in [&waiting, &ready, &leased, &big] {
        order.accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    let (taken, _) = courier.take(&posthaste_protocol::scripts::claim::Claim { limit: 1, ..courier.next() });
    assert_eq!(taken.parcels.len(), 1);
    assert_eq!(walk(&db, 0, 500), ScannedOrders { next: None, named: vec![big.order_id.clone()] });
}

#[test]
fn an_order_in_no_index_is_listed_and_repaired() {
    let db = Db::start();
    let lost = Order::inline("u1:1");
    lost.accept(&db);
    let parcel_id = lost.parcel_id(0).to_string();
    db.raw(&["ZREM", "ready:{0}:email:bulk", &parcel_id]);
    assert_eq!(walk(&db, 0, 500).named, std::slice::from_ref(&lost.order_id));
    let audit =
        RepairIndexes { keys: &db.keys, channel: &lost.channels[0].0, order_id: &lost.order_id, from: 0 };
    assert_eq!(db.reply(&audit), RepairedIndexes::Ok { next: None, mended: 1 });
    assert_eq!(walk(&db, 0, 500).named, []);
    assert!(db.raw(&["ZSCORE", "ready:{0}:email:bulk", &parcel_id]).text().is_some());
}

#[test]
fn a_walk_continues_where_it_stopped_and_skips_unreadable_records() {
    let db = Db::start();
    for n in 0..5 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    db.raw(&["DEL", "history:{0}:u1:0"]);
    db.raw(&["SET", "history:{0}:u1:1", "of another type"]);
    db.raw(&["HSET", "history:{0}:u1:2", "h", "\u{1}short"]);
    let scan = ScanOrders { keys: &db.keys, from: 0, limit: 3 };
    assert_eq!(db.reply(&scan), ScannedOrders { next: Some(3), named: Vec::new() });
    assert_eq!(db.snapshot().sorted("parked:{0}").into_keys().collect::<Vec<_>>(), ["u1:1", "u1:2"]);
    assert_eq!(walk(&db, 0, 3), ScannedOrders { next: Some(3), named: Vec::new() });
    assert_eq!(walk(&db, 3, 3), ScannedOrders { next: None, named: Vec::new() });
}
