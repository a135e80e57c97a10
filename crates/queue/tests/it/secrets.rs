//! Planted secrets that must appear in no log line.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use posthaste_ops::telemetry::{LogFormat, Settings, subscriber};
use serde_json::{Value, json};

use crate::client::{ask, get};
use crate::service::Service;

/// Keeps everything that is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// The logged lines, without the driver's own trace of commands, which no process enables. A line that is not
    /// JSON fails the test.
    fn lines(&self) -> Vec<Value> {
        let log = String::from_utf8(self.0.lock().expect("the log").clone()).expect("text");
        let lines = log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        lines
            .filter(|line: &Value| !line["target"].as_str().is_some_and(|target| target.starts_with("fred")))
            .collect()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What this thread logs from now on, line by line as JSON, until the guard is dropped.
fn listen() -> (Kept, tracing::subscriber::DefaultGuard) {
    let kept = Kept::default();
    let writer = kept.clone();
    let settings = Settings { format: LogFormat::Json, filter: "trace".to_owned() };
    let subscriber = subscriber(&settings, move || writer.clone(), false).expect("a filter");
    (kept, tracing::subscriber::set_default(subscriber))
}

/// One thread runs the whole test including the service, so that this subscriber receives everything.
#[tokio::test]
async fn neither_keys_nor_texts_nor_addresses_are_logged() {
    let (kept, _guard) = listen();
    let mut service = Service::with(&[("redis.call_timeout", "2s")]).await;
    let key = service.master().await;
    let secret = key[16..].to_owned();
    let order = r#"{"sender":{"id":"u1","name":"canary-name"},"recipients":[{"id":"r","name":"canary-name","contacts":
        {"email":["canary-address@example.org"],"sms":["canary-phone"]}}],"text":"canary-text","subject":"canary-subject",
        "metadata":{"canary-meta":"canary-meta"}}"#;
    let sound = order.replace(r#","sms":["canary-phone"]"#, "");
    for body in [order, &sound, &sound.replace("\"u1\"", "\"u 1\""), "{\"canary-broken\":"] {
        service.ask(ask("POST", "/v1/orders").key(&key).json(body)).await;
    }
    service.ask(get(&format!("/v1/orders?key={key}&canary-query=1"))).await;
    for path in ["", "/lookup", "/delete"] {
        let path = format!("/v1/suppressions{path}");
        for addresses in [r#"["canary-ann@example.org"]"#, r#"["canary-wrong"]"#] {
            let body = format!(r#"{{"channel":"email","addresses":{addresses}}}"#);
            service.ask(ask("POST", &path).key(&key).json(&body)).await;
        }
    }
    service.ask(get("/canary-path").header("x-canary", "canary-header")).await;
    service.ask(get("/v1/orders").key(&format!("{}x", &key[..key.len() - 1]))).await;
    service
        .ask(ask("POST", "/v1/api-keys").key(&key).json(r#"{"name":"canary-key","scopes":["admin"]}"#))
        .await;
    service.redis.kill9().expect("killed");
    service.ask(ask("POST", "/v1/orders").key(&key).json(&sound)).await;
    service.ask(get("/v1/couriers").key(&key)).await;
    service.soft.cancel();

    let log = String::from_utf8(kept.0.lock().expect("the log").clone()).expect("text");
    assert!(log.contains("posthaste"), "something was logged");
    assert!(!log.contains(&secret), "the secret of a key is in the log");
    // Everything except the driver's own trace of commands, which no process enables.
    let ours: Vec<&str> = log.lines().filter(|line| !line.contains("\"target\":\"fred")).collect();
    let found: Vec<_> = ours.iter().filter(|line| line.contains("canary")).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn each_refused_order_of_a_batch_has_a_log_line_with_its_trace_id() {
    let (kept, _guard) = listen();
    let service = Service::start().await;
    let key = service.master().await;
    let sound = r#"{"sender":{"id":"u1"},"text":"t","recipients":[{"id":"r","contacts":{"email":["a@example.org"]}}]}"#;
    let lines = [sound, "{", &sound.replace("\"t\"", "\"\""), sound].join("\n");
    let batch = ask("POST", "/v1/orders/batch").key(&key).header("content-type", "application/x-ndjson");
    let answer = service.ask(batch.body(lines.as_bytes())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answered: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    let refused: Vec<_> = answered.iter().filter(|line| line["problem"].is_object()).collect();
    assert_eq!(refused.iter().map(|line| &line["index"]).collect::<Vec<_>>(), [1, 2], "{answered:?}");
    service.soft.cancel();
    let log = kept.lines();
    for line in refused {
        let trace = &line["problem"]["trace_id"];
        assert!(trace.as_str().is_some_and(|trace| !trace.is_empty()), "{line}");
        let found = log
            .iter()
            .find(|entry| entry["index"] == line["index"] && entry["message"] == "order of a batch refused");
        let found = found.expect("a line of the log");
        assert_eq!((&found["trace_id"], &found["code"]), (trace, &line["problem"]["code"]), "{found}");
    }
}

#[tokio::test]
async fn no_input_can_forge_a_log_line() {
    const FORGED: &str = "x\r\n{\"level\":\"ERROR\",\"fields\":{\"message\":\"forged\"}}\n\u{1b}[2J";
    let (kept, _guard) = listen();
    let service = Service::start().await;
    let key = service.master().await;
    let body = json!({
        "sender": {"id": "u1", "name": FORGED, "email": FORGED}, "text": FORGED, "subject": FORGED, "source": FORGED,
        "metadata": {FORGED: FORGED}, "text_by_channel": {FORGED: FORGED},
        "recipients": [{"id": FORGED, "name": FORGED, "contacts": {FORGED: [FORGED], "email": ["a@example.org"]}}],
    });
    let sound = json!({
        "sender": {"id": "u1"}, "text": FORGED,
        "recipients": [{"id": "r", "contacts": {"email": ["a@example.org"]}}],
    });
    for (path, body) in [
        ("/v1/orders", body.to_string()),
        ("/v1/orders", sound.to_string()),
        ("/v1/orders", FORGED.to_owned()),
        ("/v1/orders/batch", FORGED.to_owned()),
        ("/v1/api-keys", json!({"name": FORGED, "scopes": ["write", FORGED]}).to_string()),
        ("/v1/suppressions", json!({"channel": FORGED, "addresses": [FORGED]}).to_string()),
        ("/track", json!({"history_key": FORGED, "timeout": FORGED}).to_string()),
    ] {
        let media_type = if path.ends_with("batch") { "application/x-ndjson" } else { "application/json" };
        let requested = ask("POST", path).key(&key).header("content-type", media_type).body(body.as_bytes());
        let answer = service.ask(requested).await;
        assert!(answer.status < 500, "{path} {answer:?}");
    }
    let encoded = "x%0D%0A%7B%22level%22%3A%22ERROR%22%7D%1B%5B2J";
    for path in
        [format!("/{encoded}"), format!("/v1/orders/{encoded}"), format!("/v1/orders?cursor={encoded}")]
    {
        assert!(service.ask(get(&path).key(&key)).await.status < 500, "{path}");
    }
    service.soft.cancel();
    let log = kept.lines();
    let refusals = log.iter().filter(|line| line["event"] == "request.refused").count();
    assert!(refusals >= 8, "{log:?}");
    for line in &log {
        assert!(line["level"].is_string() && line["target"].is_string(), "a forged line: {line}");
        assert!(!line.to_string().contains("forged"), "{line}");
    }
}
