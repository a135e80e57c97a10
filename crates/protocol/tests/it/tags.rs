//! Every key a script touches is in the slot of its first key: checked with MONITOR while a random walk calls all
//! scripts.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_model::{ParcelId, Priority, UnixMs};
use posthaste_protocol::keys::crc16;
use posthaste_protocol::record::NoticeId;
use posthaste_protocol::scripts::ALL;
use posthaste_protocol::scripts::fail_order::FailOrder;
use posthaste_protocol::scripts::fail_parcel::FailParcel;
use posthaste_protocol::scripts::halt::{HaltCause, HaltDatabase};
use posthaste_protocol::scripts::limit_sms::{LimitSms, QuotaStep, SmsLimits};
use posthaste_protocol::scripts::list_in_doubt::{DoubtIndex, ListInDoubt};
use posthaste_protocol::scripts::measure_backlog::{BacklogPlace, MeasureBacklog};
use posthaste_protocol::scripts::open_server_run::OpenServerRun;
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::put_alias::PutAlias;
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::release_parked::ReleaseParked;
use posthaste_rig::Connection;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::courier_reports::report;
use crate::db::{Db, EPOCH, channel};
use crate::random_step::any_act;
use crate::random_walk::Walk;

/// One command as MONITOR prints it: its source (`lua` or an address), and its words.
fn parse(line: &str) -> (bool, Vec<Vec<u8>>) {
    let (head, rest) = line.split_once(']').expect("who");
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        match (byte, &mut word) {
            (b'"', None) => word = Some(Vec::new()),
            (b'"', Some(_)) => words.extend(word.take()),
            (b'\\', Some(word)) => match bytes.next().expect("an escape") {
                b'x' => {
                    let hex = [bytes.next().expect("hex"), bytes.next().expect("hex")];
                    let hex = std::str::from_utf8(&hex).expect("hex");
                    word.push(u8::from_str_radix(hex, 16).expect("hex"));
                }
                b'n' => word.push(b'\n'),
                b'r' => word.push(b'\r'),
                b't' => word.push(b'\t'),
                b'a' => word.push(7),
                b'b' => word.push(8),
                other => word.push(other),
            },
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    (head.ends_with("lua"), words)
}

/// The keys of a command, for the few commands the scripts use.
fn keys_of(words: &[Vec<u8>]) -> Vec<String> {
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    match text(&words[0]).to_ascii_lowercase().as_str() {
        "time" | "info" => vec![],
        "type" | "hkeys" => vec![text(&words[1])],
        "mget" | "unlink" | "del" | "exists" => words[1..].iter().map(text).collect(),
        "get" | "set" | "setrange" | "incr" | "pexpireat" | "pexpire" | "hget" | "hincrby" | "hset"
        | "hsetnx" | "hdel" | "hlen" | "hmget" | "hgetall" | "hexists" | "zadd" | "zrem" | "zcard"
        | "zcount" | "zscore" | "zmscore" | "zrange" | "zrangebyscore" | "rpush" | "lpop" | "llen"
        | "lindex" | "lrange" | "ltrim" => {
            vec![text(&words[1])]
        }
        other => panic!("a command this test does not know: {other}"),
    }
}

fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.unwrap_or(key).as_bytes()) % 16_384
}

struct Monitor {
    connection: Connection,
}

impl Monitor {
    /// All commands up to an ECHO of this word.
    fn until(&mut self, word: &str) -> Vec<(bool, Vec<Vec<u8>>)> {
        let mut seen = Vec::new();
        loop {
            let line = self.connection.receive().expect("a line");
            let command = parse(line.text().expect("text"));
            if command.1.last().is_some_and(|last| last == word.as_bytes()) {
                return seen;
            }
            seen.push(command);
        }
    }
}

/// A parcel is parked and released, parked again and ended, and its order with it.
fn park_and_fail(db: &Db) {
    let (keys, channel, order_id) = (&db.keys, &channel("email"), &"u1:5".parse().expect("an order id"));
    let parcel_id: ParcelId = "u1:5:0".parse().expect("a member");
    let parcels = [ToPark { parcel_id: parcel_id.clone(), fence: None, why: "deliveries" }];
    db.reply(&Park { keys, channel, parcels: &parcels });
    db.reply(&ReleaseParked { keys, channel: Some(channel), names: &[parcel_id.to_string()] });
    db.reply(&Park { keys, channel, parcels: &parcels });
    db.reply(&FailParcel { keys, channel, parcel_id: &parcel_id });
    db.reply(&FailOrder { keys, order_id, from: None, forced: true });
}

fn take_quota(db: &Db) {
    db.reply(&LimitSms {
        channel: &channel("sms"),
        day: UnixMs(1_000),
        hour: UnixMs(2_000),
        share: QuotaStep::Take,
        order_id: &"u1:5".parse().expect("an order id"),
        segments: 2,
        messages: 1,
        key: &"abcdefghijkl".parse().expect("a key"),
        limits: SmsLimits::default(),
        taking: [7; 8],
        prefixes: &[(NoticeId::random([1; 8]), 1)],
    });
}

fn report_and_measure(db: &Db) {
    let (channel, courier) = (channel("email"), "c1".parse().expect("an id"));
    db.reply(&report(db, &channel, &courier, 1));
    db.reply(&MeasureBacklog { keys: &db.keys, channel: &channel, from: BacklogPlace::START, limit: 500 });
}

/// The database goes back, and is recovered.
fn go_back(db: &Db) {
    let (keys, channel, halted) = (&db.keys, &channel("email"), db.now());
    db.reply(&OpenServerRun { keys, lost: None });
    let orders = [("u1:5".parse().expect("an order id"), halted)];
    let (cause, found, since, last) = (HaltCause::WentBack, Some(0), None, None);
    db.reply(&HaltDatabase { keys, cause, found, known: 1, since, last, orders: &orders });
    db.epoch.replace(format!("!{EPOCH}"));
    for index in [
        DoubtIndex::Leased,
        DoubtIndex::Parked,
        DoubtIndex::Ready { priority: Priority::Bulk, from: UnixMs(0) },
    ] {
        db.reply(&ListInDoubt { keys, channel, index, halted, end: true, from: 0, limit: 100 });
    }
    db.reply(&Recover { keys, partitions: 1 });
}

#[test]
fn every_key_touched_has_the_tag_of_the_first_one() {
    let db = Db::start();
    let mut monitor = Monitor { connection: db.server.connect().expect("a connection") };
    monitor.connection.command(&["MONITOR"]).expect("OK");
    let names: BTreeMap<&str, &str> = ALL.iter().map(|c| (c.text.sha.as_str(), c.text.name)).collect();
    let mut called = BTreeSet::new();
    let mut touched = 0;
    // The same walk each time: this test is about keys, not about chance.
    let mut runner = TestRunner::deterministic();
    for round in 0..20 {
        let mut walk = Walk::new(&db);
        for _ in 0..60 {
            let act = any_act().new_tree(&mut runner).expect("an act").current();
            walk.act(&act);
        }
        db.reply(&PutAlias { name: &format!("name-{round}"), order: &"u1:5".parse().expect("an order id") });
        take_quota(&db);
        park_and_fail(&db);
        report_and_measure(&db);
        go_back(&db);
        let word = format!("end of round {round}");
        db.raw(&["ECHO", &word]);
        let mut first: Option<(&str, u16)> = None;
        for (from_script, words) in monitor.until(&word) {
            if from_script {
                let Some((name, slot_of_first)) = first else { continue };
                for key in keys_of(&words) {
                    assert_eq!(slot(&key), slot_of_first, "{name} touches {key}");
                    touched += 1;
                }
                continue;
            }
            let sha = words.get(1).map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default();
            first = names.get(sha.as_str()).map(|name| (*name, slot(&String::from_utf8_lossy(&words[3]))));
            called.extend(first.map(|(name, _)| name));
        }
    }
    let missing: Vec<_> = names.values().filter(|name| !called.contains(*name)).collect();
    // These have one key each, and touch no other.
    assert_eq!(
        missing
            .iter()
            .filter(|n| ![
                "bind_idempotency_key",
                "limit_rate",
                "take_daily_places",
                "free_idempotency_key",
                "return_daily_places"
            ]
            .contains(**n))
            .count(),
        0,
        "{missing:?}"
    );
    assert!(touched > 5_000, "{touched} keys seen");
}
