//! Requests about orders, and their responses.

use std::time::Duration;

use posthaste_client::{
    ApiError, BatchResult, Client, DeliveryQuery, OrderQuery, OrderRequest, OrderRetry, OrderWait, Submission,
};
use posthaste_model::Text;
use posthaste_rig::http::HttpReply;
use serde_json::{Value, json};

use crate::server::{Scene, body, header, json, line, refused};

fn order() -> OrderRequest {
    OrderRequest { text: Some(Text::new("Hello")), ..OrderRequest::default() }
}

fn accepted() -> Value {
    json!({"id": "dev.17", "status": "running", "recipients": {"accepted_count": 2, "delivery_counts": {"email": 2}},
        "durability": "fast"})
}

#[tokio::test]
async fn an_order_is_created_under_its_key() {
    let scene = Scene::with([json(200, accepted())]).await;
    let response = scene.client.create_order(&order(), Submission::Keyed("key-1")).await.expect("accepted");
    assert_eq!(response.seen.id.as_deref(), Some("dev.17"));
    assert_eq!(
        (response.seen.recipients.accepted_count, response.seen.recipients.delivery_counts["email"]),
        (2, 2)
    );
    assert_eq!(
        serde_json::to_value(&response).expect("JSON"),
        accepted(),
        "fields that are not typed are kept"
    );
    let requested = scene.only();
    assert_eq!(line(&requested), "POST /v1/orders");
    assert_eq!(
        (header(&requested, "idempotency-key"), body(&requested)),
        (Some("key-1"), json!({"text": "Hello"}))
    );
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_has_no_key() {
    let scene = Scene::with([json(200, json!({"dry_run": true}))]).await;
    let response = scene.client.create_order(&order(), Submission::DryRun).await.expect("checked");
    assert_eq!((response.seen.dry_run, response.seen.id.as_deref()), (true, None));
    let requested = scene.only();
    assert_eq!(
        (line(&requested).as_str(), header(&requested, "idempotency-key")),
        ("POST /v1/orders?dry_run=true", None)
    );
}

#[tokio::test]
async fn each_order_of_a_batch_has_its_own_result() {
    let refusal = json!({"index": 1, "status": 422, "problem": {"title": "Invalid", "status": 422, "code": "validation_failed"}});
    let mut first = accepted();
    first["index"] = json!(0);
    let lines = format!("{first}\n{refusal}\n");
    let scene = Scene::with([HttpReply::Say(200, String::new(), lines)]).await;
    let response = scene.client.create_orders(&[order(), order()], "key-2").await.expect("results");
    let [BatchResult::Accepted(first), BatchResult::Refused(second)] = response.as_slice() else {
        panic!("{response:?}")
    };
    assert_eq!((first.seen.id.as_deref(), second.code.as_str()), (Some("dev.17"), "validation_failed"));
    let requested = scene.only();
    assert_eq!(requested.body, b"{\"text\":\"Hello\"}\n{\"text\":\"Hello\"}\n");
    assert_eq!(header(&requested, "content-type"), Some("application/x-ndjson"));
    // A line is missing.
    let error = refused(scene.client.create_orders(&[order()], "key-3").await);
    assert!(matches!(error, ApiError::NotUnderstood { .. }), "{error:?}");
}

#[tokio::test]
async fn orders_are_listed_by_page() {
    let page = json!({"items": [{"id": "dev.17", "status": "running", "counts": {"total": 3, "pending": 1}}],
        "next_cursor": "c2", "unreadable": [{"id": "dev.18", "reason": "damaged"}], "partitions_missing": [4]});
    let scene = Scene::with([json(200, page)]).await;
    let query = OrderQuery {
        sender_id: Some("dev".parse().expect("an id")),
        status: Some("running".to_owned()),
        cursor: Some("c1".to_owned()),
        limit: Some(10),
        ..OrderQuery::default()
    };
    let page = scene.client.orders(&query).await.expect("a page");
    let first = &page.items[0].seen;
    assert_eq!((first.id.as_str(), first.counts.settled(), first.is_final()), ("dev.17", 2, false));
    assert_eq!((page.next_cursor.as_deref(), page.unreadable[0].id.as_str()), (Some("c2"), "dev.18"));
    assert_eq!(page.partitions_missing, [4]);
    assert_eq!(line(&scene.only()), "GET /v1/orders?sender_id=dev&status=running&cursor=c1&limit=10");
}

#[tokio::test]
async fn a_wait_lasts_longer_than_the_time_for_one_response() {
    let reply = json!({"order": {"id": "dev.17", "status": "finished"}, "timed_out": false});
    let late = HttpReply::Late(Duration::from_millis(1_500), 200, String::new(), reply.to_string());
    let scene = Scene::with([late]).await;
    let client = scene.client_within(Duration::from_millis(1_000));
    let wait = OrderWait {
        min_changes: 1,
        timeout: Duration::from_secs(20),
        since_revision: Some(3),
        after_finish: false,
    };
    let response = client.wait_for_order("dev.17", wait).await.expect("the order");
    assert_eq!(
        (response.timed_out, response.order.expect("an order").seen.status.as_str()),
        (false, "finished")
    );
    let expected =
        "GET /v1/orders/dev.17/wait?min_changes=1&timeout_seconds=20&after_finish=false&since_revision=3";
    assert_eq!(line(&scene.only()), expected);
}

#[tokio::test]
async fn orders_are_cancelled_moved_and_retried() {
    let scene = Scene::with([
        json(200, json!({"cancelled_count": 5, "too_late_count": 1})),
        json(200, json!({"deliver_at": "2026-12-24T06:00:00.000Z", "delay_reason": null})),
        json(202, json!({"id": "dev.18", "delivery_count": 3})),
    ])
    .await;
    let cancelled = scene.client.cancel_order("dev.17").await.expect("cancelled").seen;
    assert_eq!((cancelled.cancelled_count, cancelled.too_late_count), (5, 1));
    let moved = scene.client.move_order("dev.17", "2026-12-24T06:00:00Z").await.expect("moved").seen;
    assert_eq!(moved.deliver_at.as_deref(), Some("2026-12-24T06:00:00.000Z"));
    let which = OrderRetry { statuses: vec!["failed".to_owned()], ..OrderRetry::default() };
    let retried = scene.client.retry_order("dev.17", &which, Some("key-4")).await.expect("retried").seen;
    assert_eq!((retried.id.as_str(), retried.delivery_count), ("dev.18", 3));
    let requested = scene.requests();
    let lines: Vec<String> = requested.iter().map(line).collect();
    assert_eq!(
        lines,
        ["POST /v1/orders/dev.17/cancel", "PATCH /v1/orders/dev.17", "POST /v1/orders/dev.17/retry"]
    );
    assert_eq!(body(&requested[1]), json!({"deliver_at": "2026-12-24T06:00:00Z"}));
    assert_eq!(
        (header(&requested[2], "idempotency-key"), body(&requested[2])),
        (Some("key-4"), json!({"statuses": ["failed"]}))
    );
}

async fn page(client: &Client) -> String {
    let query = DeliveryQuery {
        channel: Some("email".parse().expect("a channel")),
        statuses: vec!["failed".to_owned(), "unknown".to_owned()],
        recipient_id: Some("r1".to_owned()),
    };
    let page = client.deliveries("dev.17", &query, 50, Some("c1")).await.expect("a page");
    assert_eq!(page.unreadable_deliveries[0].delivery_count, 500);
    assert_eq!(page.items[0].seen.address.expose(), "canary@example.org");
    format!("{page:?}")
}

#[tokio::test]
async fn addresses_of_deliveries_print_masked() {
    let delivery = json!({"recipient_id": "7", "recipient_name": "Canary Anna", "channel": "email", "address": "canary@example.org",
        "status": "failed", "reason": "no_such_address", "attempt_count": 1});
    let unreadable = json!([{"channel": "email", "delivery_count": 500, "reason": "damaged"}]);
    let body = json!({"items": [delivery], "unreadable_deliveries": unreadable});
    let scene = Scene::with([json(200, body)]).await;
    let shown = page(&scene.client).await;
    assert!(!shown.contains("anary"), "{shown}");
    let expected = "GET /v1/orders/dev.17/deliveries?channel=email&status=failed%2Cunknown&recipient_id=r1&cursor=c1&limit=50";
    assert_eq!(line(&scene.only()), expected);
}
