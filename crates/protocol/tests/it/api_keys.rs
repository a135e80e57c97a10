//! `create_key`, `revoke_key`, `touch_key`, `limit_rate` and `free_idempotency_key`: the data a queue stores about
//! its callers.

use std::time::Duration;

use posthaste_model::{Address, Text, UnixMs};
use posthaste_protocol::ScriptCall;
use posthaste_protocol::record::{KeyId, KeyRecord, KeyScope, NewKey, SecretHash, SendAs};
use posthaste_protocol::scripts::bind_idempotency_key::{BindIdempotencyKey, BoundIdempotencyKey};
use posthaste_protocol::scripts::create_key::{CreateKey, KeyCreated};
use posthaste_protocol::scripts::free_idempotency_key::FreeIdempotencyKey;
use posthaste_protocol::scripts::limit_rate::{LimitRate, RateDecision};
use posthaste_protocol::scripts::revoke_key::{KeyRevoked, RevokeKey};
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::{PartitionKeys, ReplyValue};
use posthaste_rig::RespReply;

use crate::db::Db;
use crate::order::DAY;

fn id(n: u32) -> KeyId {
    format!("key{n:09}").parse().expect("an id")
}

/// Key number `n` with this name.
pub(crate) fn key(n: u32, name: &str) -> NewKey {
    NewKey {
        id: id(n),
        name: name.to_owned(),
        hash: SecretHash::new([b'h'; 32]),
        scopes: [KeyScope::Write, KeyScope::Read].into_iter().collect(),
        sender: None,
        role: None,
        send_as: SendAs::default(),
        expires: None,
    }
}

fn create(db: &Db, key: &NewKey) -> KeyCreated {
    db.reply(&CreateKey { keys: &db.keys, key })
}

/// The record as the store reads it.
fn found(db: &Db, n: u32) -> Option<KeyRecord> {
    let flat = db.raw(&["HGETALL", &db.keys.api_key(&id(n))]);
    let bytes = |item: &RespReply| ReplyValue::Bytes(item.bytes().expect("bytes").to_vec().into());
    KeyRecord::decode(id(n), ReplyValue::Array(flat.items().iter().map(bytes).collect())).expect("a record")
}

#[test]
fn a_key_is_stored_once() {
    let db = Db::start();
    let plain = key(1, "ci");
    let step = db.step(&CreateKey { keys: &db.keys, key: &plain });
    assert_eq!(step.reply, KeyCreated::Created(UnixMs(step.now)));
    step.changed(
        &[],
        &[
            "+ keys:{0} key000000001: @now",
            "+ key:{0}:key000000001 name: ci",
            &format!("+ key:{{0}}:key000000001 hash: {}", "h".repeat(32)),
            "+ key:{0}:key000000001 scopes: enqueue,read",
            "+ key:{0}:key000000001 created: @now",
        ],
    );
    db.again();
    assert_eq!(
        db.unchanged(&CreateKey { keys: &db.keys, key: &plain }),
        KeyCreated::AlreadyDone(UnixMs(step.now))
    );
    let other = NewKey { hash: SecretHash::new([b'i'; 32]), ..plain };
    assert_eq!(db.unchanged(&CreateKey { keys: &db.keys, key: &other }), KeyCreated::IdTaken);
}

#[test]
fn a_stored_key_is_read_back() {
    let db = Db::start();
    assert_eq!(found(&db, 1), None);
    let all = NewKey {
        hash: SecretHash::new(std::array::from_fn(|at| u8::try_from(at * 8).expect("a byte"))),
        sender: Some("u1".parse().expect("a sender")),
        role: Some("staff".into()),
        send_as: SendAs {
            mailboxes: vec![Address::new("a@example.org"), Address::new("*@b.example.org")],
            names: vec![Text::new("Имя Фамилия")],
        },
        expires: Some(UnixMs(db.now().0 + 5_000)),
        ..key(1, "имя с пробелом")
    };
    let KeyCreated::Created(created) = create(&db, &all) else { panic!("not stored") };
    db.reply(&TouchKey { keys: &db.keys, id: &id(1) });
    let record = found(&db, 1).expect("a record");
    let used = record.last_used.expect("a use");
    let expected = KeyRecord {
        id: all.id,
        name: all.name,
        hash: all.hash,
        scopes: all.scopes,
        sender: all.sender,
        role: all.role,
        send_as: all.send_as,
        created,
        expires: all.expires,
        last_used: Some(used),
        revoked: None,
    };
    assert_eq!(record, expected);
    assert!(record.live_at(db.now()) && !record.live_at(UnixMs(db.now().0 + 6_000)));
    db.raw(&["HDEL", &db.keys.api_key(&id(1)), "hash"]);
    let flat = db.raw(&["HGETALL", &db.keys.api_key(&id(1))]);
    let bytes = |item: &RespReply| ReplyValue::Bytes(item.bytes().expect("bytes").to_vec().into());
    assert!(KeyRecord::decode(id(1), ReplyValue::Array(flat.items().iter().map(bytes).collect())).is_err());
}

#[test]
fn at_most_two_live_keys_share_a_name() {
    let db = Db::start();
    let soon = UnixMs(db.now().0 + 60_000);
    create(&db, &key(1, "ci"));
    create(&db, &NewKey { expires: Some(soon), ..key(2, "ci") });
    create(&db, &key(3, "other"));
    let third = key(4, "ci");
    let third = CreateKey { keys: &db.keys, key: &third };
    assert_eq!(db.unchanged(&third), KeyCreated::NameTaken(vec![id(1), id(2)]));
    // An expired key makes room, and so does a revoked one.
    db.raw(&["HSET", &db.keys.api_key(&id(2)), "expires", &(db.now().0 - 1).to_string()]);
    assert!(matches!(db.reply(&third), KeyCreated::Created(_)));
    let fourth = key(5, "ci");
    let fourth = CreateKey { keys: &db.keys, key: &fourth };
    assert_eq!(db.unchanged(&fourth), KeyCreated::NameTaken(vec![id(1), id(4)]));
    db.reply(&RevokeKey { keys: &db.keys, id: &id(1) });
    assert!(matches!(db.reply(&fourth), KeyCreated::Created(_)));
}

#[test]
fn keys_that_ended_long_ago_are_removed() {
    let db = Db::start();
    let long_ago = (db.now().0 - 91 * 86_400_000).to_string();
    let lately = (db.now().0 - 89 * 86_400_000).to_string();
    for (n, field, at) in [
        (1, "revoked", &long_ago),
        (2, "expires", &long_ago),
        (3, "revoked", &lately),
        (4, "expires", &lately),
    ] {
        create(&db, &key(n, &format!("k{n}")));
        db.raw(&["HSET", &db.keys.api_key(&id(n)), field, at]);
    }
    // A key whose record is gone, and one whose record is invalid.
    db.raw(&["ZADD", &db.keys.api_keys(), "1", id(8).as_str(), "1", id(9).as_str()]);
    db.raw(&["SET", &db.keys.api_key(&id(9)), "x"]);
    let new = key(5, "ci");
    db.reply(&CreateKey { keys: &db.keys, key: &new });
    let left: Vec<String> = db.snapshot().sorted("keys:{0}").into_keys().collect();
    let expected: Vec<String> = [3, 4, 5, 9].map(|n| id(n).to_string()).into();
    assert_eq!(left, expected);
    assert!([1, 2].iter().all(|n| found(&db, *n).is_none()));
}

#[test]
fn at_most_a_thousand_keys_are_stored() {
    let db = Db::start();
    let mut commands = vec![];
    for n in 0..1_000 {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let id = id(n);
        commands.push(words(&["ZADD", &db.keys.api_keys(), "5", id.as_str()]));
        commands.push(words(&["HSET", &db.keys.api_key(&id), "name", &format!("k{n}"), "created", "5"]));
    }
    db.pipeline(&commands);
    let new = key(1_000, "ci");
    let call = CreateKey { keys: &db.keys, key: &new };
    assert_eq!(db.unchanged(&call), KeyCreated::LimitReached);
    db.raw(&["HSET", &db.keys.api_key(&id(7)), "revoked", "6"]);
    assert!(matches!(db.reply(&call), KeyCreated::Created(_)));
    assert_eq!(db.raw(&["ZCARD", &db.keys.api_keys()]).int(), Some(1_000));
}

#[test]
fn a_key_is_revoked_once() {
    let db = Db::start();
    let (keys, first) = (&db.keys, id(1));
    assert_eq!(db.unchanged(&RevokeKey { keys, id: &first }), KeyRevoked::NotFound);
    let made = key(1, "ci");
    create(&db, &made);
    let created = db.sent() - 1;
    let step = db.step(&RevokeKey { keys, id: &first });
    assert_eq!(step.reply, KeyRevoked::Revoked(UnixMs(step.now)));
    step.changed(&[], &["+ key:{0}:key000000001 revoked: @now"]);
    db.again();
    assert_eq!(db.unchanged(&RevokeKey { keys, id: &first }), KeyRevoked::AlreadyDone(UnixMs(step.now)));
    // A late copy of the call that created it does not bring it back.
    db.harmless(created);
    assert!(!found(&db, 1).expect("a record").live_at(db.now()));
}

#[test]
fn a_use_is_recorded_once_a_minute() {
    let db = Db::start();
    let (keys, first) = (&db.keys, id(1));
    assert_eq!(db.unchanged(&TouchKey { keys, id: &first }), None);
    create(&db, &key(1, "ci"));
    let step = db.step(&TouchKey { keys, id: &first });
    assert_eq!(step.reply, Some(UnixMs(step.now)));
    step.changed(&[], &["+ key:{0}:key000000001 used: @now"]);
    db.again();
    assert_eq!(db.unchanged(&TouchKey { keys, id: &first }), Some(UnixMs(step.now)));
    let before = (db.now().0 - 61_000).to_string();
    db.raw(&["HSET", &db.keys.api_key(&first), "used", &before]);
    let step = db.step(&TouchKey { keys, id: &first });
    step.changed(&[], &[&format!("~ key:{{0}}:key000000001 used: {before} -> @now")]);
}

#[test]
fn keys_of_a_wrong_type_stop_a_script_before_it_writes() {
    let db = Db::start();
    let made = key(1, "ci");
    let refused = |script: &dyn Fn() -> bool| {
        let before = db.snapshot();
        assert!(!script());
        assert!(db.snapshot() == before);
    };
    db.raw(&["SET", &db.keys.api_key(&id(1)), "x"]);
    assert_eq!(db.unchanged(&CreateKey { keys: &db.keys, key: &made }), KeyCreated::IdTaken);
    refused(&|| db.call(&RevokeKey { keys: &db.keys, id: &id(1) }).is_ok());
    refused(&|| db.call(&TouchKey { keys: &db.keys, id: &id(1) }).is_ok());
    db.raw(&["DEL", &db.keys.api_key(&id(1))]);
    db.raw(&["SET", &db.keys.api_keys(), "x"]);
    refused(&|| db.call(&CreateKey { keys: &db.keys, key: &made }).is_ok());
    db.raw(&["HSET", &PartitionKeys::rate(&id(1)), "a", "b"]);
    refused(&|| db.call(&LimitRate { id: &id(1), cost: 1, per_second: 1, burst: 1 }).is_ok());
}

/// A thousand calls, three thousand at once and one per second: the time between two calls of a test does not matter.
fn slow(cost: u32) -> (u32, u32, u32) {
    (cost * 1_000, 1, 3_000)
}

fn rate(db: &Db, (cost, per_second, burst): (u32, u32, u32)) -> RateDecision {
    db.reply(&LimitRate { id: &id(1), cost, per_second, burst })
}

fn left(rated: RateDecision) -> u32 {
    match rated {
        RateDecision::Allowed { left, .. } => left / 1_000,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_burst_passes_and_then_calls_wait() {
    let db = Db::start();
    let all = LimitRate { id: &id(1), cost: 0, per_second: 1, burst: 3_000 };
    assert_eq!(db.unchanged(&all), RateDecision::Allowed { left: 3_000, full_in: Duration::ZERO });
    assert_eq!(left(rate(&db, slow(1))), 2);
    let until = db.snapshot().until("rate:{key000000001}").expect("an end");
    let (now, span) = (db.now().0, 1_000_000);
    assert!((now + span - 60_000..=now + span + 1).contains(&until), "{until} at {now}");
    assert_eq!(left(rate(&db, slow(2))), 0);
    // Refused calls are not counted.
    let (cost, per_second, burst) = slow(1);
    let RateDecision::RetryAfter(wait) = db.unchanged(&LimitRate { id: &id(1), cost, per_second, burst })
    else {
        panic!("passed")
    };
    assert!((Duration::from_secs(940)..=Duration::from_secs(1_000)).contains(&wait), "{wait:?}");
    let never = LimitRate { id: &id(1), cost: 3_001, per_second, burst };
    assert_eq!(db.unchanged(&never), RateDecision::ExceedsBurst);
    // Another key has its own limit.
    assert!(matches!(
        db.reply(&LimitRate { id: &id(2), cost: 1, per_second: 1, burst: 1 }),
        RateDecision::Allowed { left: 0, .. }
    ));
}

#[test]
fn calls_become_available_one_by_one() {
    let db = Db::start();
    assert_eq!(left(rate(&db, slow(3))), 0);
    for expected in [1, 2, 3] {
        let key = PartitionKeys::rate(&id(1));
        let free: u64 = db.raw(&["GET", &key]).text().and_then(|text| text.parse().ok()).expect("µs");
        db.raw(&["SET", &key, &(free - 1_000_000_000).to_string(), "KEEPTTL"]);
        let free = left(rate(&db, (0, 1, 3_000)));
        assert_eq!(free, expected);
    }
}

#[test]
fn a_clock_that_went_back_blocks_for_no_longer_than_a_burst() {
    let db = Db::start();
    let hour_ahead = (db.now().0 + 3_600_000) * 1_000;
    db.raw(&["SET", &PartitionKeys::rate(&id(1)), &hour_ahead.to_string()]);
    let RateDecision::RetryAfter(wait) = rate(&db, (1, 1, 10)) else { panic!("passed") };
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
}

#[test]
fn unusual_rates_are_exact() {
    let db = Db::start();
    for (per_second, burst) in [(3, 3), (7, 7), (1_000_000, 5), (999, 11), (1, 1)] {
        db.raw(&["DEL", &PartitionKeys::rate(&id(1))]);
        for _ in 0..burst {
            assert!(
                matches!(rate(&db, (1, per_second, burst)), RateDecision::Allowed { .. }),
                "{per_second} {burst}"
            );
        }
    }
    // Values out of range are clamped.
    let wild = LimitRate { id: &id(3), cost: 1, per_second: 0, burst: 0 };
    assert_eq!(wild.args()[1..], [bytes_of("1"), bytes_of("1")]);
    assert!(matches!(db.reply(&wild), RateDecision::Allowed { left: 0, .. }));
}

fn bytes_of(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn an_idempotency_key_is_freed_only_by_its_order_id() {
    let db = Db::start();
    let (first, second) = ("u1:5".parse().expect("an order id"), "u1:6".parse().expect("an order id"));
    let bind = |order_id| BindIdempotencyKey {
        owner: "k1",
        key_digest: "abc",
        order_id,
        digest: [b'a'; 12],
        ttl: DAY,
    };
    let unbind = |order_id| FreeIdempotencyKey { owner: "k1", key_digest: "abc", order_id };
    assert!(!db.unchanged(&unbind(&first)));
    db.reply(&bind(&first));
    assert!(!db.unchanged(&unbind(&second)));
    let step = db.step(&unbind(&first));
    assert!(step.reply);
    step.changed(&[], &["- idem:{k1:abc}"]);
    db.again();
    let freed = db.sent() - 1;
    assert_eq!(db.reply(&bind(&second)), BoundIdempotencyKey::Bound);
    // A late copy leaves the new binding alone.
    db.harmless(freed);
}
