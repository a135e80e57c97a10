//! The byte stream of a session, with or without TLS: commands go out, replies come in, and no more replies than
//! commands are accepted.
//!
//! A reply that no command requested is an error. This matters most for plain text after the reply to STARTTLS, where
//! only TLS may follow: if it were kept, it would be taken for replies under TLS, and an attacker on the path could
//! write them (RFC 3207 6).

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use crate::reply_parser::{Answer, Arrivals, Senseless};
use crate::reply_rules::SmtpReply;

/// The socket's send buffer. The smaller it is, the more failures are known to have happened before the message was
/// sent.
const SEND_BUFFER: u32 = 256 * 1024;
/// Bytes per read.
const PIECE: usize = 4 * 1024;

/// What went wrong.
#[derive(Debug, Clone)]
pub(crate) enum SmtpErrorKind {
    /// The relay replied with an error code.
    Reply(SmtpReply),
    /// No reply in time.
    Silent,
    /// The connection failed or was lost. The text holds nothing that the relay sent.
    Lost(String),
    /// An invalid reply, or one with a code that makes no sense here.
    Nonsense,
    /// A reply to no command.
    Surplus,
    /// Plain text where TLS must begin.
    Injected,
}

impl From<io::Error> for SmtpErrorKind {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

trait Bytes: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Bytes for S {}

/// A byte stream, and the received bytes not yet consumed.
pub(crate) struct SmtpStream {
    stream: Box<dyn Bytes>,
    arrivals: Arrivals,
}

impl SmtpStream {
    /// Connects, without delay of small writes: a message is followed by five bytes that the relay waits for.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), arrivals: Arrivals::default() })
    }

    /// Starts TLS. Unread bytes from before end the connection.
    pub(crate) async fn secured(
        self,
        tls: &TlsConnector,
        name: &ServerName<'static>,
    ) -> Result<Self, SmtpErrorKind> {
        if !self.arrivals.is_empty() {
            return Err(SmtpErrorKind::Injected);
        }
        match tls.connect(name.clone(), self.stream).await {
            Ok(stream) => Ok(Self { stream: Box::new(stream), arrivals: Arrivals::default() }),
            Err(error) => Err(SmtpErrorKind::Lost(format!("TLS: {error}"))),
        }
    }

    /// Sends a command, or several in one write, and returns the reply if its code is below 400.
    pub(crate) async fn ask(&mut self, commands: impl fmt::Display) -> Result<Answer, SmtpErrorKind> {
        self.nothing_came()?;
        self.write(commands.to_string().as_bytes()).await?;
        self.answer().await
    }

    /// The next reply, if its code is below 400.
    pub(crate) async fn answer(&mut self) -> Result<Answer, SmtpErrorKind> {
        loop {
            match self.arrivals.next() {
                Ok(Some(answer)) if answer.code < 400 => return Ok(answer),
                Ok(Some(refusal)) => {
                    return Err(SmtpErrorKind::Reply(SmtpReply::new(refusal.code, &refusal.text())));
                }
                Ok(None) => {}
                Err(Senseless) => return Err(SmtpErrorKind::Nonsense),
            }
            let room = self.arrivals.room();
            room.reserve(PIECE);
            // Bounded here, because a read may fill all spare capacity of the buffer.
            if (&mut self.stream).take(PIECE as u64).read_buf(room).await? == 0 {
                return Err(SmtpErrorKind::Lost("the connection was closed".to_owned()));
            }
        }
    }

    /// Checks that no unrequested reply is left: it would be taken for the reply to the next command. A relay may
    /// close at any time and announce it by 421 (RFC 5321 3.8).
    pub(crate) fn nothing_came(&mut self) -> Result<(), SmtpErrorKind> {
        if self.arrivals.is_empty() {
            return Ok(());
        }
        match self.arrivals.next() {
            Ok(Some(answer)) if answer.code == 421 => {
                Err(SmtpErrorKind::Reply(SmtpReply::new(421, &answer.text())))
            }
            _ => Err(SmtpErrorKind::Surplus),
        }
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), SmtpErrorKind> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}
