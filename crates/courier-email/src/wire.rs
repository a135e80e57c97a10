//! The byte stream below a conversation: what lettre leaves out. Small writes leave at once, and a peer that answers without
//! end is cut off.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

/// Bytes a peer may send between two of our writes; a reply with 100 lines is a tenth of it.
const MOST_BETWEEN_WRITES: usize = 128 * 1024;

/// What the system holds for a peer that does not read. With less of it more of what goes wrong is known not to have been sent.
const SEND_BUFFER: u32 = 256 * 1024;

/// A stream that knows its peer and how much came since the last write.
pub(crate) struct Wire<S> {
    inner: S,
    peer: SocketAddr,
    since_write: usize,
}

impl Wire<TcpStream> {
    /// Connects. Small writes are not held back: a message is followed by five bytes that the other side waits for.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let inner = socket.connect(address).await?;
        inner.set_nodelay(true)?;
        Ok(Self { inner, peer: address, since_write: 0 })
    }
}

impl<S> Wire<S> {
    /// A stream on top of another, to the same peer.
    pub(crate) fn over(inner: S, peer: SocketAddr) -> Self {
        Self { inner, peer, since_write: 0 }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.since_write > MOST_BETWEEN_WRITES {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a reply without end")));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.since_write += buf.filled().len() - before;
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.since_write = 0;
        Pin::new(&mut this.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.peer)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Wire<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
