//! Long polls and event streams.

use std::time::Duration;

use posthaste_model::{OutcomeKind, ParcelId, Reason};
use posthaste_rig::eventually;
use posthaste_store::{KeyScope, ReceiptStatus};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Stream, ask, get};
use crate::service::{Service, email, order_id};

/// The last event received: its name, id and data.
fn event(received: &str) -> (String, String, Value) {
    let start = received.rfind("event: ").expect("an event");
    let field = |name: &str| {
        received[start..]
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{received}"))
            .to_owned()
    };
    let data = serde_json::from_str(&field("data: ")).expect("JSON");
    (field("event: "), field("id: "), data)
}

async fn next(stream: &mut Stream) -> (String, String, Value) {
    stream.until("event: ").await;
    let rest = stream.until("\n\n").await;
    event(&format!("event: {rest}"))
}

#[tokio::test]
async fn a_stream_reports_every_change_and_the_end() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    let due = service.in_an_hour().await;
    service.order(&order, 2, Some(due)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    let head = stream.until("\r\n\r\n").await.to_ascii_lowercase();
    for line in ["content-type: text/event-stream", "x-accel-buffering: no", "cache-control: no-store"] {
        assert!(head.contains(line), "{head}");
    }
    let (name, id, first) = next(&mut stream).await;
    assert_eq!(
        (name.as_str(), &first["status"], &first["counts"]["pending"]),
        ("snapshot", &"scheduled".into(), &2.into())
    );
    assert_eq!(id, first["revision"].to_string());

    let later = due.after(Duration::from_secs(3600));
    let revision = first["revision"].as_u64().expect("a number");
    service.store.reschedule(0, &order, later, None, revision).await.expect("moved");
    let (name, _, second) = next(&mut stream).await;
    assert_eq!(name, "snapshot");
    assert!(second["revision"].as_u64() > first["revision"].as_u64(), "{second}");
    assert_ne!(second["deliver_at"], first["deliver_at"]);

    service.store.cancel(0, &order).await.expect("cancelled");
    let (name, id, third) = next(&mut stream).await;
    assert_eq!((name.as_str(), &third["status"]), ("snapshot", &"cancelled".into()));
    let (name, end_id, end) = next(&mut stream).await;
    assert_eq!((name.as_str(), &end_id, &end), ("end", &id, &third));
    assert_eq!(stream.end().await.trim_start_matches("\r\n"), "0\r\n\r\n", "nothing after the end");
}

#[tokio::test]
async fn many_changes_are_sent_in_few_snapshots() {
    let pause = Duration::from_millis(300);
    let service = Service::with(&[("trackers.pause", "300ms")]).await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    let due = service.in_an_hour().await;
    service.order(&order, 1, Some(due)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let started = Instant::now();
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    let (_, _, first) = next(&mut stream).await;
    let revision = first["revision"].as_u64().expect("a number");
    for n in 0..50 {
        let later = due.after(Duration::from_secs(n + 1));
        service.store.reschedule(0, &order, later, None, revision + n).await.expect("moved");
    }
    service.store.cancel(0, &order).await.expect("cancelled");
    let mut snapshots = 1;
    let end = loop {
        match next(&mut stream).await {
            (name, _, _) if name == "snapshot" => snapshots += 1,
            (_, _, end) => break end,
        }
    };
    assert!(end["revision"].as_u64() > Some(revision + 50), "every move was a change: {end}");
    let most = started.elapsed().as_millis() / pause.as_millis() + 2;
    assert!(snapshots <= most, "{snapshots} snapshots, expected at most {most}");
}

#[tokio::test]
async fn a_client_that_reconnects_gets_only_news() {
    let service = Service::with(&[("trackers.heartbeat", "100ms")]).await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let open = async |last: &str| {
        Stream::open(service.address, get(&path).key(&key).header("last-event-id", last)).await
    };
    let mut fresh = Stream::open(service.address, get(&path).key(&key)).await;
    let (_, id, _) = next(&mut fresh).await;
    let mut again = open(&id).await;
    let quiet = again.until(": alive").await;
    assert!(!quiet.contains("event:"), "{quiet}");
    service.store.cancel(0, &order).await.expect("cancelled");
    let (name, last, view) = next(&mut again).await;
    assert_eq!((name.as_str(), &view["status"]), ("snapshot", &"cancelled".into()));
    let mut ended = open(&last).await;
    let (name, _, _) = next(&mut ended).await;
    assert_eq!(name, "end", "a client that has the last snapshot only gets the end");
    let forged = service.ask(get(&path).key(&key).header("last-event-id", "x")).await;
    assert_eq!((forged.status, forged.problem().as_str()), (422, "invalid_parameter"));
}

#[tokio::test]
async fn many_followers_of_one_order_share_one_read() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
        next(&mut stream).await;
        streams.push(stream);
    }
    assert_eq!(service.store.watched(), 1);
    service.store.cancel(0, &order).await.expect("cancelled");
    for stream in &mut streams {
        assert_eq!(next(stream).await.2["status"], "cancelled");
    }
    drop(streams);
    posthaste_rig::eventually_async("no order is watched", async || match service.store.watched() {
        0 => Ok(()),
        watched => Err(watched),
    })
    .await;
}

#[tokio::test]
async fn an_order_may_be_followed_before_it_exists() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    let path = format!("/v1/orders/{}/events", order.wire_id());
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    stream.until("retry: ").await;
    let waiting = tokio::spawn({
        let (address, key) = (service.address, key.clone());
        async move {
            let body = r#"{"history_key":"history:u1:2","touch_count":1,"timeout":10}"#;
            ask("POST", "/track").key(&key).json(body).send(address).await
        }
    });
    posthaste_rig::eventually_async("both are followed", async || match service.store.watched() {
        2 => Ok(()),
        watched => Err(watched),
    })
    .await;
    let due = service.in_an_hour().await;
    service.order(&order, 1, Some(due)).await;
    service.order(&order_id("u1", 2), 1, Some(due)).await;
    assert_eq!(next(&mut stream).await.2["id"], "u1.1");
    let tracked = waiting.await.expect("no panic").json();
    assert_eq!(tracked["history"]["id"], "u1.2", "{tracked}");
    assert_eq!(tracked["history"]["history_key"], "history:u1:2", "{tracked}");
    assert_eq!(tracked["timeouted"], false, "its acceptance is the first change: {tracked}");
}

#[tokio::test]
async fn a_long_poll_responds_to_changes_or_times_out() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    let due = service.in_an_hour().await;
    let base = format!("/v1/orders/{}/wait", order.wire_id());
    let nothing = service.ask(get(&format!("{base}?timeout_seconds=0")).key(&key)).await.json();
    assert_eq!((&nothing["order"], &nothing["timed_out"]), (&Value::Null, &true.into()));
    service.order(&order, 1, Some(due)).await;
    let now = service.ask(get(&format!("{base}?timeout_seconds=0")).key(&key)).await.json();
    assert_eq!((&now["order"]["status"], &now["timed_out"]), (&"scheduled".into(), &true.into()));

    // Counting from a revision misses nothing between two polls.
    let revision = now["order"]["revision"].as_u64().expect("a number");
    service
        .store
        .reschedule(0, &order, due.after(Duration::from_secs(60)), None, revision)
        .await
        .expect("moved");
    let missed = service
        .ask(get(&format!("{base}?timeout_seconds=60&since_revision={revision}")).key(&key))
        .await
        .json();
    assert_eq!(missed["timed_out"], false, "{missed}");
    assert!(missed["order"]["revision"].as_u64() > Some(revision));

    let started = Instant::now();
    let waiting = tokio::spawn({
        let (address, key, path) =
            (service.address, key.clone(), format!("{base}?timeout_seconds=60&min_changes=16"));
        async move { get(&path).key(&key).send(address).await }
    });
    let store = service.store.clone();
    tokio::task::spawn_blocking(move || {
        eventually("it is followed", || if store.watched() > 0 { Ok(()) } else { Err("not yet") })
    })
    .await
    .expect("no panic");
    service.store.cancel(0, &order).await.expect("cancelled");
    let ended = waiting.await.expect("no panic").json();
    assert_eq!(
        (&ended["timed_out"], &ended["order"]["status"]),
        (&false.into(), &"cancelled".into()),
        "the end counts as a change"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn changes_are_sent_without_events_too() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}/events", order.wire_id());
    service.redis.command(&["CONFIG", "SET", "notify-keyspace-events", ""]).expect("set");
    let mut stream = Stream::open(service.address, get(&path).key(&key)).await;
    next(&mut stream).await;
    service.store.cancel(0, &order).await.expect("cancelled");
    assert_eq!(next(&mut stream).await.2["status"], "cancelled");
}

/// Receipts that arrive after the end reach trackers with `after_finish`.
#[tokio::test]
async fn receipts_after_the_end_reach_trackers_that_wait_for_them() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1, None).await;
    let path = format!("/v1/orders/{}", order.wire_id());
    let mut stream =
        Stream::open(service.address, get(&format!("{path}/events?after_finish=true")).key(&key)).await;
    assert_eq!(crate::intake_change::deliver(&service, &[(0, OutcomeKind::Sent)]).await, order);
    let end = loop {
        match next(&mut stream).await {
            (name, _, end) if name == "end" => break end,
            (name, ..) => assert_eq!(name, "snapshot"),
        }
    };
    assert_eq!((&end["counts"]["sent"], &end["counts"]["delivered"]), (&1.into(), &0.into()));
    let revision = end["revision"].as_u64().expect("a number");
    let requested = format!("{path}/wait?timeout_seconds=60&since_revision={revision}&after_finish=true");
    let waiting = tokio::spawn({
        let (address, key) = (service.address, key.clone());
        async move { get(&requested).key(&key).send(address).await.json() }
    });

    let parcel_id = ParcelId { order_id: order.clone(), number: 0 };
    let store = service.tool().await;
    let receipt =
        store.apply_receipt(0, &email(), &parcel_id, 0, 1, ReceiptStatus::Delivered, Reason::None).await;
    assert!(receipt.expect("stored").reply.is_some());
    let (name, _, later) = next(&mut stream).await;
    assert_eq!(name, "snapshot", "the end is sent once");
    assert_eq!((&later["counts"]["sent"], &later["counts"]["delivered"]), (&0.into(), &1.into()));
    let waited = waiting.await.expect("an answer");
    assert_eq!((&waited["timed_out"], &waited["order"]["counts"]["delivered"]), (&false.into(), &1.into()));

    for wrong in ["events?after_finish=yes", "wait?after_finish=1"] {
        assert_eq!(service.ask(get(&format!("{path}/{wrong}")).key(&key)).await.status, 422, "{wrong}");
    }
}
