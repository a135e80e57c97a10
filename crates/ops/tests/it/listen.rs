//! The limits of the accept loop, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use posthaste_ops::address::ListenAddress;
use posthaste_ops::listen::{Listener, ListenerLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{connect, request, say, soon};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

/// Limits that no test reaches by accident.
const WIDE: ListenerLimits = ListenerLimits {
    connections: 100,
    header_time: LONG,
    header_bytes: 16 * 1024,
    body_bytes: 1024,
    write_time: None,
    connection_life: None,
    linger: LONG,
};

struct Server {
    address: ListenAddress,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn bind() -> Listener {
    Listener::bind(&"127.0.0.1:0".parse().expect("an address")).await.expect("a port")
}

async fn serve(router: Router, limits: ListenerLimits) -> Server {
    let (listener, stop) = (bind().await, CancellationToken::new());
    let address = listener.address().clone();
    let task = tokio::spawn(listener.serve(router, limits, stop.clone()));
    Server { address, stop, task }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_disconnected() {
    let server = serve(hello(), ListenerLimits { header_time: SHORT, ..WIDE }).await;
    let received = say(&mut *connect(&server.address).await, "GET / HTTP/1.1\r\nhost: te").await;
    assert!(!received.contains("hello"), "{received}");
    let received = say(&mut *connect(&server.address).await, "").await;
    assert_eq!(received, "", "a silent client is disconnected too");
    let idle = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let received = say(&mut *connect(&server.address).await, idle).await;
    assert!(received.ends_with("hello"), "an idle connection is closed after its answer: {received}");
}

#[tokio::test]
async fn headers_and_bodies_that_are_too_large_are_refused() {
    let router = hello().route("/body", post(async |body: String| body));
    let server = serve(router, WIDE).await;
    let large = "x".repeat(20_000);
    let text = format!("GET / HTTP/1.1\r\nhost: test\r\nlarge: {large}\r\n\r\n");
    let received = say(&mut *connect(&server.address).await, &text).await;
    assert!(received.starts_with("HTTP/1.1 431 "), "{received}");

    let post = |length: &str, body: &str| {
        format!("POST /body HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{length}\r\n\r\n{body}")
    };
    let received = say(&mut *connect(&server.address).await, &post("content-length: 2", "ok")).await;
    assert!(received.ends_with("\r\n\r\nok"), "{received}");
    let received = say(&mut *connect(&server.address).await, &post("content-length: 1025", "")).await;
    assert!(received.starts_with("HTTP/1.1 413 "), "refused by its declared length: {received}");
    let chunk = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(0x401));
    let received =
        say(&mut *connect(&server.address).await, &post("transfer-encoding: chunked", &chunk)).await;
    assert!(received.starts_with("HTTP/1.1 413 "), "refused by the bytes received: {received}");
}

#[tokio::test]
async fn no_more_connections_are_served_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (entered, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, peak, seen, gate) = (now.clone(), most.clone(), entered.clone(), leave.clone());
    let handler = async move || {
        peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        seen.add_permits(1);
        gate.acquire().await.expect("the gate").forget();
        counted.fetch_sub(1, Ordering::SeqCst);
        "through"
    };
    let listener = bind().await;
    // All clients wait in the kernel's queue before the first is accepted.
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = connect(listener.address()).await;
        client.write_all(request("/").as_bytes()).await.expect("a request");
        clients.push(client);
    }
    let router = Router::new().route("/", get(handler));
    let limits = ListenerLimits { connections: 2, ..WIDE };
    let server = tokio::spawn(listener.serve(router, limits, CancellationToken::new()));
    for _ in 0..10 {
        soon("the next request", entered.acquire()).await.expect("a request").forget();
        leave.add_permits(1);
    }
    for client in &mut clients {
        assert!(say(&mut **client, "").await.ends_with("through"));
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    server.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_disconnected() {
    let (tell, gone) = tokio::sync::oneshot::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(Some(tell)));
    let endless = async move || {
        // Dropped together with the answer's body.
        let held = held.lock().expect("the lock").take();
        axum::body::Body::from_stream(futures::stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, std::io::Error>(vec![b'x'; 64 * 1024])
        }))
    };
    let router = Router::new().route("/", get(endless));
    let server = serve(router, ListenerLimits { write_time: Some(SHORT), ..WIDE }).await;
    let mut client = connect(&server.address).await;
    client.write_all(request("/").as_bytes()).await.expect("a request");
    // The client reads nothing; the kernel's buffers fill up, and then the answer is stuck.
    soon("the cut", gone).await.expect_err("the answer is dropped");
}

#[tokio::test]
async fn a_connection_ends_after_its_lifetime() {
    let server = serve(hello(), ListenerLimits { connection_life: Some(SHORT), ..WIDE }).await;
    let received = say(&mut *connect(&server.address).await, "GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(received.ends_with("hello"), "{received}");
}

#[tokio::test]
async fn stopping_finishes_current_answers_and_accepts_no_new_connection() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let handler = async move || {
        tell.notify_one();
        wait.notified().await;
        "finished"
    };
    let server = serve(Router::new().route("/", get(handler)), WIDE).await;
    let mut client = connect(&server.address).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("a request");
    soon("the request", begun.notified()).await;
    server.stop.cancel();
    let ListenAddress::Tcp(address) = server.address else { panic!("a TCP address") };
    soon("the port to close", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    go_on.notify_one();
    assert!(say(&mut *client, "").await.ends_with("finished"));
    soon("the end of serving", server.task).await.expect("no panic");
}

#[tokio::test]
async fn a_connection_without_an_answer_is_cut_after_the_linger_time() {
    let begun = Arc::new(Notify::new());
    let tell = begun.clone();
    let handler = async move || {
        tell.notify_one();
        std::future::pending::<&str>().await
    };
    let router = Router::new().route("/", get(handler));
    let server = serve(router, ListenerLimits { linger: SHORT, ..WIDE }).await;
    let mut client = connect(&server.address).await;
    client.write_all(request("/").as_bytes()).await.expect("a request");
    soon("the request", begun.notified()).await;
    server.stop.cancel();
    soon("the end of serving", server.task).await.expect("no panic");
    let mut received = Vec::new();
    let _ = soon("the cut", client.read_to_end(&mut received)).await;
    assert!(received.is_empty(), "{received:?}");
}

#[tokio::test]
async fn requests_over_tcp_carry_the_peer_address() {
    let router = Router::new()
        .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()));
    let server = serve(router, WIDE).await;
    let received = say(&mut *connect(&server.address).await, &request("/")).await;
    assert!(received.ends_with("127.0.0.1"), "{received}");
}
