//! One connection: lines in, replies out, with bounds on both, plain or encrypted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The longest command line; RFC 5321 requires 512, with extensions about 2,000.
const MOST_LINE_BYTES: usize = 4_096;
const READ_BYTES: usize = 16 * 1024;
/// Replies are sent once they reach this size, even if more commands wait.
const MOST_REPLY_BYTES: usize = 16 * 1024;
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How often a hanging connection checks whether the client is still there.
const HANG_LOOK: Duration = Duration::from_millis(100);

/// The conversation has ended, for this reason. Not an error of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The client closed or reset.
    Gone,
    /// The client was idle for too long.
    Idle,
}

/// A command line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole {
        text: Bytes,
        /// Whether CR LF ended it, rather than a bare LF.
        crlf: bool,
    },
    TooLong,
}

pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    output: Vec<u8>,
    idle_for: Duration,
    reply_after: Duration,
    /// Skip an LF that follows a CR already taken as the end of a message.
    skip_lf: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Closed,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, idle_for: Duration, reply_after: Duration) -> Self {
        // Without it, small replies may wait for the client's acknowledgement; a failure only costs time.
        let _ = stream.set_nodelay(true);
        let (input, output) = (BytesMut::new(), Vec::new());
        Self { stream: Stream::Plain(stream), input, output, idle_for, reply_after, skip_lf: false }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Whether the client has sent more than was read.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Discards unread input from the client.
    pub(super) fn discard_input(&mut self) {
        self.input.clear();
    }

    pub(super) fn skip_lf(&mut self) {
        self.skip_lf = true;
    }

    /// The next command line. Replies are sent when there is nothing left to read, so a group of commands gets one
    /// group of replies.
    pub(super) async fn line(&mut self) -> Result<Line, Lost> {
        let mut too_long = false;
        let mut looked = 0;
        loop {
            self.drop_skipped_lf();
            if let Some(at) = memchr::memchr(b'\n', self.input.get(looked..).unwrap_or_default()) {
                let mut text = self.input.split_to(looked + at);
                self.input.advance(1);
                if self.output.len() > MOST_REPLY_BYTES {
                    self.flush().await?;
                }
                if too_long || text.len() > MOST_LINE_BYTES {
                    return Ok(Line::TooLong);
                }
                let crlf = text.last() == Some(&b'\r');
                if crlf {
                    text.truncate(text.len() - 1);
                }
                return Ok(Line::Whole { text: text.freeze(), crlf });
            }
            looked = self.input.len();
            if looked > MOST_LINE_BYTES {
                too_long = true;
                self.input.clear();
                looked = 0;
            }
            self.fill().await?;
        }
    }

    /// The next piece of a message: the unread rest of the buffer, or at least one new byte.
    pub(super) async fn piece(&mut self) -> Result<&mut BytesMut, Lost> {
        self.drop_skipped_lf();
        while self.input.is_empty() {
            self.fill().await?;
            self.drop_skipped_lf();
        }
        Ok(&mut self.input)
    }

    fn drop_skipped_lf(&mut self) {
        if self.skip_lf && !self.input.is_empty() {
            self.skip_lf = false;
            if self.input.first() == Some(&b'\n') {
                self.input.advance(1);
            }
        }
    }

    /// Sends waiting replies, then reads.
    async fn fill(&mut self) -> Result<(), Lost> {
        self.flush().await?;
        self.input.reserve(READ_BYTES);
        match timeout(self.idle_for, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0) | Err(_)) => Err(Lost::Gone),
            Ok(Ok(_)) => Ok(()),
            Err(_) => Err(Lost::Idle),
        }
    }

    /// Queues a line of a reply.
    pub(super) fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Queues raw bytes.
    pub(super) fn say_raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Sends everything queued.
    pub(super) async fn flush(&mut self) -> Result<(), Lost> {
        if self.output.is_empty() {
            return Ok(());
        }
        if !self.reply_after.is_zero() {
            sleep(self.reply_after).await;
        }
        let write = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        // A client that does not read its replies is treated as idle.
        match timeout(self.idle_for, write).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Lost::Gone),
            Err(_) => return Err(Lost::Idle),
        }
        self.output.clear();
        Ok(())
    }

    /// Does the TLS handshake. The caller discards input read before it.
    pub(super) async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> Result<(), Lost> {
        self.stream = match std::mem::replace(&mut self.stream, Stream::Closed) {
            Stream::Plain(stream) => match timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                Ok(Err(_)) => return Err(Lost::Gone),
                Err(_) => return Err(Lost::Idle),
            },
            other => other,
        };
        Ok(())
    }

    /// Sends what is queued and closes normally.
    pub(super) async fn close(mut self) {
        let _ = self.flush().await;
        // A client that does not accept the close gets it when the connection is dropped.
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }

    /// Resets the connection; queued replies are lost.
    pub(super) fn reset(self) {
        if let Some(tcp) = self.tcp() {
            // If this fails, the connection is closed normally instead, which is acceptable.
            let _ = tcp.set_zero_linger();
        }
    }

    /// Sends and reads nothing more until the client is gone or `longest` is over.
    pub(super) async fn hang(self, longest: Duration) {
        let Some(tcp) = self.tcp() else { return };
        let gone = async {
            // Reading would free the client's buffer, and a hanging server does not do that.
            while let Ok(ready) = tcp.ready(Interest::READABLE | Interest::WRITABLE).await {
                if ready.is_read_closed() || ready.is_error() {
                    return;
                }
                sleep(HANG_LOOK).await;
            }
        };
        let _ = timeout(longest, gone).await;
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(tcp) => Some(tcp),
            Stream::Tls(tls) => Some(tls.get_ref().0),
            Stream::Closed => None,
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
