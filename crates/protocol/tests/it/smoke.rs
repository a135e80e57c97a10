//! Every script compiles on the server, and the shortest life of an order works.

use std::time::Duration;

use posthaste_model::{Lane, Reason, SenderId, Suffix, UnixMs, Verdict};
use posthaste_protocol::scripts::audit::{Audit, Audited};
use posthaste_protocol::scripts::bind::{Bind, Bound};
use posthaste_protocol::scripts::cancel::{Cancel, Cancelled};
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::reschedule::{Reschedule, Rescheduled};
use posthaste_protocol::scripts::reserve::{Place, Reserve, Reserved};
use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolve, Resolved};
use posthaste_protocol::scripts::retire::{Retire, Retired};
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::settle::Reported;
use posthaste_protocol::scripts::unreserve::Unreserve;
use posthaste_protocol::scripts::unstage::{Unstage, Unstaged};
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
        let order = Order::of_layout(big, "u1:5").rows(2);
        order.accept(&db);
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        let parcels = [parcel.clone()];
        let renew = Renew { keys: &db.keys, channel: &courier.channel, lease: LEASE, parcels: &parcels };
        assert_eq!(db.reply(&renew), [Renewed::Renewed]);
        let reports = [report(0, 1, Verdict::Sent), report(1, 1, Verdict::Delivered)];
        let settled = courier.settle(&parcel, true, &reports);
        assert_eq!(settled, (ParcelCode::Left, vec![Reported::Applied, Reported::Applied]));
        let day = db.age_final().expect("a final order");
        let retire = Retire { keys: &db.keys, day, retention_days: 90 };
        assert_eq!(db.reply(&retire), Retired::Done(1));
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
    let moved =
        db.reply(&Reschedule { keys: &db.keys, suffix: &order.suffix, due, not_after: None, revision: 0 });
    assert!(matches!(moved, Rescheduled::Ok { due: told, .. } if told == due), "{moved:?}");
    db.later(Duration::from_secs(6));
    assert_eq!(db.reply(&Ring { keys: &db.keys }).parcels, 1);
    let cancelled = db.reply(&Cancel { keys: &db.keys, suffix: &order.suffix });
    assert_eq!(cancelled, Cancelled::Ok { again: false, stopped: 1, too_late: 0 });
    let audit = Audit { keys: &db.keys, channel: &order.channels[0].0, suffix: &order.suffix, from: 0 };
    assert_eq!(db.reply(&audit), Audited::Ok { next: None, mended: 0 });
    let index = Index::Ready(Lane::Bulk);
    let close = Close { keys: &db.keys, channel: &order.channels[0].0, index, from: 0, limit: 10 };
    assert_eq!(db.reply(&close).closed, 1);
    assert_eq!(
        db.reply(&Cancel { keys: &db.keys, suffix: &order.suffix }),
        Cancelled::Ok { again: true, stopped: 1, too_late: 0 }
    );
}

#[test]
fn an_unknown_is_asked_about_and_repeated() {
    let db = Db::start();
    let order = Order::inline("u1:5").rows(2);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    assert_eq!(courier.crash().unresolved, 1);
    let put_off = Duration::from_secs(60);
    let inquire = Inquire { keys: &db.keys, channel: &courier.channel, limit: 10, put_off };
    assert!(db.reply(&inquire).members.is_empty());
    db.later(WINDOW);
    assert_eq!(db.reply(&inquire).members, [order.member(0)]);
    let decisions = [(0, 1, Decision::Retry)];
    let resolve = Resolve {
        keys: &db.keys,
        channel: &courier.channel,
        member: &order.member(0),
        decisions: &decisions,
    };
    assert_eq!(db.reply(&resolve), Resolved::Ok { ended: 0, rows: vec![Decided::Applied] });
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 2), (1, 1)]);
    let member = order.member(0);
    let receipt = Receipt {
        keys: &db.keys,
        channel: &courier.channel,
        member: &member,
        row: 0,
        attempt: 2,
        word: Word::Delivered,
        reason: Reason::None,
    };
    assert_eq!(db.reply(&receipt), Some(Reported::Applied));
    let release = Release {
        keys: &db.keys,
        channel: &courier.channel,
        wait: Duration::ZERO,
        parcels: std::slice::from_ref(&parcel),
    };
    assert_eq!(db.reply(&release), [ParcelCode::Sending]);
    let settled = courier.settle(&parcel, true, &[report(1, 1, Verdict::NotSent)]);
    assert_eq!(settled, (ParcelCode::Ready, vec![Reported::Applied]));
}

#[test]
fn acceptance_has_its_small_scripts() {
    let db = Db::start();
    let (suffix, other): (Suffix, Suffix) = ("u1:5".parse().unwrap(), "u1:6".parse().unwrap());
    let ttl = Duration::from_secs(86_400);
    let bind =
        |suffix, digest| db.reply(&Bind { owner: "o", key_digest: "abc", suffix, digest: [digest; 12], ttl });
    assert_eq!(bind(&suffix, 1), Bound::Fresh);
    assert_eq!(bind(&other, 1), Bound::Same(suffix.clone()));
    assert_eq!(bind(&other, 2), Bound::Other);
    let sender: SenderId = "u1".parse().unwrap();
    let day_start = UnixMs(db.now().0 / 86_400_000 * 86_400_000);
    let reserve = |suffix| db.reply(&Reserve { sender: &sender, suffix, daily: 1, day_start });
    let Reserved::Ok { used: 1, again: false, taken } = reserve(&suffix) else { panic!("no place") };
    assert_eq!(reserve(&other), Reserved::Full { used: 1, to_check: vec![] });
    assert_eq!(
        db.reply(&Unreserve { sender: &sender, places: &[Place { suffix: suffix.clone(), taken }] }),
        1
    );
    assert!(matches!(reserve(&other), Reserved::Ok { used: 1, again: false, .. }));
    let order = Order::big("u1:5").rows(501);
    order.stage(&db);
    assert_eq!(
        db.reply(&Unstage { keys: &db.keys, suffix: Some(&suffix), upload: None }),
        Unstaged::Done(Some("u1:5".into()))
    );
}
