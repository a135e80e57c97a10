//! `posthaste parked …` against a scripted server.

use serde_json::{Value, json};

use crate::cli::User;
use crate::script::{Script, json_of, problem};

const ORDER: &str = "u1.1763676000000000000";

fn entry(reason: &str) -> Value {
    json!({"order_id": ORDER, "channel": "sms", "parcel": 3, "reason": reason, "parked_at": "2026-11-20T12:00:01.000Z"})
}

fn lines(requested: &Script) -> Vec<String> {
    requested.requested().into_iter().map(|requested| requested.line).collect()
}

#[tokio::test]
async fn parked_orders_are_listed_page_by_page_and_shown() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/parked", json_of(200, json!({"items": [entry("outcomes")], "next_cursor": "0-1-1"})));
    script.on("GET /v1/parked", json_of(200, json!({"items": [entry("type")], "next_cursor": null})));
    let user = User::of(&server);
    let listed = user.run(&["parked", "list", "-o", "ndjson"]).await;
    assert_eq!((listed.code, listed.out.lines().count()), (0, 2), "{listed:?}");
    assert_eq!(lines(&script), ["GET /v1/parked?limit=500", "GET /v1/parked?limit=500&cursor=0-1-1"]);
    let table = user.run(&["parked", "list", "--limit", "1"]).await;
    assert!(table.out.contains("its key has the wrong type") && table.out.contains("sms"), "{table:?}");
    let order = json!({"order_id": ORDER, "items": [entry("content")]});
    script.on(&format!("GET /v1/parked/{ORDER}"), json_of(200, order.clone()));
    let shown = user.run(&["parked", "show", ORDER]).await;
    assert!(shown.code == 0 && shown.out.contains("its content is damaged"), "{shown:?}");
    assert!(shown.err.contains(&format!("posthaste parked release {ORDER}")), "{shown:?}");
    let json = user.run(&["parked", "show", ORDER, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).ok(), Some(order));
}

#[tokio::test]
async fn an_order_is_released_or_ended() {
    let (script, server) = Script::start().await;
    let user = User::of(&server);
    script.on(&format!("POST /v1/parked/{ORDER}/release"), json_of(200, json!({"released_count": 2})));
    let released = user.run(&["parked", "release", ORDER]).await;
    assert!(released.code == 0 && released.out.starts_with("2 released"), "{released:?}");
    script.on(
        &format!("GET /v1/parked/{ORDER}"),
        json_of(200, json!({"order_id": ORDER, "items": [entry("deliveries")]})),
    );
    script.on(
        &format!("POST /v1/parked/{ORDER}/fail"),
        json_of(200, json!({"delivery_count": 7, "removed": false})),
    );
    let unrequested = user.run(&["parked", "fail", ORDER, "--no-input"]).await;
    assert_ne!(unrequested.code, 0, "it can't be undone: {unrequested:?}");
    assert!(script.requested_for(&format!("POST /v1/parked/{ORDER}/fail")).is_empty());
    let failed = user.run(&["parked", "fail", ORDER, "--yes"]).await;
    assert!(failed.code == 0 && failed.out.contains("7 deliveries ended"), "{failed:?}");
    script.on("GET /v1/parked/u2.5", problem(404, "nothing_parked", json!([])));
    let none = user.run(&["parked", "show", "u2.5"]).await;
    assert!(none.code != 0 && none.out.is_empty(), "{none:?}");
}

#[tokio::test]
async fn a_list_of_orders_names_those_that_cannot_be_read() {
    let (script, server) = Script::start().await;
    let page =
        json!({"items": [], "unreadable": [{"id": ORDER, "reason": "wrong_type"}], "next_cursor": null});
    script.on("GET /v1/orders", json_of(200, page));
    let listed = User::of(&server).run(&["order", "list"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.err.contains(&format!("{ORDER} can't be read (wrong type)")), "{listed:?}");
}
