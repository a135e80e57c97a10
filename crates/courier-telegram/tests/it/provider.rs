//! A stand-in for the Bot API on loopback: reads every request whole, writes it down, then answers as it is told to.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// `sendMessage`, in small letters.
    pub(crate) method: String,
    pub(crate) token: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Request {
    /// The chat as addresses have it.
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

/// What is done about a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, headers and body.
    Say(u16, String, String),
    /// The same, after a while.
    Late(Duration, u16, String),
    /// Nothing, with the connection open.
    Hang,
    /// A reset.
    Reset,
    /// A part of an answer, then a reset.
    Half,
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

/// The stand-in.
pub(crate) struct Provider {
    port: u16,
    state: Arc<State>,
    serving: tokio::sync::Mutex<Option<Serving>>,
}

struct Serving {
    close: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Provider {
    /// Takes every message.
    pub(crate) async fn start() -> Arc<Self> {
        let answering: Arc<Answering> = Arc::new(accept);
        let state = Arc::new(State { log: Mutex::default(), answering: Mutex::new(answering) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::sync::Mutex::new(Some(serve(listener, Arc::clone(&state))));
        Arc::new(Self { port, state, serving })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers requests that arrive from now on this way.
    pub(crate) fn answer(&self, how: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.state.answering.lock().unwrap() = Arc::new(how);
    }

    /// Answers one message after the other this way, then takes all.
    pub(crate) fn script(&self, replies: Vec<Reply>) {
        let replies = Mutex::new(replies.into_iter());
        self.answer(move |request| {
            match request.is_message().then(|| replies.lock().unwrap().next()).flatten() {
                Some(reply) => reply,
                None => accept(request),
            }
        });
    }

    /// Closes everything: nobody can connect. Returns when the other side knows.
    pub(crate) async fn close(&self) {
        if let Some(serving) = self.serving.lock().await.take() {
            serving.close.send_replace(true);
            serving.accepting.await.unwrap();
        }
    }

    /// Takes connections again.
    pub(crate) async fn open(&self) {
        let mut serving = self.serving.lock().await;
        if serving.is_none() {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
            *serving = Some(serve(listener, Arc::clone(&self.state)));
        }
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// The messages asked for so far.
    pub(crate) fn messages(&self) -> Vec<Request> {
        self.log().into_iter().filter(Request::is_message).collect()
    }

    /// How many messages went by each bot.
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

fn serve(listener: TcpListener, state: Arc<State>) -> Serving {
    let (close, mut closed) = watch::channel(false);
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    connections.spawn(connection(stream, Arc::clone(&state), closed.clone()));
                }
                () = over(&mut closed) => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    });
    Serving { close, accepting }
}

async fn over(closed: &mut watch::Receiver<bool>) {
    let _ = closed.wait_for(|closed| *closed).await;
}

/// One connection, request by request. Closed while idle, it waits until the client has seen it.
async fn connection(mut stream: TcpStream, state: Arc<State>, mut closed: watch::Receiver<bool>) {
    let mut buffer = Vec::new();
    loop {
        let request = tokio::select! {
            request = read(&mut stream, &mut buffer) => request,
            () = over(&mut closed) => {
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut buffer).await;
                return;
            }
        };
        let Some(request) = request else { return };
        state.log.lock().unwrap().push(request.clone());
        let answering = Arc::clone(&state.answering.lock().unwrap());
        let (status, headers, body) = match answering(&request) {
            Reply::Say(status, headers, body) => (status, headers, body),
            Reply::Late(wait, status, body) => {
                tokio::time::sleep(wait).await;
                (status, String::new(), body)
            }
            Reply::Hang => {
                tokio::select! {
                    _ = stream.read_u8() => {}
                    () = over(&mut closed) => {}
                }
                return;
            }
            Reply::Reset => return stream.set_zero_linger().unwrap(),
            Reply::Half => {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"ok\":true,\"res")
                    .await;
                return stream.set_zero_linger().unwrap();
            }
        };
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some((request, length)) = parse(buffer) {
            buffer.drain(..length);
            return Some(request);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(buffer: &[u8]) -> Option<(Request, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(buffer).unwrap() else { return None };
    let of = |name: &str| parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let body: usize =
        of("content-length").map_or(0, |header| str::from_utf8(header.value).unwrap().parse().unwrap());
    let whole = buffer.get(length..length + body)?;
    let mut path = parsed.path.unwrap().trim_start_matches('/').split('/');
    let token = path.next().unwrap().strip_prefix("bot").unwrap().to_owned();
    let request = Request {
        at: Instant::now(),
        method: path.next().unwrap().to_ascii_lowercase(),
        token,
        head: String::from_utf8_lossy(&buffer[..length]).into_owned(),
        body: serde_json::from_slice(whole).unwrap_or(Value::Null),
    };
    Some((request, length + body))
}
