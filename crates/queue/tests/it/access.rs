//! Access control: keys, scopes, senders, rate limits.

use std::time::Instant;

use posthaste_store::KeyScope;

use crate::client::{Answer, ask, get};
use crate::service::{Replica, Service, order_id};

const WRONG: &str = "ph_aaaaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn without_exactly_one_valid_key_all_get_the_same_response() {
    let service = Service::start().await;
    let good = service.master().await;
    let tampered = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
    let other_secret = format!("{}{}", &good[..16], &WRONG[16..]);
    let mut reported = Vec::new();
    for requested in [
        get("/v1/orders"),
        get("/v1/orders").header("authorization", ""),
        get("/v1/orders").header("authorization", "Bearer"),
        get("/v1/orders").header("authorization", "Bearer "),
        get("/v1/orders").header("authorization", &format!("Basic {good}")),
        get("/v1/orders").key(&good).key(&good),
        get("/v1/orders").key(WRONG),
        get("/v1/orders").key(&tampered),
        get("/v1/orders").key(&other_secret),
        get(&format!("/v1/orders?key={good}")),
        get(&format!("/v1/orders?authorization=Bearer%20{good}")),
    ] {
        let answer = service.ask(requested).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{answer:?}");
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
        let mut problem = answer.json();
        problem["trace_id"] = "".into();
        reported.push(problem);
    }
    assert!(reported.windows(2).all(|two| two[0] == two[1]), "{reported:?}");
    assert_eq!(service.ask(get("/v1/orders").key(&good)).await.status, 200);
}

/// What each scope allows. Any response other than 401 and 403 means that the key was admitted.
#[tokio::test]
async fn each_route_needs_its_scope() {
    let service = Service::start().await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let write = service.key(&[KeyScope::Write], Some("u1")).await;
    let read = service.key(&[KeyScope::Read], Some("u1")).await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    let keys = [("write", &write), ("read", &read), ("admin", &admin)];
    let one = format!("/v1/orders/{}", order.wire_id());
    let wait = format!("{one}/wait?timeout_seconds=0");
    let (deliveries, cancel, retry) =
        (format!("{one}/deliveries"), format!("{one}/cancel"), format!("{one}/retry"));
    for (method, path, open_to) in [
        ("GET", "/v1/orders", &["read"][..]),
        ("GET", &one, &["read"]),
        ("GET", &deliveries, &["read"]),
        ("GET", &wait, &["read"]),
        ("GET", "/v1/senders/u1/daily-limit", &["write", "read"]),
        ("GET", "/v1/couriers", &["read", "admin"]),
        ("GET", "/v1/api-keys", &["admin"]),
        ("POST", "/v1/api-keys", &["admin"]),
        ("DELETE", "/v1/api-keys/aaaaaaaaaaaa", &["admin"]),
        ("GET", "/v1/suppressions?channel=email", &["admin"]),
        ("POST", "/v1/suppressions", &["write", "admin"]),
        ("POST", "/v1/suppressions/lookup", &["read", "admin"]),
        ("POST", "/v1/suppressions/delete", &["write", "admin"]),
        ("DELETE", "/v1/suppressions/email/5bdcc146bf60754e6a042426089575c7", &["admin"]),
        ("POST", "/track", &["read"]),
        ("POST", "/v1/order-ids", &["write"]),
        ("POST", "/v1/orders", &["write"]),
        ("PUT", &one, &["write"]),
        ("PATCH", &one, &["write"]),
        ("POST", &cancel, &["write"]),
        ("POST", &retry, &["write"]),
        ("POST", "/v1/orders/batch", &["write"]),
        ("PUT", "/queue", &["write"]),
        ("GET", "/history_key?sender_id=u1", &["write"]),
    ] {
        for (name, key) in keys {
            let mut requested = ask(method, path).key(key);
            if method != "GET" && method != "DELETE" {
                requested = requested.json(if path == "/track" {
                    r#"{"history_key":"history:u1:1","timeout":0}"#
                } else {
                    "{}"
                });
            }
            let answer = service.ask(requested).await;
            let refused = answer.status == 403;
            assert_eq!(refused, !open_to.contains(&name), "{method} {path} with {name}: {answer:?}");
            assert_ne!(answer.status, 401, "{method} {path}");
            assert!(answer.status < 500, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn orders_of_another_sender_are_not_found() {
    let service = Service::start().await;
    let (mine, theirs) = (order_id("u1", 1), order_id("u2", 1));
    let due = service.in_an_hour().await;
    service.order(&mine, 1, Some(due)).await;
    service.order(&theirs, 1, Some(due)).await;
    let bound = service.key(&[KeyScope::Read, KeyScope::Write], Some("u1")).await;
    let any = service.master().await;
    let id = theirs.wire_id();
    for path in [
        format!("/v1/orders/{id}"),
        format!("/v1/orders/{id}/deliveries"),
        format!("/v1/orders/{id}/wait?timeout_seconds=0"),
        format!("/v1/orders/{id}/events"),
        "/v1/orders/u2.999".to_owned(),
    ] {
        let answer = service.ask(get(&path).key(&bound)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "order_not_found"), "{path}");
    }
    for (method, tail) in [("POST", "/cancel"), ("PATCH", ""), ("POST", "/retry")] {
        let path = format!("/v1/orders/{id}{tail}");
        let body = match method {
            "PATCH" => r#"{"deliver_at":"2099-01-01T00:00:00Z"}"#,
            _ if tail == "/retry" => r#"{"statuses":["failed"]}"#,
            _ => "{}",
        };
        let answer = service.ask(ask(method, &path).key(&bound).json(body)).await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
    }
    let track = r#"{"history_key":"history:u2:1","timeout":0}"#;
    assert_eq!(service.ask(ask("POST", "/track").key(&bound).json(track)).await.status, 404);
    let listed = |answer: Answer| {
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["sender_id"].as_str().expect("a sender").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(service.ask(get("/v1/orders").key(&bound)).await), ["u1"]);
    assert_eq!(listed(service.ask(get("/v1/orders?sender_id=u2").key(&any)).await), ["u2"]);
    assert_eq!(listed(service.ask(get("/v1/orders").key(&any)).await).len(), 2);
    let requested = service.ask(get("/v1/orders?sender_id=u2").key(&bound)).await;
    assert_eq!((requested.status, requested.problem().as_str()), (403, "sender_not_allowed"));
    assert_eq!(service.ask(get("/v1/senders/u2/daily-limit").key(&bound)).await.status, 403);
}

#[tokio::test]
async fn a_key_above_its_rate_limit_learns_when_to_retry() {
    let service = Service::with(&[("rate.per_second", "1"), ("rate.burst", "3")]).await;
    let key = service.master().await;
    let (begun, mut allowed) = (Instant::now(), 0);
    let last = posthaste_rig::eventually_async("the rate limit is exceeded", async || {
        let answer = service.ask(get("/v1/couriers").key(&key)).await;
        assert_eq!(answer.header("ratelimit-policy").as_deref(), Some("\"key\";q=3;w=3"));
        if answer.status == 200 {
            allowed += 1;
            return Err(allowed);
        }
        Ok(answer)
    })
    .await;
    assert_eq!((last.status, last.problem().as_str()), (429, "rate_limited"));
    assert!((3..=4 + begun.elapsed().as_secs()).contains(&allowed), "{allowed}");
    let wait: u64 = last.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=3).contains(&wait), "{wait}");
    assert!(last.header("ratelimit").expect("a limit").starts_with("\"key\";r=0;t="), "{last:?}");
    let other = service.master().await;
    assert_eq!(service.ask(get("/v1/couriers").key(&other)).await.status, 200, "each key has its own limit");
}

#[tokio::test]
async fn replicas_share_rate_limits_and_keys() {
    let settings = [("rate.per_second", "1"), ("rate.burst", "4"), ("keys.cache_for", "50ms")];
    let one = Service::with(&settings).await;
    let two = Replica::with(&one.redis, &settings, posthaste_queue::api::router).await;
    let key = one.master().await;
    let (begun, mut allowed) = (Instant::now(), 0);
    let status = posthaste_rig::eventually_async("the rate limit is exceeded", async || {
        let address = if allowed % 2 == 0 { one.address } else { two.address };
        let status = get("/v1/couriers").key(&key).send(address).await.status;
        if status == 200 {
            allowed += 1;
            return Err(allowed);
        }
        Ok(status)
    })
    .await;
    assert_eq!(status, 429);
    assert!((4..=5 + begun.elapsed().as_secs()).contains(&allowed), "{allowed}");

    let (master, doomed) = (one.master().await, one.master().await);
    assert_eq!(get("/v1/couriers").key(&doomed).send(two.address).await.status, 200);
    let path = format!("/v1/api-keys/{}", &doomed[3..15]);
    assert_eq!(one.ask(ask("DELETE", &path).key(&master)).await.status, 204);
    posthaste_rig::eventually_async("the other replica refuses the revoked key", async || {
        match get("/v1/couriers").key(&doomed).send(two.address).await.status {
            401 => Ok(()),
            status => Err(status),
        }
    })
    .await;
}
