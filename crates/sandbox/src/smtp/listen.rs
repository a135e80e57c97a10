//! The SMTP listeners: each connection in a task of its own, up to a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use posthaste_model::{Channel, Clock};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session;
use crate::faults::Faults;
use crate::record::Record;
use crate::settings::SmtpServerSettings;

/// Pause of a listener when the system refuses a connection (usually: no file descriptors left).
const REST: Duration = Duration::from_millis(100);

/// State shared by all connections.
pub(crate) struct Server {
    pub(crate) settings: SmtpServerSettings,
    pub(crate) channel: Channel,
    pub(crate) order_header: String,
    pub(crate) record: Arc<Record>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tls: TlsAcceptor,
    /// Bytes of messages being received.
    pub(crate) receiving: AtomicUsize,
    /// Connections so far.
    pub(crate) connections: AtomicU64,
    /// Connections that may still be opened.
    pub(crate) places: Arc<Semaphore>,
}

/// Accepts connections until `stop`. With `implicit_tls` they begin with the handshake.
pub(crate) async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    implicit_tls: bool,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&server.places).try_acquire_owned() else {
            turn_away(stream, implicit_tls).await;
            continue;
        };
        let (server, stop) = (Arc::clone(&server), stop.clone());
        let number = server.connections.fetch_add(1, Ordering::Relaxed) + 1;
        tasks.spawn(async move {
            let conversation = session::converse(&server, stream, peer.ip(), number, implicit_tls);
            // Boxed, to keep the task of a waiting connection small.
            stop.run_until_cancelled(Box::pin(conversation)).await;
            drop(place);
        });
    }
}

/// Sends the reason, if that does not block, and closes.
async fn turn_away(mut stream: TcpStream, implicit_tls: bool) {
    if !implicit_tls {
        let say = stream.write_all(b"421 4.3.2 Too many connections, try again later\r\n");
        let _ = tokio::time::timeout(Duration::from_millis(10), say).await;
    }
}
