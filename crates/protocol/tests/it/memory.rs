//! Full memory: acceptance is refused whole, and everything that drains goes on.

use std::time::Duration;

use posthaste_model::{Lane, Reason, State, UnixMs, Verdict};
use posthaste_protocol::record::{Notice, Said};
use posthaste_protocol::scripts::audit::Audit;
use posthaste_protocol::scripts::bind::Bind;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::create_key::{CreateKey, KeyCreated};
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::lift::{LiftSuppression, Lifted};
use posthaste_protocol::scripts::opt_in::{OptIn, OptedIn};
use posthaste_protocol::scripts::patrol::Patrol;
use posthaste_protocol::scripts::rate::{Rate, Rated};
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::register::Register;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::remember::Remember;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::reserve::{Place, Reserve};
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::retire::Retire;
use posthaste_protocol::scripts::revoke_key::{KeyRevoked, RevokeKey};
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::stage::Stage;
use posthaste_protocol::scripts::suppress::{PutSuppressions, Suppressed};
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unbind::Unbind;
use posthaste_protocol::scripts::unreserve::Unreserve;
use posthaste_protocol::scripts::unstage::Unstage;
use posthaste_protocol::{Refusal, Script};

use crate::db::{Db, channel};
use crate::order::{Courier, LEASE, Order, WINDOW, report};

const MINUTE: Duration = Duration::from_secs(60);

/// From now on the server is full.
fn fill(db: &Db) {
    db.raw(&["CONFIG", "SET", "maxmemory", "1"]);
    let refusal = db.server.command(&["SET", "x", "y"]).expect("a reply");
    assert!(refusal.error().is_some_and(|text| text.starts_with("OOM")), "{refusal:?}");
}

/// Time passes: what moves it writes too, so it gets a moment of room.
fn later(db: &Db, span: Duration) {
    db.raw(&["CONFIG", "SET", "maxmemory", "0"]);
    db.later(span);
    fill(db);
}

fn refused<S: Script>(db: &Db, script: &S) {
    let name = S::contract().text.name;
    let before = db.snapshot();
    match db.call(script) {
        Err(Refusal::Server(text)) => assert!(text.contains("OOM"), "{name}: {text}"),
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name} was answered"),
    }
    assert!(db.snapshot() == before, "{name}");
}

#[test]
fn acceptance_is_refused_whole() {
    let db = Db::start();
    let (order, staged) = (Order::inline("u1:5"), Order::big("u1:6"));
    staged.stage(&db);
    fill(&db);
    let (keys, suffix, day_start) = (&db.keys, &order.suffix, UnixMs(1));
    let sender = "u1".parse().expect("a sender");
    refused(&db, &order.call(&db, order.pieces().as_deref()));
    refused(&db, &staged.call(&db, None));
    refused(&db, &Stage { keys, suffix, upload: "1", open: Some(b"x"), parcels: &[] });
    refused(&db, &Bind { owner: "o", key_digest: "k", suffix, digest: [0; 12], ttl: MINUTE });
    refused(&db, &Remember { name: "n", order: suffix });
    refused(&db, &Reserve { sender: &sender, suffix, daily: 9, day_start });
    let key = crate::api_keys::key(1, "ci");
    refused(&db, &CreateKey { keys, key: &key });
    refused(&db, &Register { keys, fresh_epoch: "e", partitions: 1, channel: None, receipts: None });
    // A client that was refused may give its place back, and what was staged is removed.
    assert_eq!(
        db.reply(&Unreserve {
            sender: &sender,
            places: &[Place { suffix: suffix.clone(), taken: day_start }]
        }),
        0
    );
    db.reply(&Unstage { keys, suffix: Some(&staged.suffix), upload: None });
    assert!(db.snapshot().names().all(|name| !name.contains("u1")));
}

#[test]
fn callers_are_known_counted_and_shut_out() {
    let db = Db::start();
    let (keys, key, suffix) = (&db.keys, crate::api_keys::key(1, "ci"), &"u1:5".parse().expect("a suffix"));
    let (id, owner, key_digest) = (&key.id, "o", "k");
    assert!(matches!(db.reply(&CreateKey { keys, key: &key }), KeyCreated::Created(_)));
    db.reply(&Bind { owner, key_digest, suffix, digest: [0; 12], ttl: MINUTE });
    fill(&db);
    assert!(matches!(db.reply(&Rate { id, cost: 1, per_second: 1, burst: 1 }), Rated::Allowed { .. }));
    assert!(db.reply(&TouchKey { keys, id }).is_some());
    assert!(db.reply(&Unbind { owner, key_digest, suffix }));
    assert!(matches!(db.reply(&RevokeKey { keys, id }), KeyRevoked::Revoked(_)));
}

#[test]
fn who_wants_nothing_more_is_heard() {
    let db = Db::start();
    fill(&db);
    crate::suppressions::agree(&db);
    let (keys, channel, key) = (&db.keys, &channel("email"), &crate::suppressions::key());
    let entries = [crate::suppressions::refusal(1)];
    let put = db.answer(&PutSuppressions { keys, key, channel, entries: &entries });
    assert_eq!(put.reply, Some(vec![Suppressed::Added]));
    let (id, seen) = (entries[0].id, put.now);
    let lift = LiftSuppression { keys, key, channel, id, seen };
    assert_eq!(db.reply(&lift), Lifted::Lifted);
    let notice = Notice { said: Said::NotBefore(seen), ..crate::suppressions::fresh() };
    let reasons = &[Reason::OptedOut];
    let back = OptIn { keys, key, channel, id, notice, reasons, remember: true };
    assert_eq!(db.reply(&back), OptedIn::Gone);
}

#[test]
fn everything_that_drains_goes_on() {
    let db = Db::start();
    let first = Order::inline("u1:1").rows(3).due_in(&db, MINUTE).accept(&db).clone();
    let second = Order::big("u1:2").rows(501).due_in(&db, MINUTE).accept(&db).clone();
    let third = Order::inline("u1:3").due_in(&db, MINUTE * 9).accept(&db).clone();
    fill(&db);
    let due = db.now().after(MINUTE * 10);
    db.reply(&Reschedule { keys: &db.keys, suffix: &third.suffix, due, not_after: None, revision: 0 });
    db.reply(&Cancel { keys: &db.keys, suffix: &third.suffix });
    later(&db, MINUTE * 2);
    assert_eq!(db.reply(&Ring { keys: &db.keys }).parcels, 3);
    let courier = Courier::new(&db, "c1");
    let (taken, parcels) = courier.take(&Claim { begin: 1, ..courier.next() });
    assert_eq!(taken.parcels[0].outcomes.as_ref().expect("outcomes").counts(), (2, 1, 0));
    let (keys, channel) = (&db.keys, &courier.channel);
    db.reply(&Renew { keys, channel, lease: LEASE, parcels: &parcels });
    courier.begun(&parcels[0], &[(1, 1)]);
    courier.begun(&parcels[1], &[(0, 1)]);
    courier.settle(&parcels[1], true, &[report(0, 1, Verdict::Sent)]);
    courier.settle(&parcels[0], false, &[report(1, 1, Verdict::Unknown)]);
    db.reply(&Release { keys, channel, wait: Duration::ZERO, parcels: &parcels[2..] });
    later(&db, LEASE);
    assert_eq!(db.reply(&courier.sweeping()).unresolved, 1);
    later(&db, WINDOW);
    assert_eq!(db.reply(&Inquire { keys, channel, limit: 9, put_off: MINUTE }).members, [first.member(0)]);
    let decisions = [(1, 1, Decision::Hold(Reason::Held))];
    db.reply(&Resolve { keys, channel, member: &first.member(0), decisions: &decisions });
    let (word, reason) = (Word::Delivered, Reason::None);
    db.reply(&Receipt { keys, channel, member: &first.member(0), row: 0, attempt: 1, word, reason });
    db.reply(&Audit { keys, channel, suffix: &second.suffix, from: 0 });
    db.reply(&Patrol { keys, from: 0, limit: 9 });
    db.sound();
    later(&db, crate::order::SPAN);
    db.reply(&Close { keys, channel, index: Index::Ready(Lane::Bulk), from: 0, limit: 200 });
    db.sound();
    let states: Vec<_> = first.try_outcomes(&db, 0).expect("outcomes").rows().map(|row| row.state).collect();
    assert_eq!(states, [State::Delivered, State::Unknown, State::Expired]);
    // And what is over makes room.
    db.raw(&["CONFIG", "SET", "maxmemory", "0"]);
    let day = db.age_final().expect("final orders");
    fill(&db);
    db.reply(&Retire { keys, day, retention_days: 90 });
    assert!(db.snapshot().names().all(|name| !name.contains("u1")));
}
