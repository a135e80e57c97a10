//! A client that writes HTTP by hand, so that it can also send invalid requests; and the common time limit of the tests.

use std::future::Future;

use posthaste_ops::address::ListenAddress;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The result of the future; fails the test if it takes too long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let patience = posthaste_rig::patience();
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("{what}: not within {patience:?}"))
}

/// A byte stream of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to a listener.
pub(crate) async fn connect(address: &ListenAddress) -> Box<dyn Stream> {
    match address {
        ListenAddress::Tcp(address) => Box::new(TcpStream::connect(address).await.expect("a connection")),
        ListenAddress::Unix(path) => Box::new(UnixStream::connect(path).await.expect("a connection")),
    }
}

/// Sends text and reads until the other side closes.
pub(crate) async fn say(stream: &mut dyn Stream, text: &str) -> String {
    // The other side may already have closed the connection; only what it sent before counts.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut received = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut received)).await;
    String::from_utf8(received).expect("text")
}

/// Requests a path on a separate connection: the status, the head and the body of the answer.
pub(crate) async fn get(address: &ListenAddress, path: &str) -> (u16, String, String) {
    let mut stream = connect(address).await;
    let received = say(&mut *stream, &request(path)).await;
    let (head, body) = received.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_owned(), body.to_owned())
}

/// A request after which the connection closes.
pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
}
