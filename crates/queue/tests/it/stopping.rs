//! The end of the service while clients are there.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Stream, ask, get, read, soon};
use crate::service::{Service, suffix};

#[tokio::test]
async fn streams_end_polls_answer_and_what_was_begun_is_finished() {
    let service = Service::with(&[("http.requests", "1")]).await;
    let key = service.master().await;
    let order = suffix("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.order_id());
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    stream.until("event: snapshot").await;
    let wait = format!("/v1/orders/{}/wait?timeout=60", suffix("u1", 2).order_id());
    let poll = Stream::open(service.address, get(&wait).key(&key)).await;
    let whole = ask("POST", "/v1/keys").key(&key).json(r#"{"name":"x","scopes":["admin"]}"#).bytes();
    let mut begun = TcpStream::connect(service.address).await.expect("a connection");
    begun.write_all(&whole[..whole.len() - 1]).await.expect("most of it");
    let idle = TcpStream::connect(service.address).await.expect("a connection");
    posthaste_rig::eventually_async(
        "the request was taken up: it has the only place",
        async || match service.ask(get("/v1/couriers").key(&key)).await.status {
            503 => Ok(()),
            status => Err(status),
        },
    )
    .await;
    let store = service.store.clone();
    posthaste_rig::eventually_async("both trackers are open", async || match store.watched() {
        2 => Ok(()),
        watched => Err(watched),
    })
    .await;

    service.soft.cancel();
    let heard = stream.end().await;
    assert!(heard.ends_with("0\r\n\r\n"), "the stream ends as it should: {heard}");
    let heard = poll.end().await;
    assert!(heard.contains("\"timed_out\":true"), "{heard}");
    begun.write_all(&whole[whole.len() - 1..]).await.expect("the rest");
    assert_eq!(read(&mut begun).await.expect("an answer").status, 201);
    drop(idle);
    soon("the end of the service", service.task).await.expect("no panic");
}

#[tokio::test]
async fn a_client_that_does_not_end_is_cut_after_a_while() {
    let service = Service::with(&[("http.linger", "100ms")]).await;
    let key = service.master().await;
    let whole = ask("POST", "/v1/keys").key(&key).json(r#"{"name":"x","scopes":["admin"]}"#).bytes();
    let mut stuck = TcpStream::connect(service.address).await.expect("a connection");
    stuck.write_all(&whole[..whole.len() - 1]).await.expect("most of it");
    // Answered, so that the one before it was accepted.
    assert_eq!(service.ask(get("/docs")).await.status, 200);
    service.soft.cancel();
    soon("the end of the service", service.task).await.expect("no panic");
}
