//! `posthaste suppression …` against a scripted server.

use serde_json::{Value, json};

use crate::cli::User;
use crate::script::{Script, json_of, problem};

const ID: &str = "5bdcc146bf60754e6a042426089575c7";

fn entry(reason: &str) -> Value {
    let code = (reason == "provider_error").then_some(550);
    json!({"id": ID, "scope": "channel", "active": true, "reason": reason, "provider_code": code,
        "source": "bounce", "created_at": "2026-11-20T12:00:01.000Z", "failure_count": 1})
}

fn lines(requested: &Script) -> Vec<String> {
    requested.requested().into_iter().map(|requested| requested.line).collect()
}

#[tokio::test]
async fn entries_are_listed_page_by_page() {
    let (script, server) = Script::start().await;
    let page =
        |next: Value| json!({"items": [entry("bounced"), entry("provider_error")], "next_cursor": next});
    script.on("GET /v1/suppressions", json_of(200, page(json!("77"))));
    script.on("GET /v1/suppressions", json_of(200, page(Value::Null)));
    let user = User::of(&server);
    let listed = user.run(&["suppression", "list", "--channel", "email", "-o", "ndjson"]).await;
    assert_eq!((listed.code, listed.out.lines().count()), (0, 4), "{listed:?}");
    assert_eq!(
        serde_json::from_str::<Value>(listed.out.lines().next().expect("a line")).ok(),
        Some(entry("bounced"))
    );
    assert_eq!(
        lines(&script),
        [
            "GET /v1/suppressions?channel=email&limit=1000",
            "GET /v1/suppressions?channel=email&limit=1000&cursor=77"
        ]
    );
    let table = user.run(&["suppression", "list", "--channel", "email", "--limit", "2"]).await;
    assert!(table.out.starts_with("Id ") && table.out.contains("messages bounced"), "{table:?}");
    assert!(table.out.contains("provider code 550"), "{table:?}");
    let csv = user.run(&["suppression", "list", "--channel", "email", "-o", "csv"]).await;
    assert!(csv.out.contains(",bounced,,bounce,"), "programs get the word: {csv:?}");
    assert!(csv.out.contains(",provider_error,550,bounce,"), "{csv:?}");
}

#[tokio::test]
async fn addresses_are_sent_in_a_body_and_never_in_a_path() {
    let (script, server) = Script::start().await;
    let items = json!([
        {"index": 0, "suppressed": true, "entries": [entry("unsubscribed"), entry("opted_out")]},
        {"index": 1, "suppressed": false, "entries": []}
    ]);
    script.on("POST /v1/suppressions/lookup", json_of(200, json!({"items": items})));
    let user = User::of(&server);
    let typed = [
        "suppression",
        "lookup",
        "--channel",
        "email",
        "--sender",
        "u1",
        "ann@example.org",
        "bob@example.org",
    ];
    let found = user.run(&typed).await;
    assert_eq!(found.code, 0, "{found:?}");
    let rows: Vec<&str> = found.out.lines().collect();
    assert_eq!(rows.len(), 4, "{found:?}");
    assert!(rows[1].contains("unsubscribed from the sender") && rows[1].contains(ID), "{found:?}");
    assert!(rows[2].contains("opted out at the provider"), "{found:?}");
    assert!(rows[3].starts_with("bob@example.org  no"), "{found:?}");
    let requested = script.requested().remove(0);
    assert_eq!(requested.line, "POST /v1/suppressions/lookup");
    let body =
        json!({"channel": "email", "addresses": ["ann@example.org", "bob@example.org"], "sender_id": "u1"});
    assert_eq!(requested.json(), body);
    let json = user.run(&[&typed[..], &["--json"]].concat()).await;
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(json[0]["address"], "ann@example.org");
    assert_eq!(json[0]["entries"], json!([entry("unsubscribed"), entry("opted_out")]));
    assert_eq!(json[1], json!({"address": "bob@example.org", "suppressed": false, "entries": []}));
}

#[tokio::test]
async fn a_file_is_sent_in_parts_and_a_wrong_line_is_named() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/suppressions", json_of(200, json!({"added_count": 499, "unchanged_count": 1})));
    script.on("POST /v1/suppressions", json_of(200, json!({"added_count": 100, "unchanged_count": 0})));
    let user = User::of(&server);
    let people: String = (0..600).map(|n| format!("r{n}@example.org\r\n")).collect();
    user.file("people.txt", format!("\u{feff}\n{people}"));
    let add = ["suppression", "add", "--channel", "email", "--from"];
    let added = user.run(&[&add[..], &["people.txt"]].concat()).await;
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(added.out.trim_end(), "599 added to the email list, 1 were already on it");
    let bodies: Vec<Value> = script.requested().iter().map(|requested| requested.json()).collect();
    assert_eq!(bodies[0]["addresses"].as_array().expect("addresses").len(), 500);
    assert_eq!(bodies[1]["addresses"][99], "r599@example.org");

    let wrong = json!([{"pointer": "/addresses/1", "code": "invalid_address", "detail": "no mailbox"}]);
    script.forget("POST /v1/suppressions");
    script.on("POST /v1/suppressions", json_of(200, json!({"added_count": 500, "unchanged_count": 0})));
    script.on("POST /v1/suppressions", problem(422, "validation_failed", wrong));
    let refused = user.run_with(&[&add[..], &["-"]].concat(), people.as_bytes()).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("line 502: no mailbox"), "{refused:?}");
    assert!(refused.err.contains("The 500 addresses before these have been processed."), "{refused:?}");
    assert!(!refused.err.contains('@'), "no address is repeated: {refused:?}");

    for (args, input) in [(&["-"][..], "\n \n"), (&["absent.txt"], ""), (&["-", "a@b.example"], "")] {
        let refused = user.run_with(&[&add[..], args].concat(), input.as_bytes()).await;
        assert_eq!(refused.code, 2, "{args:?}: {refused:?}");
    }
    let none = user.run(&["suppression", "add", "--channel", "email"]).await;
    assert!(none.code == 2 && none.err.contains("--from FILE"), "{none:?}");
}

#[tokio::test]
async fn a_deletion_is_confirmed_and_takes_addresses_or_an_id() {
    let (script, server) = Script::start().await;
    script
        .on("POST /v1/suppressions/delete", json_of(200, json!({"deleted_count": 1, "not_found_count": 1})));
    let entry = format!("/v1/suppressions/telegram/{ID}");
    script.on(&format!("DELETE {entry}"), json_of(200, json!({})));
    let user = User::of(&server);
    let chats = ["suppression", "delete", "--channel", "telegram", "--", "-100123", "@some_chat"];
    let unrequested = user.run(&chats).await;
    assert!(unrequested.code == 3 && unrequested.err.contains("--yes"), "{unrequested:?}");
    assert!(script.requested().is_empty());
    let deleted = user.run(&[&["--yes", "-o", "json"], &chats[..]].concat()).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(
        serde_json::from_str::<Value>(&deleted.out).ok(),
        Some(json!({"deleted_count": 1, "not_found_count": 1}))
    );
    assert_eq!(script.requested()[0].json()["addresses"], json!(["-100123", "@some_chat"]));
    let by_id = ["suppression", "delete", "--channel", "telegram", "--id", ID, "--yes"];
    let deleted = user.run(&by_id).await;
    assert!(deleted.code == 0 && deleted.out.starts_with("1 deleted"), "{deleted:?}");
    assert_eq!(lines(&script).last().map(String::as_str), Some(format!("DELETE {entry}").as_str()));
    script.forget(&format!("DELETE {entry}"));
    assert_eq!(user.run(&by_id).await.code, 6);
    for wrong in [&["--id", "x"][..], &["--id", ID, "17"], &["--id", ID, "--sender", "u1"]] {
        let typed = [&["suppression", "delete", "--channel", "telegram", "--yes"], wrong].concat();
        assert_eq!(user.run(&typed).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn deliveries_show_why_an_address_is_suppressed() {
    let (script, server) = Script::start().await;
    let row = |reason: &str, status: &str| {
        json!({"recipient_index": 0, "recipient_id": "p1", "recipient_name": "Ann", "channel": "sms", "address": "+79991234567",
            "status": status, "reason": reason, "attempt_count": 0})
    };
    let items =
        [row("opted_out", "suppressed"), row("manual", "suppressed"), row("invalid_address", "failed")];
    script.on("GET /v1/orders/dev.17/deliveries", json_of(200, json!({"items": items, "next_cursor": null})));
    let user = User::of(&server);
    let table = user.run(&["order", "deliveries", "dev.17"]).await;
    for words in ["opted out at the provider", "added by an operator", "invalid_address"] {
        assert!(table.out.contains(words), "{words}: {table:?}");
    }
    let csv = user.run(&["order", "deliveries", "dev.17", "-o", "csv"]).await;
    assert!(csv.out.contains(",opted_out,") && csv.out.contains(",manual,"), "{csv:?}");
}
