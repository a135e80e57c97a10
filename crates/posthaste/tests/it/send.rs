//! `posthaste send`: what the server receives, and what the user sees.

use serde_json::{Value, json};

use crate::cli::{KEY, User};
use crate::script::{Script, accepted, json_of, of, problem};

const PEOPLE: &str = "Почта;ФИО\na@b.example;Анна\n\nc@d.example;Борис\n";

fn lines(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_file_becomes_an_upload() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, accepted(Some("running"))));
    let user = User::of(&server);
    user.file("people.csv", PEOPLE);
    let args = ["send", "--to", "people.csv", "--subject", "News", "--text", "Hello", "--priority", "urgent"];
    let ended = user.run(&[&args[..], &["--sender", "me", "--at", "2030-01-01T00:00:00Z"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("Order       dev.17") && ended.out.contains("2 (email 2)"), "{ended:?}");
    assert!(ended.err.contains("\"Почта\" → email, \"ФИО\" → name (UTF-8, semicolon)"), "{ended:?}");
    let requested = script.requested_for("POST /v1/orders").remove(0);
    assert_eq!(requested.header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(requested.header("content-type"), "application/x-ndjson");
    assert!(requested.header("idempotency-key").starts_with("cli-"));
    let sent = lines(requested.body.as_deref().expect("a body"));
    assert_eq!(
        sent[0],
        json!({"sender": {"id": "me"}, "text": "Hello", "subject": "News", "priority": "urgent", "on_invalid": "reject",
            "source": "cli", "deliver_at": "2030-01-01T00:00:00Z"})
    );
    assert_eq!(
        sent[1..],
        [
            json!({"id": "line-2", "name": "Анна", "contacts": {"email": ["a@b.example"]}}),
            json!({"id": "line-4", "name": "Борис", "contacts": {"email": ["c@d.example"]}}),
        ]
    );
}

#[tokio::test]
async fn standard_input_and_addresses_can_be_combined() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, accepted(Some("running"))));
    let user = User::of(&server);
    let args =
        ["send", "--to", "-", "--email", "z@b.example", "--telegram", "-100123", "--text", "Hello", "--json"];
    let ended = user.run_with(&args, b"email\na@b.example\n").await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.out).expect("JSON"), accepted(Some("running")));
    let sent = lines(script.requested()[0].body.as_deref().expect("a body"));
    assert_eq!(sent[1]["contacts"], json!({"email": ["z@b.example"]}));
    assert_eq!(sent[2]["contacts"], json!({"telegram": [-100_123]}));
    assert_eq!(sent[3]["contacts"], json!({"email": ["a@b.example"]}));
}

#[tokio::test]
async fn from_and_reply_to_are_sent() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, accepted(Some("running"))));
    let user = User::of(&server);
    let args = ["send", "--email", "a@b.example", "--text", "Hello"];
    let from = ["--from", "news@b.example"];
    let reply_to = ["--reply-to", "office@b.example"];
    let sender = ["--sender", "me"];
    for (more, expected) in [
        (&[][..], Value::Null),
        (&[from][..], json!({"from_email": "news@b.example"})),
        (&[reply_to], json!({"reply_to": "office@b.example"})),
        (
            &[from, reply_to, sender],
            json!({"id": "me", "from_email": "news@b.example", "reply_to": "office@b.example"}),
        ),
    ] {
        let all: Vec<&str> = args.into_iter().chain(more.iter().flatten().copied()).collect();
        let ended = user.run(&all).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let requested = script.requested_for("POST /v1/orders").pop().expect("a request");
        assert_eq!(lines(requested.body.as_deref().expect("a body"))[0]["sender"], expected, "{more:?}");
    }
    let refused = user.run(&[&args[..], &["--from", "office"]].concat()).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("--from") && refused.err.contains("office@example.org"), "{refused:?}");
}

#[tokio::test]
async fn a_dry_run_is_requested_from_the_server() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, accepted(None)));
    let user = User::of(&server);
    let ended = user.run(&["send", "-n", "--email", "a@b.example", "--text", "Hello"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("nothing was sent or stored"), "{ended:?}");
    let requested = script.requested().remove(0);
    assert_eq!(requested.line, "POST /v1/orders?dry_run=true");
    assert_eq!(requested.header("idempotency-key"), "");
}

#[tokio::test]
async fn what_will_fail_is_reported_with_the_count_and_the_remedy() {
    let (script, server) = Script::start().await;
    let user = User::of(&server);
    for (dry_run, status, warning) in [
        (&[][..], Some("running"), "12 deliveries on sms will fail: /text must be at most"),
        (&["-n"], None, "12 deliveries on sms would fail: /text must be at most"),
        (&["-n", "-o", "json"], None, "12 deliveries on sms would fail: /text must be at most"),
    ] {
        let mut answer = accepted(status);
        answer["warnings"] = json!([{"code": "text_too_long", "channel": "sms", "pointer": "/text",
            "delivery_count": 12, "detail": "must be at most 1600 characters on SMS"}]);
        script.on("POST /v1/orders", json_of(200, answer));
        let args = ["send", "--email", "a@b.example", "--text", "Hello"];
        let ended = user.run(&[&args[..], dry_run].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains(warning), "{ended:?}");
    }
}

#[tokio::test]
async fn a_bad_row_stops_the_upload_and_is_named_by_line() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, accepted(Some("running"))));
    let user = User::of(&server);
    user.file("people.csv", "email,name\na@b.example,Anna\n,Nobody\nc@d.example,Bo\n,Noone\n");
    let ended = user.run(&["send", "--to", "people.csv", "--text", "Hello"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("2 invalid rows; nothing was sent"), "{ended:?}");
    assert!(ended.err.contains("lines 3, 5: no address"), "{ended:?}");
    assert!(ended.err.contains("--on-invalid skip"), "{ended:?}");
    // If the upload had begun, it was aborted.
    assert!(script.requested().iter().all(|requested| requested.body.is_none()));
}

#[tokio::test]
async fn bad_rows_can_be_left_out() {
    let (script, server) = Script::start().await;
    let mut answer = accepted(Some("running"));
    answer["recipients"]["skipped"] =
        json!([{"line": 3, "pointer": "/contacts/email/0", "code": "invalid_address"}]);
    answer["recipients"]["skipped_count"] = json!(1);
    script.on("POST /v1/orders", json_of(200, answer));
    let user = User::of(&server);
    user.file("people.csv", "Write to,name\na@b.example,Anna\n,Nobody\nbad,Bo\n");
    let args =
        ["send", "--to", "people.csv", "--map", "write to=email", "--text", "Hello", "--on-invalid", "skip"];
    let ended = user.run(&args).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("2 left out"), "{ended:?}");
    assert!(ended.err.contains("line 3: no address"), "{ended:?}");
    assert!(ended.err.contains("line 4: \"Write to\": invalid_address"), "{ended:?}");
    assert_eq!(lines(script.requested()[0].body.as_deref().expect("a body"))[0]["on_invalid"], "skip");
}

#[tokio::test]
async fn server_errors_are_reported_by_line_of_the_file() {
    let (script, server) = Script::start().await;
    let errors = json!([{"line": 3, "pointer": "/contacts/email/0", "code": "invalid_address", "detail": "one mailbox"},
        {"pointer": "/text", "code": "too_long", "detail": "too long"}]);
    script.on("POST /v1/orders", problem(422, "validation_failed", errors));
    let user = User::of(&server);
    user.file("people.csv", PEOPLE);
    let ended = user.run(&["send", "--to", "people.csv", "--text", "Hello"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("it is refused (422 validation_failed)"), "{ended:?}");
    assert!(ended.err.contains("line 4: \"Почта\": one mailbox"), "{ended:?}");
    assert!(ended.err.contains("/text: too long"), "{ended:?}");
}

#[tokio::test]
async fn every_failure_has_its_exit_code() {
    let (script, server) = Script::start().await;
    let user = User::of(&server);
    let send = ["send", "--email", "a@b.example", "--text", "Hello"];
    for (answer, code, word) in [
        (problem(401, "unauthorized", json!([])), 4, "--token-file"),
        (problem(403, "insufficient_scope", json!([])), 4, "insufficient_scope"),
        (problem(429, "daily_limit_exceeded", json!([])), 3, "daily_limit_exceeded"),
        (problem(503, "storage_unavailable", json!([])), 7, "storage_unavailable"),
        (problem(500, "internal_error", json!([])), 1, "internal_error"),
        (of(200, "text/html", "<html>hello</html>".to_owned()), 1, "--idempotency-key"),
        (of(502, "text/html", "<html>bad</html>".to_owned()), 7, "502"),
    ] {
        script.on("POST /v1/orders", answer);
        let ended = user.run(&send).await;
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.err.contains(word), "{ended:?}");
        script.forget("POST /v1/orders");
    }
    for (args, code) in [
        (&["send", "--text", "Hello"][..], 2),
        (&["send", "--email", "a@b.example"], 2),
        (&["send", "--to", "missing.csv", "--text", "Hello"], 2),
        (&["send", "--email", "a@b.example", "--text", "Hello", "--at", "soon"], 2),
        (&["send", "--nonsense"], 2),
        (&["order", "show", "not-an-id"], 2),
        (&["order", "show", "dev.1"], 6),
        (&["order", "list", "--server", "http://127.0.0.1:1"], 7),
        (&["order", "list", "--server", "redis://127.0.0.1"], 2),
        (&["order", "list", "--profile", "none"], 2),
    ] {
        let ended = user.run(args).await;
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        assert!(!ended.err.is_empty());
    }
}
