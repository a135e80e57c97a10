//! HTTP/1.1 as far as the fake providers need it: reads whole requests with all their bytes, and writes answers.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Answer;

/// Largest head, and largest request.
const MOST_HEAD: usize = 64 * 1024;
const MOST_REQUEST: usize = 2 * 1024 * 1024;
const MOST_HEADERS: usize = 100;

/// A complete request.
#[derive(Clone)]
pub(crate) struct Whole {
    pub(crate) verb: String,
    /// Path and query.
    pub(crate) path: String,
    /// The host and port it was sent to.
    pub(crate) host: String,
    /// In lower case.
    pub(crate) content_type: String,
    /// As received.
    pub(crate) authorization: String,
    pub(crate) keep_alive: bool,
    pub(crate) body: Bytes,
    pub(crate) raw: Bytes,
}

/// Why there is no request.
pub(super) enum Broken {
    /// The client is gone, or sent nothing more in time.
    Gone,
    /// It is not a request, or too large; answer this status and close.
    Bad(u16),
}

/// Reads one request; bytes after it stay in the buffer.
pub(super) async fn read(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Whole, Broken> {
    loop {
        if let Some(whole) = parse(buffer)? {
            buffer.advance(whole.raw.len());
            return Ok(whole);
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return Err(Broken::Gone),
            Ok(_) => {}
        }
    }
}

/// The request at the start of the buffer, if it is complete.
fn parse(buffer: &BytesMut) -> Result<Option<Whole>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() > MOST_HEAD => return Err(Broken::Bad(431)),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Broken::Bad(400)),
    };
    let header = |name: &str| header(&head, name);
    if !header("transfer-encoding").is_empty() {
        return Err(Broken::Bad(411));
    }
    let body = match header("content-length") {
        "" => 0,
        digits => digits.parse().map_err(|_| Broken::Bad(400))?,
    };
    if body > MOST_REQUEST {
        return Err(Broken::Bad(413));
    }
    let Some(raw) = buffer.get(..length + body) else { return Ok(None) };
    Ok(Some(whole(&head, length, Bytes::copy_from_slice(raw))))
}

/// What there is of an incomplete request, if its head is complete.
pub(super) fn part(raw: &Bytes) -> Option<Whole> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(raw) {
        Ok(httparse::Status::Complete(length)) => Some(whole(&head, length, raw.clone())),
        _ => None,
    }
}

/// A request with this head and length.
fn whole(head: &httparse::Request<'_, '_>, length: usize, raw: Bytes) -> Whole {
    let header = |name: &str| header(head, name);
    Whole {
        verb: head.method.unwrap_or_default().to_owned(),
        path: head.path.unwrap_or_default().to_owned(),
        host: header("host").to_owned(),
        content_type: header("content-type").to_ascii_lowercase(),
        authorization: header("authorization").to_owned(),
        keep_alive: !header("connection").eq_ignore_ascii_case("close"),
        body: raw.slice(length..),
        raw,
    }
}

/// A header of a head, empty when there is none.
fn header<'a>(head: &httparse::Request<'_, 'a>, name: &str) -> &'a str {
    let mut found = head.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    found.next().and_then(|header| str::from_utf8(header.value).ok()).unwrap_or_default().trim()
}

/// An answer as it goes over the wire.
pub(super) fn encode(answer: &Answer, keep_alive: bool) -> Vec<u8> {
    let Answer { status, content_type, retry_after, body } = answer;
    let reason = reason(*status);
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\nserver: sandbox\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
        body.len()
    );
    if let Some(seconds) = retry_after {
        text += &format!("retry-after: {seconds}\r\n");
    }
    if !keep_alive {
        text += "connection: close\r\n";
    }
    text += "\r\n";
    text += body;
    text.into_bytes()
}

/// The reason phrase of a status; clients look at the number.
fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Answer")
}

/// Sends an answer; false when the client is gone.
pub(super) async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}

impl Whole {
    /// The path without its query.
    pub(crate) fn place(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The URL it was sent to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }
}

/// Omits everything a client sent.
impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole").field("bytes", &self.raw.len()).finish_non_exhaustive()
    }
}
