//! Moves bytes between one client and the server, and applies the rules to them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::Instant;

use super::Traffic;
use super::delivery::deliver;
use super::rule::ProxiedCommand;
use super::shared::{Decision, Mode, Pending, Shared};
use super::socket::{Listener, Socket};
use crate::resp::{Kind, Scanner};

const CHUNK: usize = 64 * 1024;
/// Chunks queued while latency is on; above this the server is not read.
const DELAYED: usize = 256;
/// A larger command ends its connection.
const MAX_COMMAND: usize = 512 * 1024 * 1024;
/// Sent to the server in place of a command that is answered here.
const BLANK: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Commands forwarded and not yet answered; above this the client waits.
const MAX_PENDING: usize = 65_536;

/// Why a connection ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// One side closed it: close the other side the same way.
    Closed,
    /// A fault: reset it.
    Cut,
}

/// Accepts until the proxy is dropped.
pub(super) async fn serve(listener: Listener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok(client) => {
                shared.lock().report.connections += 1;
                if shared.mode() == Mode::Refuse {
                    client.reset();
                } else {
                    tokio::spawn(connection(client, Arc::clone(&shared)));
                }
            }
            // Probably out of file descriptors: wait until others close some.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(mut client: Socket, shared: Arc<Shared>) {
    let mut cuts = shared.cuts();
    let opened = tokio::select! {
        _ = cuts.changed() => None,
        server = async { shared.clear_sky().await; Socket::connect(&shared.upstream).await } => server.ok(),
    };
    let Some(mut server) = opened else { return client.reset() };
    let waiting = Waiting::default();
    let end = {
        let (from_client, to_client) = tokio::io::split(&mut client);
        let (from_server, to_server) = tokio::io::split(&mut server);
        let (late, due) = mpsc::channel(DELAYED);
        let there = Forth { shared: &shared, waiting: &waiting, to_server };
        let back = Back { shared: &shared, waiting: &waiting, late };
        tokio::select! {
            _ = cuts.changed() => End::Cut,
            end = there.run(from_client) => end,
            // The direction to the client ends when everything in flight has arrived.
            end = async { tokio::join!(back.run(from_server), arrive(due, to_client)).0 } => end,
        }
    };
    for pending in waiting.drain() {
        let ready = shared.answered(&pending);
        deliver(&shared, ready).await;
    }
    if end == End::Cut {
        client.reset();
        server.reset();
    }
}

/// The commands of one connection that wait for their answers, oldest first.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<Pending>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self) -> VecDeque<Pending> {
        std::mem::take(&mut *self.lock())
    }
}

/// From the client to the server.
struct Forth<'a, W> {
    shared: &'a Arc<Shared>,
    waiting: &'a Waiting,
    to_server: W,
}

impl<W: AsyncWrite + Unpin> Forth<'_, W> {
    async fn run(mut self, mut client: impl AsyncRead + Unpin) -> End {
        let (mut chunk, mut held, mut scanner) = (vec![0; CHUNK], Vec::new(), Scanner::default());
        let mut login = Vec::new();
        loop {
            self.shared.clear_sky().await;
            let n = match client.read(&mut chunk).await {
                Ok(0) => break,
                Ok(n) => n,
                Err(_) => return End::Closed,
            };
            self.shared.clear_sky().await;
            let sent = match self.shared.traffic {
                Traffic::Bytes => self.to_server.write_all(&chunk[..n]).await,
                Traffic::Resp => {
                    match self.commands(&chunk[..n], &mut held, &mut scanner, &mut login).await {
                        Ok(true) => Ok(()),
                        Ok(false) => return End::Cut,
                        Err(error) => Err(error),
                    }
                }
            };
            if sent.is_err() {
                return End::Closed;
            }
        }
        // The client has finished sending but may still read; the server decides when to end.
        if self.to_server.shutdown().await.is_err() {
            return End::Closed;
        }
        std::future::pending().await
    }

    /// Forwards the commands that are complete; `false` when one of them is to be lost.
    async fn commands(
        &mut self,
        chunk: &[u8],
        held: &mut Vec<u8>,
        scanner: &mut Scanner,
        login: &mut Vec<ProxiedCommand>,
    ) -> io::Result<bool> {
        let mut begin = 0;
        for (end, _) in scanner.feed(chunk).map_err(io::Error::other)? {
            held.extend_from_slice(&chunk[begin..end]);
            begin = end;
            while self.waiting.lock().len() >= MAX_PENDING {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut raw = std::mem::take(held);
            match self.shared.judge(&raw, login) {
                Decision::Drop => return Ok(false),
                Decision::Forward(pending) => {
                    if pending.blank {
                        raw = BLANK.to_vec();
                    }
                    self.waiting.lock().push_back(pending);
                }
            }
            self.to_server.write_all(&raw).await?;
            self.shared.lock().report.forwarded += 1;
        }
        held.extend_from_slice(&chunk[begin..]);
        if held.len() > MAX_COMMAND { Err(io::Error::other("the command is too long")) } else { Ok(true) }
    }
}

/// From the server to the client.
struct Back<'a> {
    shared: &'a Arc<Shared>,
    waiting: &'a Waiting,
    late: Sender<(Instant, Vec<u8>)>,
}

impl Back<'_> {
    async fn run(self, mut server: impl AsyncRead + Unpin) -> End {
        let (mut chunk, mut scanner) = (vec![0; CHUNK], Scanner::default());
        loop {
            self.shared.clear_sky().await;
            let n = match server.read(&mut chunk).await {
                Ok(0) | Err(_) => return End::Closed,
                Ok(n) => n,
            };
            self.shared.clear_sky().await;
            let passed = match self.shared.traffic {
                Traffic::Bytes => self.pass(&chunk[..n]).await,
                Traffic::Resp => self.answers(&chunk[..n], &mut scanner).await,
            };
            if let Err(end) = passed {
                return end;
            }
        }
    }

    async fn answers(&self, chunk: &[u8], scanner: &mut Scanner) -> Result<(), End> {
        let ends = scanner.feed(chunk).map_err(|_| End::Cut)?;
        let mut begin = 0;
        for (end, kind) in ends {
            if kind == Kind::Push {
                continue;
            }
            // An answer without a waiting command is a message of a RESP2 subscription.
            let Some(pending) = self.waiting.lock().pop_front() else { continue };
            let ready = self.shared.answered(&pending);
            deliver(self.shared, ready).await;
            if pending.drop_reply {
                return Err(End::Cut);
            }
            self.pass(pending.instead.as_deref().unwrap_or(&chunk[begin..end])).await?;
            begin = end;
        }
        // The rest is the beginning of the next answer; if that one is lost or replaced, so is its beginning.
        let lost = |pending: &Pending| pending.drop_reply || pending.instead.is_some();
        let lost = self.waiting.lock().front().is_some_and(lost);
        if lost { Ok(()) } else { self.pass(&chunk[begin..]).await }
    }

    async fn pass(&self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        let due = Instant::now() + self.shared.lock().latency;
        self.late.send((due, bytes.to_vec())).await.map_err(|_| End::Closed)
    }
}

/// Passes each chunk to the client when its time has come.
async fn arrive(mut due: Receiver<(Instant, Vec<u8>)>, mut client: impl AsyncWrite + Unpin) {
    while let Some((time, bytes)) = due.recv().await {
        tokio::time::sleep_until(time).await;
        if client.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
