//! Every script compiles on the server, and the shortest life of an order works.

use std::time::Duration;

use posthaste_model::{OrderId, OutcomeKind, Priority, Reason, SenderId, UnixMs};
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::bind_idempotency_key::{BindIdempotencyKey, BoundIdempotencyKey};
use posthaste_protocol::scripts::cancel::{Cancel, Cancelled};
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::{PurgeOrders, PurgedOrders};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::repair_indexes::{RepairIndexes, RepairedIndexes};
use posthaste_protocol::scripts::reschedule::{Reschedule, Rescheduled};
use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolve, Resolved};
use posthaste_protocol::scripts::return_daily_places::ReturnDailyPlaces;
use posthaste_protocol::scripts::settle::Reported;
use posthaste_protocol::scripts::take_daily_places::{DailyPlace, DailyPlaces, TakeDailyPlaces};
use posthaste_protocol::scripts::unstage_parcels::{Unstage, Unstaged};
use posthaste_protocol::scripts::{self, ParcelCode};

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, WINDOW, report};

#[test]
fn every_script_compiles() {
    let db = Db::empty();
    for contract in scripts::ALL {
        let sha = db.raw(&["SCRIPT", "LOAD", &contract.text.body]);
        assert_eq!(sha.text(), Some(contract.text.sha.as_str()), "{}", contract.text.name);
    }
}

#[test]
fn an_order_is_accepted_sent_and_retired() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(2);
        order.accept(&db);
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        let parcels = [parcel.clone()];
        let renew = Renew { keys: &db.keys, channel: &courier.channel, lease: LEASE, parcels: &parcels };
        assert_eq!(db.reply(&renew), [Renewed::Renewed]);
        let reports = [report(0, 1, OutcomeKind::Sent), report(1, 1, OutcomeKind::Delivered)];
        let settled = courier.settle(&parcel, true, &reports);
        assert_eq!(settled, (ParcelCode::Settled, vec![Reported::Applied, Reported::Applied]));
        let day = db.age_final().expect("a final order");
        let retire = PurgeOrders { keys: &db.keys, day, retention_days: 90 };
        assert_eq!(db.reply(&retire), PurgedOrders::Done(1));
        let all = db.snapshot();
        assert!(all.names().all(|name| !name.contains("u1")), "{all:?}");
    }
}

#[test]
fn an_order_waits_moves_and_is_cancelled() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, Duration::from_secs(60));
    order.accept(&db);
    let due = db.now().after(Duration::from_secs(5));
    let moved = db.reply(&Reschedule {
        keys: &db.keys,
        order_id: &order.order_id,
        due,
        not_after: None,
        revision: 0,
    });
    assert!(matches!(moved, Rescheduled::Ok { due: reported, .. } if reported == due), "{moved:?}");
    db.later(Duration::from_secs(6));
    assert_eq!(db.reply(&PromoteDue { keys: &db.keys }).parcels, 1);
    let cancelled = db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    assert_eq!(cancelled, Cancelled::Ok { already_done: false, stopped: 1, too_late: 0 });
    let audit =
        RepairIndexes { keys: &db.keys, channel: &order.channels[0].0, order_id: &order.order_id, from: 0 };
    assert_eq!(db.reply(&audit), RepairedIndexes::Ok { next: None, mended: 0 });
    let index = Index::Ready(Priority::Bulk);
    let close = ExpireParcels { keys: &db.keys, channel: &order.channels[0].0, index, from: 0, limit: 10 };
    assert_eq!(db.reply(&close).closed, 1);
    assert_eq!(
        db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id }),
        Cancelled::Ok { already_done: true, stopped: 1, too_late: 0 }
    );
}

#[test]
fn an_unknown_is_looked_up_and_repeated() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    assert_eq!(courier.crash().unresolved, 1);
    let put_off = Duration::from_secs(60);
    let claim = ClaimUnresolved { keys: &db.keys, channel: &courier.channel, limit: 10, put_off };
    assert!(db.reply(&claim).parcel_ids.is_empty());
    db.later(WINDOW);
    assert_eq!(db.reply(&claim).parcel_ids, [order.parcel_id(0)]);
    let decisions = [(0, 1, Decision::Retry)];
    let resolve = Resolve {
        keys: &db.keys,
        channel: &courier.channel,
        parcel_id: &order.parcel_id(0),
        decisions: &decisions,
    };
    assert_eq!(db.reply(&resolve), Resolved::Ok { ended: 0, deliveries: vec![Decided::Applied] });
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 2), (1, 1)]);
    let parcel_id = order.parcel_id(0);
    let receipt = ApplyReceipt {
        keys: &db.keys,
        channel: &courier.channel,
        parcel_id: &parcel_id,
        delivery: 0,
        attempt: 2,
        status: ReceiptStatus::Delivered,
        reason: Reason::None.into(),
    };
    assert_eq!(db.reply(&receipt), Some(Reported::Applied));
    let release = Release {
        keys: &db.keys,
        channel: &courier.channel,
        wait: Duration::ZERO,
        parcels: std::slice::from_ref(&parcel),
    };
    assert_eq!(db.reply(&release), [ParcelCode::Sending]);
    let settled = courier.settle(&parcel, true, &[report(1, 1, OutcomeKind::NotSent)]);
    assert_eq!(settled, (ParcelCode::Ready, vec![Reported::Applied]));
}

#[test]
fn the_small_scripts_of_acceptance_work() {
    let db = Db::start();
    let (order_id, other): (OrderId, OrderId) = ("u1:5".parse().unwrap(), "u1:6".parse().unwrap());
    let ttl = Duration::from_secs(86_400);
    let bind = |order_id, digest| {
        db.reply(&BindIdempotencyKey { owner: "o", key_digest: "abc", order_id, digest: [digest; 12], ttl })
    };
    assert_eq!(bind(&order_id, 1), BoundIdempotencyKey::Bound);
    assert_eq!(bind(&other, 1), BoundIdempotencyKey::AlreadyDone(order_id.clone()));
    assert_eq!(bind(&other, 2), BoundIdempotencyKey::Conflict);
    let sender: SenderId = "u1".parse().unwrap();
    let day_start = UnixMs(db.now().0 / 86_400_000 * 86_400_000);
    let reserve = |order_id| db.reply(&TakeDailyPlaces { sender: &sender, order_id, daily: 1, day_start });
    let DailyPlaces::Ok { used: 1, already_done: false, taken } = reserve(&order_id) else {
        panic!("no place")
    };
    assert_eq!(reserve(&other), DailyPlaces::LimitReached { used: 1, to_check: vec![] });
    assert_eq!(
        db.reply(&ReturnDailyPlaces {
            sender: &sender,
            places: &[DailyPlace { order_id: order_id.clone(), taken }]
        }),
        1
    );
    assert!(matches!(reserve(&other), DailyPlaces::Ok { used: 1, already_done: false, .. }));
    let order = Order::big("u1:5").deliveries(501);
    order.stage(&db);
    assert_eq!(
        db.reply(&Unstage { keys: &db.keys, order_id: Some(&order_id), upload: None }),
        Unstaged::Done(Some("u1:5".into()))
    );
}
