//! Raw HTTP requests to a server on a Unix socket, for tests of what listens to strangers.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::eventually::eventually_async;

/// Waits until a server listens on the socket.
pub async fn wait_socket(socket: &Path) {
    eventually_async("the socket", async || UnixStream::connect(socket).await.map(drop)).await;
}

/// Sends these bytes and returns status and body of the response; the status is 0 if there is none.
///
/// # Panics
/// If nothing listens on the socket.
pub async fn exchange(socket: &Path, request: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.expect("a listener");
    // It may be rejected before it is read.
    let _ = stream.write_all(request).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, response.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}
