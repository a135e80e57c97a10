//! The store is unreachable: 503, never a success, and ready again once it is back.

use posthaste_rig::eventually_async;

use crate::client::{ask, get};
use crate::service::Service;

#[tokio::test]
async fn without_the_store_no_request_succeeds() {
    let mut service = Service::with(&[("redis.call_timeout", "1s"), ("keys.cache_for", "1h")]).await;
    let key = service.master().await;
    assert_eq!(service.ask(get("/v1/orders").key(&key)).await.status, 200);
    service.redis.kill9().expect("killed");
    for (method, path, body) in [
        ("GET", "/v1/orders", None),
        ("GET", "/v1/orders/u1.1", None),
        ("GET", "/v1/orders/u1.1/deliveries", None),
        ("GET", "/v1/orders/u1.1/wait?timeout_seconds=0", None),
        ("GET", "/v1/couriers", None),
        ("GET", "/v1/api-keys", None),
        ("GET", "/v1/senders/u1/daily-limit", None),
        ("DELETE", "/v1/api-keys/aaaaaaaaaaaa", None),
        ("POST", "/v1/api-keys", Some(r#"{"name":"n","scopes":["admin"]}"#)),
        (
            "POST",
            "/v1/orders",
            Some(
                r#"{"sender":{"id":"u1"},"recipients":[{"id":"r","contacts":{"email":["a@example.org"]}}],"text":"x"}"#,
            ),
        ),
        ("POST", "/track", Some(r#"{"history_key":"history:u1:1","timeout":0}"#)),
    ] {
        let mut requested = ask(method, path).key(&key);
        if let Some(body) = body {
            requested = requested.json(body);
        }
        let answer = service.ask(requested).await;
        let code = answer.problem();
        assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
        assert!(matches!(code.as_str(), "storage_unavailable" | "outcome_unknown"), "{code}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(service.ask(get("/docs")).await.status, 200, "pages that need no store are served");
    service.redis.restart().expect("restarted");
    eventually_async("the service works again", async || {
        match service.ask(get("/v1/orders").key(&key)).await.status {
            200 => Ok(()),
            status => Err(status),
        }
    })
    .await;
}
