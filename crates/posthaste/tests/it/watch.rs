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
    eventually("one request", || match script.requested().len() {
        1 => Ok(()),
        other => Err(other),
    });
}
