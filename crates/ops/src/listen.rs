//! A listener and an accept loop that bounds the resources of clients: connections, header time, header and body size, answers
//! that are not read, and the lifetime of a connection. (`axum::serve` bounds none of these.)

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;

use crate::address::ListenAddress;

/// How long the loop waits after the system refused a connection (usually because no file descriptors are left).
const REST: Duration = Duration::from_millis(100);

/// The limits a listener sets for its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Maximum concurrent connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a client may take to send a request's headers. Bounds idle connections too.
    pub header_time: Duration,
    /// Maximum size of a request's headers, in bytes; at least 8 KiB.
    pub header_bytes: usize,
    /// Maximum size of a request's body, in bytes; a larger one is answered with 413.
    pub body_bytes: usize,
    /// How long a client may leave an answer unread before it is disconnected. `None`: unlimited.
    pub write_time: Option<Duration>,
    /// How long a connection may live; then it finishes the current answer and closes. `None`: unlimited.
    pub connection_life: Option<Duration>,
    /// How long a closing connection may take to finish the current answer before it is cut.
    pub linger: Duration,
}

impl ListenerLimits {
    /// Limits for an endpoint open to the public, with small requests.
    #[must_use]
    pub const fn for_strangers(body_bytes: usize) -> Self {
        Self {
            connections: 512,
            header_time: Duration::from_secs(10),
            header_bytes: 16 << 10,
            body_bytes,
            write_time: Some(Duration::from_secs(10)),
            connection_life: Some(Duration::from_secs(600)),
            linger: Duration::from_secs(5),
        }
    }
}

/// A socket that is bound but not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: ListenAddress,
    file: Option<SocketFile>,
}

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: ListenAddress,
    source: io::Error,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a unix socket; removed when the listener is dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may already be gone.
        let _ = std::fs::remove_file(&self.0);
    }
}

enum Stream {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Stream::Tcp(stream, peer)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl Listener {
    /// Binds the address. Replaces the file of a unix socket that a dead process left behind; owner and group may use
    /// the new one.
    ///
    /// # Errors
    /// The address is in use, not on this machine or not allowed.
    pub async fn bind(address: &ListenAddress) -> Result<Self, ListenError> {
        let refuse = |source| ListenError { address: address.clone(), source };
        match address {
            ListenAddress::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await.map_err(refuse)?;
                let bound = listener.local_addr().map_err(refuse)?;
                Ok(Self { socket: Socket::Tcp(listener), address: ListenAddress::Tcp(bound), file: None })
            }
            ListenAddress::Unix(path) => {
                remove_dead_socket(path).await.map_err(refuse)?;
                let listener = UnixListener::bind(path).map_err(refuse)?;
                let file = SocketFile(path.clone());
                let rights = std::fs::Permissions::from_mode(0o660);
                std::fs::set_permissions(path, rights).map_err(refuse)?;
                Ok(Self { socket: Socket::Unix(listener), address: address.clone(), file: Some(file) })
            }
        }
    }

    /// The bound address, with the actual port.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Serves the router over HTTP/1.1 until `stop`. Then it accepts no new connections, lets the others finish their current
    /// answers and returns when all are closed, after `linger` at the latest. Dropping the future cuts all connections.
    ///
    /// Requests over TCP carry `axum::extract::ConnectInfo<SocketAddr>`.
    pub async fn serve(self, router: Router, limits: ListenerLimits, stop: CancellationToken) {
        let router = router.layer(RequestBodyLimitLayer::new(limits.body_bytes));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept(), if connections.len() < limits.connections => match accepted {
                    Ok(stream) => {
                        let (router, stop) = (router.clone(), stop.clone());
                        connections.spawn(converse(stream, router, limits, stop));
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(
                            event = "port.accept_failed",
                            address = %self.address,
                            %error,
                            "cannot accept connections"
                        );
                        tokio::time::sleep(REST).await;
                    }
                },
            }
        }
        drop((self.socket, self.file));
        while connections.join_next().await.is_some() {}
    }
}

/// Removes a socket file that no process listens on. Anything else at that path is left for `bind` to refuse.
async fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn converse(stream: Stream, router: Router, limits: ListenerLimits, stop: CancellationToken) {
    match stream {
        Stream::Tcp(stream, peer) => {
            // Otherwise small answers may wait for the client's acknowledgement; a failure only costs time.
            let _ = stream.set_nodelay(true);
            drive(stream, Some(peer), router, limits, stop).await;
        }
        Stream::Unix(stream) => drive(stream, None, router, limits, stop).await,
    }
}

async fn drive<S>(
    stream: S,
    peer: Option<SocketAddr>,
    router: Router,
    limits: ListenerLimits,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(limits.write_time);
    let stream = Box::pin(stream);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // A client may close its sending side and still wait for its answer.
        .half_close(true)
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let over = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = after(limits.connection_life) => {}
        }
    };
    // An error on one connection (a client that leaves, bad HTTP) does not affect the others.
    // A request that has arrived is handled before the end of the connection's lifetime.
    tokio::select! {
        biased;
        result = connection.as_mut() => log(result),
        () = over => {
            connection.as_mut().graceful_shutdown();
            if let Ok(result) = tokio::time::timeout(limits.linger, connection).await {
                log(result);
            }
        }
    }
}

fn log(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended with an error");
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
