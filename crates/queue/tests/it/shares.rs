//! One key uses its share and leaves the rest to others.

use serde_json::json;

use posthaste_store::KeyScope;

use crate::client::{Stream, ask, get};
use crate::service::{Service, order_id};

#[tokio::test]
async fn a_key_with_all_its_trackers_open_leaves_trackers_to_others() {
    let service = Service::with(&[("trackers.max_open", "4"), ("trackers.heartbeat", "100ms")]).await;
    let (greedy, other) =
        (service.key(&[KeyScope::Read], Some("u1")).await, service.key(&[KeyScope::Read], Some("u1")).await);
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::open(service.address, get(&path).key(&greedy)).await;
        stream.until("event: snapshot").await;
        open.push(stream);
    }
    let third = service.ask(get(&path).key(&greedy)).await;
    assert_eq!((third.status, third.problem().as_str()), (429, "rate_limited"), "{third:?}");
    assert!(third.header("retry-after").is_some());
    let poll = format!("/v1/orders/{}/wait?timeout_seconds=5", order.wire_id());
    assert_eq!(service.ask(get(&poll).key(&greedy)).await.status, 429);
    let mut theirs = Stream::open(service.address, get(&path).key(&other)).await;
    theirs.until("event: snapshot").await;
    drop(open);
    posthaste_rig::eventually_async("its permits are free again", async || {
        match service.ask(get(&format!("{poll}&min_changes=1&since_revision=0")).key(&greedy)).await.status {
            200 => Ok(()),
            status => Err(status),
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_with_all_its_uploads_open_leaves_places_and_memory_to_others() {
    // Two permits, and memory for one large body each.
    let service = Service::with(&[("http.max_requests", "4"), ("http.body_memory", "32MiB")]).await;
    let scopes = [KeyScope::Write, KeyScope::Read];
    let (greedy, other) = (service.key(&scopes, Some("u1")).await, service.key(&scopes, Some("u1")).await);
    let upload = |key: &str| {
        ask("POST", "/v1/orders")
            .key(key)
            .header("content-type", "application/x-ndjson")
            .header("transfer-encoding", "chunked")
    };
    let mut open = Vec::new();
    for _ in 0..2 {
        // A body that never arrives.
        open.push(Stream::open(service.address, upload(&greedy)).await);
    }
    let refused = posthaste_rig::eventually_async("both are being read", async || {
        let answer = service.ask(get("/v1/orders").key(&greedy)).await;
        if answer.status == 429 {
            return Ok(answer);
        }
        // This request may have had the permit when an upload arrived.
        open.push(Stream::open(service.address, upload(&greedy)).await);
        Err(answer.status)
    })
    .await;
    assert_eq!(refused.problem(), "rate_limited");
    assert_eq!(service.ask(get("/v1/orders").key(&other)).await.status, 200);
    let order = json!({"text": "x", "recipients": [{"id": "r", "contacts": {"email": ["a@example.org"]}}]});
    let given = service.ask(ask("POST", "/v1/orders").key(&other).json(&order.to_string())).await;
    assert_eq!(given.status, 200, "{given:?}");
    drop(open);

    // A body whose declared length takes all the memory of the key.
    let large = |key: &str| {
        let length = (16_u64 << 20).to_string();
        ask("POST", "/v1/orders")
            .key(key)
            .header("content-type", "application/json")
            .header("content-length", &length)
    };
    let mut held = None;
    posthaste_rig::eventually_async("its memory is taken", async || {
        // Opened again each time, because the small request may have been first.
        held = Some(Stream::open(service.address, large(&greedy)).await);
        let answer = service.ask(ask("POST", "/v1/orders").key(&greedy).json(&order.to_string())).await;
        if answer.status == 429 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    let given = service.ask(ask("POST", "/v1/orders").key(&other).json(&order.to_string())).await;
    assert_eq!(given.status, 200, "{given:?}");
    drop(held);
}

#[tokio::test]
async fn the_addresses_checked_in_one_body_are_limited() {
    let service = Service::start().await;
    let key = service.master().await;
    let recipients: Vec<_> = (0..2_000)
        .map(|n| {
            let mailboxes: Vec<_> = (0..26).map(|at| format!("r{n}-{at}@example.org")).collect();
            json!({"id": format!("r{n}"), "contacts": {"email": mailboxes}})
        })
        .collect();
    let mut order = json!({"sender": {"id": "u1"}, "text": "x", "recipients": recipients});
    for invalid in ["reject", "skip"] {
        order["on_invalid"] = json!(invalid);
        let requested = ask("POST", "/v1/orders?dry_run=true").key(&key).json(&order.to_string());
        let answer = service.ask(requested).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "validation_failed"), "{answer:?}");
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/recipients"), &json!("too_many")));
    }
    order["recipients"].as_array_mut().expect("a list").truncate(1_900);
    let requested = ask("POST", "/v1/orders?dry_run=true").key(&key).json(&order.to_string());
    assert_eq!(service.ask(requested).await.status, 200);
}
