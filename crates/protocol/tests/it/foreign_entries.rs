//! Scores and names in an index that Posthaste never writes, and errors that say nothing about a record.

use posthaste_model::ParcelId;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::scan_orders::ScanOrders;

use crate::claim::parcel_ids;
use crate::db::Db;
use crate::order::{Courier, Order, WINDOW};

/// Invalid scores and foreign names, in every index.
#[test]
fn foreign_scores_and_names_block_no_others() {
    let db = Db::start();
    let (courier, order) = (Courier::new(&db, "c1"), Order::inline("u1:1"));
    let channel = &courier.channel;
    for score in ["+inf", "-inf", "1e300", "0.5"] {
        for name in ["u9:9:0", "nonsense", ":", "u9:9:x", ""] {
            db.reset();
            for index in
                ["ready:{0}:email:urgent", "ready:{0}:email:bulk", "leased:{0}:email", "unresolved:{0}:email"]
            {
                db.raw(&["ZADD", index, score, name]);
            }
            for index in ["due:{0}:urgent", "due:{0}:bulk"] {
                db.raw(&["ZADD", index, score, name.trim_end_matches(":0")]);
            }
            for list in ["orders:{0}", "sender:{0}:u1"] {
                db.raw(&["RPUSH", list, name]);
            }
            db.raw(&["HSET", "channels:{0}", "Not a channel", "x"]);
            order.accept(&db);
            let (taken, _) = courier.take(&courier.next());
            assert_eq!(parcel_ids(&taken), ["u1:1:0"], "{score} {name:?}");
            db.reply(&courier.sweeping());
            db.reply(&ScanOrders { keys: &db.keys, from: 0, limit: 500 });
            db.reply(&ExpireParcels {
                keys: &db.keys,
                channel,
                index: Index::Unresolved,
                from: 0,
                limit: 200,
            });
            let claim = posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved {
                keys: &db.keys,
                channel,
                limit: 9,
                put_off: WINDOW,
            };
            assert!(
                db.reply(&claim)
                    .parcel_ids
                    .iter()
                    .all(|parcel_id| *parcel_id == "u9:9:0".parse::<ParcelId>().expect("a member"))
            );
        }
    }
}

/// A score that no claim would ever reach is corrected: in `ready` and `unresolved` when the index is walked, in
/// `due` and `leased` by `repair_indexes` after `scan_orders` listed the order.
#[test]
fn a_score_out_of_reach_is_corrected() {
    for (index, due) in [("ready:{0}:email:bulk", false), ("leased:{0}:email", false), ("due:{0}:bulk", true)]
    {
        let db = Db::start();
        let order = if due { Order::inline("u1:1").due_in(&db, WINDOW) } else { Order::inline("u1:1") };
        order.accept(&db);
        let courier = Courier::new(&db, "c1");
        if index.starts_with("leased") {
            courier.claim_one();
        }
        let name = if due { "u1:1" } else { "u1:1:0" };
        db.raw(&["ZADD", index, "XX", "+inf", name]);
        assert_eq!(db.reply(&ScanOrders { keys: &db.keys, from: 0, limit: 500 }).named.len(), 1, "{index}");
        db.reply(&RepairIndexes {
            keys: &db.keys,
            channel: &courier.channel,
            order_id: &order.order_id,
            from: 0,
        });
        let score = db.snapshot().sorted(index)[name];
        assert!(score <= order.due.unwrap_or(db.now()).0, "{index}: {score}");
        assert_eq!(db.reply(&ScanOrders { keys: &db.keys, from: 0, limit: 500 }).named.len(), 0, "{index}");
    }
    let db = Db::start();
    let order = Order::inline("u1:1");
    order.accept(&db);
    db.raw(&["ZADD", "ready:{0}:email:bulk", "XX", "+inf", "u1:1:0"]);
    let channel = &order.channels[0].0;
    db.reply(&ExpireParcels {
        keys: &db.keys,
        channel,
        index: Index::Ready(order.priority),
        from: 0,
        limit: 200,
    });
    assert!(db.snapshot().sorted("ready:{0}:email:bulk")["u1:1:0"] <= db.now().0);
}

/// An error that says nothing about the record parks nothing: here a missing permission to read one order.
#[test]
fn a_missing_permission_parks_nothing() {
    let db = Db::start();
    let bad = Order::inline("u1:1");
    bad.accept(&db);
    db.raw(&[
        "ACL",
        "SETUSER",
        "half",
        "on",
        "nopass",
        "+@all",
        "~epoch:*",
        "~fence:*",
        "~due:*",
        "~ready:*",
        "~lease*",
        "~request:*",
        "~couriers:*",
        "~channels:*",
        "~crashes:*",
        "~unresolved:*",
        "~parked*",
        "~bell:*",
        "~delivery:*",
    ]);
    let as_half = |args: &[&str]| {
        let mut connection = db.server.connect().expect("a connection");
        connection.command(&["AUTH", "half", "x"]).expect("a reply");
        connection.command(args).expect("a reply")
    };
    let courier = Courier::new(&db, "c1");
    let call = posthaste_protocol::ScriptCall::invoke(&courier.next(), "r", crate::db::EPOCH);
    let count = call.keys.len().to_string();
    let args: Vec<String> = call.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let mut words = vec!["EVAL", call.script.body.as_str(), &count];
    words.extend(call.keys.iter().map(String::as_str));
    words.extend(args.iter().map(String::as_str));
    let before = db.snapshot();
    let reply = as_half(&words);
    let error = reply.error().unwrap_or_else(|| panic!("{reply:?}")).to_owned();
    assert!(
        error.contains("can't access") || error.contains("NOPERM") || error.contains("ACL failure"),
        "{error}"
    );
    assert!(db.snapshot() == before, "nothing was parked");
}
