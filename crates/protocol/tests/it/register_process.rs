//! `register_process`, and the epoch: what a database is, and that nothing is ever written to another one.

use std::time::Duration;

use posthaste_model::{Channel, OrderId, OutcomeKind, Priority, Reason, UnixMs};
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::address_key::AgreeOnKey;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::delete_suppression::DeleteSuppression;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::fail_order::FailOrder;
use posthaste_protocol::scripts::fail_parcel::FailParcel;
use posthaste_protocol::scripts::halt::{HaltCause, HaltDatabase};
use posthaste_protocol::scripts::list_in_doubt::{DoubtIndex, ListInDoubt};
use posthaste_protocol::scripts::measure_backlog::{BacklogPlace, MeasureBacklog};
use posthaste_protocol::scripts::open_server_run::OpenServerRun;
use posthaste_protocol::scripts::opt_in::OptIn;
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::PurgeOrders;
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::register_process::{RegisterProcess, Registered};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::release_parked::ReleaseParked;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::scan_orders::ScanOrders;
use posthaste_protocol::scripts::settle::{Settle, Settlement};
use posthaste_protocol::scripts::stage_parcels::StageParcels;
use posthaste_protocol::scripts::suppress::PutSuppressions;
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unstage_parcels::Unstage;
use posthaste_protocol::{Refusal, ScriptCall, scripts};

use crate::db::{Db, EPOCH, channel};
use crate::order::{Courier, LEASE, Order, WINDOW, report};
use crate::suppressions;

fn register<'a>(db: &'a Db, channel: Option<&'a Channel>) -> RegisterProcess<'a> {
    RegisterProcess { keys: &db.keys, fresh_epoch: EPOCH, partitions: 1, channel, receipts: None }
}

#[test]
fn an_empty_database_is_set_up() {
    let (db, email) = (Db::empty(), channel("email"));
    let step = db.step(&register(&db, Some(&email)));
    assert_eq!(step.reply, Registered::Ok { schema: 2 });
    step.changed(&[], &["+ epoch:{0}: e1", "+ schema:{0}: 2 1 1", "+ channels:{0} email: @now"]);
    // The next process finds this epoch, whatever it would have set.
    let other = RegisterProcess { fresh_epoch: "e2", ..register(&db, None) };
    let answer = db.answer(&other);
    assert_eq!((answer.reply, answer.epoch.as_str(), answer.fence), (Registered::Ok { schema: 2 }, EPOCH, 0));
    assert_eq!(db.unchanged(&other), Registered::Ok { schema: 2 });
}

#[test]
fn a_courier_is_seen() {
    let (db, email) = (Db::start(), channel("email"));
    db.epoch.replace(EPOCH.to_owned());
    let step = db.step(&register(&db, Some(&email)));
    step.changed(&[], &["+ channels:{0} email: @now"]);
}

#[test]
fn a_courier_says_whether_its_channel_has_receipts() {
    let (db, sms) = (Db::start(), channel("sms"));
    db.epoch.replace(EPOCH.to_owned());
    let said = |receipts| RegisterProcess { receipts: Some(receipts), ..register(&db, Some(&sms)) };
    let step = db.step(&said(true));
    step.changed(&[], &["+ channels:{0} sms: @now", "+ channels:{0} sms:receipts: 1"]);
    db.call(&register(&db, Some(&sms))).expect("a courier that says nothing");
    assert_eq!(db.snapshot().hash("channels:{0}")["sms:receipts"].as_slice(), b"1", "keeps the last value");
    db.call(&said(false)).expect("another courier");
    assert_eq!(db.snapshot().hash("channels:{0}")["sms:receipts"].as_slice(), b"0", "the last one counts");
}

#[test]
fn orders_without_an_epoch_are_foreign() {
    let db = Db::start();
    Order::inline("u1:5").accept(&db);
    db.raw(&["DEL", "epoch:{0}"]);
    db.epoch.replace(String::new());
    assert_eq!(db.unchanged(&register(&db, None)), Registered::Foreign, "orders and a schema");
    db.raw(&["DEL", "schema:{0}"]);
    assert_eq!(db.unchanged(&register(&db, None)), Registered::Foreign, "orders");
    db.raw(&["FLUSHALL"]);
    db.raw(&["SET", "fence:{0}", "7"]);
    assert_eq!(db.unchanged(&register(&db, None)), Registered::Foreign, "a fence");
}

#[test]
fn another_number_of_partitions_is_foreign() {
    let db = Db::start();
    db.epoch.replace(String::new());
    assert_eq!(db.unchanged(&RegisterProcess { partitions: 64, ..register(&db, None) }), Registered::Foreign);
    for schema in ["", "nonsense", "1 1"] {
        db.raw(&["SET", "schema:{0}", schema]);
        assert_eq!(db.unchanged(&register(&db, None)), Registered::Foreign, "{schema:?}");
    }
}

#[test]
fn a_database_may_require_a_newer_program() {
    let (db, email) = (Db::start(), channel("email"));
    db.raw(&["SET", "schema:{0}", "4 3 1"]);
    assert_eq!(db.unchanged(&register(&db, Some(&email))), Registered::ProgramTooOld);
    db.raw(&["SET", "schema:{0}", "3 1 1"]);
    assert_eq!(db.unchanged(&register(&db, None)), Registered::Ok { schema: 3 });
}

#[test]
fn a_different_epoch_is_reported() {
    let db = Db::start();
    for (found, set) in [("e9", true), ("", false)] {
        db.raw(&if set { vec!["SET", "epoch:{0}", found] } else { vec!["DEL", "epoch:{0}"] });
        let before = db.snapshot();
        assert_eq!(db.call(&register(&db, None)), Err(Refusal::WrongEpoch { found: found.to_owned() }));
        assert!(db.snapshot() == before);
    }
}

/// Calls one script with a wrong epoch and requires that it refuses and writes nothing.
fn refused<S: ScriptCall>(db: &Db, script: &S, tried: &mut Vec<&'static str>) {
    let name = S::contract().text.name;
    let before = db.snapshot();
    match db.call(script) {
        Err(Refusal::WrongEpoch { found }) => assert_eq!(found, EPOCH, "{name}"),
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name} succeeded"),
    }
    assert!(db.snapshot() == before, "{name}");
    tried.push(name);
}

#[test]
fn every_script_refuses_another_database() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    db.epoch.replace("e2".to_owned());
    let (keys, email, order_id, parcel_id) =
        (&db.keys, &courier.channel, &order.order_id, &order.parcel_id(0));
    let (parcels, other): (&[ParcelRef], OrderId) =
        (std::slice::from_ref(&parcel), "u1:6".parse().expect("an order id"));
    let (deliveries, reason) = ([(parcel.clone(), vec![(1, 1)])], Reason::None);
    let settlements =
        [Settlement { parcel: parcel.clone(), leave: true, reports: vec![report(0, 1, OutcomeKind::Sent)] }];
    let (wait, index) = (Duration::ZERO, Index::Ready(Priority::Bulk));
    let mut tried = vec![];
    let t = &mut tried;
    refused(&db, &RepairIndexes { keys, channel: email, order_id, from: 0 }, t);
    refused(
        &db,
        &Begin {
            keys,
            channel: email,
            send_window: WINDOW,
            deliveries_a_token: 1,
            partitions: 1,
            parcels: &deliveries,
        },
        t,
    );
    refused(&db, &Cancel { keys, order_id }, t);
    refused(&db, &courier.next(), t);
    refused(&db, &ExpireParcels { keys, channel: email, index, from: 0, limit: 9 }, t);
    let new = Order::inline("u1:7");
    refused(&db, &new.call(&db, new.pieces().as_deref()), t);
    let (id, key) = (&"abcdefghijkl".parse().expect("an id"), &crate::api_keys::key(1, "ci"));
    refused(&db, &CreateKey { keys, key }, t);
    refused(&db, &RevokeKey { keys, id }, t);
    refused(&db, &TouchKey { keys, id }, t);
    let (index, halted) = (DoubtIndex::Leased, UnixMs(1));
    refused(&db, &ListInDoubt { keys, channel: email, index, halted, end: true, from: 0, limit: 9 }, t);
    refused(&db, &FailOrder { keys, order_id, from: None, forced: true }, t);
    refused(&db, &FailParcel { keys, channel: email, parcel_id }, t);
    let (cause, found, since, last) = (HaltCause::WentBack, Some(0), None, None);
    refused(&db, &HaltDatabase { keys, cause, found, known: 1, since, last, orders: &[] }, t);
    refused(&db, &OpenServerRun { keys, lost: None }, t);
    refused(&db, &MeasureBacklog { keys, channel: email, from: BacklogPlace::START, limit: 9 }, t);
    refused(&db, &crate::courier_reports::report(&db, email, &courier.id, 1), t);
    refused(&db, &Recover { keys, partitions: 1 }, t);
    refused(&db, &ClaimUnresolved { keys, channel: email, limit: 9, put_off: WINDOW }, t);
    let to_park = [ToPark { parcel_id: parcel_id.clone(), fence: None, why: "deliveries" }];
    refused(&db, &Park { keys, channel: email, parcels: &to_park }, t);
    refused(&db, &ScanOrders { keys, from: 0, limit: 9 }, t);
    refused(
        &db,
        &ApplyReceipt {
            keys,
            channel: email,
            parcel_id,
            delivery: 0,
            attempt: 1,
            status: ReceiptStatus::Delivered,
            reason: reason.into(),
        },
        t,
    );
    refused(&db, &register(&db, Some(email)), t);
    refused(&db, &Release { keys, channel: email, wait, parcels }, t);
    refused(&db, &Renew { keys, channel: email, lease: LEASE, parcels }, t);
    refused(&db, &Reschedule { keys, order_id, due: UnixMs(1), not_after: None, revision: 0 }, t);
    refused(&db, &Resolve { keys, channel: email, parcel_id, decisions: &[(0, 1, Decision::Retry)] }, t);
    refused(&db, &PurgeOrders { keys, day: 1, retention_days: 1 }, t);
    refused(&db, &PromoteDue { keys }, t);
    refused(&db, &Settle { keys, channel: email, settlements: &settlements }, t);
    refused(&db, &StageParcels { keys, order_id: &other, upload: "1", open: Some(b"x"), parcels: &[] }, t);
    refused(&db, &courier.sweeping(), t);
    refused(&db, &ReleaseParked { keys, channel: None, names: &[order_id.to_string()] }, t);
    refused(&db, &Unstage { keys, order_id: None, upload: None }, t);
    let (key, entries) = (&suppressions::key(), [suppressions::refusal(1)]);
    refused(&db, &AgreeOnKey { keys, key, made: true }, t);
    refused(&db, &PutSuppressions { keys, key, channel: email, entries: &entries }, t);
    let (id, seen) = (entries[0].id, UnixMs(1));
    refused(&db, &DeleteSuppression { keys, key, channel: email, id, seen }, t);
    let (notice, reasons) = (suppressions::fresh(), &[reason]);
    refused(&db, &OptIn { keys, key, channel: email, id, notice, reasons, remember: true }, t);
    // The others use their own slots, which hold nothing that could be lost.
    tried.extend([
        "bind_idempotency_key",
        "limit_sms",
        "limit_rate",
        "put_alias",
        "take_daily_places",
        "free_idempotency_key",
        "return_daily_places",
    ]);
    tried.sort_unstable();
    assert_eq!(tried, scripts::ALL.iter().map(|c| c.text.name).collect::<Vec<_>>());
}

/// A newer program raises the stored schema, and it is never lowered; a program that is too old is refused.
#[test]
fn a_newer_program_raises_the_schema() {
    let db = Db::start();
    let call = |schema: &str, oldest: &str| {
        let keys = db.keys.clone();
        let register = register(&db, None);
        let call = posthaste_protocol::ScriptCall::invoke(&register, "r", EPOCH);
        let mut words: Vec<Vec<u8>> = vec![b"EVAL".to_vec(), call.script.body.clone().into_bytes()];
        words.push(call.keys.len().to_string().into_bytes());
        words.extend(call.keys.iter().map(|key| key.clone().into_bytes()));
        words.extend(call.args.iter().map(|arg| arg.to_vec()));
        let last = words.len();
        words[last - 5] = schema.into();
        words[last - 1] = oldest.into();
        let reply = db.raw(&words);
        let stored = db.raw(&["GET", &keys.schema()]);
        (reply.items()[0].text().expect("a code").to_owned(), stored.text().expect("a schema").to_owned())
    };
    let reported = |code: &str, stored: &str| (code.to_owned(), stored.to_owned());
    assert_eq!(call("2", "1"), reported("ok", "2 1 1"));
    assert_eq!(call("1", "1"), reported("ok", "2 1 1"), "an older version keeps running beside this one");
    assert_eq!(call("3", "1"), reported("ok", "3 1 1"), "a newer version that allows this one");
    assert_eq!(
        call("2", "1"),
        reported("ok", "3 1 1"),
        "this one keeps running beside it, and lowers nothing"
    );
    assert_eq!(call("4", "3"), reported("ok", "4 3 1"), "one that does not allow it");
    assert_eq!(call("2", "1"), reported("program_too_old", "4 3 1"));
    assert_eq!(call("3", "1"), reported("ok", "4 3 1"));
}
