//! Full memory: acceptance is refused whole, and scripts that drain work continue.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Priority, Reason, State, UnixMs};
use posthaste_protocol::record::{Notice, NoticeTime};
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::bind_idempotency_key::BindIdempotencyKey;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::create_key::{CreateKey, KeyCreated};
use posthaste_protocol::scripts::delete_suppression::{DeleteSuppression, SuppressionDeletion};
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::free_idempotency_key::FreeIdempotencyKey;
use posthaste_protocol::scripts::limit_rate::{LimitRate, RateDecision};
use posthaste_protocol::scripts::opt_in::{OptIn, OptedIn};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::PurgeOrders;
use posthaste_protocol::scripts::put_alias::PutAlias;
use posthaste_protocol::scripts::register_process::RegisterProcess;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::return_daily_places::ReturnDailyPlaces;
use posthaste_protocol::scripts::revoke_key::{KeyRevoked, RevokeKey};
use posthaste_protocol::scripts::scan_orders::ScanOrders;
use posthaste_protocol::scripts::stage_parcels::StageParcels;
use posthaste_protocol::scripts::suppress::{PutSuppressions, Suppressed};
use posthaste_protocol::scripts::take_daily_places::{DailyPlace, TakeDailyPlaces};
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unstage_parcels::Unstage;
use posthaste_protocol::{Refusal, ScriptCall};

use crate::db::{Db, channel};
use crate::order::{Courier, LEASE, Order, WINDOW, report};

const MINUTE: Duration = Duration::from_secs(60);

/// Fills the server's memory.
fn fill(db: &Db) {
    db.raw(&["CONFIG", "SET", "maxmemory", "1"]);
    let refusal = db.server.command(&["SET", "x", "y"]).expect("a reply");
    assert!(refusal.error().is_some_and(|text| text.starts_with("OOM")), "{refusal:?}");
}

/// Lets time pass. Moving times back writes too, so it briefly gets room.
fn later(db: &Db, span: Duration) {
    db.raw(&["CONFIG", "SET", "maxmemory", "0"]);
    db.later(span);
    fill(db);
}

fn refused<S: ScriptCall>(db: &Db, script: &S) {
    let name = S::contract().text.name;
    let before = db.snapshot();
    match db.call(script) {
        Err(Refusal::Server(text)) => assert!(text.contains("OOM"), "{name}: {text}"),
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name} succeeded"),
    }
    assert!(db.snapshot() == before, "{name}");
}

#[test]
fn acceptance_is_refused_whole() {
    let db = Db::start();
    let (order, staged) = (Order::inline("u1:5"), Order::big("u1:6"));
    staged.stage(&db);
    fill(&db);
    let (keys, order_id, day_start) = (&db.keys, &order.order_id, UnixMs(1));
    let sender = "u1".parse().expect("a sender");
    refused(&db, &order.call(&db, order.pieces().as_deref()));
    refused(&db, &staged.call(&db, None));
    refused(&db, &StageParcels { keys, order_id, upload: "1", open: Some(b"x"), parcels: &[] });
    refused(&db, &BindIdempotencyKey { owner: "o", key_digest: "k", order_id, digest: [0; 12], ttl: MINUTE });
    refused(&db, &PutAlias { name: "n", order: order_id });
    refused(&db, &TakeDailyPlaces { sender: &sender, order_id, daily: 9, day_start });
    let key = crate::api_keys::key(1, "ci");
    refused(&db, &CreateKey { keys, key: &key });
    refused(&db, &RegisterProcess { keys, fresh_epoch: "e", partitions: 1, channel: None, receipts: None });
    // A refused client may return its place, and its staged data is removed.
    assert_eq!(
        db.reply(&ReturnDailyPlaces {
            sender: &sender,
            places: &[DailyPlace { order_id: order_id.clone(), taken: day_start }]
        }),
        0
    );
    db.reply(&Unstage { keys, order_id: Some(&staged.order_id), upload: None });
    assert!(db.snapshot().names().all(|name| !name.contains("u1")));
}

#[test]
fn api_keys_can_be_used_limited_and_revoked() {
    let db = Db::start();
    let (keys, key, order_id) =
        (&db.keys, crate::api_keys::key(1, "ci"), &"u1:5".parse().expect("an order id"));
    let (id, owner, key_digest) = (&key.id, "o", "k");
    assert!(matches!(db.reply(&CreateKey { keys, key: &key }), KeyCreated::Created(_)));
    db.reply(&BindIdempotencyKey { owner, key_digest, order_id, digest: [0; 12], ttl: MINUTE });
    fill(&db);
    assert!(matches!(
        db.reply(&LimitRate { id, cost: 1, per_second: 1, burst: 1 }),
        RateDecision::Allowed { .. }
    ));
    assert!(db.reply(&TouchKey { keys, id }).is_some());
    assert!(db.reply(&FreeIdempotencyKey { owner, key_digest, order_id }));
    assert!(matches!(db.reply(&RevokeKey { keys, id }), KeyRevoked::Revoked(_)));
}

#[test]
fn opt_outs_and_opt_ins_are_accepted() {
    let db = Db::start();
    fill(&db);
    crate::suppressions::agree(&db);
    let (keys, channel, key) = (&db.keys, &channel("email"), &crate::suppressions::key());
    let entries = [crate::suppressions::refusal(1)];
    let put = db.answer(&PutSuppressions { keys, key, channel, entries: &entries });
    assert_eq!(put.reply, Some(vec![Suppressed::Added]));
    let (id, seen) = (entries[0].id, put.now);
    let delete = DeleteSuppression { keys, key, channel, id, seen };
    assert_eq!(db.reply(&delete), SuppressionDeletion::Deleted);
    let notice = Notice { said: NoticeTime::NotBefore(seen), ..crate::suppressions::fresh() };
    let reasons = &[Reason::OptedOut];
    let back = OptIn { keys, key, channel, id, notice, reasons, remember: true };
    assert_eq!(db.reply(&back), OptedIn::NotFound);
}

#[test]
fn scripts_that_drain_keep_working() {
    let db = Db::start();
    let first = Order::inline("u1:1").deliveries(3).due_in(&db, MINUTE).accept(&db).clone();
    let second = Order::big("u1:2").deliveries(501).due_in(&db, MINUTE).accept(&db).clone();
    let third = Order::inline("u1:3").due_in(&db, MINUTE * 9).accept(&db).clone();
    fill(&db);
    let due = db.now().after(MINUTE * 10);
    db.reply(&Reschedule { keys: &db.keys, order_id: &third.order_id, due, not_after: None, revision: 0 });
    db.reply(&Cancel { keys: &db.keys, order_id: &third.order_id });
    later(&db, MINUTE * 2);
    assert_eq!(db.reply(&PromoteDue { keys: &db.keys }).parcels, 3);
    let courier = Courier::new(&db, "c1");
    let (taken, parcels) = courier.take(&Claim { begin: 1, ..courier.next() });
    assert_eq!(taken.parcels[0].outcomes.as_ref().expect("outcomes").counts(), (2, 1, 0));
    let (keys, channel) = (&db.keys, &courier.channel);
    db.reply(&Renew { keys, channel, lease: LEASE, parcels: &parcels });
    courier.begun(&parcels[0], &[(1, 1)]);
    courier.begun(&parcels[1], &[(0, 1)]);
    courier.settle(&parcels[1], true, &[report(0, 1, OutcomeKind::Sent)]);
    courier.settle(&parcels[0], false, &[report(1, 1, OutcomeKind::Unknown)]);
    db.reply(&Release { keys, channel, wait: Duration::ZERO, parcels: &parcels[2..] });
    later(&db, LEASE);
    assert_eq!(db.reply(&courier.sweeping()).unresolved, 1);
    later(&db, WINDOW);
    assert_eq!(
        db.reply(&ClaimUnresolved { keys, channel, limit: 9, put_off: MINUTE }).parcel_ids,
        [first.parcel_id(0)]
    );
    let decisions = [(1, 1, Decision::Hold(Reason::NotRetried))];
    db.reply(&Resolve { keys, channel, parcel_id: &first.parcel_id(0), decisions: &decisions });
    let (word, reason) = (ReceiptStatus::Delivered, Reason::None);
    db.reply(&ApplyReceipt {
        keys,
        channel,
        parcel_id: &first.parcel_id(0),
        delivery: 0,
        attempt: 1,
        status: word,
        reason: reason.into(),
    });
    db.reply(&RepairIndexes { keys, channel, order_id: &second.order_id, from: 0 });
    db.reply(&ScanOrders { keys, from: 0, limit: 9 });
    db.check_invariants();
    later(&db, crate::order::SPAN);
    db.reply(&ExpireParcels { keys, channel, index: Index::Ready(Priority::Bulk), from: 0, limit: 200 });
    db.check_invariants();
    let states: Vec<_> =
        first.try_outcomes(&db, 0).expect("outcomes").deliveries().map(|delivery| delivery.state).collect();
    assert_eq!(states, [State::Delivered, State::Unknown, State::Expired]);
    // And removing final orders makes room.
    db.raw(&["CONFIG", "SET", "maxmemory", "0"]);
    let day = db.age_final().expect("final orders");
    fill(&db);
    db.reply(&PurgeOrders { keys, day, retention_days: 90 });
    assert!(db.snapshot().names().all(|name| !name.contains("u1")));
}
