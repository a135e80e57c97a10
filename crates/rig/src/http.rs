//! A bare HTTP server for fake providers: reads every request completely, answers as instructed or not at all, and can
//! be closed and reopened on the same port.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::{Error, Result};

/// Most headers of a request.
const MOST_HEADERS: usize = 64;

/// A received request.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// When it was complete.
    pub at: Instant,
    /// Such as `POST`.
    pub verb: String,
    /// Path and query.
    pub target: String,
    /// The first line and the headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// How to answer a request.
#[derive(Debug, Clone)]
pub enum HttpReply {
    /// Status, headers (each with its line end) and body.
    Say(u16, String, String),
    /// The same, after a delay.
    Late(Duration, u16, String, String),
    /// Nothing, with the connection open.
    Hang,
    /// A reset.
    Reset,
    /// The beginning of a longer answer, then a reset.
    Half(String),
}

impl HttpReply {
    /// A JSON document.
    #[must_use]
    pub fn json(status: u16, body: &impl fmt::Display) -> Self {
        Self::Say(status, "content-type: application/json\r\n".to_owned(), body.to_string())
    }
}

type Answering = dyn Fn(HttpRequest) -> HttpReply + Send + Sync;

/// A server on loopback, running as long as this value lives.
pub struct HttpServer {
    port: u16,
    answering: Arc<Answering>,
    serving: Mutex<Option<Serving>>,
}

struct Serving {
    close: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl HttpServer {
    /// Opens a free port. `answering` is called with every complete request. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Io`] when no port is available.
    pub async fn start(answering: impl Fn(HttpRequest) -> HttpReply + Send + Sync + 'static) -> Result<Self> {
        let answering: Arc<Answering> = Arc::new(answering);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::io("listening on a port"))?;
        let port = listener.local_addr().map_err(Error::io("asking for the port"))?.port();
        let serving = Mutex::new(Some(serve(listener, Arc::clone(&answering))));
        Ok(Self { port, answering, serving })
    }

    /// Its URL, such as `http://127.0.0.1:1234`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Closes everything: clients can no longer connect. Returns once open connections are closed.
    pub async fn close(&self) {
        if let Some(serving) = self.serving.lock().await.take() {
            serving.close.send_replace(true);
            // A task that panicked has stopped serving too.
            let _ = serving.accepting.await;
        }
    }

    /// Accepts connections again, on the same port.
    ///
    /// # Errors
    /// [`Error::Io`] when another process has taken the port meanwhile.
    pub async fn open(&self) -> Result<()> {
        let mut serving = self.serving.lock().await;
        if serving.is_none() {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
            let listener = listener.map_err(Error::io("listening on the port again"))?;
            *serving = Some(serve(listener, Arc::clone(&self.answering)));
        }
        Ok(())
    }
}

fn serve(listener: TcpListener, answering: Arc<Answering>) -> Serving {
    let (close, mut closed) = watch::channel(false);
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    connections.spawn(connection(stream, Arc::clone(&answering), closed.clone()));
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

/// Serves one connection, request by request. If closed while idle, it waits until the client has seen it.
async fn connection(mut stream: TcpStream, answering: Arc<Answering>, mut closed: watch::Receiver<bool>) {
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
        let (status, headers, body) = match answering(request) {
            HttpReply::Say(status, headers, body) => (status, headers, body),
            HttpReply::Late(wait, status, headers, body) => {
                tokio::time::sleep(wait).await;
                (status, headers, body)
            }
            HttpReply::Hang => {
                tokio::select! {
                    _ = stream.read_u8() => {}
                    () = over(&mut closed) => {}
                }
                return;
            }
            HttpReply::Reset => return reset(&stream),
            HttpReply::Half(begun) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{begun}", begun.len() + 500);
                let _ = stream.write_all(head.as_bytes()).await;
                return reset(&stream);
            }
        };
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Makes the close of a connection a reset.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// The next request; `None` if there is none, or it is invalid.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<HttpRequest> {
    loop {
        if let Some((request, length)) = parse(buffer)? {
            buffer.drain(..length);
            return Some(request);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A complete request and its length; `Some(None)`: it is incomplete; `None`: it is invalid.
#[expect(clippy::option_option, reason = "the doc comment explains both levels, and there is one caller")]
fn parse(buffer: &[u8]) -> Option<Option<(HttpRequest, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(buffer).ok()? else { return Some(None) };
    let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body: usize = match header {
        Some(header) => str::from_utf8(header.value).ok()?.parse().ok()?,
        None => 0,
    };
    let Some(whole) = buffer.get(length..length.checked_add(body)?) else { return Some(None) };
    let request = HttpRequest {
        at: Instant::now(),
        verb: parsed.method?.to_owned(),
        target: parsed.path?.to_owned(),
        head: String::from_utf8_lossy(&buffer[..length]).into_owned(),
        body: whole.to_vec(),
    };
    Some(Some((request, length + body)))
}
