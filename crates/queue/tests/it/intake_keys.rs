//! Idempotency keys: the same request is a repeat, a different one is refused.

use serde_json::json;

use crate::client::{Answer, ask};
use crate::intake::*;
use crate::service::Service;

fn keyed<'a>(key: &str, name: &str, order: &serde_json::Value) -> crate::client::Ask<'a> {
    post(key, order).header("idempotency-key", name)
}

#[tokio::test]
async fn the_same_key_and_order_get_the_same_response() {
    let service = Service::start().await;
    let key = service.master().await;
    let first = service.ask(keyed(&key, CANARY, &order(3))).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None), "{first:?}");
    let stored = written(&service.redis);
    assert!(
        stored.iter().all(|name| !name.contains(CANARY)),
        "the client's key is in no database key: {stored:?}"
    );
    let again = service.ask(keyed(&key, CANARY, &order(3))).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed").as_deref()),
        (200, Some("true")),
        "{again:?}"
    );
    assert_eq!(again.json(), first.json());
    let other = service.ask(keyed(&key, CANARY, &order(2))).await;
    is_refused(&other, 422, "idempotency_key_reused", "another order");
    assert_eq!(written(&service.redis), stored);
    // The same key of another sender is another key.
    let another = with(order(3), "sender", json!({"id": "u2"}));
    assert_eq!(service.ask(keyed(&key, CANARY, &another)).await.status, 200);
}

#[tokio::test]
async fn many_concurrent_requests_with_one_key_are_one_order() {
    let service = Service::start().await;
    let key = service.master().await;
    let asks = (0..20).map(|_| service.ask(keyed(&key, "k", &order(3))));
    let answers: Vec<Answer> = futures::future::join_all(asks).await;
    let mut ids = Vec::new();
    for answer in &answers {
        match answer.status {
            200 => ids.push(answer.json()["id"].clone()),
            _ => {
                is_refused(answer, 409, "idempotency_key_in_use", "while it runs");
                assert!(answer.header("retry-after").is_some());
            }
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let histories = written(&service.redis).into_iter().filter(|name| name.starts_with("history:"));
    assert_eq!(histories.count(), 1);
}

#[tokio::test]
async fn the_key_of_a_running_upload_is_in_use() {
    let service = Service::start().await;
    let key = service.master().await;
    let head = json!({"sender": {"id": "u1"}, "text": "Hello"});
    let whole = lines(&head, (0..20_000).map(recipient));
    let requested = upload(&key, "/v1/orders", &whole).header("idempotency-key", "k");
    let bytes = requested.bytes();
    let mut running = Half::begin(service.address, &bytes[..bytes.len() - 5]).await;
    posthaste_rig::eventually_async("the key is bound", async || {
        let tied = written(&service.redis).iter().any(|name| name.starts_with("idem:"));
        if tied { Ok(()) } else { Err("no key yet") }
    })
    .await;
    let second = service.ask(upload(&key, "/v1/orders", &whole).header("idempotency-key", "k")).await;
    is_refused(&second, 409, "idempotency_key_in_use", "a second upload");
    running.write(&bytes[bytes.len() - 5..]).await;
    let first = running.end().await;
    assert_eq!(first.status, 200, "{first:?}");
    let again = service.ask(upload(&key, "/v1/orders", &whole).header("idempotency-key", "k")).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed").as_deref()),
        (200, Some("true")),
        "{again:?}"
    );
    assert_eq!(again.json()["recipients"]["delivery_counts"], json!({"email": 20_000}));
    let other = lines(&head, (1..20_001).map(recipient));
    let other = service.ask(upload(&key, "/v1/orders", &other).header("idempotency-key", "k")).await;
    is_refused(&other, 422, "idempotency_key_reused", "other recipients");
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let bad = with(order(1), "expires_at", json!("1970-01-01T00:00:00Z"));
    is_refused(&service.ask(keyed(&key, "k", &bad)).await, 422, "validation_failed", "an end that is past");
    let bad = with(order(1), "text", json!(" "));
    is_refused(&service.ask(keyed(&key, "k", &bad)).await, 422, "validation_failed", "an empty text");
    assert_eq!(written(&service.redis), before, "nothing is written");
    assert_eq!(service.ask(keyed(&key, "k", &order(1))).await.status, 200);
    for bad in ["", &"k".repeat(10_000), "ключ"] {
        let answer = service.ask(keyed(&key, bad, &order(1))).await;
        is_refused(&answer, 422, "invalid_parameter", bad);
    }
    let two = keyed(&key, "a", &order(1)).header("idempotency-key", "b");
    is_refused(&service.ask(two).await, 422, "invalid_parameter", "two keys");
}

#[tokio::test]
async fn a_repeated_order_keeps_the_times_it_got() {
    let service = Service::start().await;
    let key = service.master().await;
    // As short as this machine allows for storing two orders.
    let (mut span, mut n) = (std::time::Duration::from_millis(1_500), 0);
    let (soon, body, path, name, first, tied) = loop {
        n += 1;
        let (path, name) = (format!("/v1/orders/u1.7{n}"), format!("k{n}"));
        let now = service.store.server_time().await.expect("the time");
        let soon = posthaste_queue::timestamp::ApiTime(now.after(span));
        let body = with(order(1), "expires_at", json!(soon.to_string()));
        let first = service.ask(ask("PUT", &path).key(&key).json(&body.to_string())).await;
        let tied = service.ask(keyed(&key, &name, &body)).await;
        if service.store.server_time().await.expect("the time") < soon.0 {
            break (soon, body, path, name, first, tied);
        }
        span *= 2;
    };
    let put = || ask("PUT", &path).key(&key).json(&body.to_string());
    assert_eq!((first.status, tied.status), (200, 200), "{first:?} {tied:?}");
    posthaste_rig::eventually_async("its end is past", async || {
        let now = service.store.server_time().await.map_err(|error| error.to_string())?;
        if now > soon.0 { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    let fresh = ask("PUT", "/v1/orders/u1.8").key(&key).json(&body.to_string());
    is_refused(&service.ask(fresh).await, 422, "validation_failed", "a new one would end before it is due");
    let again = service.ask(put()).await;
    assert_eq!(again.json(), first.json());
    let again = service.ask(keyed(&key, &name, &body)).await;
    assert_eq!(again.json(), tied.json());
}

#[tokio::test]
async fn a_batch_responds_for_each_order() {
    let service = Service::start().await;
    let key = service.master().await;
    let mut body = Vec::new();
    for n in 0..300 {
        let mut one = with(order(1), "text", json!(format!("Hello {n}")));
        if n == 7 {
            one["text"] = json!(CANARY.repeat(20_000));
        }
        if n == 9 {
            one["id"] = json!("u1.99");
        }
        body.extend_from_slice(format!("{one}\n").as_bytes());
        if n == 8 {
            body.extend_from_slice(format!("{{\"text\":\"{CANARY}\n").as_bytes());
        }
    }
    let requested = || upload(&key, "/v1/orders/batch", &body).header("idempotency-key", "b");
    let answer = service.ask(requested()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/x-ndjson"));
    assert!(!answer.text().contains(CANARY));
    let reported: Vec<serde_json::Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(reported.len(), 301);
    for (at, line) in reported.iter().enumerate() {
        assert_eq!(line["index"], at);
        let status = match at {
            7 => 422,
            9 => 400,
            _ => 200,
        };
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["order"]["id"].is_string(), status == 200, "{line}");
        assert_eq!(line["problem"]["code"].is_string(), status != 200, "{line}");
    }
    assert_eq!(reported[10]["order"]["id"], "u1.99");
    let histories =
        |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("history:")).count();
    assert_eq!(histories(written(&service.redis)), 299);
    let again = service.ask(requested()).await;
    let replayed = again.text().lines().filter(|line| line.contains("\"replayed\":true")).count();
    assert_eq!((replayed, histories(written(&service.redis))), (299, 299), "{}", again.text());
}
