//! A fake Bot API on loopback: reads every request completely, records it, then answers as configured.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_rig::http::{self, HttpServer};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A request as received.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// `sendMessage`, in lower case.
    pub(crate) method: String,
    pub(crate) token: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Request {
    /// Parses a request.
    fn read(raw: &http::HttpRequest) -> Self {
        let mut path = raw.target.trim_start_matches('/').split('/');
        let token = path.next().unwrap().strip_prefix("bot").unwrap().to_owned();
        Self {
            at: raw.at,
            method: path.next().unwrap().to_ascii_lowercase(),
            token,
            head: raw.head.clone(),
            body: serde_json::from_slice(&raw.body).unwrap_or(Value::Null),
        }
    }

    /// The chat in the form of an address.
    pub(crate) fn chat(&self) -> String {
        match &self.body["chat_id"] {
            Value::String(name) => name.clone(),
            number => number.to_string(),
        }
    }

    pub(crate) fn text(&self) -> String {
        self.body["text"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is_message(&self) -> bool {
        self.method == "sendmessage"
    }
}

/// The reaction to a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, headers and body.
    Say(u16, String, String),
    /// The same, after a while.
    Late(Duration, u16, String, String),
    /// Nothing, with the connection open.
    Hang,
    /// A reset.
    Reset,
    /// A part of an answer, then a reset.
    Half,
}

impl From<Reply> for http::HttpReply {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Say(status, headers, body) => Self::Say(status, headers, body),
            Reply::Late(wait, status, headers, body) => Self::Late(wait, status, headers, body),
            Reply::Hang => Self::Hang,
            Reply::Reset => Self::Reset,
            Reply::Half => Self::Half("{\"ok\":true,\"res".to_owned()),
        }
    }
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Say(status, "content-type: application/json\r\n".to_owned(), body.to_string())
    }

    pub(crate) fn refusal(code: u16, description: &str) -> Self {
        Self::json(code, &json!({"ok": false, "error_code": code, "description": description}))
    }

    pub(crate) fn wait(seconds: u64) -> Self {
        let body = json!({"ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {seconds}"),
            "parameters": {"retry_after": seconds}});
        Self::Say(429, format!("retry-after: {seconds}\r\n"), body.to_string())
    }

    pub(crate) fn taken(request: &Request) -> Self {
        let chat = json!({"id": request.body["chat_id"], "type": "private", "first_name": "A"});
        let message = json!({"message_id": 7, "date": 1_760_000_000, "chat": chat, "text": request.text()});
        Self::json(200, &json!({"ok": true, "result": message}))
    }

    pub(crate) fn me(token: &str) -> Self {
        let id: u64 = token.split(':').next().unwrap().parse().unwrap();
        Self::json(
            200,
            &json!({"ok": true, "result": {"id": id, "is_bot": true, "first_name": "Bot", "username": "a_bot",
                "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
                "can_connect_to_business": false, "has_main_web_app": false}}),
        )
    }
}

type Answering = dyn Fn(&Request) -> Reply + Send + Sync;

struct State {
    log: Mutex<Vec<Request>>,
    answering: Mutex<Arc<Answering>>,
}

impl State {
    fn answer(&self, request: &Request) -> Reply {
        self.log.lock().unwrap().push(request.clone());
        let how = Arc::clone(&self.answering.lock().unwrap());
        how(request)
    }
}

/// The fake provider.
pub(crate) struct Provider {
    server: HttpServer,
    state: Arc<State>,
}

impl Provider {
    /// Accepts every message.
    pub(crate) async fn start() -> Arc<Self> {
        let answering: Arc<Answering> = Arc::new(accept);
        let state = Arc::new(State { log: Mutex::default(), answering: Mutex::new(answering) });
        let asked = Arc::clone(&state);
        let server = HttpServer::start(move |raw| asked.answer(&Request::read(&raw)).into()).await.unwrap();
        Arc::new(Self { server, state })
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Sets the answer to requests that arrive from now on.
    pub(crate) fn answer(&self, how: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.state.answering.lock().unwrap() = Arc::new(how);
    }

    /// Answers messages with these replies in turn, then accepts all.
    pub(crate) fn script(&self, replies: Vec<Reply>) {
        let replies = Mutex::new(replies.into_iter());
        self.answer(move |request| {
            match request.is_message().then(|| replies.lock().unwrap().next()).flatten() {
                Some(reply) => reply,
                None => accept(request),
            }
        });
    }

    /// Closes everything, so that nobody can connect. Returns when the other side has noticed.
    pub(crate) async fn close(&self) {
        self.server.close().await;
    }

    /// Accepts connections again.
    pub(crate) async fn open(&self) {
        self.server.open().await.unwrap();
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// The messages requested so far.
    pub(crate) fn messages(&self) -> Vec<Request> {
        self.log().into_iter().filter(Request::is_message).collect()
    }

    /// How many messages were sent by each bot.
    pub(crate) fn by_bot(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for request in self.messages() {
            *counts.entry(request.token).or_default() += 1;
        }
        counts
    }
}

pub(crate) fn accept(request: &Request) -> Reply {
    match request.method.as_str() {
        "getme" => Reply::me(&request.token),
        _ => Reply::taken(request),
    }
}
