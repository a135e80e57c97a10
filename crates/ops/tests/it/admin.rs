//! Answers of the admin port, over TCP and over a unix socket.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use posthaste_ops::address::ListenAddress;
use posthaste_ops::admin::{AdminPort, AdminState, Settings};
use posthaste_ops::health::{Check, Health};
use posthaste_ops::listen::Listener;
use posthaste_ops::metrics::Metrics;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{get, soon};

const TCP: &str = "127.0.0.1:0";

fn settings(address: &str) -> Settings {
    Settings { address: address.parse().expect("an address") }
}

fn subject() -> AdminState {
    let (_, metrics) = Metrics::recorder(&[]).expect("no buckets");
    AdminState { name: "probe", health: Health::new(), metrics, soft: CancellationToken::new() }
}

async fn ask(admin: &AdminPort, path: &str) -> (u16, Value) {
    let (status, head, body) = get(admin.address(), path).await;
    assert!(head.contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn readiness_lists_every_check_and_why_it_fails() {
    let subject = subject();
    let redis = Check::condition("redis");
    let claims = Check::progress("claims", Duration::from_secs(3600));
    subject.health.watch(&redis, Instant::now());
    subject.health.watch(&claims, Instant::now());
    let soft = subject.soft.clone();
    let admin = AdminPort::start(&settings(TCP), subject).await.expect("a port");

    redis.failed("no answer for 5 s");
    let (status, body) = ask(&admin, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(
        body,
        json!({"process": "probe", "live": true, "ready": false, "checks": [
            {"name": "redis", "ok": false, "vital": false, "why": "no answer for 5 s"},
            {"name": "claims", "ok": false, "vital": false, "why": "no progress yet"},
        ]})
    );

    redis.ok();
    claims.made(Instant::now());
    let (status, body) = ask(&admin, "/readyz").await;
    assert_eq!((status, &body["ready"]), (200, &json!(true)));
    assert!(body["checks"][1]["age_ms"].is_u64(), "{body}");

    soft.cancel();
    let (status, body) = ask(&admin, "/readyz").await;
    assert_eq!((status, &body["checks"][2]["name"]), (503, &json!("stopping")));
    assert_eq!(ask(&admin, "/livez").await.0, 200, "a process that drains is alive");
}

#[tokio::test]
async fn liveness_fails_only_with_a_vital_check() {
    let subject = subject();
    let (redis, store) = (Check::condition("redis"), Check::condition("storage").vital());
    subject.health.watch(&redis, Instant::now());
    subject.health.watch(&store, Instant::now());
    store.ok();
    let admin = AdminPort::start(&settings(TCP), subject).await.expect("a port");
    assert_eq!(ask(&admin, "/livez").await.0, 200);
    store.failed("wiped");
    let (status, body) = ask(&admin, "/livez").await;
    assert_eq!((status, &body["checks"][1]["why"]), (503, &json!("wiped")));
}

#[tokio::test]
async fn metrics_are_in_the_prometheus_format() {
    let (recorder, metrics) = Metrics::recorder(&[]).expect("no buckets");
    metrics::with_local_recorder(&recorder, || metrics::counter!("claims_total").increment(3));
    let admin = AdminPort::start(&settings(TCP), AdminState { metrics, ..subject() }).await.expect("a port");
    let (status, head, body) = get(admin.address(), "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("claims_total 3\n"), "{body}");
    assert!(body.contains("\nprocess_resident_memory_bytes "), "{body}");
    assert_eq!(get(admin.address(), "/").await.0, 404);
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.sock");
    let wanted = settings(&format!("unix:{}", path.display()));
    let admin = AdminPort::start(&wanted, subject()).await.expect("a socket");
    assert_eq!(admin.address(), &wanted.address);
    assert_eq!(get(admin.address(), "/livez").await.0, 200);
    let mode = path.metadata().expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    soon("closing", admin.close()).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.sock");
    let address = ListenAddress::Unix(path.clone());
    // A listener of the standard library leaves its socket file behind, as a killed process does.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let first = Listener::bind(&address).await.expect("the dead one is replaced");
    let refused = Listener::bind(&address).await.expect_err("the living one is not");
    assert_eq!(refused.to_string(), format!("cannot listen on unix:{}", path.display()));
    assert!(path.exists(), "a refused bind must not remove the living one's file");
    drop(first);

    std::fs::write(&path, "no socket").expect("a plain file");
    Listener::bind(&address).await.expect_err("a file that is not a socket is kept");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "no socket");
}

#[tokio::test]
async fn a_port_in_use_is_refused_by_name() {
    let first = Listener::bind(&TCP.parse().expect("an address")).await.expect("a free port");
    let refused = Listener::bind(first.address()).await.expect_err("it is taken").to_string();
    assert_eq!(refused, format!("cannot listen on {}", first.address()));
}
