//! The paths of the legacy API, called as its clients call them.

use posthaste_model::OrderId;
use serde_json::{Value, json};

use crate::client::{Answer, ask, get};
use crate::intake::*;
use crate::service::Service;

async fn history_key(service: &Service, key: &str) -> String {
    let answer = service.ask(get("/history_key?sender_id=u1").key(key)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["history_key"].as_str().expect("a key").to_owned()
}

fn body(history_key: &str) -> Value {
    json!({
        "history_key": history_key,
        "sender": {"id": "u1", "email": "trainer@example.org", "name": "Ann", "role": "trainer"},
        "recipients": [
            {"id": 17, "email": "a@example.org", "name": "A", "role": "student"},
            {"id": "18", "email": "b@example.org", "name": "B", "role": "student", "contacts": {"telegram": [123]}},
            {"id": 19, "name": "C", "role": "student"},
        ],
        "text": "The lecture moved", "provider": "web",
    })
}

async fn queue(service: &Service, key: &str, body: &Value) -> Answer {
    service.ask(ask("PUT", "/queue").key(key).json(&body.to_string())).await
}

#[tokio::test]
async fn a_key_is_made_then_tracked_then_the_order_is_created() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    let before = written(&service.redis);
    let history = history_key(&service, &key).await;
    assert!(history.starts_with("history:u1:"), "{history}");
    assert_eq!(written(&service.redis), before, "nothing is stored yet");
    let track = json!({"history_key": history, "touch_count": 1, "timeout": 0}).to_string();
    let track = || service.ask(ask("POST", "/track").key(&key).json(&track));
    assert_eq!(
        track().await.json(),
        json!({"history": null, "timeouted": true}),
        "the order does not exist yet"
    );
    let queued = queue(&service, &key, &body(&history)).await;
    assert_eq!(queued.status, 200, "{queued:?}");
    let (tracked, reported) = (track().await, queued.json());
    assert_eq!(reported["history_key"], history);
    assert_eq!(reported["recipients"]["delivery_counts"], json!({"email": 2, "telegram": 1}), "{reported}");
    assert_eq!(tracked.status, 200, "{tracked:?}");
    assert_eq!(tracked.json()["history"]["history_key"], history);
    assert_eq!(tracked.json()["history"]["source"], "web");
    // The sender's one mailbox is From and Reply-To.
    let order_id: OrderId = history.strip_prefix("history:").and_then(|id| id.parse().ok()).expect("an id");
    let content = service.store.order_content(&order_id).await.expect("read").expect("a content");
    let mailboxes = (content.from_email.expose(), content.reply_to.expose());
    assert_eq!(mailboxes, ("trainer@example.org", "trainer@example.org"));
    let again = queue(&service, &key, &body(&history)).await;
    assert_eq!(again.json(), reported, "a repeat returns the same order");
    let limit = service.ask(get("/queue/limit?uid=u1&role=trainer").key(&key)).await.json();
    assert_eq!((limit["value"].clone(), limit["daily"].clone()), (json!(1), json!(4)));
    assert!(limit["ttl"].is_u64());
}

#[tokio::test]
async fn an_order_for_later_answers_with_the_time() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    let history = history_key(&service, &key).await;
    let due = posthaste_queue::timestamp::ApiTime(service.in_an_hour().await).to_string();
    let answer = queue(&service, &key, &with(body(&history), "deliver_at", json!(due))).await;
    assert_eq!((answer.status, answer.json()["deliver_at"].clone()), (202, json!(due)), "{answer:?}");
}

#[tokio::test]
async fn roles_and_limits_apply() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    let history = history_key(&service, &key).await;
    let before = written(&service.redis);
    for role in [json!(CANARY), json!("student"), json!(null)] {
        let mut wrong = body(&history);
        wrong["sender"]["role"] = role;
        is_refused(&queue(&service, &key, &wrong).await, 403, "role_not_allowed", &wrong.to_string());
    }
    assert_eq!(written(&service.redis), before);
    for _ in 0..4 {
        let history = history_key(&service, &key).await;
        assert_eq!(queue(&service, &key, &body(&history)).await.status, 200);
    }
    let answer = queue(&service, &key, &body(&history)).await;
    is_refused(&answer, 429, "daily_limit_exceeded", "a fifth order");
    assert_eq!(answer.header("retry-after"), None, "a client that obeys it would sleep until the next day");
    assert!(answer.json()["resets_at"].is_string(), "{answer:?}");
}

#[tokio::test]
async fn invalid_fields_are_named() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    let history = history_key(&service, &key).await;
    let before = written(&service.redis);
    for (name, value, place) in [
        ("history_key", json!(CANARY), "/history_key"),
        ("history_key", json!("history:{u1}:5"), "/history_key"),
        ("history_key", json!("history:u2:5"), "/sender/id"),
        ("text", json!("x".repeat(4_097)), "/text"),
        ("text", json!("  "), "/text"),
        ("recipients", json!([{"id": 17, "email": format!("{CANARY} x")}]), "/recipients/0/email"),
        ("recipients", json!([]), "/recipients"),
        ("sender", json!({"id": "u1", "email": format!("{CANARY} x"), "role": "trainer"}), "/sender/email"),
        ("sender", json!({"id": "u1", "reply_to": "a@example.org", "role": "trainer"}), "/sender/reply_to"),
        ("deliver_at", json!(CANARY), "/deliver_at"),
        ("provider", json!("a\r\nb"), "/provider"),
        ("priority", json!("urgent"), "/priority"),
    ] {
        let wrong = with(body(&history), name, value);
        let answer = queue(&service, &key, &wrong).await;
        is_refused(&answer, 422, "validation_failed", &wrong.to_string());
        assert_eq!(first_error(&answer).0, place, "{answer:?}");
        assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(1), "{answer:?}");
    }
    for path in ["/history_key?sender_id=a:b", "/history_key?x=1", "/queue/limit?uid=%7B0%7D", "/queue/limit"]
    {
        assert_eq!(service.ask(get(path).key(&key)).await.status, 422, "{path}");
    }
    assert_eq!(service.ask(get("/history_key?sender_id=u1")).await.status, 401);
    assert_eq!(written(&service.redis), before, "nothing is written");
}
