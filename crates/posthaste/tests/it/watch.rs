//! Following an order.

use posthaste_rig::{Sig, eventually};
use serde_json::{Value, json};

use crate::cli::User;
use crate::script::{Script, accepted, events, json_of, open_events, order};

fn running() -> Value {
    order("running", json!({"total": 10, "pending": 4, "sent": 6}))
}

fn finished() -> Value {
    order("finished", json!({"total": 10, "sent": 10}))
}

#[tokio::test]
async fn send_with_watch_in_a_pipe_prints_ndjson() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, accepted(Some("running"))));
    script.on("GET /v1/orders/dev.17/events", events(&[("snapshot", 3, running()), ("end", 5, finished())]));
    let ended =
        User::of(&server).run(&["send", "--email", "a@b.example", "--text", "Hello", "--watch"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines,
        [json!({"event": "snapshot", "order": running()}), json!({"event": "end", "order": finished()})]
    );
}

#[tokio::test]
async fn a_lost_stream_resumes_where_it_broke_off() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/orders/dev.17/events", events(&[("snapshot", 3, running())]));
    script
        .on("GET /v1/orders/dev.17/events", events(&[("unheard_of", 4, json!({})), ("end", 5, finished())]));
    let ended = User::of(&server).run(&["order", "watch", "dev.17"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("reconnecting"), "{ended:?}");
    let requested = script.requested_for("GET /v1/orders/dev.17/events");
    assert_eq!([requested[0].header("last-event-id"), requested[1].header("last-event-id")], ["", "3"]);
    assert_eq!(requested[0].header("accept"), "text/event-stream");
}

#[tokio::test]
async fn failed_deliveries_give_an_exit_code_and_counts() {
    let (script, server) = Script::start().await;
    let end = order("finished_with_failures", json!({"total": 10, "sent": 7, "failed": 2, "unknown": 1}));
    script.on("GET /v1/orders/dev.17/events", events(&[("end", 5, end)]));
    let ended = User::of(&server).run(&["order", "watch", "history:dev:17"]).await;
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.err.contains("3 of 10: 2 failed, 1 unknown"), "{ended:?}");
}

#[tokio::test]
async fn an_order_that_is_not_there_ends_the_watch() {
    let (_, server) = Script::start().await;
    assert_eq!(User::of(&server).run(&["order", "watch", "dev.17"]).await.code, 6);
}

#[tokio::test]
async fn the_timeout_ends_the_watch() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/orders/dev.17/events", open_events(&[("snapshot", 3, running())]));
    let ended = User::of(&server).run(&["order", "watch", "dev.17", "--timeout", "300ms"]).await;
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.err.contains("still running"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_watching_and_says_that_the_order_continues() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/orders/dev.17/events", open_events(&[("snapshot", 3, running())]));
    let user = User::of(&server);
    let child = user.start(&["order", "watch", "dev.17"]);
    child.wait_line("a snapshot", |line| line.contains("snapshot")).expect("a snapshot");
    child.signal(Sig::Int).expect("signalled");
    let status = child.wait_exit().expect("ended");
    assert_eq!(status.code(), Some(130), "{status}: {}", child.tail(20));
    let said = child.output().expect("its output");
    assert!(said.contains("the order continues") && said.contains("order cancel dev.17"), "{said}");
    eventually("one stream", || match script.requested_for("GET /v1/orders/dev.17/events").len() {
        1 => Ok(()),
        other => Err(other),
    });
}

fn on_sms(status: &str, sent: u64, delivered: u64) -> Value {
    let counts = json!({"total": 2, "sent": sent, "delivered": delivered});
    let mut order = order(status, counts.clone());
    order["channel_counts"] = json!({"sms": counts});
    order["delivery_receipts"] = json!({"sms": true});
    order
}

#[tokio::test]
async fn receipts_are_waited_for_when_asked() {
    let (script, server) = Script::start().await;
    let (finished, arrived) = (on_sms("finished", 2, 0), on_sms("finished", 0, 2));
    let stream =
        [("snapshot", 3, on_sms("running", 0, 0)), ("end", 5, finished), ("snapshot", 6, arrived.clone())];
    script.on("GET /v1/orders/dev.17/events", open_events(&stream));
    let user = User::of(&server);
    let ended = user.run(&["order", "watch", "dev.17", "--receipts", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.out).expect("one document"), arrived);
    let line = &script.requested_for("GET /v1/orders/dev.17/events")[0].line;
    assert!(line.ends_with("?after_finish=true"), "{line}");
    let alone = user.run(&["send", "--email", "a@b.example", "--text", "x", "--receipts"]).await;
    assert_eq!(alone.code, 2, "only with --watch: {alone:?}");
}

#[tokio::test]
async fn receipts_that_do_not_come_end_with_the_timeout() {
    let (script, server) = Script::start().await;
    let stream = [("snapshot", 3, on_sms("running", 0, 0)), ("end", 5, on_sms("finished", 2, 0))];
    script.on("GET /v1/orders/dev.17/events", open_events(&stream));
    let watch = ["order", "watch", "dev.17", "--receipts", "--timeout", "300ms"];
    let ended = User::of(&server).run(&watch).await;
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.err.contains("receipts"), "{ended:?}");
}

#[tokio::test]
async fn the_format_is_obeyed_in_a_pipe() {
    for (format, begin) in
        [("json", "{\n"), ("table", "Order "), ("csv", "channel,"), ("ndjson", "{\"event\"")]
    {
        let (script, server) = Script::start().await;
        let stream = events(&[("snapshot", 3, running()), ("end", 5, finished())]);
        script.on("GET /v1/orders/dev.17/events", stream);
        let ended = User::of(&server).run(&["order", "watch", "dev.17", "-o", format]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.starts_with(begin), "{format}: {ended:?}");
    }
}

#[tokio::test]
async fn channels_without_a_courier_are_named() {
    for (online, named) in [(false, true), (true, false)] {
        let (script, server) = Script::start().await;
        script
            .on("GET /v1/couriers", json_of(200, json!({"items": [{"channel": "email", "online": online}]})));
        script.on("GET /v1/orders/dev.17/events", open_events(&[("snapshot", 3, running())]));
        let ended = User::of(&server).run(&["order", "watch", "dev.17", "--timeout", "2s"]).await;
        assert_eq!(ended.code, 8, "{ended:?}");
        let said = ended.err.contains("no courier is running for email: 4 deliveries wait");
        assert_eq!(said, named, "{ended:?}");
    }
}
