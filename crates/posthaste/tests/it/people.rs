//! `posthaste send` with recipient files as they occur in practice: rejected by line, or every row accounted for.

use serde_json::{Value, json};

use crate::cli::User;
use crate::script::{Script, accepted, json_of, of, problem};

const SEND: [&str; 5] = ["send", "--to", "people.csv", "--text", "Hello"];

/// A response for this many people.
fn answer(people: u64) -> Value {
    let mut answer = accepted(Some("running"));
    answer["recipients"]["accepted_count"] = json!(people);
    answer["recipients"]["delivery_counts"] = json!({ "email": people });
    answer
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| line.contains("of the file")).unwrap_or_default()
}

#[tokio::test]
async fn open_and_stray_quotes_send_nothing() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, answer(1)));
    let user = User::of(&server);
    let open = include_str!("../../../people-file/tests/cases/open-quote.csv");
    let stray = "Email,Name\na@b.example,Anna\nb@b.example,12\" pipe\nc@b.example,Vera\n";
    for (file, line) in [(open, "line 3: a quote is opened"), (stray, "line 3: a quote in the middle")] {
        user.file("people.csv", file);
        for skip in [&[][..], &["--on-invalid", "skip"]] {
            let ended = user.run(&[&SEND[..], skip].concat()).await;
            assert_eq!(ended.code, 3, "{ended:?}");
            assert!(ended.err.contains(line) && ended.err.contains("nothing was sent"), "{ended:?}");
        }
    }
    assert!(
        script.requested().iter().all(|requested| requested.body.is_none()),
        "an upload that had begun was aborted"
    );
}

#[tokio::test]
async fn one_id_with_other_addresses_is_refused_without_merge_ids() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, answer(1)));
    let user = User::of(&server);
    user.file("people.csv", include_str!("../../../people-file/tests/cases/repeated-code.csv"));
    let mapped = [&SEND[..], &["--map", "Код=id"]].concat();
    let ended = user.run(&mapped).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.err.contains("lines 3, 4: same id as an earlier row, but different addresses"),
        "{ended:?}"
    );
    let ended = user.run(&[&mapped[..], &["--merge-ids"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("line 3 with line 2, line 4 with line 2"), "{ended:?}");
    assert_eq!(last_line(&ended.err), "3 rows of the file: 1 sent, 2 merged, 0 left out", "{ended:?}");
}

#[tokio::test]
async fn with_watch_every_row_is_in_the_last_line() {
    let (script, server) = Script::start().await;
    let mut accepted = answer(2);
    accepted["recipients"]["skipped"] =
        json!([{"line": 4, "pointer": "/contacts/email/0", "code": "invalid_email", "detail": "no mailbox"}]);
    accepted["recipients"]["skipped_count"] = json!(1);
    script.on("POST /v1/orders", json_of(200, accepted));
    let end = json!({"id": "dev.17", "status": "finished", "counts": {"total": 2, "sent": 2}});
    let events = format!("event: end\ndata: {}\n\n", json!({"order": end, "timed_out": false}));
    script.on("GET /v1/orders/dev.17/events", of(200, "text/event-stream", events));
    script.on("GET /v1/orders/dev.17", json_of(200, end));
    let user = User::of(&server);
    let rows = "email,name\na@b.example,Anna\nb@b.example,Boris\n,Nobody\nA@B.EXAMPLE,Other\na@B.example,Anna again\n\
                bad@,Gleb\n";
    user.file("people.csv", rows);
    let ended = user.run(&[&SEND[..], &["--on-invalid", "skip", "--watch"]].concat()).await;
    // Sent: Anna and Boris. Capitals make no other mailbox; the queue rejects the third, which is line 7 of the file.
    assert!(ended.err.contains("line 4: no address"), "{ended:?}");
    assert!(ended.err.contains("line 5 with line 2, line 6 with line 2"), "{ended:?}");
    assert!(ended.err.contains("line 7: \"email\": no mailbox"), "{ended:?}");
    assert_eq!(last_line(&ended.err), "6 rows of the file: 2 sent, 2 merged, 2 left out", "{ended:?}");
}

#[tokio::test]
async fn many_rows_with_one_fault_are_one_line() {
    let (script, server) = Script::start().await;
    let detail = "must start with + and the country code, or set orders.phone_region";
    let fault = |line: u64| json!({"line": line, "pointer": "/contacts/sms/0", "code": "invalid_phone", "detail": detail});
    let errors: Vec<Value> = (2..102).map(fault).collect();
    script.on("POST /v1/orders", problem(422, "validation_failed", json!(errors)));
    let user = User::of(&server);
    let rows: String = (0..300).map(|n| format!("8 (903) 000-{:02}-{:02}\n", n / 100, n % 100)).collect();
    user.file("people.csv", format!("Телефон\n{rows}"));
    let ended = user.run(&SEND).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.err.matches(detail).count(), 1, "{ended:?}");
    let wanted = format!("100 rows: \"Телефон\": {detail} (lines 2, 3, 4, 5, 6, …)");
    assert!(ended.err.contains(&wanted) && ended.err.contains("there may be more"), "{ended:?}");
}

#[tokio::test]
async fn a_second_address_is_reported_and_used_on_request() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, answer(2)));
    let user = User::of(&server);
    user.file("people.csv", "email\n\"a@b.example, c@b.example\"\nd@b.example\n");
    let ended = user.run(&SEND).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.err.contains("line 2: more than one address") && ended.err.contains("--all-addresses"),
        "{ended:?}"
    );
    let ended = user.run(&[&SEND[..], &["--all-addresses"]].concat()).await;
    assert!(ended.code == 0 && !ended.err.contains("more than one"), "{ended:?}");
    let requested = script.requested();
    let body = |at: usize| requested[at].body.clone().expect("a body");
    assert!(!body(0).contains("\"address_mode\"") && body(1).contains("\"address_mode\":\"all\""));
    assert!(body(1).contains("a@b.example") && body(1).contains("c@b.example"));
}

#[tokio::test]
async fn spreadsheet_faults_are_grouped_and_name_what_to_do() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, answer(1)));
    let user = User::of(&server);
    let rows: String = (0..300).map(|n| format!("7,9011{n:03}E+10\n")).collect();
    user.file("people.csv", format!("Телефон\n{rows}'+79011234567\n79011234567.0\n"));
    let ended = user.run(&[&SEND[..], &["--delimiter", ";"]].concat()).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.err.matches("scientific notation").count(), 1, "{ended:?}");
    let wanted = "300 rows: the phone number is in scientific notation: a spreadsheet rounded it";
    assert!(ended.err.contains(wanted) && ended.err.contains("(lines 2, 3, 4, 5, 6, …)"), "{ended:?}");
    assert!(ended.err.contains("line 303: the phone number ends in .0"), "{ended:?}");
}

#[tokio::test]
async fn a_guessed_encoding_is_reported() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/orders", json_of(200, answer(1)));
    let user = User::of(&server);
    let cyrillic: Vec<u8> = [&b"Email;Name\na@b.example;"[..], &[0xc0, 0xed, 0xed, 0xe0], b"\n"].concat();
    std::fs::write(user.path("people.csv"), &cyrillic).expect("a file");
    let ended = user.run(&SEND).await;
    assert!(
        ended.err.contains("(windows-1251, semicolon; if names look wrong, set --encoding)"),
        "{ended:?}"
    );
    let named = user.run(&[&SEND[..], &["--encoding", "cp1251"]].concat()).await;
    assert!(named.err.contains("(windows-1251, semicolon)"), "{named:?}");
    let body = script.requested()[0].body.clone().expect("a body");
    assert!(body.contains("\"name\":\"Анна\""), "{body}");
}

#[tokio::test]
async fn an_export_for_a_spreadsheet_is_sent_again() {
    let (script, server) = Script::start().await;
    let delivery = |id: &str, channel: &str, address: &str| {
        json!({"recipient_id": id, "recipient_name": "=Anna", "channel": channel, "address": address,
               "status": "failed", "attempt_count": 1})
    };
    let lines = [delivery("1", "email", "a@b.example"), delivery("1", "sms", "+79011234567")];
    let lines = lines.map(|line| line.to_string()).join("\n");
    script.on("GET /v1/orders/dev.17/deliveries", of(200, "application/x-ndjson", lines));
    script.on("POST /v1/orders", json_of(200, answer(2)));
    let user = User::of(&server);
    let export = ["order", "export", "dev.17", "--to", "people.csv", "--for-spreadsheet", "--delimiter", ";"];
    let ended = user.run(&export).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = std::fs::read_to_string(user.path("people.csv")).expect("a file");
    assert!(text.starts_with("\u{feff}recipient_id;recipient_name;channel;address;status"), "{text}");
    assert!(text.contains("1;'=Anna;sms;'+79011234567;failed"), "{text}");
    let ended = user.run(&SEND).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let requested = script.requested();
    let body = requested.last().and_then(|last| last.body.clone()).expect("a body");
    let lines: Vec<&str> = body.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            r#"{"id":"1","name":"=Anna","contacts":{"email":["a@b.example"]}}"#,
            r#"{"id":"1-2","name":"=Anna","contacts":{"sms":["+79011234567"]}}"#,
        ]
    );
    let refused = user.run(&["order", "export", "dev.17", "--bom", "-o", "ndjson"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
}
