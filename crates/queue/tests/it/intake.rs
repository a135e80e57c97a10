//! Shared by the tests of acceptance: orders as clients write them, and what the database holds.

use std::net::SocketAddr;

use posthaste_model::{Clock, SystemClock};
use posthaste_rig::PrivateServer;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Answer, Ask, ask, read};
use crate::service::Service;

/// Appears nowhere except in what the tests send.
pub(crate) const CANARY: &str = "canary7f3a";

/// Names of all keys of the database, except those that every request may write (rates).
pub(crate) fn written(redis: &PrivateServer) -> Vec<String> {
    let reply = redis.command(&["KEYS", "*"]).expect("keys");
    let names = reply.items().iter().filter_map(|key| key.text().map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("rate:")).collect();
    names.sort();
    names
}

/// An order of `u1` to this many mailboxes.
pub(crate) fn order(recipients: usize) -> Value {
    let recipients: Vec<Value> = (0..recipients).map(recipient).collect();
    json!({"sender": {"id": "u1"}, "text": "Hello", "recipients": recipients})
}

pub(crate) fn recipient(n: usize) -> Value {
    json!({"id": format!("r{n}"), "contacts": {"email": [format!("r{n}@example.org")]}})
}

/// The order with one member added or replaced.
pub(crate) fn with(mut order: Value, name: &str, value: Value) -> Value {
    order[name] = value;
    order
}

pub(crate) fn post<'a>(key: &str, order: &Value) -> Ask<'a> {
    ask("POST", "/v1/orders").key(key).json(&order.to_string())
}

pub(crate) async fn give(service: &Service, key: &str, order: &Value) -> Answer {
    service.ask(post(key, order)).await
}

/// The lines of an upload.
pub(crate) fn lines(order: &Value, recipients: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let mut out = format!("{order}\n");
    for recipient in recipients {
        out.push_str(&format!("{recipient}\n"));
    }
    out.into_bytes()
}

pub(crate) fn upload<'a>(key: &str, path: &'a str, body: &[u8]) -> Ask<'a> {
    ask("POST", path).key(key).header("content-type", "application/x-ndjson").body(body)
}

/// Asserts a refusal with this status and code, in which nothing of the input is repeated.
#[track_caller]
pub(crate) fn is_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    let what: String = what.chars().take(300).collect();
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{what}: {answer:?}");
    assert!(!answer.text().contains(CANARY) && !answer.head.contains(CANARY), "echoed: {answer:?}");
}

/// The first invalid place of a refusal: where (pointer, or line and pointer) and its code.
#[track_caller]
pub(crate) fn first_error(answer: &Answer) -> (String, String) {
    let error = &answer.json()["errors"][0];
    let line = error["line"].as_u64().map_or(String::new(), |line| line.to_string());
    let pointer = error["pointer"].as_str().unwrap_or_default();
    (format!("{line}{pointer}"), error["code"].as_str().unwrap_or_default().to_owned())
}

/// A time zone for the daily limit in which it is nowhere near midnight, so that no test spans two days.
pub(crate) fn day_zone() -> (&'static str, &'static str) {
    let hour = SystemClock.now().0 / 3_600_000 % 24;
    ("daily_limits.zone", if (6..18).contains(&hour) { "UTC" } else { "Etc/GMT-12" })
}

/// A request of which only a part was sent. When dropped, its connection breaks.
pub(crate) struct Half(TcpStream);

impl Half {
    pub(crate) async fn begin(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut half = Self(TcpStream::connect(address).await.expect("a connection"));
        half.write(bytes).await;
        half
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("room for the bytes");
    }

    pub(crate) async fn end(mut self) -> Answer {
        read(&mut self.0).await.expect("an answer")
    }
}
