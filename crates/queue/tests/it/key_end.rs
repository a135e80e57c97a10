//! A key is revoked or expires while its requests are open: streams, long polls and exports end with it.

use std::time::Duration;

use posthaste_model::{Clock, SystemClock};
use posthaste_queue::auth::Bearer;
use posthaste_queue::keys::{Wanted, mint};
use posthaste_rig::eventually_async;
use posthaste_store::{KeyId, KeyScope};
use tokio::time::Instant;

use crate::client::{Answer, Stream, ask, get, soon};
use crate::service::{Service, order_id};

const KNOWN_FOR: Duration = Duration::from_secs(2);
/// Extra time for a loaded machine.
const SLACK: Duration = Duration::from_secs(8);
const SETTINGS: &[(&str, &str)] = &[("keys.cache_for", "2s"), ("trackers.heartbeat", "100ms")];

fn id_of(key: &str) -> KeyId {
    Bearer::read(key).expect("a key").id
}

/// A long poll of one minute, so that only the end of the key can end it.
fn poll(service: &Service, key: &str, path: String) -> tokio::task::JoinHandle<Answer> {
    let (address, key) = (service.address, key.to_owned());
    tokio::spawn(async move { get(&path).key(&key).send(address).await })
}

/// A key that reads orders of `u1` and expires after this time.
async fn expiring(service: &Service, after: Duration) -> String {
    let wanted = Wanted {
        name: "short".to_owned(),
        scopes: [KeyScope::Read].into_iter().collect(),
        sender: Some("u1".parse().expect("a sender")),
        expires: Some(SystemClock.now().after(after)),
        ..Wanted::default()
    };
    mint(&service.store, &wanted).await.expect("a key").bearer.expose()
}

/// Everything a key may have open: each ends with the key, in time, and reports nothing that happened afterwards.
async fn all_end(service: &Service, key: &str, end: impl AsyncFnOnce() -> Instant) {
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let base = format!("/v1/orders/{}", order.wire_id());
    let mut stream = Stream::open(service.address, get(&format!("{base}/events")).key(key)).await;
    stream.until("event: snapshot").await;
    let absent = Stream::open(service.address, get("/v1/orders/u1.99/events").key(key)).await;
    let wait = poll(service, key, format!("{base}/wait?timeout_seconds=60&min_changes=16"));
    eventually_async("all are followed", async || match service.store.watched() {
        2 => Ok(()),
        watched => Err(watched),
    })
    .await;
    let ended = end().await;
    let rest = soon("the end of the stream", stream.end()).await;
    let absent = soon("the end of the other stream", absent.end()).await;
    let answer = soon("the end of the poll", wait).await.expect("no panic");
    assert!(ended.elapsed() < KNOWN_FOR + SLACK, "{:?}", ended.elapsed());
    assert!(!rest.contains("event:") && !absent.contains("event:"), "{rest}{absent}");
    assert!(rest.ends_with("0\r\n\r\n"), "the stream ends properly: {rest}");
    assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{answer:?}");
    assert_eq!(service.ask(get(&base).key(key)).await.status, 401);
}

#[tokio::test]
async fn open_requests_end_soon_after_their_key_is_revoked_elsewhere() {
    let service = Service::with(SETTINGS).await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    all_end(&service, &key, async || {
        service.tool().await.revoke_key(&id_of(&key)).await.expect("revoked");
        Instant::now()
    })
    .await;
}

#[tokio::test]
async fn open_requests_end_at_once_when_their_key_is_revoked_here() {
    let service = Service::with(&[("keys.cache_for", "1h")]).await;
    let (key, master) = (service.key(&[KeyScope::Read], Some("u1")).await, service.master().await);
    all_end(&service, &key, async || {
        let path = format!("/v1/api-keys/{}", id_of(&key));
        assert_eq!(service.ask(ask("DELETE", &path).key(&master)).await.status, 204);
        Instant::now()
    })
    .await;
}

#[tokio::test]
async fn open_requests_end_when_their_key_expires() {
    // The key is looked up once an hour: its expiry is known without asking the store.
    let service = Service::with(&[("keys.cache_for", "1h")]).await;
    let span = Duration::from_secs(6);
    let begun = Instant::now();
    let key = expiring(&service, span).await;
    all_end(&service, &key, async || begun + span).await;
    assert!(begun.elapsed() + Duration::from_millis(50) >= span, "not before: {:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_is_sent_while_the_key_cannot_be_checked() {
    let service = Service::with(SETTINGS).await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    stream.until("event: snapshot").await;

    // The record of the key can't be read, everything else can.
    let (record, aside) = (format!("key:{{0}}:{}", id_of(&key)), "aside:{0}");
    service.redis.command(&["RENAME", &record, aside]).expect("renamed");
    service.redis.command(&["SET", &record, "not a key"]).expect("set");
    let since = Instant::now();
    while since.elapsed() < KNOWN_FOR * 2 {
        let received = stream.until(": alive").await;
        assert!(!received.contains("event:"), "{received}");
    }
    service.store.cancel(0, &order).await.expect("cancelled");
    for _ in 0..5 {
        let received = stream.until(": alive").await;
        assert!(!received.contains("event:"), "{received}");
    }
    service.redis.command(&["RENAME", aside, &record]).expect("renamed");
    stream.until("event: snapshot").await;
    assert!(stream.until("\n\n").await.contains("\"cancelled\""), "sent once the key was found again");
}

#[tokio::test]
async fn an_export_breaks_off_with_its_key() {
    let service = Service::with(SETTINGS).await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    // More than the buffers between the service and a client that does not read.
    service.order(&order, 100_000, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/deliveries", order.wire_id());
    let requested = get(&path).key(&key).header("accept", "application/x-ndjson");
    let mut stream = Stream::open(service.address, requested).await;
    stream.until("\r\n\r\n").await;
    service.tool().await.revoke_key(&id_of(&key)).await.expect("revoked");
    eventually_async("the key is refused", async || {
        match service.ask(get("/v1/orders").key(&key)).await.status {
            401 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    let since = Instant::now();
    let rest = soon("the end of the transfer", stream.end()).await;
    assert!(since.elapsed() < SLACK, "{:?}", since.elapsed());
    assert!(
        !rest.ends_with("0\r\n\r\n") && rest.matches("\"recipient\"").count() < 100_000,
        "it is broken off"
    );
}
