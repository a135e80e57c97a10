//! Patrol names the orders that audit should look at, and only those; audit puts them back.

use std::time::Duration;

use posthaste_protocol::scripts::audit::{Audit, Audited};
use posthaste_protocol::scripts::patrol::{Patrol, Patrolled};

use crate::db::Db;
use crate::order::{Courier, Order};

fn walk(db: &Db, from: u64, limit: u32) -> Patrolled {
    db.unchanged(&Patrol { keys: &db.keys, from, limit })
}

#[test]
fn a_sound_database_names_only_big_orders_on_their_way() {
    let db = Db::start();
    let waiting = Order::inline("u1:1").due_in(&db, Duration::from_secs(60));
    let (ready, leased, big) =
        (Order::inline("u1:2"), Order::inline("u1:3").urgent(), Order::big("u1:4").rows(3));
    for order in [&waiting, &ready, &leased, &big] {
        order.accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    let (taken, _) = courier.take(&posthaste_protocol::scripts::claim::Claim { limit: 1, ..courier.next() });
    assert_eq!(taken.parcels.len(), 1);
    assert_eq!(walk(&db, 0, 500), Patrolled { next: None, named: vec![big.suffix.clone()] });
}

#[test]
fn an_order_in_no_index_is_named_and_mended() {
    let db = Db::start();
    let lost = Order::inline("u1:1");
    lost.accept(&db);
    let member = lost.member(0).to_string();
    db.raw(&["ZREM", "ready:{0}:email:bulk", &member]);
    assert_eq!(walk(&db, 0, 500).named, std::slice::from_ref(&lost.suffix));
    let audit = Audit { keys: &db.keys, channel: &lost.channels[0].0, suffix: &lost.suffix, from: 0 };
    assert_eq!(db.reply(&audit), Audited::Ok { next: None, mended: 1 });
    assert_eq!(walk(&db, 0, 500).named, []);
    assert!(db.raw(&["ZSCORE", "ready:{0}:email:bulk", &member]).text().is_some());
}

#[test]
fn a_walk_goes_on_where_it_stopped_and_passes_over_what_it_cannot_read() {
    let db = Db::start();
    for n in 0..5 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    db.raw(&["DEL", "history:{0}:u1:0"]);
    db.raw(&["SET", "history:{0}:u1:1", "of another type"]);
    db.raw(&["HSET", "history:{0}:u1:2", "h", "\u{1}short"]);
    let patrol = Patrol { keys: &db.keys, from: 0, limit: 3 };
    assert_eq!(db.reply(&patrol), Patrolled { next: Some(3), named: Vec::new() });
    assert_eq!(db.snapshot().sorted("parked:{0}").into_keys().collect::<Vec<_>>(), ["u1:1", "u1:2"]);
    assert_eq!(walk(&db, 0, 3), Patrolled { next: Some(3), named: Vec::new() });
    assert_eq!(walk(&db, 3, 3), Patrolled { next: None, named: Vec::new() });
}
