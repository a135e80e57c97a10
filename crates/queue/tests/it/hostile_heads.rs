//! Invalid HTTP heads and connections, and the lines of a batch.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{ask, get, raw, read, soon};
use crate::service::Service;

#[tokio::test]
async fn a_request_has_one_valid_host_and_one_type() {
    let service = Service::start().await;
    let key = service.master().await;
    let auth = format!("authorization: Bearer {key}\r\nconnection: close\r\n\r\n");
    for (head, status) in [
        ("GET /v1/api-keys HTTP/1.1\r\nhost: queue.example.org:8080\r\n", 200),
        ("GET /v1/api-keys HTTP/1.1\r\nhost: [::1]:8080\r\n", 200),
        ("GET /v1/api-keys HTTP/1.0\r\n", 200),
        ("GET /v1/api-keys HTTP/1.1\r\n", 400),
        ("GET /v1/api-keys HTTP/1.1\r\nhost:\r\n", 400),
        ("GET /v1/api-keys HTTP/1.1\r\nhost: a\r\nhost: a\r\n", 400),
        ("GET /v1/api-keys HTTP/1.0\r\nhost: a\r\nhost: b\r\n", 400),
        ("GET /v1/api-keys HTTP/1.1\r\nhost: canary canary\r\n", 400),
        ("GET /v1/api-keys HTTP/1.1\r\nhost: user@canary\r\n", 400),
        ("GET /v1/api-keys HTTP/1.1\r\nhost: canary/../\r\n", 400),
        ("GET /v1/api-keys HTTP/1.1\r\nhost: canary:port\r\n", 400),
        ("GET /openapi.json HTTP/1.1\r\nhost: \x7f\r\n", 400),
    ] {
        let answer = raw(service.address, format!("{head}{auth}").as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, status, "{head}: {answer:?}");
        assert!(!answer.text().contains("canary"), "{answer:?}");
    }
    let body = r#"{"name":"n","scopes":["admin"]}"#;
    let two = ask("POST", "/v1/api-keys").key(&key).header("content-type", "text/plain").json(body);
    let answer = service.ask(two).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "bad_request"));
    let same = ask("POST", "/v1/api-keys").key(&key).header("content-type", "application/json").json(body);
    assert_eq!(service.ask(same).await.status, 400);
    let listed = service.ask(get("/v1/api-keys").key(&key)).await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "no key was created: {listed}");
}

#[tokio::test]
async fn a_half_closed_connection_gets_its_response() {
    let service = Service::start().await;
    let key = service.master().await;
    for requested in [
        get("/v1/orders").key(&key),
        ask("POST", "/v1/order-ids").key(&key).json(r#"{"sender_id":"u1"}"#),
        get("/v1/orders/u1.1/wait?timeout_seconds=1").key(&key),
    ] {
        let mut stream = TcpStream::connect(service.address).await.expect("a connection");
        stream.write_all(&requested.bytes()).await.expect("a request");
        stream.shutdown().await.expect("half closed");
        let answer = soon("an answer", read(&mut stream)).await.expect("an answer");
        assert_eq!(answer.status, 200, "{requested:?}: {answer:?}");
    }
    // Half a request is not a request.
    let mut stream = TcpStream::connect(service.address).await.expect("a connection");
    let bytes = ask("POST", "/v1/order-ids").key(&key).json(r#"{"sender_id":"u1"}"#).bytes();
    stream.write_all(&bytes[..bytes.len() - 4]).await.expect("half a request");
    stream.shutdown().await.expect("half closed");
    let answer = soon("the end", read(&mut stream)).await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
}

/// Whether a line fits its schema: the required members, and the allowed ones.
fn fits(api: &Value, schema: &Value, line: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("a name");
        return fits(api, &api["components"]["schemas"][name], line);
    }
    let all = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let one_of = all(&schema["oneOf"]);
    if !one_of.is_empty() {
        return one_of.iter().filter(|schema| fits(api, schema, line)).count() == 1;
    }
    let needed = all(&schema["required"]);
    all(&schema["allOf"]).iter().all(|schema| fits(api, schema, line))
        && needed.iter().all(|name| line.get(name.as_str().expect("a name")).is_some())
}

#[tokio::test]
async fn lines_of_a_batch_fit_their_schema_and_carry_the_trace_id() {
    let service = Service::start().await;
    let key = service.master().await;
    let good = json!({
        "sender": {"id": "u1"}, "text": "x", "recipients": [{"id": "r", "contacts": {"email": ["a@example.org"]}}],
    });
    let mut wrong = good.clone();
    wrong["sender"]["id"] = json!("no id");
    let body = format!("{good}\n{wrong}\nnot json\n");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = service
        .ask(
            ask("POST", "/v1/orders/batch")
                .key(&key)
                .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
                .header("content-type", "application/x-ndjson")
                .body(body.as_bytes()),
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let api: Value = serde_json::from_str(&posthaste_queue::api::openapi_json()).expect("JSON");
    let operation = &api["paths"]["/v1/orders/batch"]["post"];
    let schema = &operation["responses"]["200"]["content"]["application/x-ndjson"]["schema"];
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().expect("a status")).collect();
    assert_eq!(statuses, [200, 422, 400], "{lines:?}");
    for line in &lines {
        assert!(fits(&api, schema, line), "{line} is none of {schema}");
    }
    for line in &lines[1..] {
        assert_eq!(line["problem"]["trace_id"], trace, "{line}");
        let without = json!({"index": 0, "status": 422});
        assert!(!fits(&api, schema, &without), "the schema has required members");
    }
}

#[tokio::test]
async fn every_error_is_described_under_its_status() {
    let service = Service::start().await;
    let key = service.master().await;
    let api: Value = serde_json::from_str(&posthaste_queue::api::openapi_json()).expect("JSON");
    let paths = api["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().expect("operations").iter().map(move |(method, one)| (path, method, one))
    });
    let mut requested = 0;
    for (path, method, operation) in operations {
        let responses = operation["responses"].as_object().expect("responses");
        assert!(!responses.contains_key("default"), "{method} {path}");
        for status in ["400", "401", "403", "414", "429", "500", "503"] {
            assert!(responses.contains_key(status), "{method} {path} {status}");
        }
        let concrete = path.replace("{id}", "u9.17").replace("{channel}", "email");
        let method = method.to_uppercase();
        for body in [None, Some("{"), Some("{}"), Some("{\"x\":1}")] {
            let mut one = ask(&method, &concrete).key(&key);
            if let Some(body) = body {
                one = one.json(body);
            }
            // A stream does not end here, so only refusals are checked.
            if concrete.ends_with("/events") || concrete.ends_with("/wait") {
                continue;
            }
            let answer = service.ask(one).await;
            if answer.status < 400 {
                continue;
            }
            requested += 1;
            let reported = &responses.get(&answer.status.to_string()).unwrap_or(&Value::Null)["description"];
            let reported = reported.as_str().unwrap_or_default();
            let code = answer.problem();
            assert!(
                reported.contains(&format!("`{code}`")),
                "{method} {path}: {} {code} in {reported:?}",
                answer.status
            );
        }
    }
    assert!(requested > 30, "{requested} refusals");
    let reasons = &api["components"]["schemas"]["ProblemDocument"]["properties"]["reason"]["examples"];
    for word in ["away", "memory_full", "loading", "newer_version"] {
        assert!(reasons.as_array().expect("words").contains(&word.into()), "{reasons}");
    }
}
