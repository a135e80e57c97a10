//! The events of an order and exports: streams that may break off.

use std::pin::pin;

use futures::StreamExt;
use posthaste_client::{ApiError, DeliveryLine, DeliveryQuery, OrderEvent};
use posthaste_rig::http::HttpReply;
use serde_json::{Value, json};

use crate::server::{Scene, header, json, line, refused};

fn events(list: &[(&str, u64, Value)]) -> HttpReply {
    let text =
        list.iter().map(|(name, id, data)| format!(": hello\nevent: {name}\nid: {id}\ndata: {data}\n\n"));
    HttpReply::Say(200, "content-type: text/event-stream\r\n".to_owned(), text.collect())
}

fn order(state: &str) -> Value {
    json!({"id": "dev.17", "status": state})
}

#[tokio::test]
async fn a_lost_event_stream_continues_where_it_was_lost() {
    let scene = Scene::with([
        events(&[("snapshot", 3, order("running"))]),
        json(503, json!({"detail": "starting"})),
        HttpReply::Reset,
        events(&[("unheard_of", 4, json!({})), ("end", 5, order("finished"))]),
    ])
    .await;
    let response: Vec<OrderEvent> =
        scene.client.events("dev.17").map(|event| event.expect("an event")).collect().await;
    let [
        OrderEvent::Snapshot(first),
        OrderEvent::Away(closed),
        OrderEvent::Away(starting),
        OrderEvent::Away(_),
        OrderEvent::End(last),
    ] = response.as_slice()
    else {
        panic!("{response:?}")
    };
    assert_eq!((first.seen.status.as_str(), last.seen.status.as_str()), ("running", "finished"));
    assert_eq!((closed.as_str(), starting.as_str()), ("the server closed the stream", "starting (503)"));
    let requested = scene.requests();
    let from: Vec<_> = requested.iter().map(|requested| header(requested, "last-event-id")).collect();
    assert_eq!(from, [None, Some("3"), Some("3"), Some("3")]);
    assert_eq!(line(&requested[0]), "GET /v1/orders/dev.17/events");
}

#[tokio::test]
async fn an_order_that_is_not_there_ends_its_events() {
    let scene = Scene::with([json(404, json!({}))]).await;
    let mut events = pin!(scene.client.events("dev.17"));
    let error = refused(events.next().await.expect("an event"));
    assert!(matches!(error, ApiError::NotFound(_)), "{error:?}");
    assert!(events.next().await.is_none());
}

fn lines(body: &str) -> HttpReply {
    HttpReply::Say(200, "content-type: application/x-ndjson\r\n".to_owned(), body.to_owned())
}

#[tokio::test]
async fn an_export_tells_all_deliveries_and_what_cannot_be_read() {
    let delivery = json!({"channel": "email", "address": "a@b.example", "status": "sent"});
    let unreadable =
        json!({"unreadable_deliveries": {"channel": "sms", "delivery_count": 500, "reason": "damaged"}});
    // The last line has no line break.
    let scene = Scene::with([lines(&format!("{delivery}\n\n{unreadable}\n{delivery}"))]).await;
    let export = scene.client.export_deliveries("dev.17", &DeliveryQuery::default()).await.expect("a stream");
    let response: Vec<DeliveryLine> = export.map(|line| line.expect("a line")).collect().await;
    let [DeliveryLine::Delivery(first), DeliveryLine::Unreadable(second), DeliveryLine::Delivery(_)] =
        response.as_slice()
    else {
        panic!("{response:?}")
    };
    assert_eq!((first.seen.status.as_str(), second.delivery_count), ("sent", 500));
    assert_eq!(header(&scene.only(), "accept"), Some("application/x-ndjson"));
}

#[tokio::test]
async fn an_export_that_breaks_off_is_an_error() {
    let delivery = json!({"channel": "email", "address": "canary@b.example", "status": "sent"});
    for (reply, complete) in [
        (HttpReply::Half(format!("{delivery}\n{{\"chan")), 1),
        (lines(&format!("{delivery}\ncanary\n{delivery}\n")), 1),
        (lines(&"canary".repeat(100_000)), 0),
    ] {
        let scene = Scene::with([reply]).await;
        let export = scene.client.export_deliveries("dev.17", &DeliveryQuery::default()).await;
        let response: Vec<_> = export.expect("a stream").collect().await;
        assert_eq!(response.len(), complete + 1, "an error is the last item");
        let error = refused(response.into_iter().next_back().expect("an item"));
        assert!(matches!(error, ApiError::CannotReach { .. } | ApiError::NotUnderstood { .. }), "{error:?}");
    }
}
