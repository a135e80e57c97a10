//! The HTTP port.

use posthaste_rig::patience;
use posthaste_sandbox::{Ending, Sandbox};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, start};

/// Status, head and body of an answer.
async fn ask(sandbox: &Sandbox, request: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(sandbox.http()).await.unwrap();
    let kind = "Content-Type: application/json\r\nConnection: close";
    let text = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(patience(), stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

async fn get(sandbox: &Sandbox, path: &str) -> Value {
    let (status, head, body) = ask(sandbox, &format!("GET {path}"), "").await;
    assert_eq!(status, 200, "{path}: {body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// Three accepted messages and a refused one.
async fn filled() -> Sandbox {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    for (to, order) in [("ann@example.org", "gym.1"), ("ben@example.org", "gym.1"), ("carl@b.test", "gym.2")]
    {
        client.envelope(to).await;
        client.expect("DATA", 354).await;
        let text = format!(
            "Subject: To <b>{to}</b>\r\nX-Posthaste-Order: {order}\r\nContent-Type: text/html\r\n\r\n\
             <img src=\"https://evil.example/\">Hello\r\n.\r\n"
        );
        client.send(text).await;
        assert_eq!(client.reply().await.0, 250);
    }
    client.message("spam@example.org").await;
    assert_eq!(client.reply().await.0, 554);
    sandbox
}

fn ids(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn lists_are_filtered_and_paged_newest_first() {
    let sandbox = filled().await;
    let page = get(&sandbox, "/outbox").await;
    assert_eq!((ids(&page), &page["next_cursor"]), (vec![3, 2, 1], &Value::Null));
    let item = &page["items"][0];
    assert_eq!(item["recipients"], json!([{"address": "carl@b.test", "code": 250}]));
    assert_eq!((&item["subject"], &item["ending"]), (&json!("To <b>carl@b.test</b>"), &json!("accepted")));
    for (query, found) in [
        ("to=ANN@example.org", &[1][..]),
        ("to=*@example.org", &[2, 1]),
        ("to=*@example.org&all=true", &[4, 2, 1]),
        ("order=gym.1", &[2, 1]),
        ("order=gym.1&to=ben@*", &[2]),
        ("channel=email", &[3, 2, 1]),
        ("channel=sms", &[]),
        ("ending=refused", &[4]),
    ] {
        assert_eq!(ids(&get(&sandbox, &format!("/outbox?{query}")).await), found, "{query}");
        let count = get(&sandbox, &format!("/outbox/count?{query}")).await;
        assert_eq!(count["count"].as_u64(), Some(found.len() as u64), "{query}");
    }
    let first = get(&sandbox, "/outbox?limit=2").await;
    assert_eq!((ids(&first), first["next_cursor"].as_str()), (vec![3, 2], Some("2")));
    let second = get(&sandbox, "/outbox?limit=2&cursor=2").await;
    assert_eq!((ids(&second), &second["next_cursor"]), (vec![1], &Value::Null));
}

#[tokio::test]
async fn one_message_with_parts_and_bytes() {
    let sandbox = filled().await;
    let whole = get(&sandbox, "/outbox/1").await;
    assert_eq!(whole["order"], "gym.1");
    assert_eq!(whole["headers"][0], json!({"name": "Subject", "value": "To <b>ann@example.org</b>"}));
    assert!(whole["html"].as_str().unwrap().contains("Hello"));
    assert_eq!(whole["text"], Value::Null);
    assert_eq!(whole["parts"][0]["content_type"], "text/html");
    assert_eq!(whole["smtp"]["hello"], "client.test");
    assert!(whole["dialogue"].as_str().unwrap().contains("C: RCPT TO:<ann@example.org>"));
    let (status, head, raw) = ask(&sandbox, "GET /outbox/1/raw", "").await;
    assert!(status == 200 && head.contains("message/rfc822"), "{head}");
    assert_eq!(raw.as_bytes(), &*sandbox.attempt(1).unwrap().message());
}

#[tokio::test]
async fn counts_and_clearing() {
    let sandbox = filled().await;
    let counts = get(&sandbox, "/outbox/count").await;
    for (name, number) in [("count", 3), ("messages", 3), ("attempts", 4), ("refused", 1), ("kept", 4)] {
        assert_eq!(counts[name], number, "{name}");
    }
    assert_eq!(counts["channels"]["email"]["accepted"], 3);
    let (status, _, body) = ask(&sandbox, "DELETE /outbox", "").await;
    assert_eq!((status, body.as_str()), (200, r#"{"deleted":4}"#));
    assert_eq!(ids(&get(&sandbox, "/outbox?all=true").await), [0; 0]);
}

#[tokio::test]
async fn faults_are_set_at_run_time() {
    let sandbox = start().await;
    let fault = r#"{"recipient":"*@b.test","stage":"rcpt","action":{"refuse":{"code":551}}}"#;
    let (status, _, body) = ask(&sandbox, "PUT /faults", &format!("[{fault}]")).await;
    assert_eq!(status, 200, "{body}");
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    client.expect("RCPT TO:<ann@b.test>", 551).await;
    let list = get(&sandbox, "/faults").await;
    assert_eq!((&list["faults"][0]["struck"], &list["magic"][0]["name"]), (&json!(1), &json!("refuse")));
    let id = list["faults"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&sandbox, "POST /faults", r#"{"stage":"dot","action":"drop"}"#).await.0, 200);
    assert_eq!(sandbox.faults().len(), 2);
    assert_eq!(ask(&sandbox, &format!("DELETE /faults/{id}"), "").await.0, 200);
    assert_eq!(ask(&sandbox, &format!("DELETE /faults/{id}"), "").await.0, 404);
    client.expect("RCPT TO:<ann@b.test>", 250).await;
    assert_eq!(ask(&sandbox, "DELETE /faults", "").await.0, 200);
    assert_eq!(sandbox.faults().len(), 0);
}

#[tokio::test]
async fn invalid_requests_are_refused_and_change_nothing() {
    let sandbox = filled().await;
    for (request, body, status) in [
        ("GET /outbox/9", "", 404),
        ("GET /outbox/x", "", 404),
        ("GET /nowhere", "", 404),
        ("POST /outbox", "", 405),
        ("GET /outbox?limit=0", "", 422),
        ("GET /outbox?limit=501", "", 422),
        ("GET /outbox?colour=red", "", 422),
        ("GET /outbox?ending=happily", "", 422),
        ("PUT /faults", "[{}]", 422),
        ("PUT /faults", "nothing", 400),
        ("PUT /faults", r#"[{"stage":"rcpt","action":{"refuse":{"code":200}}}]"#, 422),
        ("POST /faults", r#"{"stage":"mail","action":"drop","recipient":"*"}"#, 422),
        ("POST /faults", &"[".repeat(100_000), 422),
        ("POST /faults", &" ".repeat(3_000_000), 413),
    ] {
        let (answered, head, text) = ask(&sandbox, request, body).await;
        assert_eq!(answered, status, "{request}: {text}");
        assert!(head.contains("application/problem+json"), "{request}: {head}");
    }
    assert_eq!((sandbox.faults().len(), sandbox.attempts().len()), (0, 4));
}

#[tokio::test]
async fn only_names_it_knows_are_served() {
    let sandbox = start().await;
    let mut stream = TcpStream::connect(sandbox.http()).await.unwrap();
    let request = "GET /outbox HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(patience(), stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
}

#[tokio::test]
async fn the_page_shows_everything_escaped_and_loads_nothing() {
    let sandbox = filled().await;
    for path in ["/", "/?all=true&to=*@example.org", "/view/1", "/?to=%22%3E%3Cscript%3E"] {
        let (status, head, body) = ask(&sandbox, &format!("GET {path}"), "").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        for foreign in ["<script", "<link", "<img", "<b>", "src=\"http"] {
            assert!(!body.contains(foreign), "{path} holds {foreign}");
        }
    }
    let page = ask(&sandbox, "GET /", "").await.2;
    assert!(
        page.contains("To &lt;b&gt;ann@example.org&lt;/b&gt;") && page.contains("3 messages accepted"),
        "{page}"
    );
    let page = ask(&sandbox, "GET /view/1", "").await.2;
    assert!(page.contains("<iframe sandbox ") && page.contains("ann@example.org"), "{page}");
    assert_eq!(sandbox.counts().totals.messages, 3);
    assert_eq!(sandbox.attempts()[3].outcome.ending, Ending::Refused);
}

#[tokio::test]
async fn the_certificate_can_be_had() {
    let sandbox = start().await;
    let (status, _, body) = ask(&sandbox, "GET /certificate", "").await;
    assert_eq!((status, body.as_str()), (200, sandbox.certificate_pem()));
    assert_eq!(ask(&sandbox, "GET /livez", "").await.0, 200);
}
