//! A server with scripted responses that records its requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
    stays_open: bool,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRequest {
    /// `GET /v1/orders?limit=50`.
    pub(crate) line: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body; `None` if it was aborted.
    pub(crate) body: Option<String>,
}

impl RecordedRequest {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body.as_deref().expect("a body")).expect("JSON")
    }

    /// A header as text; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

type Answers = HashMap<String, Vec<Answer>>;

/// The server.
#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<Answers>>,
    requested: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl Script {
    /// Starts the server and returns its address.
    pub(crate) async fn start() -> (Self, String) {
        let script = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (script, format!("http://{address}"))
    }

    /// Adds a response to this method and path, as in `GET /v1/orders`; the last one is repeated.
    pub(crate) fn on(&self, line: &str, answer: Answer) -> &Self {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(line.to_owned()).or_default().push(answer);
        self
    }

    /// Removes all responses to this method and path.
    pub(crate) fn forget(&self, line: &str) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(line);
    }

    /// All requests so far.
    pub(crate) fn requested(&self) -> Vec<RecordedRequest> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests with this method and path.
    pub(crate) fn requested_for(&self, line: &str) -> Vec<RecordedRequest> {
        let is_it = |requested: &RecordedRequest| requested.line.split('?').next() == Some(line);
        self.requested().into_iter().filter(is_it).collect()
    }

    fn next(&self, line: &str) -> Answer {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get_mut(line) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list[0].clone(),
            None => problem(404, "not_found", json!([])),
        }
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let path = format!("{} {}", request.method(), request.uri().path());
    let headers = request.headers().clone();
    let body = to_bytes(request.into_body(), usize::MAX).await.ok();
    let body = body.map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"));
    script.requested.lock().unwrap_or_else(PoisonError::into_inner).push(RecordedRequest {
        line,
        headers,
        body,
    });
    let answer = script.next(&path);
    let body = match answer.stays_open {
        false => Body::from(answer.body),
        true => {
            let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(answer.body))]);
            Body::from_stream(first.chain(futures::stream::pending()))
        }
    };
    (answer.status, [(header::CONTENT_TYPE, answer.kind)], body).into_response()
}

/// A response with a JSON document.
pub(crate) fn json_of(status: u16, body: Value) -> Answer {
    of(status, "application/json", body.to_string())
}

/// A response with this body.
pub(crate) fn of(status: u16, kind: &'static str, body: String) -> Answer {
    Answer { status: StatusCode::from_u16(status).expect("a status"), kind, body, stays_open: false }
}

/// An error response.
pub(crate) fn problem(status: u16, code: &str, errors: Value) -> Answer {
    let body = json!({"type": "about:blank", "title": "No", "status": status, "detail": "it is refused",
        "code": code, "errors": errors});
    of(status, "application/problem+json", body.to_string())
}

/// A stream of events with name, id and data, which then ends.
pub(crate) fn events(list: &[(&str, u64, Value)]) -> Answer {
    let text =
        list.iter().map(|(name, id, data)| format!(": hello\nevent: {name}\nid: {id}\ndata: {data}\n\n"));
    of(200, "text/event-stream", text.collect())
}

/// The same, but the stream stays open.
pub(crate) fn open_events(list: &[(&str, u64, Value)]) -> Answer {
    Answer { stays_open: true, ..events(list) }
}

/// An order as the queue returns it; `counts` are those of its one channel.
pub(crate) fn order(status: &str, counts: Value) -> Value {
    json!({"id": "dev.17", "status": status, "priority": "bulk",
        "created_at": "2026-11-20T12:00:00.000Z", "deliver_at": "2026-11-20T12:00:00.000Z",
        "expires_at": "2026-11-23T12:00:00.000Z", "cancelled_at": null, "finished_at": null, "revision": 3,
        "retry_of": null, "sender_id": "dev", "source": "cli", "channel_counts": {"email": counts}, "counts": counts})
}

/// The response to an accepted order; without a status, that of a dry run.
pub(crate) fn accepted(status: Option<&str>) -> Value {
    json!({"id": "dev.17", "status": status, "dry_run": status.is_none(), "delay_reason": null,
        "created_at": "2026-11-20T12:00:00.000Z", "deliver_at": "2026-11-20T12:00:00.000Z", "durability": "fast",
        "recipients": {"accepted_count": 2, "delivery_counts": {"email": 2}, "skipped": [], "skipped_count": 0,
            "duplicates": {"recipient_count": 0, "locations": [], "address_count": 0}, "no_contact": {}},
        "channels_without_courier": []})
}
