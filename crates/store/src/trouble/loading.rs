//! How far a server has got with loading its data, and why it can't write to its disk. Asked over a separate
//! connection: without a password the client begins every connection with a PING, which such a server refuses.

use std::time::Duration;

use fred::types::config::{Config, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::command::Info;

/// Time limit for the whole query.
const WITHIN: Duration = Duration::from_secs(2);
/// Most bytes of the answer that are read.
const MOST: u64 = 16 * 1024;

/// The progress as text; `None` when it can't be queried this way (TLS, a password, several servers).
pub(crate) async fn progress(config: &Config) -> Option<String> {
    words(&persistence(config).await?)
}

/// Which write of the server failed last; `None` as for [`progress`].
pub(crate) async fn disk(config: &Config) -> Option<String> {
    disk_words(&persistence(config).await?)
}

async fn persistence(config: &Config) -> Option<Info> {
    if config.tls.is_some() || config.password.is_some() {
        return None;
    }
    let requested = async {
        match &config.server {
            ServerConfig::Centralized { server } => {
                ask(TcpStream::connect((&*server.host, server.port)).await.ok()?).await
            }
            ServerConfig::Unix { path } => ask(UnixStream::connect(path).await.ok()?).await,
            ServerConfig::Clustered { .. } | ServerConfig::Sentinel { .. } => None,
        }
    };
    timeout(WITHIN, requested).await.ok()?.map(Info::from)
}

/// Sends the query and QUIT, and reads to the end.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<String> {
    stream.write_all(b"*2\r\n$4\r\nINFO\r\n$11\r\npersistence\r\n*1\r\n$4\r\nQUIT\r\n").await.ok()?;
    let mut text = Vec::new();
    stream.take(MOST).read_to_end(&mut text).await.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The progress from INFO.
pub(crate) fn words(info: &Info) -> Option<String> {
    let percent = info.get("loading_loaded_perc")?;
    let left = info.number("loading_eta_seconds").map_or_else(String::new, |s| format!(", about {s} s left"));
    Some(format!("{percent}% loaded{left}"))
}

/// Failed writes from INFO.
pub(crate) fn disk_words(info: &Info) -> Option<String> {
    let failed = |field| info.get(field) == Some("err");
    match (failed("aof_last_write_status"), failed("rdb_last_bgsave_status")) {
        (true, _) => Some("the last write of its append-only file failed".to_owned()),
        (false, true) => Some("its last RDB save failed".to_owned()),
        (false, false) => None,
    }
}
