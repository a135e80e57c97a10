//! An HTTP client written by hand, so that it can also send malformed requests.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The future's result; fails the test if it takes too long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let patience: Duration = posthaste_rig::patience();
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("{what}: not within {patience:?}"))
}

/// A request to send.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, String)>,
    body: Option<Vec<u8>>,
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn get(path: &str) -> Ask<'_> {
    Ask { method: "GET", path, ..Ask::default() }
}

pub(crate) fn ask<'a>(method: &'a str, path: &'a str) -> Ask<'a> {
    Ask { method, path, ..Ask::default() }
}

impl<'a> Ask<'a> {
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body.as_bytes())
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    /// The request as bytes, after which the connection closes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out =
            format!("{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            out.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let mut out = out.into_bytes();
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out
    }

    pub(crate) async fn send(&self, address: SocketAddr) -> Answer {
        raw(address, &self.bytes())
            .await
            .unwrap_or_else(|| panic!("{} {}: no response", self.method, self.path))
    }
}

/// Sends bytes and reads until the peer closes; `None` without a response.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // The peer may have closed already; what it sent before that counts.
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

/// Reads a response until the peer closes.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Answer> {
    let mut received = Vec::new();
    let _ = soon("the end of the response", stream.read_to_end(&mut received)).await;
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(received[..end].to_vec()).expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = received[end + 4..].to_vec();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some(Answer { status, head, body: if chunked { dechunk(&body) } else { body } })
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length =
            std::str::from_utf8(&bytes[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let (Some(length), rest) = (length, &bytes[end + 2..]) else { break };
        if length == 0 || rest.len() < length + 2 {
            break;
        }
        out.extend_from_slice(&rest[..length]);
        bytes = &rest[length + 2..];
    }
    out
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    }

    /// The code of a complete problem: media type, status and trace id are checked.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }
}

/// A response that continues.
pub(crate) struct Stream {
    stream: TcpStream,
    received: String,
}

impl Stream {
    pub(crate) async fn open(address: SocketAddr, ask: Ask<'_>) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(&ask.bytes()).await.expect("a request");
        Self { stream, received: String::new() }
    }

    /// Reads until this was received, and returns everything received up to its end.
    pub(crate) async fn until(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.received.find(what) {
                return self.received.drain(..at + what.len()).collect();
            }
            assert!(self.more(what).await, "the end came before {what:?}: {}", self.received);
        }
    }

    /// Reads to the end and returns everything received.
    pub(crate) async fn end(mut self) -> String {
        while self.more("the end").await {}
        self.received
    }

    async fn more(&mut self, what: &str) -> bool {
        let mut buffer = [0; 4096];
        let read = soon(what, self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.received.push_str(&String::from_utf8_lossy(&buffer[..read]));
        read > 0
    }
}
