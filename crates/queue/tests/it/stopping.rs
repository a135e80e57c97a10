//! The service stops while clients are connected.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Stream, ask, get, read, soon};
use crate::service::{Service, order_id};

#[tokio::test]
async fn streams_end_polls_respond_and_open_requests_finish() {
    let service = Service::with(&[("http.max_requests", "1")]).await;
    let key = service.master().await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    stream.until("event: snapshot").await;
    let wait = format!("/v1/orders/{}/wait?timeout_seconds=60", order_id("u1", 2).wire_id());
    let poll = Stream::open(service.address, get(&wait).key(&key)).await;
    let whole = ask("POST", "/v1/api-keys").key(&key).json(r#"{"name":"x","scopes":["admin"]}"#).bytes();
    let mut begun = TcpStream::connect(service.address).await.expect("a connection");
    begun.write_all(&whole[..whole.len() - 1]).await.expect("most of it");
    let idle = TcpStream::connect(service.address).await.expect("a connection");
    posthaste_rig::eventually_async("the request is being processed: it holds the only permit", async || {
        match service.ask(get("/v1/couriers").key(&key)).await.status {
            503 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    let store = service.store.clone();
    posthaste_rig::eventually_async("both trackers are open", async || match store.watched() {
        2 => Ok(()),
        watched => Err(watched),
    })
    .await;

    service.soft.cancel();
    let received = stream.end().await;
    assert!(received.ends_with("0\r\n\r\n"), "the stream ends properly: {received}");
    let received = poll.end().await;
    assert!(received.contains("\"timed_out\":true"), "{received}");
    begun.write_all(&whole[whole.len() - 1..]).await.expect("the rest");
    assert_eq!(read(&mut begun).await.expect("an answer").status, 201);
    drop(idle);
    soon("the end of the service", service.task).await.expect("no panic");
}

#[tokio::test]
async fn a_stuck_client_is_cut_off_after_the_linger_time() {
    let service = Service::with(&[("http.linger", "100ms")]).await;
    let key = service.master().await;
    let whole = ask("POST", "/v1/api-keys").key(&key).json(r#"{"name":"x","scopes":["admin"]}"#).bytes();
    let mut stuck = TcpStream::connect(service.address).await.expect("a connection");
    stuck.write_all(&whole[..whole.len() - 1]).await.expect("most of it");
    // This request was answered, so the one before it was accepted.
    assert_eq!(service.ask(get("/docs")).await.status, 200);
    service.soft.cancel();
    soon("the end of the service", service.task).await.expect("no panic");
}
