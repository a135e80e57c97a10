//! Requests about orders, and their responses.

use std::time::Duration;

use posthaste_client::{
    ApiError, BatchResult, Client, OrderQuery, OrderRequest, OrderRetry, OrderWait, RecipientQuery,
    Submission,
};
use posthaste_model::Text;
use posthaste_rig::http::HttpReply;
use serde_json::{Value, json};

use crate::server::{Scene, body, header, json, line, refused};

fn order() -> OrderRequest {
    OrderRequest { text: Some(Text::new("Hello")), ..OrderRequest::default() }
}

fn accepted() -> Value {
    json!({"order_id": "dev.17", "state": "running", "recipients": {"accepted": 2, "deliveries": {"email": 2}},
        "durability": "fast"})
}

#[tokio::test]
async fn an_order_is_created_under_its_key() {
    let scene = Scene::with([json(200, accepted())]).await;
    let told = scene.client.create_order(&order(), Submission::Keyed("key-1")).await.expect("accepted");
    assert_eq!(told.seen.order_id.as_deref(), Some("dev.17"));
    assert_eq!((told.seen.recipients.accepted, told.seen.recipients.deliveries["email"]), (2, 2));
    assert_eq!(serde_json::to_value(&told).expect("JSON"), accepted(), "fields that are not typed are kept");
    let asked = scene.only();
    assert_eq!(line(&asked), "POST /v1/orders");
    assert_eq!((header(&asked, "idempotency-key"), body(&asked)), (Some("key-1"), json!({"text": "Hello"})));
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_has_no_key() {
    let scene = Scene::with([json(200, json!({"state": "dry_run"}))]).await;
    let told = scene.client.create_order(&order(), Submission::DryRun).await.expect("checked");
    assert_eq!((told.seen.state.as_str(), told.seen.order_id.as_deref()), ("dry_run", None));
    let asked = scene.only();
    assert_eq!(
        (line(&asked).as_str(), header(&asked, "idempotency-key")),
        ("POST /v1/orders?dry_run=true", None)
    );
}

#[tokio::test]
async fn each_order_of_a_batch_has_its_own_result() {
    let refusal = json!({"index": 1, "status": 422, "problem": {"title": "Invalid", "status": 422, "code": "invalid_order"}});
    let mut first = accepted();
    first["index"] = json!(0);
    let lines = format!("{first}\n{refusal}\n");
    let scene = Scene::with([HttpReply::Say(200, String::new(), lines)]).await;
    let told = scene.client.create_orders(&[order(), order()], "key-2").await.expect("results");
    let [BatchResult::Accepted(first), BatchResult::Refused(second)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!((first.seen.order_id.as_deref(), second.code.as_str()), (Some("dev.17"), "invalid_order"));
    let asked = scene.only();
    assert_eq!(asked.body, b"{\"text\":\"Hello\"}\n{\"text\":\"Hello\"}\n");
    assert_eq!(header(&asked, "content-type"), Some("application/x-ndjson"));
    // A line is missing.
    let error = refused(scene.client.create_orders(&[order()], "key-3").await);
    assert!(matches!(error, ApiError::NotUnderstood { .. }), "{error:?}");
}

#[tokio::test]
async fn orders_are_listed_by_page() {
    let page = json!({"items": [{"order_id": "dev.17", "state": "running", "totals": {"accepted": 3, "pending": 1}}],
        "next_cursor": "c2", "unreadable": [{"order_id": "dev.18", "reason": "damaged"}], "partitions_missing": [4]});
    let scene = Scene::with([json(200, page)]).await;
    let query = OrderQuery {
        sender_id: Some("dev".parse().expect("an id")),
        state: Some("running".to_owned()),
        cursor: Some("c1".to_owned()),
        limit: Some(10),
        ..OrderQuery::default()
    };
    let page = scene.client.orders(&query).await.expect("a page");
    let first = &page.items[0].seen;
    assert_eq!((first.order_id.as_str(), first.totals.settled(), first.is_final()), ("dev.17", 2, false));
    assert_eq!((page.next_cursor.as_deref(), page.unreadable[0].order_id.as_str()), (Some("c2"), "dev.18"));
    assert_eq!(page.partitions_missing, [4]);
    assert_eq!(line(&scene.only()), "GET /v1/orders?sender_id=dev&state=running&cursor=c1&limit=10");
}

#[tokio::test]
async fn a_wait_lasts_longer_than_the_time_for_one_response() {
    let reply = json!({"history": {"order_id": "dev.17", "state": "finished"}, "timed_out": false});
    let late = HttpReply::Late(Duration::from_millis(1_500), 200, String::new(), reply.to_string());
    let scene = Scene::with([late]).await;
    let client = scene.client_within(Duration::from_millis(1_000));
    let wait =
        OrderWait { touch_count: 1, timeout: Duration::from_secs(20), since: Some(3), past_end: false };
    let told = client.wait_for_order("dev.17", wait).await.expect("the order");
    assert_eq!((told.timed_out, told.history.expect("an order").seen.state.as_str()), (false, "finished"));
    let expected = "GET /v1/orders/dev.17/wait?touch_count=1&timeout=20&past_end=false&since=3";
    assert_eq!(line(&scene.only()), expected);
}

#[tokio::test]
async fn orders_are_cancelled_moved_and_retried() {
    let scene = Scene::with([
        json(200, json!({"cancelled": 5, "too_late": 1})),
        json(200, json!({"due_at": "2026-12-24T06:00:00.000Z", "moved_by": null})),
        json(202, json!({"order_id": "dev.18", "recipients": 3})),
    ])
    .await;
    let cancelled = scene.client.cancel_order("dev.17").await.expect("cancelled").seen;
    assert_eq!((cancelled.cancelled, cancelled.too_late), (5, 1));
    let moved = scene.client.move_order("dev.17", "2026-12-24T06:00:00Z").await.expect("moved").seen;
    assert_eq!(moved.due_at.as_deref(), Some("2026-12-24T06:00:00.000Z"));
    let which = OrderRetry { states: vec!["failed".to_owned()], ..OrderRetry::default() };
    let retried = scene.client.retry_order("dev.17", &which, Some("key-4")).await.expect("retried").seen;
    assert_eq!((retried.order_id.as_str(), retried.count()), ("dev.18", Some(3)));
    let asked = scene.requests();
    let lines: Vec<String> = asked.iter().map(line).collect();
    assert_eq!(
        lines,
        ["POST /v1/orders/dev.17/cancel", "PATCH /v1/orders/dev.17", "POST /v1/orders/dev.17/retry"]
    );
    assert_eq!(body(&asked[1]), json!({"deliver_at": "2026-12-24T06:00:00Z"}));
    assert_eq!(
        (header(&asked[2], "idempotency-key"), body(&asked[2])),
        (Some("key-4"), json!({"states": ["failed"]}))
    );
}

async fn page(client: &Client) -> String {
    let query = RecipientQuery {
        channel: Some("email".parse().expect("a channel")),
        states: vec!["failed".to_owned(), "unknown".to_owned()],
    };
    let page = client.recipients("dev.17", &query, 50, Some("c1")).await.expect("a page");
    assert_eq!(page.unreadable_deliveries[0].deliveries, 500);
    assert_eq!(page.items[0].seen.address.expose(), "canary@example.org");
    format!("{page:?}")
}

#[tokio::test]
async fn addresses_of_deliveries_print_masked() {
    let delivery = json!({"recipient_id": "7", "name": "Canary Anna", "channel": "email", "address": "canary@example.org",
        "state": "failed", "reason": "no_such_address", "attempts": 1});
    let unreadable = json!([{"channel": "email", "deliveries": 500, "reason": "damaged"}]);
    let body = json!({"items": [delivery], "unreadable_deliveries": unreadable});
    let scene = Scene::with([json(200, body)]).await;
    let shown = page(&scene.client).await;
    assert!(!shown.contains("anary"), "{shown}");
    let expected = "GET /v1/orders/dev.17/recipients?channel=email&state=failed%2Cunknown&cursor=c1&limit=50";
    assert_eq!(line(&scene.only()), expected);
}
