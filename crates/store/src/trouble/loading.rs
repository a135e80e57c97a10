//! How far a server has got with loading its data, asked over a connection of its own: without a password the client begins
//! every connection with a PING, which such a server refuses.

use std::time::Duration;

use fred::types::config::{Config, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::node::Info;

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Most bytes of the answer that are read.
const MOST: u64 = 16 * 1024;

/// The progress in words; `None` when it can't be asked this way (TLS, a password, several servers).
pub(crate) async fn progress(config: &Config) -> Option<String> {
    if config.tls.is_some() || config.password.is_some() {
        return None;
    }
    let asked = async {
        match &config.server {
            ServerConfig::Centralized { server } => {
                ask(TcpStream::connect((&*server.host, server.port)).await.ok()?).await
            }
            ServerConfig::Unix { path } => ask(UnixStream::connect(path).await.ok()?).await,
            ServerConfig::Clustered { .. } | ServerConfig::Sentinel { .. } => None,
        }
    };
    words(&Info::from(timeout(WITHIN, asked).await.ok()??))
}

/// Asks, says goodbye, and reads to the end.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<String> {
    stream.write_all(b"*2\r\n$4\r\nINFO\r\n$11\r\npersistence\r\n*1\r\n$4\r\nQUIT\r\n").await.ok()?;
    let mut text = Vec::new();
    stream.take(MOST).read_to_end(&mut text).await.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The progress that INFO tells.
pub(crate) fn words(info: &Info) -> Option<String> {
    let percent = info.get("loading_loaded_perc")?;
    let left = info.number("loading_eta_seconds").map_or_else(String::new, |s| format!(", about {s} s left"));
    Some(format!("{percent}% loaded{left}"))
}
