//! A database that went back: marks, runs of the server, the halt and the recovery.

use std::time::Duration;

use posthaste_model::{Lane, Reason, State, Suffix, UnixMs, Verdict};
use posthaste_protocol::Refusal;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::doubt::{Doubt, DoubtIndex, Doubted};
use posthaste_protocol::scripts::halt::{Halt, HaltCause};
use posthaste_protocol::scripts::open_run::{OpenRun, Run};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::register::{Register, Registered};
use posthaste_protocol::scripts::ring::Ring;

use crate::db::{Db, EPOCH};
use crate::order::{Courier, Order, report};
use crate::parked::parked;

pub(crate) fn fence(db: &Db) -> u64 {
    db.answer(&Ring { keys: &db.keys }).fence
}

pub(crate) fn runs(db: &Db) -> Vec<Run> {
    db.reply(&OpenRun { keys: &db.keys, lost: None })
}

fn halt<'a>(db: &'a Db, orders: &'a [(Suffix, UnixMs)]) -> Halt<'a> {
    let (since, last) = (Some(UnixMs(1_000)), Some(UnixMs(3_000)));
    Halt { keys: &db.keys, cause: HaltCause::WentBack, found: Some(4), known: 9, since, last, orders }
}

/// Calls with the epoch a halted database has.
fn halted<T>(db: &Db, call: impl FnOnce() -> T) -> T {
    let known = db.epoch.replace(format!("!{EPOCH}"));
    let told = call();
    db.epoch.replace(known);
    told
}

#[test]
fn every_acknowledged_change_leaves_a_mark_and_a_repeat_leaves_none() {
    let db = Db::start();
    let order = Order::inline("u1:5").rows(3);
    let mut last = fence(&db);
    let mut marked = |what: &str| {
        let at = db.sent() - 1;
        let now = fence(&db);
        assert!(now > last, "{what} left no mark");
        db.late_copy(at);
        assert_eq!(fence(&db), now, "{what}, told again");
        last = fence(&db);
    };
    order.accept(&db);
    marked("acceptance");
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    marked("claim");
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    marked("begin");
    courier.settle(&parcel, false, &[report(0, 1, Verdict::Sent)]);
    marked("settle");
    let (keys, channel, member) = (&db.keys, &courier.channel, &order.member(0));
    let (word, reason) = (Word::Delivered, Reason::None);
    db.reply(&Receipt { keys, channel, member, row: 0, attempt: 1, word, reason });
    marked("receipt");
    db.reply(&Cancel { keys, suffix: &order.suffix });
    marked("cancel");
}

#[test]
fn a_run_of_the_server_is_opened_once_and_raises_the_fence() {
    let db = Db::start();
    let first = runs(&db);
    assert_eq!((first.len(), first[0].found, first[0].raised), (1, 0, 0), "a new database starts at 0");
    db.unchanged(&OpenRun { keys: &db.keys, lost: None });
    Order::inline("u1:5").accept(&db);
    // As a server that took over finds it.
    db.raw(&["LSET", "runs:{0}", "0", "other 0 0 5"]);
    let before = db.now().0 * 1_000;
    let opened = runs(&db);
    assert_eq!((opened.len(), opened[1].found), (2, 1));
    assert!(opened[1].raised >= before && fence(&db) == opened[1].raised, "{opened:?}");
    assert!(opened[1].lost(2) && !opened[1].lost(1) && !opened[1].lost(opened[1].raised));
    db.unchanged(&OpenRun { keys: &db.keys, lost: None });
    for n in 0..20 {
        db.raw(&["RPUSH", "runs:{0}", &format!("run{n} 0 0 5")]);
    }
    runs(&db);
    assert_eq!(db.raw(&["LLEN", "runs:{0}"]).int(), Some(16));
}

#[test]
fn a_loss_that_stopped_nobody_is_noted_at_its_run() {
    let db = Db::start();
    let keys = &db.keys;
    for n in 0..15 {
        db.raw(&["RPUSH", "runs:{0}", &format!("r{n} 1 9 5")]);
    }
    let note = |run, ms| OpenRun { keys, lost: Some((run, Duration::from_millis(ms))) };
    let noted = |runs: Vec<Run>| -> Vec<_> {
        runs.into_iter().filter_map(|run| Some((run.id, run.continued?.as_millis()))).collect()
    };
    // Also by the first caller on a run; the longest loss stays.
    assert_eq!(noted(db.reply(&note("r14", 700))), [("r14".to_owned(), 700)]);
    db.again();
    db.unchanged(&note("r14", 600));
    db.unchanged(&note("gone", 600));
    assert_eq!(noted(db.reply(&note("r14", 1_700))), [("r14".to_owned(), 1_700)]);
    assert_eq!(noted(db.reply(&note("r0", 0))), [("r0".to_owned(), 0), ("r14".to_owned(), 1_700)]);
    assert_eq!(db.raw(&["LLEN", "runs:{0}"]).int(), Some(16));
    // The oldest one is not kept when the server runs anew, and noted no more.
    let here = runs(&db).pop().expect("a run").id;
    db.raw(&["LSET", "runs:{0}", "-1", "other 1 9 5"]);
    let after = noted(db.reply(&note("r0", 900)));
    assert!(!after.contains(&("r0".to_owned(), 900)), "{after:?}");
    assert_eq!(runs(&db).pop().expect("a run").id, here);
    assert_eq!(noted(runs(&db)), [("r14".to_owned(), 1_700)]);
}

#[test]
fn a_clock_that_went_back_gives_no_fence_twice() {
    let db = Db::start();
    db.raw(&["SET", "fence:{0}", "8000000000000000"]);
    db.raw(&["RPUSH", "runs:{0}", "other 0 0 5"]);
    // By a margin of its own for each run.
    let above = runs(&db)[1].raised - 8_000_000_000_000_000;
    assert!((1..=4_096).contains(&(above / 1_000_000)) && above.is_multiple_of(1_000_000), "{above}");
}

#[test]
fn a_halt_is_refused_by_all_and_takes_reports() {
    let db = Db::start();
    let order = Order::inline("u1:5").rows(2);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let lost: Vec<(Suffix, UnixMs)> =
        (1..=3).map(|n| (format!("u1:{n}").parse().expect("a suffix"), UnixMs(n))).collect();
    assert_eq!(db.reply(&halt(&db, &lost)), 3);
    assert_eq!(db.reply(&halt(&db, &lost[..1])), 3, "told again");
    let wider = Halt { found: Some(2), known: 7, since: Some(UnixMs(900)), ..halt(&db, &[]) };
    db.reply(&wider);
    let record = db.raw(&["HMGET", "halted:{0}", "cause", "found", "known", "since", "last"]);
    let record: Vec<_> = record.items().iter().map(|value| value.text().unwrap_or_default()).collect();
    assert_eq!(record, ["back", "2", "9", "900", "3000"]);
    let found = format!("!{EPOCH}");
    assert_eq!(db.call(&Ring { keys: &db.keys }), Err(Refusal::Epoch { found }));
    let fresh = Register { keys: &db.keys, fresh_epoch: "e2", partitions: 1, channel: None, receipts: None };
    db.epoch.replace(String::new());
    assert_eq!(db.unchanged(&fresh), Registered::Halted, "a process that starts now");
    db.epoch.replace(EPOCH.to_owned());
    halted(&db, || courier.settle(&parcel, false, &[report(0, 1, Verdict::Sent)]));
    assert_eq!(order.row(&db, 0).state, State::Sent);
}

#[test]
fn a_halt_touches_no_other_database_and_none_recovered_since() {
    let db = Db::start();
    for epoch in ["e9", "e1+1", "!e1+1"] {
        db.raw(&["SET", "epoch:{0}", epoch]);
        let before = db.snapshot();
        assert_eq!(db.call(&halt(&db, &[])), Err(Refusal::Epoch { found: epoch.to_owned() }), "{epoch}");
        assert!(db.snapshot() == before);
    }
    db.raw(&["FLUSHALL"]);
    db.reply(&Halt { cause: HaltCause::Wiped, ..halt(&db, &[]) });
    assert_eq!(db.snapshot().names().collect::<Vec<_>>(), ["epoch:{0}", "halted:{0}"]);
}

#[test]
fn a_recovery_raises_fence_and_generation_once() {
    let db = Db::start();
    Order::inline("u1:5").accept(&db);
    runs(&db);
    let keys = &db.keys;
    assert_eq!(db.unchanged(&Recover { keys, partitions: 1 }), None, "it is not halted");
    db.reply(&Halt { known: 8_000_000_000_000_000, ..halt(&db, &[]) });
    let new = halted(&db, || {
        let new = db.reply(&Recover { keys, partitions: 1 });
        assert!(matches!(db.call(&Recover { keys, partitions: 1 }), Err(Refusal::Epoch { .. })), "once");
        new
    });
    assert_eq!(new.as_deref(), Some("e1+1"));
    db.epoch.replace("e1+1".to_owned());
    assert!(fence(&db) > 8_000_000_000_000_000);
    db.reply(&halt(&db, &[]));
    db.epoch.replace("!e1+1".to_owned());
    assert_eq!(db.reply(&Recover { keys, partitions: 1 }).as_deref(), Some("e1+2"));
    // A wiped one is set up again.
    db.raw(&["FLUSHALL"]);
    db.epoch.replace("e1+2".to_owned());
    db.reply(&Halt { cause: HaltCause::Wiped, ..halt(&db, &[]) });
    db.epoch.replace("!e1+2".to_owned());
    assert_eq!(db.reply(&Recover { keys, partitions: 1 }).as_deref(), Some("e1+3"));
    db.epoch.replace("e1+3".to_owned());
    let known = Register { keys, fresh_epoch: "e2", partitions: 1, channel: None, receipts: None };
    assert_eq!(db.reply(&known), Registered::Ok { schema: 1 });
}

/// Walks all indexes of the channel.
fn doubt(db: &Db, courier: &Courier<'_>, halted: UnixMs, end: bool) -> Vec<(String, u32)> {
    let (keys, channel) = (&db.keys, &courier.channel);
    let ready = |lane| DoubtIndex::Ready { lane, from: UnixMs(0) };
    let mut found = Vec::new();
    for index in [
        DoubtIndex::Leased,
        DoubtIndex::Unresolved,
        DoubtIndex::Parked,
        ready(Lane::Urgent),
        ready(Lane::Bulk),
    ] {
        let mut next = Some(0);
        while let Some(from) = next {
            // Steps of one, so that each goes on where the last one stopped.
            let step = Doubt { keys, channel, index, halted, end, from, limit: 1 };
            let Doubted { next: then, parcels } = db.reply(&step);
            found.extend(parcels.into_iter().map(|(member, rows)| (member.to_string(), rows)));
            next = then;
        }
    }
    found.sort();
    found
}

#[test]
fn what_may_have_been_begun_is_named_and_ended() {
    for big in [false, true] {
        let db = Db::start();
        let courier = Courier::new(&db, "c1");
        let leased = Order::of_layout(big, "u1:1").rows(4).accept(&db).clone();
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        courier.settle(&parcel, false, &[report(1, 1, Verdict::Sent)]);
        let ready = Order::of_layout(big, "u1:2").rows(2).accept(&db).clone();
        db.reply(&Ring { keys: &db.keys });
        let now = db.now();
        let later = Order::of_layout(big, "u1:3").rows(1).due(UnixMs(now.0 + 3_600_000)).accept(&db).clone();
        let expected = [("u1:1:0".to_owned(), 3), ("u1:2:0".to_owned(), 2)];
        let before = db.snapshot();
        assert_eq!(doubt(&db, &courier, now, false), expected, "named");
        assert!(db.snapshot().since(&before, &db.moments()).is_empty(), "naming changes nothing");
        assert_eq!(doubt(&db, &courier, now, true), expected, "ended");
        assert_eq!(doubt(&db, &courier, now, true), [], "once");
        db.sound();
        for (order, row, state) in [
            (&leased, 0, State::Unknown),
            (&leased, 1, State::Sent),
            (&leased, 2, State::Unknown),
            (&ready, 1, State::Unknown),
            (&later, 0, State::Pending),
        ] {
            assert_eq!(order.row(&db, row).state, state, "{} {row}", order.suffix);
        }
        assert_eq!(ready.row(&db, 0).reason, Reason::WentBack);
        assert!(courier.claim().is_empty(), "nothing of it is sent again");
        // A report of the attempt that was lost is still taken.
        let (keys, channel, member) = (&db.keys, &courier.channel, &ready.member(0));
        let (word, reason) = (Word::Delivered, Reason::None);
        db.reply(&Receipt { keys, channel, member, row: 0, attempt: 1, word, reason });
        assert_eq!(ready.row(&db, 0).state, State::Delivered);
        db.sound();
    }
}

/// It may have been released, and begun, in the span that was lost.
#[test]
fn what_is_parked_may_have_been_begun() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let courier = Courier::new(&db, "c2");
        let now = db.now();
        let before = db.snapshot();
        let expected = [("u1:5:0".to_owned(), 2)];
        assert_eq!(doubt(&db, &courier, now, false), expected, "named");
        assert!(db.snapshot().since(&before, &db.moments()).is_empty(), "naming changes nothing");
        assert_eq!(doubt(&db, &courier, now, true), expected, "ended");
        assert_eq!(doubt(&db, &courier, now, true), [], "once");
        let states = [0, 1, 2].map(|row| order.row(&db, row).state);
        assert_eq!(states, [State::Sent, State::Unknown, State::Unknown]);
        // Nothing of it is left to be released.
        assert!(
            db.snapshot().get("parked:{0}:email").is_none() && db.snapshot().get("parked_why:{0}").is_none()
        );
        assert!(db.raw(&["HGET", &db.keys.history(&order.suffix), "f"]).text().is_some(), "it is final");
        db.sound();
    }
}

/// A parked parcel stays so while a row of it was not begun by then, or it can't be read.
#[test]
fn what_is_parked_and_open_stays_parked() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").rows(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        let mut retry = report(0, 1, Verdict::Retry);
        retry.value = 600_000;
        courier.settle(&parcel, false, &[retry]);
        let (keys, channel) = (&db.keys, &courier.channel);
        let to_park = [ToPark { member: parcel.member.clone(), fence: Some(parcel.fence), why: "content" }];
        assert_eq!(db.reply(&Park { keys, channel, parcels: &to_park }), [true]);
        assert_eq!(doubt(&db, &courier, db.now(), true), [("u1:5:0".to_owned(), 1)]);
        assert_eq!([0, 1].map(|row| order.row(&db, row).state), [State::Pending, State::Unknown]);
        let is_parked = || {
            assert!(db.snapshot().sorted("parked:{0}:email").contains_key("u1:5:0"));
            assert_eq!(db.raw(&["HGET", "parked_why:{0}", "email:u1:5:0"]).text(), Some("content"));
        };
        is_parked();
        match big {
            true => db.raw(&["SET", &keys.outcome(&order.suffix, channel, 0), "rubbish"]),
            false => db.raw(&["HSET", &keys.history(&order.suffix), "o", "rubbish"]),
        };
        assert_eq!(doubt(&db, &courier, UnixMs(db.now().0 + 900_000), true), []);
        is_parked();
    }
}

#[test]
fn a_row_that_waits_beyond_the_halt_was_not_begun() {
    let db = Db::start();
    let order = Order::inline("u1:1").rows(2).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let wait = u32::try_from(Duration::from_secs(600).as_millis()).expect("a wait");
    let mut retry = report(0, 1, Verdict::Retry);
    retry.value = wait;
    courier.settle(&parcel, false, &[retry]);
    assert_eq!(doubt(&db, &courier, db.now(), true), [("u1:1:0".to_owned(), 1)]);
    let states = [order.row(&db, 0).state, order.row(&db, 1).state];
    assert_eq!(states, [State::Pending, State::Unknown]);
    db.sound();
}
