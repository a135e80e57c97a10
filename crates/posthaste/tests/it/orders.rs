//! `posthaste order …`, `courier list` and `key …` against a scripted server.

use serde_json::{Value, json};

use crate::cli::User;
use crate::script::{Script, json_of, of, order};

fn row(id: &str, state: &str) -> Value {
    json!({"recipient_index": 0, "recipient_id": id, "recipient_name": "Anna, \u{1b}[2J",
        "channel": "email", "address": "a@b.example", "status": state, "reason": "invalid_address",
        "provider_code": 550, "enhanced_status": "5.1.1", "attempt_count": 1, "updated_at": "2026-11-20T12:00:01.000Z",
        "next_attempt_at": null, "waiting_for": null})
}

#[tokio::test]
async fn a_list_is_read_page_by_page_up_to_the_limit() {
    let (script, server) = Script::start().await;
    let item = order("finished", json!({"total": 1, "sent": 1}));
    script.on("GET /v1/orders", json_of(200, json!({"items": [item, item], "next_cursor": "c2"})));
    script.on("GET /v1/orders", json_of(200, json!({"items": [item], "next_cursor": null})));
    let user = User::of(&server);
    let ended = user.run(&["order", "list", "--status", "finished", "--sender", "dev", "-o", "ndjson"]).await;
    assert_eq!((ended.code, ended.out.lines().count()), (0, 3), "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(ended.out.lines().next().expect("a line")).expect("JSON"), item);
    let requested: Vec<String> = script.requested().into_iter().map(|requested| requested.line).collect();
    assert_eq!(
        requested,
        [
            "GET /v1/orders?sender_id=dev&status=finished&limit=50",
            "GET /v1/orders?sender_id=dev&status=finished&cursor=c2&limit=48"
        ]
    );
    let table = user.run(&["order", "list"]).await;
    assert!(table.out.starts_with("Id      Status"), "{table:?}");
    assert!(!table.out.contains('\u{1b}'), "no colours in a pipe: {table:?}");
}

#[tokio::test]
async fn an_order_is_shown_with_next_steps() {
    let (script, server) = Script::start().await;
    let reported = order("finished_with_failures", json!({"total": 3, "sent": 1, "failed": 1, "unknown": 1}));
    script.on("GET /v1/orders/dev.17", json_of(200, reported.clone()));
    let user = User::of(&server);
    let ended = user.run(&["order", "show", "dev.17"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("finished with failures"), "{ended:?}");
    assert!(ended.err.contains("order retry dev.17 --status failed,unknown --watch"), "{ended:?}");
    let json = user.run(&["order", "show", "dev.17", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON"), reported);
    let csv = user.run(&["order", "show", "dev.17", "-o", "csv"]).await;
    assert!(csv.out.starts_with("channel,total,delivered,sent,failed"), "{csv:?}");
}

#[tokio::test]
async fn recipients_are_filtered_and_cannot_drive_the_terminal() {
    let (script, server) = Script::start().await;
    let page = json!({"items": [row("p1", "failed")], "next_cursor": null});
    script.on("GET /v1/orders/dev.17/deliveries", json_of(200, page));
    let user = User::of(&server);
    let ended = user.run(&["order", "deliveries", "dev.17", "--failed", "--channel", "email"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("Anna, ·[2J") && ended.out.contains("invalid_address"), "{ended:?}");
    let requested = script.requested().remove(0).line;
    assert_eq!(
        requested,
        "GET /v1/orders/dev.17/deliveries?channel=email&status=failed%2Cunknown%2Csuppressed%2Cexpired&limit=50"
    );
}

#[tokio::test]
async fn an_export_streams_into_a_new_file() {
    let (script, server) = Script::start().await;
    let lines: String = (0..1000).map(|n| row(&format!("p{n}"), "sent").to_string() + "\n").collect();
    script
        .on("GET /v1/orders/dev.17/deliveries", of(200, "application/x-ndjson", lines.trim_end().to_owned()));
    let user = User::of(&server);
    let ended = user.run(&["order", "export", "dev.17", "--to", "all.csv"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = std::fs::read_to_string(user.path("all.csv")).expect("a file");
    assert_eq!(text.lines().count(), 1001);
    assert!(text.starts_with("recipient_id,recipient_name,channel,address,status,reason"), "{text:.100}");
    assert_eq!(script.requested()[0].header("accept"), "application/x-ndjson");
    let again = user.run(&["order", "export", "dev.17", "--to", "all.csv"]).await;
    assert_eq!(again.code, 1, "a file that is there is kept: {again:?}");
}

#[tokio::test]
async fn a_cancel_needs_confirmation() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/orders/dev.17", json_of(200, order("running", json!({"total": 3, "pending": 3}))));
    script.on(
        "POST /v1/orders/dev.17/cancel",
        json_of(200, json!({"cancelled_count": 3, "too_late_count": 0})),
    );
    let user = User::of(&server);
    let refused = user.run(&["order", "cancel", "dev.17"]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("--yes") && refused.err.contains("3 of 3"), "{refused:?}");
    assert!(script.requested_for("POST /v1/orders/dev.17/cancel").is_empty());
    let done = user.run(&["order", "cancel", "dev.17", "--yes"]).await;
    assert_eq!((done.code, done.out.as_str()), (0, "3 cancelled, 0 too late\n"), "{done:?}");
}

#[tokio::test]
async fn an_order_is_moved_and_retried() {
    let (script, server) = Script::start().await;
    script.on("PATCH /v1/orders/dev.17", json_of(200, json!({"deliver_at": "2030-01-01T00:00:00.000Z"})));
    script.on(
        "POST /v1/orders/dev.17/retry",
        json_of(
            202,
            json!({"id": "dev.18", "retry_of": "dev.17", "delivery_count": 2, "suppressed_count": 11}),
        ),
    );
    let user = User::of(&server);
    let moved = user.run(&["order", "move", "dev.17", "--at", "2030-01-01T00:00:00Z", "-o", "csv"]).await;
    assert_eq!((moved.code, moved.out.as_str()), (0, "deliver_at\n2030-01-01T00:00:00.000Z\n"), "{moved:?}");
    let retried = user.run(&["order", "retry", "dev.17"]).await;
    assert_eq!((retried.code, retried.out.as_str()), (0, "Order dev.18 (deliveries: 2)\n"), "{retried:?}");
    let shown = "11 suppressed: left out. Remove them from the suppression list first";
    assert!(retried.err.contains(shown), "{retried:?}");
    assert_eq!(user.run(&["order", "retry", "dev.17", "--status", "unknown"]).await.code, 3);
    assert_eq!(
        user.run(&["order", "retry", "dev.17", "--recipient", "p1", "--recipient", "p2"]).await.code,
        0
    );
    let bodies: Vec<Value> = script.requested().iter().map(crate::script::RecordedRequest::json).collect();
    assert_eq!(
        bodies,
        [
            json!({"deliver_at": "2030-01-01T00:00:00Z"}),
            json!({"statuses": ["failed", "suppressed"]}),
            json!({"recipient_ids": ["p1", "p2"]})
        ]
    );
}

#[tokio::test]
async fn couriers_and_keys_are_listed() {
    let (script, server) = Script::start().await;
    script.on(
        "GET /v1/couriers",
        json_of(200, json!({"items": [{"channel": "sms", "last_seen_at": null, "online": false}]})),
    );
    script.on("POST /v1/api-keys", json_of(201, json!({"id": "abc", "token": "ph_abc_secret", "name": "n"})));
    script.on("DELETE /v1/api-keys/abcdefghijkl", of(204, "text/plain", String::new()));
    let user = User::of(&server);
    let couriers = user.run(&["courier", "list"]).await;
    assert!(couriers.code == 0 && couriers.out.contains("sms      no"), "{couriers:?}");
    assert!(couriers.err.contains("No courier is running"), "{couriers:?}");
    let key = user.run(&["key", "create", "--name", "n", "--scope", "write,read", "--sender", "me"]).await;
    assert_eq!((key.code, key.out.as_str()), (0, "ph_abc_secret\n"), "{key:?}");
    assert_eq!(
        script.requested_for("POST /v1/api-keys")[0].json(),
        json!({"name": "n", "scopes": ["write", "read"], "sender_id": "me"})
    );
    let revoked = user.run(&["key", "revoke", "abcdefghijkl", "--yes"]).await;
    assert_eq!(revoked.code, 0, "{revoked:?}");
}

#[tokio::test]
async fn a_closed_pipe_is_not_a_failure() {
    let (script, server) = Script::start().await;
    let item = order("finished", json!({"total": 1, "sent": 1}));
    let items = vec![item; 100];
    script.on("GET /v1/orders", json_of(200, json!({"items": items, "next_cursor": "more"})));
    let user = User::of(&server);
    let mut shell = tokio::process::Command::new("sh");
    let line = format!("{} order list --limit 5000 -o ndjson | head -n 1 >/dev/null", crate::cli::BINARY);
    let ended = shell.args(["-c", &line]).envs(user.env()).output().await.expect("run");
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A partition of the database that does not respond is reported to people on stderr and to programs in JSON.
#[tokio::test]
async fn lists_say_which_partitions_are_missing() {
    let (script, server) = Script::start().await;
    let item = order("finished", json!({"total": 1, "sent": 1}));
    script.on(
        "GET /v1/orders",
        json_of(200, json!({"items": [item], "next_cursor": "c2", "partitions_missing": [3]})),
    );
    script.on(
        "GET /v1/orders",
        json_of(200, json!({"items": [item], "next_cursor": null, "partitions_missing": [3, 7]})),
    );
    script.on(
        "GET /v1/parked",
        json_of(200, json!({"items": [], "next_cursor": null, "partitions_missing": [3]})),
    );
    let email = json!({"channel": "email", "last_seen_at": null, "online": true});
    script.on("GET /v1/couriers", json_of(200, json!({"items": [email], "partitions_missing": [3]})));
    let user = User::of(&server);
    let json = user.run(&["order", "list", "-o", "json"]).await;
    assert_eq!(json.code, 0, "{json:?}");
    let reported: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(reported, json!([item, item, {"partitions_missing": [3, 7]}]));
    assert!(
        json.err.contains("2 partitions of the database do not respond (3, 7); their orders"),
        "{json:?}"
    );
    for format in ["table", "csv", "ndjson"] {
        let ended = user.run(&["order", "list", "-q", "-o", format]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.out.contains("partitions_missing"), format == "ndjson", "{ended:?}");
        assert!(
            ended.err.contains("partitions of the database do not respond"),
            "also when quiet: {ended:?}"
        );
    }
    let parked = user.run(&["parked", "list"]).await;
    assert!(
        parked.err.contains("1 partition of the database does not respond (3); its entries"),
        "{parked:?}"
    );
    assert!(!parked.err.contains("No orders are parked"), "nobody knows: {parked:?}");
    let couriers = user.run(&["courier", "list", "-o", "ndjson"]).await;
    assert_eq!(couriers.out.lines().last(), Some("{\"partitions_missing\":[3]}"), "{couriers:?}");
    let doctor = user.run(&["doctor"]).await;
    assert!(doctor.out.contains("1 partition of the database does not respond (3)"), "{doctor:?}");
}

#[tokio::test]
async fn unreadable_deliveries_are_reported_and_not_listed() {
    let (script, server) = Script::start().await;
    let bad = json!({"channel": "email", "parcel": 1, "delivery_count": 500, "reason": "newer_version"});
    let page = json!({"items": [row("p1", "failed")], "unreadable_deliveries": [bad], "next_cursor": null});
    script.on("GET /v1/orders/dev.17/deliveries", json_of(200, page));
    let lines = format!("{}\n{}", row("p1", "failed"), json!({"unreadable_deliveries": bad}));
    script.on("GET /v1/orders/dev.18/deliveries", of(200, "application/x-ndjson", lines));
    let user = User::of(&server);
    let listed = user.run(&["order", "deliveries", "dev.17"]).await;
    let exported = user.run(&["order", "export", "dev.18"]).await;
    for (ended, id) in [(listed, "dev.17"), (exported, "dev.18")] {
        assert_eq!((ended.code, ended.out.lines().count()), (0, 2), "{ended:?}");
        let said =
            format!("500 deliveries on email can't be read (newer version): see  posthaste parked show {id}");
        assert!(ended.err.contains(&said), "{ended:?}");
    }
}
