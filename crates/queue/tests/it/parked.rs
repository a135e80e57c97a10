//! Orders that can't be read: no page fails because of one, each has a stable code, and an operator fails or releases it.

use posthaste_model::OrderId;
use posthaste_store::KeyScope;

use crate::client::{ask, get};
use crate::service::{Service, order_id};

/// A kind of damage, and the reason it is reported with.
const DAMAGES: &[(&str, &str)] = &[
    ("type", "wrong_type"),
    ("head", "damaged"),
    ("outcomes", "damaged"),
    ("content", "damaged"),
    ("newer head", "newer_version"),
    ("newer content", "newer_version"),
    ("newer outcomes", "newer_version"),
];

fn spoil(service: &Service, order: &OrderId, damage: &str) {
    let key = format!("history:{{0}}:{order}");
    let set = |field: &[u8], value: &[u8]| service.redis.command(&[b"HSET", key.as_bytes(), field, value]);
    let done = match damage {
        "type" => service.redis.command(&["SET", &key, "x"]),
        "head" => set(b"h", b"\x01rubbish"),
        "outcomes" => set(b"o", b"rubbish"),
        "content" => set(b"b0", b"rubbish"),
        "newer head" => set(b"h", &[2; 60]),
        "newer content" => set(b"b0", &[5, 2, 1, 2, b'h', b'i', 1]),
        _ => set(b"o", &[[0, 1, 0, 0, 0, 0].as_slice(), &[32; 12]].concat()),
    };
    assert!(done.expect("a reply").error().is_none(), "{damage}");
}

#[tokio::test]
async fn one_unreadable_order_fails_no_page() {
    let service = Service::start().await;
    let key = service.master().await;
    let due = service.in_an_hour().await;
    for (at, (damage, reason)) in DAMAGES.iter().enumerate() {
        service.redis.command(&["DEL", "orders:{0}", "sender:{0}:u1"]).expect("a reply");
        let order = |n: u64| order_id("u1", at as u64 * 10 + n);
        for n in 1..=5 {
            service.order(&order(n), 1, Some(due)).await;
        }
        let bad = order(3);
        spoil(&service, &bad, damage);
        let id = bad.wire_id();
        for query in [
            "",
            "?limit=2",
            "?sender_id=u1",
            "?created_before=2099-01-01T00:00:00Z&created_after=2020-01-01T00:00:00Z",
        ] {
            let (mut items, mut unreadable) = (Vec::new(), Vec::new());
            let mut path = format!("/v1/orders{query}");
            loop {
                let answer = service.ask(get(&path).key(&key)).await;
                assert_eq!(answer.status, 200, "{damage} {path}: {}", answer.text());
                let page = answer.json();
                items.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()));
                unreadable.extend(page["unreadable"].as_array().cloned().unwrap_or_default());
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                let join = if query.is_empty() { "?" } else { "&" };
                path = format!("/v1/orders{query}{join}cursor={cursor}");
            }
            let sound: Vec<_> = [5, 4, 2, 1].map(|n| order(n).wire_id()).to_vec();
            assert_eq!(items, sound, "{damage} {query}");
            assert_eq!(unreadable.len(), 1, "{damage} {query}");
            assert_eq!(
                (&unreadable[0]["id"], &unreadable[0]["reason"]),
                (&id.as_str().into(), &(*reason).into())
            );
        }
        let orders = format!("/v1/orders/{id}");
        let deliveries = format!("{orders}/deliveries");
        let reads = [get(&orders), get(&deliveries)];
        for read in reads {
            let answer = service.ask(read.key(&key)).await;
            let problem = answer.json();
            assert_eq!(
                (answer.status, &problem["code"]),
                (409, &"record_unreadable".into()),
                "{damage}: {problem}"
            );
            assert_eq!(problem["reason"], *reason, "{damage}");
        }
        let (cancel, retry, track) =
            (format!("{orders}/cancel"), format!("{orders}/retry"), format!("{orders}/events"));
        let others = [ask("POST", &cancel).json("{}"), ask("POST", &retry).json("{}"), get(&track)];
        for other in others {
            let answer = service.ask(other.key(&key)).await;
            assert!(answer.status < 500, "{damage}: {} {}", answer.status, answer.text());
        }
    }
}

#[tokio::test]
async fn foreign_entries_in_the_indexes_fail_no_view() {
    let service = Service::start().await;
    let key = service.master().await;
    service.order(&order_id("u1", 1), 1, Some(service.in_an_hour().await)).await;
    for command in [
        &["HSET", "channels:{0}", "Not a channel", "1"][..],
        &["HSET", "channels:{0}", "sms", "rubbish", "email:receipts", "rubbish"],
        &["RPUSH", "orders:{0}", "nobody's"],
        &["RPUSH", "sender:{0}:u1", ""],
        &["ZADD", "due:{0}:bulk", "+inf", "nobody's"],
    ] {
        service.redis.command(command).expect("a reply");
    }
    let paths = [
        "/v1/orders",
        "/v1/orders?sender_id=u1",
        "/v1/orders/u1.1",
        "/v1/orders/u1.1/deliveries",
        "/v1/couriers",
    ];
    for wrong_type in [false, true] {
        if wrong_type {
            service.redis.command(&["DEL", "channels:{0}"]).expect("a reply");
            service.redis.command(&["SET", "channels:{0}", "x"]).expect("a reply");
        }
        for path in paths {
            let answer = service.ask(get(path).key(&key)).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_operator_lists_releases_and_fails_parked_orders() {
    let service = Service::start().await;
    let key = service.master().await;
    let reader = service.key(&[KeyScope::Read], Some("u1")).await;
    let due = service.in_an_hour().await;
    let (first, second) = (order_id("u1", 1), order_id("u1", 2));
    for order in [&first, &second] {
        service.order(order, 1, Some(due)).await;
    }
    let none = service.ask(get("/v1/parked").key(&key)).await.json();
    assert_eq!(none["items"].as_array().map(Vec::len), Some(0), "{none}");
    let head = service.redis.command(&["HGET", "history:{0}:u1:1", "h"]).expect("a reply");
    for order in [&first, &second] {
        spoil(&service, order, "head");
    }
    service.store.scan_orders(0, 0, 500).await.expect("a walk");

    for (method, path) in [
        ("GET", "/v1/parked"),
        ("GET", "/v1/parked/u1.1"),
        ("POST", "/v1/parked/u1.1/release"),
        ("POST", "/v1/parked/u1.1/fail"),
    ] {
        let answer = service.ask(ask(method, path).key(&reader)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (403, &"insufficient_scope".into()), "{path}");
    }
    let page = service.ask(get("/v1/parked?limit=1").key(&key)).await.json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let path = format!("/v1/parked?limit=1&cursor={cursor}");
    let rest = service.ask(get(&path).key(&key)).await.json();
    let mut seen =
        [&page["items"][0]["order_id"], &rest["items"][0]["order_id"]].map(|id| id.as_str().expect("an id"));
    seen.sort_unstable();
    assert_eq!(seen, ["u1.1", "u1.2"]);
    let shown = service.ask(get("/v1/parked/u1.1").key(&key)).await.json();
    assert_eq!(
        (&shown["items"][0]["reason"], &shown["items"][0]["channel"]),
        (&"head".into(), &serde_json::Value::Null)
    );

    // The first is repaired and released.
    let head = head.bytes().expect("a head");
    service.redis.command(&[b"HSET".as_slice(), b"history:{0}:u1:1", b"h", head]).expect("a reply");
    let released = service.ask(ask("POST", "/v1/parked/u1.1/release").key(&key)).await;
    assert_eq!((released.status, &released.json()["released_count"]), (200, &1.into()));
    let order = service.ask(get("/v1/orders/u1.1").key(&key)).await.json();
    assert_eq!(order["status"], "scheduled", "{order}");

    // The other one is failed.
    let failed = service.ask(ask("POST", "/v1/parked/u1.2/fail").key(&key)).await;
    assert_eq!(
        (failed.status, failed.json()),
        (200, serde_json::json!({"delivery_count": 0, "removed": true}))
    );
    for path in ["/v1/orders/u1.2", "/v1/orders/u1.2/deliveries"] {
        let gone = service.ask(get(path).key(&key)).await;
        assert_eq!((gone.status, &gone.json()["code"]), (410, &"order_ended_unreadable".into()), "{path}");
    }
    let page = service.ask(get("/v1/orders").key(&key)).await.json();
    assert_eq!(page["unreadable"], serde_json::json!([{"id": "u1.2", "reason": "ended_by_operator"}]));
    for path in ["/v1/parked/u1.2/fail", "/v1/parked/u1.1/release"] {
        let answer = service.ask(ask("POST", path).key(&key)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &"nothing_parked".into()), "{path}");
    }
    let bad = service.ask(get("/v1/parked?cursor=x").key(&key)).await;
    assert_eq!((bad.status, &bad.json()["code"]), (422, &"invalid_parameter".into()));
}

/// A page of a large order's deliveries shows what can be read and names the rest, parcel by parcel, as pages and as NDJSON.
#[tokio::test]
async fn deliveries_beside_a_damaged_parcel_are_listed() {
    let service = Service::start().await;
    let key = service.master().await;
    let order = order_id("u1", 1);
    service.order(&order, 1_700, Some(service.in_an_hour().await)).await;
    let redis = |words: &[&str]| service.redis.command(words).expect("a reply");
    // Of four parcels the second has no readable deliveries, the third has the wrong type, the fourth is of a newer version.
    redis(&["SET", &format!("parcel:{{0}}:{order}:email:1"), "\u{1}rubbish"]);
    redis(&["DEL", &format!("outcome:{{0}}:{order}:email:2")]);
    redis(&["LPUSH", &format!("outcome:{{0}}:{order}:email:2"), "x"]);
    redis(&["SETRANGE", &format!("parcel:{{0}}:{order}:email:3"), "0", "\u{2}"]);
    let reported = |parcel: u32, deliveries: u32, reason: &str| serde_json::json!({"channel": "email", "parcel": parcel, "delivery_count": deliveries, "reason": reason});
    let bad =
        [reported(1, 500, "damaged"), reported(2, 500, "wrong_type"), reported(3, 200, "newer_version")];
    let base = format!("/v1/orders/{}/deliveries", order.wire_id());
    for query in ["", "?limit=200", "?limit=500", "?limit=5000", "?status=pending&limit=499"] {
        let (mut indexes, mut unreadable) = (Vec::new(), Vec::new());
        let mut path = format!("{base}{query}");
        loop {
            let answer = service.ask(get(&path).key(&key)).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let page = answer.json();
            let items = page["items"].as_array().expect("items");
            indexes.extend(items.iter().map(|item| item["recipient_index"].as_u64().expect("an index")));
            unreadable.extend(page["unreadable_deliveries"].as_array().cloned().unwrap_or_default());
            let Some(link) = answer.header("link") else { break };
            path = link.trim_start_matches('<').split('>').next().expect("a target").to_owned();
        }
        assert_eq!(indexes, (0..500).collect::<Vec<u64>>(), "{query}");
        assert_eq!(unreadable, bad, "{query}");
    }
    // No delivery has failed; for those that can't be read this is unknown.
    let failed = service.ask(get(&format!("{base}?status=failed")).key(&key)).await.json();
    assert_eq!(failed["items"], serde_json::json!([]));
    let lines = service.ask(get(&base).key(&key).header("accept", "application/x-ndjson")).await.text();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(lines.len(), 503);
    let named: Vec<_> = lines[500..].iter().map(|line| line["unreadable_deliveries"].clone()).collect();
    assert_eq!(named, bad);
    // A readable order has none.
    let sound = order_id("u1", 2);
    service.order(&sound, 600, Some(service.in_an_hour().await)).await;
    let page = service.ask(get(&format!("/v1/orders/{}/deliveries", sound.wire_id())).key(&key)).await.json();
    assert_eq!(page["unreadable_deliveries"], serde_json::json!([]), "{page}");
}
