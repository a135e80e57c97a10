//! Which events each server fires for the scripts: the bell depends on them.

use std::time::Duration;

use posthaste_model::UnixMs;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::enqueue::Enqueued;
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_rig::{Connection, ServerKind};

use crate::db::Db;
use crate::order::{Courier, Order};

/// A listener to all key events.
struct Listener<'a> {
    db: &'a Db,
    connection: Connection,
}

impl<'a> Listener<'a> {
    fn new(db: &'a Db, flags: &str) -> Self {
        db.raw(&["CONFIG", "SET", "notify-keyspace-events", flags]);
        let mut connection = db.server.connect().expect("a connection");
        connection.command(&["PSUBSCRIBE", "__keyevent@0__:*"]).expect("subscribed");
        Self { db, connection }
    }

    /// The events fired since the last call: `event key`.
    fn received(&mut self) -> Vec<String> {
        self.db.raw(&["PUBLISH", "__keyevent@0__:end", "of the list"]);
        let mut received = Vec::new();
        loop {
            let message = self.connection.receive().expect("a message");
            let text = |at: usize| message.items()[at].text().unwrap_or_default().to_owned();
            let event = text(2).trim_start_matches("__keyevent@0__:").to_owned();
            if event == "end" {
                return received;
            }
            received.push(format!("{event} {}", text(3)));
        }
    }

    /// The events a script fires.
    fn of(&mut self, script: &str) -> Vec<String> {
        self.db.raw(&["EVAL", script, "0"]);
        let received = self.received();
        self.db.raw(&["DEL", "k"]);
        self.received();
        received.into_iter().map(|line| line.trim_end_matches(" k").to_owned()).collect()
    }
}

/// What the script in the left column fires on Redis, and on Valkey.
const TABLE: &[(&str, &str, &str)] = &[
    ("redis.call('SET', 'k', 0, 'PXAT', 1)", "set expire", ""),
    ("redis.call('SET', 'k', 0, 'PXAT', 1) redis.call('EXISTS', 'k')", "set expire expired", ""),
    ("redis.call('SET', 'k', 0) redis.call('PEXPIREAT', 'k', 1)", "set del", "set expired"),
    ("redis.call('SET', 'k', 0) redis.call('GETEX', 'k', 'PXAT', 1)", "set del", "set expired"),
    ("redis.call('SET', 'k', 0, 'PXAT', 1) redis.call('DEL', 'k')", "set expire expired", ""),
    ("redis.call('SET', 'k', 0, 'PXAT', 1) redis.call('SET', 'k', 1)", "set expire expired set", "set"),
    ("redis.call('SET', 'k', 0, 'PX', 100000) redis.call('DEL', 'k')", "set expire del", "set expire del"),
    ("redis.call('SET', 'k', 0) redis.call('UNLINK', 'k')", "set del", "set del"),
    ("redis.call('ZADD', 'k', 1, 'a') redis.call('ZREM', 'k', 'a')", "zadd zrem del", "zadd zrem del"),
    ("redis.call('HSET', 'k', 'a', 1) redis.call('HDEL', 'k', 'a')", "hset hdel del", "hset hdel del"),
    ("redis.call('RPUSH', 'k', 'a') redis.call('LPOP', 'k')", "rpush lpop del", "rpush lpop del"),
];

#[test]
fn each_server_fires_these_events() {
    let db = Db::empty();
    let valkey = db.server.kind() == ServerKind::Valkey81;
    let mut listener = Listener::new(&db, "KEA");
    for (script, redis, on_valkey) in TABLE {
        let expected = if valkey { on_valkey } else { redis };
        assert_eq!(listener.of(script).join(" "), *expected, "{script}");
    }
}

/// The bell as scripts ring it: exactly one `expired` on every server, and no key left behind.
#[test]
fn the_bell_fires_once() {
    let db = Db::empty();
    let parts = posthaste_protocol::scripts::PARTS;
    let bell = parts.iter().find(|(name, _)| *name == "bell").map(|(_, text)| *text).expect("the bell");
    let mut listener = Listener::new(&db, "Ex");
    for rings in 1..4 {
        let received = listener.of(&format!("{bell} for _ = 1, {rings} do ring_bell('k') end"));
        assert_eq!(received, vec!["expired"; rings]);
        assert_eq!(db.raw(&["EXISTS", "k"]).int(), Some(0));
    }
}

/// A key expires after its time, not at it, and a script's expiry clock may lag TIME: so promote_due leaves keys that
/// still exist.
#[test]
fn a_key_is_gone_once_its_moment_has_passed() {
    let db = Db::start();
    // On a slow machine it may be due before it is accepted: then try a longer lead.
    let mut lead = Duration::from_millis(20);
    let due = posthaste_rig::eventually("an order that waits", || {
        db.reset();
        let order = Order::inline("u1:5").due_in(&db, lead);
        lead *= 2;
        match order.enqueue(&db) {
            Enqueued::Accepted { due_now: false, .. } => Ok(order.due.expect("a due time")),
            other => Err(format!("{other:?}")),
        }
    });
    db.raw(&["CONFIG", "SET", "notify-keyspace-events", "Ex"]);
    let mut listener = Listener::new(&db, "Ex");
    posthaste_rig::eventually("the order to be promoted", || {
        let answer = db.answer(&PromoteDue { keys: &db.keys });
        if answer.now <= due {
            assert_eq!((answer.reply.parcels, answer.reply.next), (0, Some(due)), "promoted early");
        }
        if answer.reply.parcels == 0 && answer.now > due {
            assert_eq!(answer.reply.next, Some(UnixMs(answer.now.0 + 1)), "left for the next call");
            assert!(answer.now.0 < due.0 + 5);
        }
        if answer.reply.parcels == 1 { Ok(()) } else { Err("not yet") }
    });
    assert_eq!(listener.received(), ["expired delivery:{0}:u1:5"]);
    db.check_invariants();
}

#[test]
fn an_order_for_now_fires_its_own_bell() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5");
        if big {
            order.stage(&db);
        }
        let mut listener = Listener::new(&db, "Ex");
        order.enqueue(&db);
        assert_eq!(listener.received(), ["expired delivery:{0}:u1:5"]);
        order.enqueue(&db);
        assert!(listener.received().is_empty(), "a repeat fires nothing");
        Courier::new(&db, "c1").claim();
        assert!(listener.received().is_empty());
    }
}

#[test]
fn an_earlier_due_time_rings_the_bell() {
    const BELL: &str = "expired bell:{0}";
    let db = Db::start();
    let mut listener = Listener::new(&db, "Ex");
    let order = |name: &str, seconds| Order::inline(name).due_in(&db, Duration::from_secs(seconds));
    let first = order("u1:1", 60);
    first.accept(&db);
    assert_eq!(listener.received(), [BELL], "the first one");
    order("u1:2", 90).accept(&db);
    assert!(listener.received().is_empty(), "a later one");
    order("u1:3", 30).accept(&db);
    assert_eq!(listener.received(), [BELL], "a sooner one");
    order("u1:4", 90).urgent().accept(&db);
    assert_eq!(listener.received(), [BELL], "the first urgent one");
    let move_to = |seconds: u64| {
        let due = UnixMs(db.now().0 + seconds * 1_000);
        let revision = first.revision(&db);
        db.reply(&Reschedule { keys: &db.keys, order_id: &first.order_id, due, not_after: None, revision });
    };
    move_to(45);
    assert!(listener.received().is_empty(), "moved, not to the front");
    move_to(10);
    assert_eq!(listener.received(), [BELL], "moved to the front");
    move_to(0);
    assert_eq!(listener.received(), ["expired delivery:{0}:u1:1", BELL], "moved to now");
}

#[test]
fn a_parcel_back_in_ready_rings_the_bell_when_it_is_the_first() {
    let db = Db::start();
    for name in ["u1:1", "u1:2"] {
        Order::inline(name).accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    let parcels = courier.claim();
    let mut listener = Listener::new(&db, "Ex");
    for (parcel, expected) in parcels.iter().zip([vec!["expired bell:{0}"], vec![]]) {
        courier.begun(parcel, &[(0, 1)]);
        let outcome = posthaste_model::OutcomeKind::NotSent;
        courier.settle(parcel, true, &[crate::order::report(0, 1, outcome)]);
        assert_eq!(listener.received(), expected);
        db.pass(db.now());
    }
}

#[test]
fn a_persisted_bell_is_replaced_by_the_partitions_bell() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, Duration::from_secs(60));
    order.accept(&db);
    db.raw(&["PERSIST", "delivery:{0}:u1:5"]);
    db.later(Duration::from_secs(61));
    let mut listener = Listener::new(&db, "Ex");
    assert_eq!(db.reply(&PromoteDue { keys: &db.keys }).persisted, 1);
    assert_eq!(listener.received(), ["expired bell:{0}"]);
    assert!(db.snapshot().get("delivery:{0}:u1:5").is_none());
}

#[test]
fn a_cancelled_order_fires_no_bell() {
    let db = Db::start();
    let order = Order::inline("u1:5").due_in(&db, Duration::from_secs(60));
    order.accept(&db);
    let mut listener = Listener::new(&db, "Ex");
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    assert!(listener.received().is_empty());
}

/// Trackers subscribe to the history of their order: one event per settle, however many deliveries.
#[test]
fn a_settle_writes_a_history_once() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(3);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (2, 1)]);
    let mut connection = db.server.connect().expect("a connection");
    connection.command(&["SUBSCRIBE", "__keyspace@0__:history:{0}:u1:5"]).expect("subscribed");
    let sent = posthaste_model::OutcomeKind::Sent;
    courier.settle(&parcel, false, &[crate::order::report(0, 1, sent), crate::order::report(2, 1, sent)]);
    db.raw(&["PUBLISH", "__keyspace@0__:history:{0}:u1:5", "end"]);
    let mut received =
        || connection.receive().expect("a message").items()[2].text().unwrap_or_default().to_owned();
    assert_eq!((received(), received()), ("hset".to_owned(), "end".to_owned()));
}
