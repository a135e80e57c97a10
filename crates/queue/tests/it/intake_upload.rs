//! NDJSON uploads: up to the maximum length, stored whole or not at all.

use serde_json::{Value, json};

use crate::client::get;
use crate::intake::*;
use crate::service::Service;

fn head() -> Value {
    json!({"sender": {"id": "u1"}, "text": "Hello"})
}

#[tokio::test]
async fn a_long_upload_is_one_order() {
    let service = Service::start().await;
    let key = service.master().await;
    let mut recipients: Vec<Value> = (0..30_000).map(recipient).collect();
    recipients.push(recipient(5));
    recipients.push(json!({"id": "again", "contacts": {"email": ["R7@EXAMPLE.org", "r7@example.ORG"]}}));
    let answer = service.ask(upload(&key, "/v1/orders", &lines(&head(), recipients))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reported = answer.json();
    assert_eq!(reported["recipients"]["delivery_counts"], json!({"email": 30_000}));
    assert_eq!(reported["recipients"]["accepted_count"], 30_001);
    assert_eq!(reported["recipients"]["duplicates"]["locations"], json!([{"line": 30_002}]));
    let id = reported["id"].as_str().expect("an id");
    let read = service.ask(get(&format!("/v1/orders/{id}")).key(&key)).await.json();
    assert_eq!(read["counts"]["total"], 30_000, "{read}");
}

#[tokio::test]
async fn an_invalid_line_refuses_the_upload_and_leaves_nothing() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    for (bad, place, code) in [
        (
            json!({"id": "x", "contacts": {"email": [CANARY]}}).to_string(),
            "15002/contacts/email/0",
            "invalid_email",
        ),
        (format!("{{\"id\":\"{CANARY}"), "15002", "malformed_json"),
        ("7".to_owned(), "15002", "wrong_type"),
        (json!({"id": "x", "admin": CANARY}).to_string(), "15002/admin", "unknown_field"),
    ] {
        let mut body = lines(&head(), (0..15_000).map(recipient));
        body.extend_from_slice(format!("{bad}\n").as_bytes());
        body.extend_from_slice(&lines(&recipient(20_000), (20_001..25_000).map(recipient)));
        let status = if code == "malformed_json" { 400 } else { 422 };
        let problem = if status == 400 { "malformed_json" } else { "validation_failed" };
        let requested = upload(&key, "/v1/orders", &body).header("idempotency-key", "k");
        let answer = service.ask(requested).await;
        is_refused(&answer, status, problem, &bad);
        assert_eq!(first_error(&answer), (place.to_owned(), code.to_owned()), "{answer:?}");
        assert_eq!(written(&service.redis), before, "nothing is left");
    }
    // Skipped lines are reported by number.
    let skipping = with(head(), "on_invalid", json!("skip"));
    let mut body = lines(&skipping, (0..6_000).map(recipient));
    body.extend_from_slice(format!("{{\"id\":\"{CANARY}\n\n7\n").as_bytes());
    let answer = service.ask(upload(&key, "/v1/orders", &body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reported = answer.json();
    assert_eq!(reported["recipients"]["skipped_count"], 2, "{reported}");
    assert_eq!(reported["recipients"]["skipped"][0]["line"], 6_002);
    assert_eq!(reported["recipients"]["skipped"][1]["line"], 6_004);
    assert!(!answer.text().contains(CANARY));
}

#[tokio::test]
async fn invalid_first_lines_are_refused() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    for (first, status, code) in [
        (String::new(), 400, "malformed_json"),
        ("[]".to_owned(), 400, "malformed_json"),
        (recipient(1).to_string(), 422, "validation_failed"),
        (order(1).to_string(), 422, "validation_failed"),
        (with(head(), "text", json!(" ")).to_string(), 422, "validation_failed"),
        (head().to_string(), 422, "validation_failed"),
    ] {
        let answer = service.ask(upload(&key, "/v1/orders", first.as_bytes())).await;
        is_refused(&answer, status, code, &first);
    }
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_not_an_order() {
    let service = Service::start().await;
    let key = service.master().await;
    let whole = lines(&head(), (0..30_000).map(recipient));
    let requested = upload(&key, "/v1/orders", &whole);
    let bytes = requested.bytes();
    let running = Half::begin(service.address, &bytes[..bytes.len() - 5_000]).await;
    let has = |what: &str| written(&service.redis).iter().any(|name| name.starts_with(what));
    posthaste_rig::eventually_async("the upload is streaming in", async || {
        if has("parcel:") { Ok(()) } else { Err("no parcel") }
    })
    .await;
    drop(running);
    // What is left of it is either removed at once or marked for housekeeping; it never becomes an order.
    posthaste_rig::eventually_async("the upload is given up", async || {
        let listed = service.ask(get("/v1/orders?sender_id=u1").key(&key)).await.json();
        if has("history:") {
            return Err(format!("{listed}"));
        }
        if !has("parcel:") || has("staging:") { Ok(()) } else { Err("parcels without a mark".to_owned()) }
    })
    .await;
    let again = service.ask(upload(&key, "/v1/orders", &whole)).await;
    assert_eq!(again.status, 200, "{again:?}");
}
