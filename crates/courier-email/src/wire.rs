//! The stream below a conversation, in plain or under TLS: commands go out, replies come in, and never more of them than were
//! asked for.
//!
//! What a peer says before it is asked answers nothing. Above all what it says in plain after its answer to STARTTLS, where only
//! TLS may follow: kept, it would be taken for answers given under TLS, and whoever sits on the way could write them (RFC 3207 6).

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use crate::answer::{Answer, Arrivals, Senseless};
use crate::replies::Reply;

/// What the system holds for a peer that does not read. With less of it more of what goes wrong is known not to have been sent.
const SEND_BUFFER: u32 = 256 * 1024;
/// Bytes read at once.
const PIECE: usize = 4 * 1024;

/// What went wrong.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The relay said no.
    Reply(Reply),
    /// No answer in time.
    Silent,
    /// The connection broke, or never was. In words, without anything the relay said.
    Lost(String),
    /// An answer that is none, or at a wrong place.
    Nonsense,
    /// More than it was asked for.
    Surplus,
    /// Bytes in plain where TLS had to begin.
    Injected,
}

impl From<io::Error> for What {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

trait Bytes: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Bytes for S {}

/// A stream of bytes, and what of them was not yet taken.
pub(crate) struct Wire {
    stream: Box<dyn Bytes>,
    arrivals: Arrivals,
}

impl Wire {
    /// Connects. Small writes are not held back: a message is followed by five bytes that the other side waits for.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), arrivals: Arrivals::default() })
    }

    /// Puts TLS on it. Whatever came before and was not asked for ends the connection.
    pub(crate) async fn secured(self, tls: &TlsConnector, name: &ServerName<'static>) -> Result<Self, What> {
        if !self.arrivals.is_empty() {
            return Err(What::Injected);
        }
        match tls.connect(name.clone(), self.stream).await {
            Ok(stream) => Ok(Self { stream: Box::new(stream), arrivals: Arrivals::default() }),
            Err(error) => Err(What::Lost(format!("TLS: {error}"))),
        }
    }

    /// Says a command, or several in one write; its answer, when it is no refusal.
    pub(crate) async fn ask(&mut self, commands: impl fmt::Display) -> Result<Answer, What> {
        self.nothing_came()?;
        self.write(commands.to_string().as_bytes()).await?;
        self.answer().await
    }

    /// The next answer, when it is no refusal.
    pub(crate) async fn answer(&mut self) -> Result<Answer, What> {
        loop {
            match self.arrivals.next() {
                Ok(Some(answer)) if answer.code < 400 => return Ok(answer),
                Ok(Some(refusal)) => return Err(What::Reply(Reply::new(refusal.code, &refusal.text()))),
                Ok(None) => {}
                Err(Senseless) => return Err(What::Nonsense),
            }
            let room = self.arrivals.room();
            room.reserve(PIECE);
            // Never more than this at once: what it may add is bounded by what there is room for.
            if (&mut self.stream).take(PIECE as u64).read_buf(room).await? == 0 {
                return Err(What::Lost("the connection was closed".to_owned()));
            }
        }
    }

    /// Looks that no answer is left which nobody asked for: the next one would be taken for what it is not. A relay may close at
    /// any time and say so (RFC 5321 3.8).
    pub(crate) fn nothing_came(&mut self) -> Result<(), What> {
        if self.arrivals.is_empty() {
            return Ok(());
        }
        match self.arrivals.next() {
            Ok(Some(answer)) if answer.code == 421 => Err(What::Reply(Reply::new(421, &answer.text()))),
            _ => Err(What::Surplus),
        }
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), What> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}
