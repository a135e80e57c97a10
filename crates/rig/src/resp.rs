//! A bare RESP2 connection for raw commands: synchronous, bounded in time and memory.
//!
//! Tests use it to prepare state and to inspect it; the programs under test have their own client.

mod frame;
mod reply;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use frame::{Kind, Scanner};
pub use frame::{decode_command, encode_command};
pub use reply::RespReply;

/// Parses one whole reply from bytes.
pub(crate) fn parse_reply(mut raw: &[u8]) -> Result<RespReply, String> {
    reply::read(&mut raw).map_err(|stop| match stop {
        Stop::Io(error) => error.to_string(),
        Stop::NotResp(text) => text,
    })
}

use crate::eventually::patience;
use crate::{Error, Result};

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl From<&Path> for Endpoint {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

/// One connection. Every command must be answered within [`patience`] unless [`Connection::set_time_limit`] changes
/// that; after a timeout or a protocol error the connection is unusable and returns an error.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<Timed>,
    limit: Duration,
    broken: bool,
}

impl Connection {
    /// Connects, waiting at most [`patience`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when no server listens there.
    pub fn open(endpoint: &Endpoint) -> Result<Self> {
        let limit = patience();
        let socket = match endpoint {
            Endpoint::Tcp(addr) => {
                let stream = TcpStream::connect_timeout(addr, limit);
                let stream = stream.map_err(Error::io(format!("connecting to {addr}")))?;
                stream.set_nodelay(true).map_err(Error::io("setting TCP_NODELAY"))?;
                Socket::Tcp(stream)
            }
            Endpoint::Unix(path) => Socket::Unix(
                UnixStream::connect(path).map_err(Error::io(format!("connecting to {}", path.display())))?,
            ),
        };
        let timed = Timed { socket, deadline: Instant::now() + limit };
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, timed), limit, broken: false })
    }

    /// Changes the timeout of later commands.
    pub fn set_time_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sends one command and reads one reply. An error reply is a [`RespReply::Error`], not an `Err`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the connection fails or no whole reply came in time (see [`Error::is_timeout`]),
    /// [`Error::Protocol`] when the reply is not valid RESP.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<RespReply> {
        self.send(args)?;
        self.receive()
    }

    /// Sends one command and reads nothing; for pipelines and subscriptions.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the connection fails.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<()> {
        self.send_raw(&encode_command(args))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the connection fails.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.guarded("sending a command", |me| Ok(me.stream.get_mut().write_all(bytes)?))
    }

    /// Reads one reply or one pushed message.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn receive(&mut self) -> Result<RespReply> {
        self.guarded("waiting for a reply", |me| reply::read(&mut me.stream))
    }

    /// Reads one reply or message if it starts to arrive within `wait`, else returns `None` and leaves the
    /// connection usable.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn receive_within(&mut self, wait: Duration) -> Result<Option<RespReply>> {
        self.stream.get_mut().deadline = Instant::now() + wait;
        match self.stream.fill_buf() {
            Ok(_) => self.receive().map(Some),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
            Err(e) => {
                self.broken = true;
                Err(Error::io("waiting for a message")(e))
            }
        }
    }

    fn guarded<T>(&mut self, what: &str, act: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T> {
        if self.broken {
            let gone = io::Error::new(io::ErrorKind::NotConnected, "this connection failed before");
            return Err(Error::io(what)(gone));
        }
        self.stream.get_mut().deadline = Instant::now() + self.limit;
        act(self).map_err(|stop| {
            self.broken = true;
            match stop {
                Stop::Io(source) => Error::io(what)(source),
                Stop::NotResp(text) => Error::Protocol(text),
            }
        })
    }
}

/// Why a reply could not be read.
#[derive(Debug)]
pub(crate) enum Stop {
    Io(io::Error),
    NotResp(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket with one deadline for all reads and writes of an operation.
#[derive(Debug)]
struct Timed {
    socket: Socket,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.socket {
            Socket::Tcp(s) => s.set_read_timeout(left).and_then(|()| s.read(buffer)),
            Socket::Unix(s) => s.set_read_timeout(left).and_then(|()| s.read(buffer)),
        }
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.socket {
            Socket::Tcp(s) => s.set_write_timeout(left).and_then(|()| s.write(buffer)),
            Socket::Unix(s) => s.set_write_timeout(left).and_then(|()| s.write(buffer)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
