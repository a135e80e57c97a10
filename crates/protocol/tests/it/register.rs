//! `register`, and the epoch: what a database is, and that nothing is ever written to another one.

use std::time::Duration;

use posthaste_model::{Channel, Lane, Reason, Suffix, UnixMs, Verdict};
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::address_key::AgreeOnKey;
use posthaste_protocol::scripts::audit::Audit;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::doubt::{Doubt, DoubtIndex};
use posthaste_protocol::scripts::fail_order::FailOrder;
use posthaste_protocol::scripts::fail_parcel::FailParcel;
use posthaste_protocol::scripts::halt::{Halt, HaltCause};
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::lift::LiftSuppression;
use posthaste_protocol::scripts::open_run::OpenRun;
use posthaste_protocol::scripts::opt_in::OptIn;
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::patrol::Patrol;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::register::{Register, Registered};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::retire::Retire;
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::settle::{Settle, Settlement};
use posthaste_protocol::scripts::stage::Stage;
use posthaste_protocol::scripts::suppress::PutSuppressions;
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unpark::Unpark;
use posthaste_protocol::scripts::unstage::Unstage;
use posthaste_protocol::{Refusal, Script, scripts};

use crate::db::{Db, EPOCH, channel};
use crate::order::{Courier, LEASE, Order, WINDOW, report};
use crate::suppressions;

fn register<'a>(db: &'a Db, channel: Option<&'a Channel>) -> Register<'a> {
    Register { keys: &db.keys, fresh_epoch: EPOCH, partitions: 1, channel, receipts: None }
}

#[test]
fn an_empty_database_is_set_up() {
    let (db, email) = (Db::empty(), channel("email"));
    let step = db.step(&register(&db, Some(&email)));
    assert_eq!(step.reply, Registered::Ok { schema: 1 });
    step.changed(&[], &["+ epoch:{0}: e1", "+ schema:{0}: 1 1 1", "+ channels:{0} email: @now"]);
    // The next one finds its epoch, whatever it would have set.
    let other = Register { fresh_epoch: "e2", ..register(&db, None) };
    let answer = db.answer(&other);
    assert_eq!((answer.reply, answer.epoch.as_str(), answer.fence), (Registered::Ok { schema: 1 }, EPOCH, 0));
    assert_eq!(db.unchanged(&other), Registered::Ok { schema: 1 });
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
    let said = |receipts| Register { receipts: Some(receipts), ..register(&db, Some(&sms)) };
    let step = db.step(&said(true));
    step.changed(&[], &["+ channels:{0} sms: @now", "+ channels:{0} sms:receipts: 1"]);
    db.call(&register(&db, Some(&sms))).expect("one that says nothing");
    assert_eq!(db.snapshot().hash("channels:{0}")["sms:receipts"].as_slice(), b"1", "takes nothing back");
    db.call(&said(false)).expect("the next one");
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
    assert_eq!(db.unchanged(&Register { partitions: 64, ..register(&db, None) }), Registered::Foreign);
    for schema in ["", "nonsense", "1 1"] {
        db.raw(&["SET", "schema:{0}", schema]);
        assert_eq!(db.unchanged(&register(&db, None)), Registered::Foreign, "{schema:?}");
    }
}

#[test]
fn a_database_that_asks_for_a_newer_program_says_so() {
    let (db, email) = (Db::start(), channel("email"));
    db.raw(&["SET", "schema:{0}", "3 2 1"]);
    assert_eq!(db.unchanged(&register(&db, Some(&email))), Registered::TooOld);
    db.raw(&["SET", "schema:{0}", "2 1 1"]);
    assert_eq!(db.unchanged(&register(&db, None)), Registered::Ok { schema: 2 });
}

#[test]
fn another_epoch_than_the_known_one_is_told() {
    let db = Db::start();
    for (found, set) in [("e9", true), ("", false)] {
        db.raw(&if set { vec!["SET", "epoch:{0}", found] } else { vec!["DEL", "epoch:{0}"] });
        let before = db.snapshot();
        assert_eq!(db.call(&register(&db, None)), Err(Refusal::Epoch { found: found.to_owned() }));
        assert!(db.snapshot() == before);
    }
}

/// Calls one script under a wrong epoch and demands that it refuses and writes nothing.
fn refused<S: Script>(db: &Db, script: &S, tried: &mut Vec<&'static str>) {
    let name = S::contract().text.name;
    let before = db.snapshot();
    match db.call(script) {
        Err(Refusal::Epoch { found }) => assert_eq!(found, EPOCH, "{name}"),
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name} was answered"),
    }
    assert!(db.snapshot() == before, "{name}");
    tried.push(name);
}

#[test]
fn every_script_refuses_another_database() {
    let db = Db::start();
    let order = Order::inline("u1:5").rows(2);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    db.epoch.replace("e2".to_owned());
    let (keys, email, suffix, member) = (&db.keys, &courier.channel, &order.suffix, &order.member(0));
    let (parcels, other): (&[ParcelRef], Suffix) =
        (std::slice::from_ref(&parcel), "u1:6".parse().expect("a suffix"));
    let (rows, reason) = ([(parcel.clone(), vec![(1, 1)])], Reason::None);
    let settlements =
        [Settlement { parcel: parcel.clone(), leave: true, reports: vec![report(0, 1, Verdict::Sent)] }];
    let (wait, index) = (Duration::ZERO, Index::Ready(Lane::Bulk));
    let mut tried = vec![];
    let t = &mut tried;
    refused(&db, &Audit { keys, channel: email, suffix, from: 0 }, t);
    refused(
        &db,
        &Begin { keys, channel: email, send_window: WINDOW, rows_a_token: 1, partitions: 1, parcels: &rows },
        t,
    );
    refused(&db, &Cancel { keys, suffix }, t);
    refused(&db, &courier.next(), t);
    refused(&db, &Close { keys, channel: email, index, from: 0, limit: 9 }, t);
    let new = Order::inline("u1:7");
    refused(&db, &new.call(&db, new.pieces().as_deref()), t);
    let (id, key) = (&"abcdefghijkl".parse().expect("an id"), &crate::api_keys::key(1, "ci"));
    refused(&db, &CreateKey { keys, key }, t);
    refused(&db, &RevokeKey { keys, id }, t);
    refused(&db, &TouchKey { keys, id }, t);
    let (index, halted) = (DoubtIndex::Leased, UnixMs(1));
    refused(&db, &Doubt { keys, channel: email, index, halted, end: true, from: 0, limit: 9 }, t);
    refused(&db, &FailOrder { keys, suffix, from: None, forced: true }, t);
    refused(&db, &FailParcel { keys, channel: email, member }, t);
    let (cause, found, since, last) = (HaltCause::WentBack, Some(0), None, None);
    refused(&db, &Halt { keys, cause, found, known: 1, since, last, orders: &[] }, t);
    refused(&db, &OpenRun { keys, lost: None }, t);
    refused(&db, &Recover { keys, partitions: 1 }, t);
    refused(&db, &Inquire { keys, channel: email, limit: 9, put_off: WINDOW }, t);
    let to_park = [ToPark { member: member.clone(), fence: None, why: "rows" }];
    refused(&db, &Park { keys, channel: email, parcels: &to_park }, t);
    refused(&db, &Patrol { keys, from: 0, limit: 9 }, t);
    refused(
        &db,
        &Receipt { keys, channel: email, member, row: 0, attempt: 1, word: Word::Delivered, reason },
        t,
    );
    refused(&db, &register(&db, Some(email)), t);
    refused(&db, &Release { keys, channel: email, wait, parcels }, t);
    refused(&db, &Renew { keys, channel: email, lease: LEASE, parcels }, t);
    refused(&db, &Reschedule { keys, suffix, due: UnixMs(1), not_after: None, revision: 0 }, t);
    refused(&db, &Resolve { keys, channel: email, member, decisions: &[(0, 1, Decision::Retry)] }, t);
    refused(&db, &Retire { keys, day: 1, retention_days: 1 }, t);
    refused(&db, &Ring { keys }, t);
    refused(&db, &Settle { keys, channel: email, settlements: &settlements }, t);
    refused(&db, &Stage { keys, suffix: &other, upload: "1", open: Some(b"x"), parcels: &[] }, t);
    refused(&db, &courier.sweeping(), t);
    refused(&db, &Unpark { keys, channel: None, names: &[suffix.to_string()] }, t);
    refused(&db, &Unstage { keys, suffix: None, upload: None }, t);
    let (key, entries) = (&suppressions::key(), [suppressions::refusal(1)]);
    refused(&db, &AgreeOnKey { keys, key, made: true }, t);
    refused(&db, &PutSuppressions { keys, key, channel: email, entries: &entries }, t);
    let (id, seen) = (entries[0].id, UnixMs(1));
    refused(&db, &LiftSuppression { keys, key, channel: email, id, seen }, t);
    let (notice, reasons) = (suppressions::fresh(), &[reason]);
    refused(&db, &OptIn { keys, key, channel: email, id, notice, reasons, remember: true }, t);
    // The others touch slots of their own, which hold nothing that could be lost.
    tried.extend(["bind", "quota", "rate", "remember", "reserve", "unbind", "unreserve"]);
    tried.sort_unstable();
    assert_eq!(tried, scripts::ALL.iter().map(|c| c.text.name).collect::<Vec<_>>());
}

/// A newer program raises what is written of the database, and nothing lowers it; one that is too old is refused.
#[test]
fn a_newer_program_raises_the_schema() {
    let db = Db::start();
    let call = |schema: &str, oldest: &str| {
        let keys = db.keys.clone();
        let register = register(&db, None);
        let call = posthaste_protocol::Script::invoke(&register, "r", EPOCH);
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
    let told = |code: &str, stored: &str| (code.to_owned(), stored.to_owned());
    assert_eq!(call("1", "1"), told("ok", "1 1 1"));
    assert_eq!(call("2", "1"), told("ok", "2 1 1"), "a next version that leaves room for this one");
    assert_eq!(call("1", "1"), told("ok", "2 1 1"), "this one goes on beside it, and lowers nothing");
    assert_eq!(call("3", "2"), told("ok", "3 2 1"), "one that does not");
    assert_eq!(call("1", "1"), told("old", "3 2 1"));
    assert_eq!(call("2", "1"), told("ok", "3 2 1"));
}
