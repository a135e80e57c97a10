//! Slow clients, and too many of them.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Stream, ask, get, raw, read};
use crate::service::{Service, order_id};

#[tokio::test]
async fn slow_heads_are_cut_off_and_others_are_served() {
    let service = Service::with(&[("http.header_time", "100ms")]).await;
    let mut slow = TcpStream::connect(service.address).await.expect("a connection");
    slow.write_all(b"GET /docs HTTP/1.1\r\nhost: te").await.expect("a part");
    let silent = TcpStream::connect(service.address).await.expect("a connection");
    assert_eq!(service.ask(get("/docs")).await.status, 200);
    for mut stream in [slow, silent] {
        let answer = read(&mut stream).await;
        assert!(answer.is_none_or(|answer| answer.status == 408), "cut");
    }
}

#[tokio::test]
async fn a_slow_body_gets_408() {
    let service = Service::with(&[("http.body_time", "100ms")]).await;
    let key = service.master().await;
    for path in ["/v1/api-keys", "/v1/orders", "/v1/orders/batch"] {
        let media_type = if path.ends_with("batch") { "application/x-ndjson" } else { "application/json" };
        let whole =
            ask("POST", path).key(&key).header("content-type", media_type).body(&[b' '; 1_000]).bytes();
        let answer = raw(service.address, &whole[..whole.len() - 900]).await;
        let answer = answer.unwrap_or_else(|| panic!("no response from {path}"));
        assert_eq!((answer.status, answer.problem().as_str()), (408, "body_timeout"), "{path}");
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let service = Service::start().await;
    let key = service.master().await;
    let whole = ask("POST", "/v1/api-keys").key(&key).json(r#"{"name":"x","scopes":["admin"]}"#).bytes();
    let mut stream = TcpStream::connect(service.address).await.expect("a connection");
    stream.write_all(&whole[..whole.len() - 1]).await.expect("most of it");
    drop(stream);
    let keys = service.ask(get("/v1/api-keys").key(&key)).await.json();
    assert_eq!(keys["items"].as_array().expect("items").len(), 1, "{keys}");
}

#[tokio::test]
async fn excess_connections_wait_until_one_is_free() {
    let service = Service::with(&[("http.max_connections", "2")]).await;
    let one = TcpStream::connect(service.address).await.expect("a connection");
    let two = TcpStream::connect(service.address).await.expect("a connection");
    let mut third = TcpStream::connect(service.address).await.expect("the kernel accepts it");
    third.write_all(&get("/docs").bytes()).await.expect("a request");
    drop((one, two));
    assert_eq!(read(&mut third).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn excess_requests_are_refused_before_their_bodies_are_read() {
    let service = Service::with(&[("http.max_requests", "1")]).await;
    let key = service.master().await;
    let whole = ask("POST", "/v1/api-keys").key(&key).json(r#"{"name":"x","scopes":["admin"]}"#).bytes();
    let mut first = TcpStream::connect(service.address).await.expect("a connection");
    first.write_all(&whole[..whole.len() - 1]).await.expect("most of it");
    posthaste_rig::eventually_async("the place is taken", async || {
        // This request has no body at all: a refusal comes before the body is read.
        let answer =
            raw(service.address, &ask("POST", "/v1/api-keys").header("content-length", "10").bytes()).await;
        match answer {
            Some(answer) if answer.status == 503 => {
                assert_eq!(answer.problem(), "overloaded");
                assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    first.write_all(&whole[whole.len() - 1..]).await.expect("the rest");
    assert_eq!(read(&mut first).await.expect("an answer").status, 201);
}

#[tokio::test]
async fn bodies_are_refused_when_too_many_are_being_read() {
    let service = Service::with(&[("http.body_memory", "16MiB")]).await;
    let key = service.master().await;
    let large = |length: u32| {
        ask("POST", "/v1/orders")
            .key(&key)
            .header("content-type", "application/json")
            .header("content-length", &length.to_string())
    };
    let mut first = None;
    posthaste_rig::eventually_async("the memory is taken", async || {
        // Its body never arrives: the declared length reserves the memory. Opened again each time, because the other
        // request may have been first.
        let mut stream = TcpStream::connect(service.address).await.expect("a connection");
        stream.write_all(&large(15 << 20).bytes()).await.expect("a head");
        first = Some(stream);
        match raw(service.address, &large(2 << 20).bytes()).await {
            Some(answer) if answer.status == 503 => Ok(answer.problem()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(
        service.ask(get("/v1/couriers").key(&key)).await.status,
        200,
        "small requests still have room"
    );
    drop(first);
}

#[tokio::test]
async fn trackers_have_their_own_permits() {
    let service = Service::with(&[("trackers.max_open", "1"), ("http.max_requests", "1")]).await;
    let key = service.master().await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    stream.until("event: snapshot").await;
    let second = service.ask(get(&path).key(&key)).await;
    assert_eq!((second.status, second.problem().as_str()), (503, "overloaded"));
    assert!(second.header("retry-after").is_some());
    assert_eq!(
        service.ask(get("/v1/couriers").key(&key)).await.status,
        200,
        "trackers do not block other work"
    );
    drop(stream);
    posthaste_rig::eventually_async("the place is free again", async || {
        let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
        let head = stream.until("\r\n\r\n").await;
        if head.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(head) }
    })
    .await;
}
