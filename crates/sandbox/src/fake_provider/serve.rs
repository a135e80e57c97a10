//! Connections in tasks of their own, request by request; and the listener, which can be closed and reopened.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::provider::{How, Poll, Provider};
use super::server::Shared;
use super::wire::{self, Broken};

/// Pause of a listener when the system refuses a connection.
const REST: Duration = Duration::from_millis(100);
/// Timeout for one request, and of an idle connection.
const IDLE: Duration = Duration::from_secs(300);
/// Longest time an answer waits for callbacks.
const MOST_HOLD: Duration = Duration::from_secs(20);
/// Connections queued by the system before they are accepted.
const BACKLOG: u32 = 1_024;

/// A listener, and a second socket on its port that listens only after the first is gone. So the port stays ours while
/// it is closed, and connections to it are refused.
#[derive(Debug)]
pub(super) struct Door {
    listener: Option<TcpListener>,
    spare: TcpSocket,
    pub(super) address: SocketAddr,
}

impl Door {
    pub(super) fn open(address: SocketAddr) -> std::io::Result<Self> {
        if address.port() != 0 {
            // Sockets that share a port do not detect a conflict with each other; this one does.
            drop(std::net::TcpListener::bind(address)?);
        }
        let listener = socket(address)?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener: Some(listener), spare: socket(address)?, address })
    }

    fn set(&mut self, open: bool) -> std::io::Result<()> {
        if !open {
            self.listener = None;
        } else if self.listener.is_none() {
            let next = socket(self.address)?;
            self.listener = Some(std::mem::replace(&mut self.spare, next).listen(BACKLOG)?);
        }
        Ok(())
    }
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub(super) async fn serve<P: Provider>(
    mut door: Door,
    shared: Arc<Shared<P>>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(shared.bounds.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut wanted = shared.wanted.subscribe();
    let mut shut = stop.child_token();
    loop {
        let open = *wanted.borrow_and_update();
        if !open {
            shut.cancel();
        } else if shut.is_cancelled() {
            shut = stop.child_token();
        }
        if door.set(open).is_err() {
            tokio::time::sleep(REST).await;
            continue;
        }
        shared.is_open.send_replace(open);
        let next = async {
            let Some(listener) = &door.listener else { return std::future::pending().await };
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            next = next => next,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (shared, shut) = (Arc::clone(&shared), shut.clone());
        tasks.spawn(async move {
            shut.run_until_cancelled(Box::pin(converse(stream, peer.ip(), &shared))).await;
            drop(place);
        });
    }
}

/// Bytes received on a connection and not yet answered. What is left when the connection ends, for whatever reason, is
/// recorded.
struct Came<'a, P: Provider> {
    bytes: BytesMut,
    connection: u64,
    peer: IpAddr,
    shared: &'a Shared<P>,
}

impl<P: Provider> Came<'_, P> {
    fn broke(&mut self, status: Option<u16>) {
        if !self.bytes.is_empty() {
            self.shared.broke(self.bytes.split().freeze(), self.connection, self.peer, status);
        }
    }
}

impl<P: Provider> Drop for Came<'_, P> {
    fn drop(&mut self) {
        self.broke(None);
    }
}

/// Serves one connection until it ends.
async fn converse<P: Provider>(mut stream: TcpStream, peer: IpAddr, shared: &Shared<P>) {
    // Send small answers at once.
    let _ = stream.set_nodelay(true);
    let connection = shared.connection();
    let mut came = Came { bytes: BytesMut::new(), connection, peer, shared };
    loop {
        let read = tokio::time::timeout(IDLE, wire::read(&mut stream, &mut came.bytes)).await;
        let request = match read.unwrap_or(Err(Broken::Gone)) {
            Ok(request) => request,
            Err(Broken::Gone) => return,
            Err(Broken::Bad(status)) => {
                came.broke(Some(status));
                wire::write(&mut stream, &wire::encode(&Answer::html(status), false)).await;
                return;
            }
        };
        let _in_flight = shared.enter();
        let mut reply = shared.treat(&request, connection, peer);
        tokio::time::sleep(shared.reply_after().saturating_add(reply.late)).await;
        if let Some(hold) = reply.hold {
            let _ = tokio::time::timeout(MOST_HOLD, hold).await;
        }
        if let Some(Poll { reported, most }) = reply.poll
            && let Ok(Ok(instead)) = tokio::time::timeout(most, reported).await
        {
            reply.answer = instead;
        }
        let bytes = wire::encode(&reply.answer, request.keep_alive);
        match reply.how {
            How::Whole => {}
            How::Hang => return tokio::time::sleep(shared.bounds.hang_for).await,
            How::Part => {
                wire::write(&mut stream, &bytes[..bytes.len() - reply.answer.body.len() / 2]).await;
                let _ = stream.set_zero_linger();
                return;
            }
            How::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
        }
        if !wire::write(&mut stream, &bytes).await || !request.keep_alive {
            return;
        }
    }
}
