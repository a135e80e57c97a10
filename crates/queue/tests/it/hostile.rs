//! Hostile and malformed requests: each gets a client error, nothing is echoed, nothing is written, nothing is a 5xx.

use axum::Router;
use axum::routing;
use posthaste_queue::api;
use posthaste_rig::PrivateServer;

use crate::client::{Ask, ask, get, raw};
use crate::service::{Replica, Service};

/// Appears nowhere except in what the tests send.
const CANARY: &str = "canary7f3a";

/// Names of all keys of the database, except those that every request may write (rates and last uses).
fn written(redis: &PrivateServer) -> Vec<String> {
    let reply = redis.command(&["KEYS", "*"]).expect("keys");
    let names = reply.items().iter().filter_map(|key| key.text().map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("rate:")).collect();
    names.sort();
    names
}

async fn refused(service: &Service, requested: Ask<'_>, status: u16, code: &str) {
    let shown = format!("{requested:?}").chars().take(300).collect::<String>();
    let answer = service.ask(requested).await;
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{shown}: {answer:?}");
    assert!(!answer.text().contains(CANARY) && !answer.head.contains(CANARY), "echoed: {answer:?}");
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let post = || ask("POST", "/v1/api-keys").key(&key);
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, status, code) in [
        ("", 400, "malformed_json"),
        ("null", 400, "malformed_json"),
        ("[]", 400, "malformed_json"),
        ("\"canary7f3a\"", 400, "malformed_json"),
        ("{\"name\":\"canary7f3a\"", 400, "malformed_json"),
        ("{\"name\":\"a\",\"name\":\"canary7f3a\",\"scopes\":[\"read\"]}", 400, "malformed_json"),
        ("\u{feff}{}", 400, "malformed_json"),
        ("{\"name\":\"\\ud800\"}", 400, "malformed_json"),
        (deep.as_str(), 400, "malformed_json"),
        ("{\"name\":\"a\",\"scopes\":[\"read\"],\"canary7f3a\":true}", 422, "validation_failed"),
        ("{\"name\":\"a\",\"scopes\":[\"read\"],\"hash\":\"canary7f3a\"}", 422, "validation_failed"),
        ("{\"name\":\"a\\u0000\",\"scopes\":[\"admin\"]}", 422, "validation_failed"),
        ("{\"name\":1e400,\"scopes\":[]}", 422, "validation_failed"),
        ("{\"name\":9007199254740993,\"scopes\":[]}", 422, "validation_failed"),
        ("{\"name\":\"\",\"scopes\":[\"admin\"]}", 422, "validation_failed"),
        ("{\"name\":\"a\",\"scopes\":[\"canary7f3a\"]}", 422, "validation_failed"),
        ("{\"name\":\"a\",\"scopes\":\"a, expected canary7f3a\"}", 422, "validation_failed"),
        ("{\"name\":\"a\",\"a, expected canary7f3a\":1}", 422, "validation_failed"),
        ("{\"name\":\"a\",\"scopes\":[\"read\"],\"sender_id\":\"a:{canary7f3a}\"}", 422, "validation_failed"),
        ("{\"name\":\"a\",\"scopes\":[\"admin\"],\"expires_at\":\"canary7f3a\"}", 422, "validation_failed"),
    ] {
        refused(&service, post().json(body), status, code).await;
    }
    let json = "application/json";
    refused(
        &service,
        post().header("content-type", json).body(b"{\"name\":\"\xc0\xaf\"}"),
        400,
        "malformed_json",
    )
    .await;
    refused(&service, post().body(b"{}"), 415, "unsupported_media_type").await;
    refused(&service, post().header("content-type", "text/plain").body(b"{}"), 415, "unsupported_media_type")
        .await;
    let zipped = post().header("content-encoding", "gzip, gzip").json("{}");
    refused(&service, zipped, 415, "unsupported_media_type").await;
    let large = format!("{{\"name\":\"{}\"}}", CANARY.repeat(10_000));
    refused(&service, post().json(&large), 413, "body_too_large").await;
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn paths_methods_and_parameters() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let long = format!("/v1/orders?cursor={}", CANARY.repeat(800));
    for (method, path, status, code) in [
        ("GET", "/canary7f3a", 404, "not_found"),
        ("GET", "/v1/../../etc/canary7f3a", 404, "not_found"),
        ("GET", "/%2e%2e/%2e%2e/canary7f3a", 404, "not_found"),
        ("GET", "/v1/orders/%2e%2e%2fcanary7f3a", 422, "invalid_parameter"),
        ("GET", "/v1/orders/canary7f3a%00.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/canary7f3a*.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/%7Bcanary7f3a%7D.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/canary7f3a%20x.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/canary7f3a%0A.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/%F0%9F%98%80.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/%FF%FE.1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/delivery:email:canary7f3a", 422, "invalid_parameter"),
        ("GET", "/v1/orders/__proto__.1", 404, "order_not_found"),
        ("GET", "/v1/orders/due.1", 404, "order_not_found"),
        ("GET", "/v1/orders?limit=0", 422, "invalid_parameter"),
        ("GET", "/v1/orders?limit=-1", 422, "invalid_parameter"),
        ("GET", "/v1/orders?limit=1000000000", 422, "invalid_parameter"),
        ("GET", "/v1/orders?cursor=canary7f3a", 422, "invalid_parameter"),
        ("GET", "/v1/orders?canary7f3a=1", 422, "invalid_parameter"),
        ("GET", "/v1/orders?limit=1&limit=2", 422, "invalid_parameter"),
        ("GET", "/v1/orders?status=canary7f3a", 422, "invalid_parameter"),
        ("GET", "/v1/orders?created_after=canary7f3a", 422, "invalid_parameter"),
        ("GET", "/v1/orders?sender_id=canary7f3a:1", 422, "invalid_parameter"),
        ("GET", "/v1/orders/u1.1/deliveries?cursor=canary7f3a", 422, "invalid_parameter"),
        ("GET", "/v1/orders/u1.1/deliveries?channel=CANARY", 422, "invalid_parameter"),
        ("GET", "/v1/orders/u1.1/wait?timeout_seconds=61", 422, "invalid_parameter"),
        ("GET", "/v1/orders/u1.1/wait?since_revision=9007199254740992", 422, "invalid_parameter"),
        ("GET", "/v1/orders/u1.1/wait?min_changes=17", 422, "invalid_parameter"),
        ("GET", "/v1/senders/a:canary7f3a/daily-limit", 422, "invalid_parameter"),
        ("DELETE", "/v1/api-keys/canary7f3a", 422, "invalid_parameter"),
        ("DELETE", "/v1/couriers", 405, "method_not_allowed"),
        ("TRACE", "/v1/couriers", 405, "method_not_allowed"),
        ("CANARY", "/v1/couriers", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/orders", 405, "method_not_allowed"),
        ("GET", &long, 414, "uri_too_long"),
    ] {
        refused(&service, ask(method, path).key(&key), status, code).await;
    }
    for (body, status) in [
        (r#"{"history_key":"canary7f3a"}"#, 422),
        (r#"{"history_key":"history:u1:1","touch_count":0}"#, 422),
        (r#"{"history_key":"history:u1:1","touch_count":17}"#, 422),
        (r#"{"history_key":"history:u1:1","timeout":11}"#, 422),
        (r#"{"history_key":"history:u1:1","timeout":-1}"#, 422),
    ] {
        refused(&service, ask("POST", "/track").key(&key).json(body), status, "validation_failed").await;
    }
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn allowed_methods_are_listed_and_no_other_origin_is_allowed() {
    let service = Service::start().await;
    let answer = service.ask(ask("DELETE", "/v1/couriers")).await;
    assert_eq!(answer.header("allow").as_deref(), Some("GET,HEAD"), "{answer:?}");
    let preflight = ask("OPTIONS", "/v1/orders")
        .header("origin", "https://canary7f3a.example")
        .header("access-control-request-method", "POST");
    let answer = service.ask(preflight).await;
    assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{answer:?}");
    let answer = service.ask(get("/docs").header("origin", "https://canary7f3a.example")).await;
    assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{answer:?}");
}

#[tokio::test]
async fn requests_with_invalid_http_framing_are_refused() {
    let service = Service::start().await;
    let head = |rest: &str| format!("POST /v1/api-keys HTTP/1.1\r\nhost: test\r\n{rest}\r\n\r\n");
    let many: String = (0..1_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (rest, statuses) in [
        ("content-length: 2\r\ncontent-length: 3".to_owned(), &[400][..]),
        ("content-length: -1".to_owned(), &[400]),
        // The chunked encoding counts, as RFC 9112 allows, and the connection is not reused.
        ("content-length: 2\r\ntransfer-encoding: chunked".to_owned(), &[401]),
        ("transfer-encoding: chunked\r\ncontent-length: 2".to_owned(), &[401]),
        ("transfer-encoding: gzip".to_owned(), &[400]),
        ("x: a\0b".to_owned(), &[400]),
        (format!("x: {}", "x".repeat(1 << 20)), &[431]),
        (format!("{many}connection: close"), &[400, 431]),
        (" folded: yes".to_owned(), &[400]),
    ] {
        let answer = raw(service.address, format!("{}{{}}", head(&rest)).as_bytes()).await;
        let answer = answer.unwrap_or_else(|| panic!("no response: {rest:.60}"));
        assert!(statuses.contains(&answer.status), "{rest:.60}: {}", answer.head);
        assert_eq!(answer.header("connection").as_deref(), Some("close"), "{rest:.60}: {}", answer.head);
    }
    for rubbish in
        ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"]
    {
        let answer = raw(service.address, rubbish.as_bytes()).await;
        assert!(answer.is_none_or(|answer| answer.status == 400 || answer.status == 505), "{rubbish:?}");
    }
    let sound = raw(service.address, &get("/openapi.json").bytes()).await.expect("an answer");
    assert_eq!(sound.status, 200, "others are served");
}

#[tokio::test]
async fn a_panic_becomes_a_problem_without_details() {
    let service = Service::start().await;
    let broken = || async {
        if CANARY.len() > 3 {
            panic!("{CANARY}")
        }
    };
    let routes = |state| api::guarded(Router::new().route("/broken", routing::get(broken)), state);
    let replica = Replica::with(&service.redis, &[], routes).await;
    let answer = get("/broken").send(replica.address).await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal_error"));
    assert!(!answer.text().contains(CANARY), "{answer:?}");
    assert_eq!(get("/other").send(replica.address).await.status, 404, "the service continues");
}

#[tokio::test]
async fn input_that_looks_like_a_rule_is_not_repeated() {
    let service = Service::start().await;
    let key = service.master().await;
    for (path, body) in [
        ("/track", r#"{"history_key":"history:u1:1","timeout":"a, expected canary7f3a"}"#),
        ("/track", r#"{"history_key":["a, expected canary7f3a"]}"#),
        ("/v1/api-keys", r#"{"name":"n","scopes":"a, expected canary7f3a"}"#),
        ("/v1/api-keys", r#"{"name":"n","scopes":["read"],"a, expected canary7f3a":1}"#),
        ("/v1/suppressions", r#"{"channel":"email","addresses":"a, expected canary7f3a"}"#),
        ("/v1/suppressions/lookup", r#"{"channel":{"a, expected canary7f3a":1},"addresses":[]}"#),
        ("/v1/order-ids", r#"{"sender_id":{"a, expected canary7f3a":1}}"#),
    ] {
        refused(&service, ask("POST", path).key(&key).json(body), 422, "validation_failed").await;
    }
}
