//! A database that went back: marks, runs of the server, the halt and the recovery.

use std::time::Duration;

use posthaste_model::{OrderId, OutcomeKind, Priority, Reason, State, UnixMs};
use posthaste_protocol::Refusal;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::halt::{HaltCause, HaltDatabase};
use posthaste_protocol::scripts::list_in_doubt::{DoubtIndex, FoundInDoubt, ListInDoubt};
use posthaste_protocol::scripts::open_server_run::{OpenServerRun, ServerRun};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::register_process::{RegisterProcess, Registered};

use crate::db::{Db, EPOCH};
use crate::order::{Courier, Order, report};
use crate::parked::parked;

pub(crate) fn fence(db: &Db) -> u64 {
    db.answer(&PromoteDue { keys: &db.keys }).fence
}

pub(crate) fn runs(db: &Db) -> Vec<ServerRun> {
    db.reply(&OpenServerRun { keys: &db.keys, lost: None })
}

fn halt<'a>(db: &'a Db, orders: &'a [(OrderId, UnixMs)]) -> HaltDatabase<'a> {
    let (since, last) = (Some(UnixMs(1_000)), Some(UnixMs(3_000)));
    HaltDatabase { keys: &db.keys, cause: HaltCause::WentBack, found: Some(4), known: 9, since, last, orders }
}

/// Calls with the epoch of a halted database.
fn halted<T>(db: &Db, call: impl FnOnce() -> T) -> T {
    let known = db.epoch.replace(format!("!{EPOCH}"));
    let reported = call();
    db.epoch.replace(known);
    reported
}

#[test]
fn every_confirmed_change_leaves_a_mark_and_a_repeat_leaves_none() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(3);
    let mut last = fence(&db);
    let mut marked = |what: &str| {
        let at = db.sent() - 1;
        let now = fence(&db);
        assert!(now > last, "{what} left no mark");
        db.late_copy(at);
        assert_eq!(fence(&db), now, "{what}, repeated");
        last = fence(&db);
    };
    order.accept(&db);
    marked("acceptance");
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    marked("claim");
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    marked("begin");
    courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent)]);
    marked("settle");
    let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
    let (word, reason) = (ReceiptStatus::Delivered, Reason::None);
    db.reply(&ApplyReceipt {
        keys,
        channel,
        parcel_id,
        delivery: 0,
        attempt: 1,
        status: word,
        reason: reason.into(),
    });
    marked("receipt");
    db.reply(&Cancel { keys, order_id: &order.order_id });
    marked("cancel");
}

#[test]
fn a_run_of_the_server_is_opened_once_and_raises_the_fence() {
    let db = Db::start();
    let first = runs(&db);
    assert_eq!((first.len(), first[0].found, first[0].raised), (1, 0, 0), "a new database starts at 0");
    db.unchanged(&OpenServerRun { keys: &db.keys, lost: None });
    Order::inline("u1:5").accept(&db);
    // The state that a server finds that took over.
    db.raw(&["LSET", "runs:{0}", "0", "other 0 0 5"]);
    let before = db.now().0 * 1_000;
    let opened = runs(&db);
    assert_eq!((opened.len(), opened[1].found), (2, 1));
    assert!(opened[1].raised >= before && fence(&db) == opened[1].raised, "{opened:?}");
    assert!(opened[1].lost(2) && !opened[1].lost(1) && !opened[1].lost(opened[1].raised));
    db.unchanged(&OpenServerRun { keys: &db.keys, lost: None });
    for n in 0..20 {
        db.raw(&["RPUSH", "runs:{0}", &format!("run{n} 0 0 5")]);
    }
    runs(&db);
    assert_eq!(db.raw(&["LLEN", "runs:{0}"]).int(), Some(16));
}

#[test]
fn a_loss_without_a_halt_is_recorded_at_its_run() {
    let db = Db::start();
    let keys = &db.keys;
    for n in 0..15 {
        db.raw(&["RPUSH", "runs:{0}", &format!("r{n} 1 9 5")]);
    }
    let note = |run, ms| OpenServerRun { keys, lost: Some((run, Duration::from_millis(ms))) };
    let noted = |runs: Vec<ServerRun>| -> Vec<_> {
        runs.into_iter().filter_map(|run| Some((run.id, run.continued?.as_millis()))).collect()
    };
    // Also by the first caller in a run; the longest loss stays.
    assert_eq!(noted(db.reply(&note("r14", 700))), [("r14".to_owned(), 700)]);
    db.again();
    db.unchanged(&note("r14", 600));
    db.unchanged(&note("gone", 600));
    assert_eq!(noted(db.reply(&note("r14", 1_700))), [("r14".to_owned(), 1_700)]);
    assert_eq!(noted(db.reply(&note("r0", 0))), [("r0".to_owned(), 0), ("r14".to_owned(), 1_700)]);
    assert_eq!(db.raw(&["LLEN", "runs:{0}"]).int(), Some(16));
    // The oldest run is dropped when a new one starts, and its loss is no longer recorded.
    let here = runs(&db).pop().expect("a run").id;
    db.raw(&["LSET", "runs:{0}", "-1", "other 1 9 5"]);
    let after = noted(db.reply(&note("r0", 900)));
    assert!(!after.contains(&("r0".to_owned(), 900)), "{after:?}");
    assert_eq!(runs(&db).pop().expect("a run").id, here);
    assert_eq!(noted(runs(&db)), [("r14".to_owned(), 1_700)]);
}

#[test]
fn a_clock_that_went_back_issues_no_fence_twice() {
    let db = Db::start();
    db.raw(&["SET", "fence:{0}", "8000000000000000"]);
    db.raw(&["RPUSH", "runs:{0}", "other 0 0 5"]);
    // By a different margin for each run.
    let above = runs(&db)[1].raised - 8_000_000_000_000_000;
    assert!((1..=4_096).contains(&(above / 1_000_000)) && above.is_multiple_of(1_000_000), "{above}");
}

#[test]
fn a_halted_database_refuses_calls_and_accepts_reports() {
    let db = Db::start();
    let order = Order::inline("u1:5").deliveries(2);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let lost: Vec<(OrderId, UnixMs)> =
        (1..=3).map(|n| (format!("u1:{n}").parse().expect("an order id"), UnixMs(n))).collect();
    assert_eq!(db.reply(&halt(&db, &lost)), 3);
    assert_eq!(db.reply(&halt(&db, &lost[..1])), 3, "repeated");
    let wider = HaltDatabase { found: Some(2), known: 7, since: Some(UnixMs(900)), ..halt(&db, &[]) };
    db.reply(&wider);
    let record = db.raw(&["HMGET", "halted:{0}", "cause", "found", "known", "since", "last"]);
    let record: Vec<_> = record.items().iter().map(|value| value.text().unwrap_or_default()).collect();
    assert_eq!(record, ["back", "2", "9", "900", "3000"]);
    let found = format!("!{EPOCH}");
    assert_eq!(db.call(&PromoteDue { keys: &db.keys }), Err(Refusal::WrongEpoch { found }));
    let fresh =
        RegisterProcess { keys: &db.keys, fresh_epoch: "e2", partitions: 1, channel: None, receipts: None };
    db.epoch.replace(String::new());
    assert_eq!(db.unchanged(&fresh), Registered::Halted, "a process that starts now");
    db.epoch.replace(EPOCH.to_owned());
    halted(&db, || courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent)]));
    assert_eq!(order.delivery(&db, 0).state, State::Sent);
}

#[test]
fn a_halt_touches_no_other_and_no_recovered_database() {
    let db = Db::start();
    for epoch in ["e9", "e1+1", "!e1+1"] {
        db.raw(&["SET", "epoch:{0}", epoch]);
        let before = db.snapshot();
        assert_eq!(db.call(&halt(&db, &[])), Err(Refusal::WrongEpoch { found: epoch.to_owned() }), "{epoch}");
        assert!(db.snapshot() == before);
    }
    db.raw(&["FLUSHALL"]);
    db.reply(&HaltDatabase { cause: HaltCause::Wiped, ..halt(&db, &[]) });
    assert_eq!(db.snapshot().names().collect::<Vec<_>>(), ["epoch:{0}", "halted:{0}"]);
}

#[test]
fn a_recovery_raises_fence_and_generation_once() {
    let db = Db::start();
    Order::inline("u1:5").accept(&db);
    runs(&db);
    let keys = &db.keys;
    assert_eq!(db.unchanged(&Recover { keys, partitions: 1 }), None, "it is not halted");
    db.reply(&HaltDatabase { known: 8_000_000_000_000_000, ..halt(&db, &[]) });
    let new = halted(&db, || {
        let new = db.reply(&Recover { keys, partitions: 1 });
        assert!(matches!(db.call(&Recover { keys, partitions: 1 }), Err(Refusal::WrongEpoch { .. })), "once");
        new
    });
    assert_eq!(new.as_deref(), Some("e1+1"));
    db.epoch.replace("e1+1".to_owned());
    assert!(fence(&db) > 8_000_000_000_000_000);
    db.reply(&halt(&db, &[]));
    db.epoch.replace("!e1+1".to_owned());
    assert_eq!(db.reply(&Recover { keys, partitions: 1 }).as_deref(), Some("e1+2"));
    // A wiped one is initialized again.
    db.raw(&["FLUSHALL"]);
    db.epoch.replace("e1+2".to_owned());
    db.reply(&HaltDatabase { cause: HaltCause::Wiped, ..halt(&db, &[]) });
    db.epoch.replace("!e1+2".to_owned());
    assert_eq!(db.reply(&Recover { keys, partitions: 1 }).as_deref(), Some("e1+3"));
    db.epoch.replace("e1+3".to_owned());
    let known = RegisterProcess { keys, fresh_epoch: "e2", partitions: 1, channel: None, receipts: None };
    assert_eq!(db.reply(&known), Registered::Ok { schema: 2 });
}

/// Walks all indexes of the channel.
fn doubt(db: &Db, courier: &Courier<'_>, halted: UnixMs, end: bool) -> Vec<(String, u32)> {
    let (keys, channel) = (&db.keys, &courier.channel);
    let ready = |priority| DoubtIndex::Ready { priority, from: UnixMs(0) };
    let mut found = Vec::new();
    for index in [
        DoubtIndex::Leased,
        DoubtIndex::Unresolved,
        DoubtIndex::Parked,
        ready(Priority::Urgent),
        ready(Priority::Bulk),
    ] {
        let mut next = Some(0);
        while let Some(from) = next {
            // Steps of one, so that each continues where the last one stopped.
            let step = ListInDoubt { keys, channel, index, halted, end, from, limit: 1 };
            let FoundInDoubt { next: then, parcels } = db.reply(&step);
            found.extend(
                parcels.into_iter().map(|(parcel_id, deliveries)| (parcel_id.to_string(), deliveries)),
            );
            next = then;
        }
    }
    found.sort();
    found
}

#[test]
fn deliveries_possibly_begun_are_listed_and_ended() {
    for big in [false, true] {
        let db = Db::start();
        let courier = Courier::new(&db, "c1");
        let leased = Order::of_layout(big, "u1:1").deliveries(4).accept(&db).clone();
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        courier.settle(&parcel, false, &[report(1, 1, OutcomeKind::Sent)]);
        let ready = Order::of_layout(big, "u1:2").deliveries(2).accept(&db).clone();
        db.reply(&PromoteDue { keys: &db.keys });
        let now = db.now();
        let later =
            Order::of_layout(big, "u1:3").deliveries(1).due(UnixMs(now.0 + 3_600_000)).accept(&db).clone();
        let expected = [("u1:1:0".to_owned(), 3), ("u1:2:0".to_owned(), 2)];
        let before = db.snapshot();
        assert_eq!(doubt(&db, &courier, now, false), expected, "named");
        assert!(db.snapshot().since(&before, &db.moments()).is_empty(), "listing changes nothing");
        assert_eq!(doubt(&db, &courier, now, true), expected, "ended");
        assert_eq!(doubt(&db, &courier, now, true), [], "once");
        db.check_invariants();
        for (order, delivery, state) in [
            (&leased, 0, State::Unknown),
            (&leased, 1, State::Sent),
            (&leased, 2, State::Unknown),
            (&ready, 1, State::Unknown),
            (&later, 0, State::Pending),
        ] {
            assert_eq!(order.delivery(&db, delivery).state, state, "{} {delivery}", order.order_id);
        }
        assert_eq!(ready.delivery(&db, 0).reason, Reason::DatabaseWentBack);
        assert!(courier.claim().is_empty(), "nothing of it is sent again");
        // A report of the lost attempt is still accepted.
        let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &ready.parcel_id(0));
        let (word, reason) = (ReceiptStatus::Delivered, Reason::None);
        db.reply(&ApplyReceipt {
            keys,
            channel,
            parcel_id,
            delivery: 0,
            attempt: 1,
            status: word,
            reason: reason.into(),
        });
        assert_eq!(ready.delivery(&db, 0).state, State::Delivered);
        db.check_invariants();
    }
}

/// It may have been released and begun in the lost period.
#[test]
fn parked_deliveries_may_have_been_begun() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let courier = Courier::new(&db, "c2");
        let now = db.now();
        let before = db.snapshot();
        let expected = [("u1:5:0".to_owned(), 2)];
        assert_eq!(doubt(&db, &courier, now, false), expected, "named");
        assert!(db.snapshot().since(&before, &db.moments()).is_empty(), "listing changes nothing");
        assert_eq!(doubt(&db, &courier, now, true), expected, "ended");
        assert_eq!(doubt(&db, &courier, now, true), [], "once");
        let states = [0, 1, 2].map(|delivery| order.delivery(&db, delivery).state);
        assert_eq!(states, [State::Sent, State::Unknown, State::Unknown]);
        // Nothing of it is left to release.
        assert!(
            db.snapshot().get("parked:{0}:email").is_none() && db.snapshot().get("parked_why:{0}").is_none()
        );
        assert!(db.raw(&["HGET", &db.keys.history(&order.order_id), "f"]).text().is_some(), "it is final");
        db.check_invariants();
    }
}

/// A parked parcel stays parked while one of its deliveries was not begun by then, or it can't be read.
#[test]
fn parked_parcels_with_open_deliveries_stay_parked() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        let mut retry = report(0, 1, OutcomeKind::Retry);
        retry.value = 600_000;
        courier.settle(&parcel, false, &[retry]);
        let (keys, channel) = (&db.keys, &courier.channel);
        let to_park =
            [ToPark { parcel_id: parcel.parcel_id.clone(), fence: Some(parcel.fence), why: "content" }];
        assert_eq!(db.reply(&Park { keys, channel, parcels: &to_park }), [true]);
        assert_eq!(doubt(&db, &courier, db.now(), true), [("u1:5:0".to_owned(), 1)]);
        assert_eq!(
            [0, 1].map(|delivery| order.delivery(&db, delivery).state),
            [State::Pending, State::Unknown]
        );
        let is_parked = || {
            assert!(db.snapshot().sorted("parked:{0}:email").contains_key("u1:5:0"));
            assert_eq!(db.raw(&["HGET", "parked_why:{0}", "email:u1:5:0"]).text(), Some("content"));
        };
        is_parked();
        match big {
            true => db.raw(&["SET", &keys.outcome(&order.order_id, channel, 0), "rubbish"]),
            false => db.raw(&["HSET", &keys.history(&order.order_id), "o", "rubbish"]),
        };
        assert_eq!(doubt(&db, &courier, UnixMs(db.now().0 + 900_000), true), []);
        is_parked();
    }
}

#[test]
fn a_delivery_that_waits_beyond_the_halt_was_not_begun() {
    let db = Db::start();
    let order = Order::inline("u1:1").deliveries(2).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let wait = u32::try_from(Duration::from_secs(600).as_millis()).expect("a wait");
    let mut retry = report(0, 1, OutcomeKind::Retry);
    retry.value = wait;
    courier.settle(&parcel, false, &[retry]);
    assert_eq!(doubt(&db, &courier, db.now(), true), [("u1:1:0".to_owned(), 1)]);
    let states = [order.delivery(&db, 0).state, order.delivery(&db, 1).state];
    assert_eq!(states, [State::Pending, State::Unknown]);
    db.check_invariants();
}
