//! Receives bounces: a small LMTP (RFC 2033) and SMTP server for the mail server that delivers them. It accepts only
//! messages to return paths that were made here, replies 250 only after the report is stored, and never sends
//! anything.
//!
//! Only CRLF ends a line, so no message can contain another one. Input of clients appears in no reply and no log.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use smtp_proto::{Error, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::bounce_handler::BounceHandler;
use crate::connection_limits::{ConnectionLimits, ConnectionPermit};
use crate::dsn::{BounceReport, Kind};
use crate::verp::AttemptInPath;

/// The longest command, with its line end; the longest useful one has about 1,000 bytes.
const MOST_LINE: usize = 2_048;
/// RFC 5321 4.5.3.1.8 requires at least 100.
const MOST_RECIPIENTS: usize = 100;
/// Refused commands after which a connection is closed.
const MOST_FAULTS: u32 = 50;
/// Bytes per read.
const PIECE: usize = 16 * 1024;
/// Pause after an error of accept.
const REST: Duration = Duration::from_millis(100);

/// Timeouts of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BounceTimeouts {
    /// The next command. RFC 5321 4.5.3.2.7 wants five minutes for a public server; the client of this one is a
    /// nearby mail server that retries.
    pub(crate) command: Duration,
    /// The next byte of a message, and the write of a reply.
    pub(crate) byte: Duration,
    /// A whole message.
    pub(crate) message: Duration,
    /// A client idle for this long is disconnected if others wait.
    pub(crate) silent: Duration,
    /// A connection.
    pub(crate) life: Duration,
    /// Connections still open when the process stops.
    pub(crate) linger: Duration,
}

impl Default for BounceTimeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(60),
            byte: Duration::from_secs(60),
            message: Duration::from_secs(300),
            silent: Duration::from_secs(2),
            life: Duration::from_secs(3_600),
            linger: Duration::from_secs(1),
        }
    }
}

/// The server.
pub(crate) struct BounceServer {
    pub(crate) handler: BounceHandler,
    pub(crate) places: Arc<ConnectionLimits>,
    /// Connections that may wait for a permit.
    pub(crate) waiting: usize,
    pub(crate) max_parsed_size: usize,
    pub(crate) max_size: usize,
    pub(crate) waits: BounceTimeouts,
}

impl BounceServer {
    /// Serves until `stop`; then accepts no more connections and waits briefly for the open ones.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let (this, mut talks) = (Arc::new(self), JoinSet::new());
        let most = this.places.all().saturating_add(this.waiting);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = talks.join_next() => {}
                accepted = listener.accept(), if talks.len() < most => match accepted {
                    Ok((stream, peer)) => {
                        // Without it a reply may wait for an acknowledgement; a failure only costs time.
                        let _ = stream.set_nodelay(true);
                        let (this, stop) = (Arc::clone(&this), stop.clone());
                        talks.spawn(async move { this.receive(stream, peer.ip(), &stop).await });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "could not accept a connection for bounces");
                        tokio::time::sleep(REST).await;
                    }
                },
            }
        }
        drop(listener);
        let all = async { while talks.join_next().await.is_some() {} };
        let _ = timeout(this.waits.linger, all).await;
    }

    /// Serves a client once there is a permit for it.
    async fn receive(&self, mut stream: TcpStream, peer: IpAddr, stop: &CancellationToken) {
        let place = tokio::select! {
            place = self.places.take(peer) => place,
            () = stop.cancelled() => return,
        };
        let Ok(place) = place else {
            counter!("posthaste_bounce_connections_rejected_total").increment(1);
            // The connection is closed in any case, and the client retries.
            let farewell = stream.write_all(b"421 4.7.0 too many connections from your address\r\n");
            let _ = timeout(self.waits.linger, farewell).await;
            return;
        };
        // It ends by itself or by the timeout; the client has the replies sent so far.
        let _ = timeout(self.waits.life, Box::pin(Talk::new(stream, self, place).run(stop))).await;
    }
}

/// One connection.
pub(crate) struct Talk<'a, S> {
    stream: S,
    read: Vec<u8>,
    post: &'a BounceServer,
    /// Whether it replies for each recipient after a message.
    lmtp: bool,
    greeted: bool,
    /// Whether MAIL was accepted.
    begun: bool,
    to: Vec<AttemptInPath>,
    faults: u32,
    place: ConnectionPermit,
}

/// What follows a command.
enum Next {
    Command,
    Message,
    End,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Talk<'a, S> {
    pub(crate) fn new(stream: S, post: &'a BounceServer, place: ConnectionPermit) -> Self {
        let (read, to) = (Vec::new(), Vec::new());
        Self { stream, read, post, lmtp: false, greeted: false, begun: false, to, faults: 0, place }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> io::Result<()> {
        self.say("220 posthaste bounce server").await?;
        let (lost, most) = (self.place.lost(), self.post.waits.command);
        loop {
            self.place.waits(true);
            let line = tokio::select! {
                line = timeout(most, self.line()) => line,
                () = stop.cancelled() => return self.say("421 4.3.2 shutting down").await,
                () = lost.cancelled() => return self.say("421 4.3.2 idle while others wait").await,
            };
            self.place.waits(false);
            let Ok(line) = line else { return self.say("421 4.4.2 idle for too long").await };
            let Some(line) = line? else { return Ok(()) };
            match self.command(&line).await? {
                Next::Command if self.faults > MOST_FAULTS => {
                    return self.say("421 4.7.0 too many errors").await;
                }
                Next::Command => {}
                Next::Message => self.message().await?,
                Next::End => return Ok(()),
            }
        }
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        let bytes = format!("{reply}\r\n");
        timeout(self.post.waits.byte, async {
            self.stream.write_all(bytes.as_bytes()).await?;
            self.stream.flush().await
        })
        .await?
    }

    async fn refuse(&mut self, reply: &str) -> io::Result<Next> {
        self.faults += 1;
        self.say(reply).await.map(|()| Next::Command)
    }

    /// Reads more bytes; false at the end of the stream.
    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.read).await? > 0)
    }

    /// The next line with its end; `None` at the end of the stream.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                let rest = self.read.split_off(at + 2);
                return Ok(Some(std::mem::replace(&mut self.read, rest)));
            }
            if self.read.len() > MOST_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    async fn command(&mut self, line: &[u8]) -> io::Result<Next> {
        let inside = line.strip_suffix(b"\r\n").unwrap_or(line);
        if line.len() > MOST_LINE || inside.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return self.refuse("500 5.5.2 invalid line").await;
        }
        match Request::parse(&mut line.iter()) {
            Ok(Request::Lhlo { .. }) => self.greet(true, true).await,
            Ok(Request::Ehlo { .. }) => self.greet(false, true).await,
            Ok(Request::Helo { .. }) => self.greet(false, false).await,
            Ok(Request::Noop { .. }) => self.say("250 2.0.0 ok").await.map(|()| Next::Command),
            Ok(Request::Rset) => {
                self.reset();
                self.say("250 2.0.0 ok").await.map(|()| Next::Command)
            }
            Ok(Request::Quit) => self.say("221 2.0.0 bye").await.map(|()| Next::End),
            Ok(Request::Mail { .. } | Request::Rcpt { .. } | Request::Data) if !self.greeted => {
                self.refuse("503 5.5.1 send LHLO or EHLO first").await
            }
            Ok(Request::Mail { .. }) if self.begun => self.refuse("503 5.5.1 MAIL was already sent").await,
            Ok(Request::Mail { from }) if from.size > self.post.max_size => {
                self.refuse("552 5.3.4 too large").await
            }
            Ok(Request::Mail { .. }) => {
                self.begun = true;
                self.say("250 2.1.0 ok").await.map(|()| Next::Command)
            }
            Ok(Request::Rcpt { .. }) if !self.begun => self.refuse("503 5.5.1 send MAIL first").await,
            Ok(Request::Rcpt { .. }) if self.to.len() >= MOST_RECIPIENTS => {
                self.refuse("452 4.5.3 too many recipients").await
            }
            Ok(Request::Rcpt { to }) => match self.post.handler.knows(&to.address) {
                Some(named) => {
                    self.to.push(named);
                    self.say("250 2.1.5 ok").await.map(|()| Next::Command)
                }
                None => {
                    counter!("posthaste_bounces_rejected_total").increment(1);
                    self.refuse("550 5.1.1 no such return path").await
                }
            },
            Ok(Request::Data) if self.to.is_empty() => self.refuse("503 5.5.1 no recipients").await,
            Ok(Request::Data) => self.say("354 send the message").await.map(|()| Next::Message),
            Ok(_) | Err(Error::UnknownCommand) => self.refuse("502 5.5.1 command not implemented").await,
            Err(Error::InvalidRecipientAddress | Error::InvalidSenderAddress) => {
                self.refuse("501 5.1.3 invalid address").await
            }
            Err(_) => self.refuse("501 5.5.4 syntax error").await,
        }
    }

    async fn greet(&mut self, lmtp: bool, extended: bool) -> io::Result<Next> {
        (self.lmtp, self.greeted) = (lmtp, true);
        self.reset();
        let features = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
            .map(|name| format!("250-{name}\r\n"));
        let size = self.post.max_size;
        let reply = match extended {
            true => format!("250-posthaste\r\n{}250 SIZE {size}", features.concat()),
            false => "250 posthaste".to_owned(),
        };
        self.say(&reply).await.map(|()| Next::Command)
    }

    fn reset(&mut self) {
        self.begun = false;
        self.to.clear();
    }

    /// Receives a message and stores its report.
    async fn message(&mut self) -> io::Result<()> {
        let until = Instant::now() + self.post.waits.message;
        let (text, size) = timeout_at(until, self.text()).await??;
        let to = std::mem::take(&mut self.to);
        self.reset();
        if size > self.post.max_size {
            let answers = if self.lmtp { to.len() } else { 1 };
            for _ in 0..answers {
                self.refuse("552 5.3.4 too large").await?;
            }
            return Ok(());
        }
        // Parsed off the async threads; a panic of the parser ends here.
        let handler = self.post.handler.clone();
        let read = tokio::task::spawn_blocking(move || handler.read(&text)).await;
        let received = read.unwrap_or(BounceReport::Nothing(Kind::Unclear));
        let mut all_stored = true;
        for named in &to {
            let reported = match timeout_at(until, self.post.handler.tell(named, received)).await {
                Ok(reported) => reported,
                Err(_) => Err(crate::bounce_handler::Again::TooLong),
            };
            if let Err(again) = &reported {
                tracing::warn!(
                    event = "feedback.not_stored",
                    source = "bounce",
                    error = %again,
                    "a bounce could not be stored; the sending server must retry"
                );
            }
            all_stored &= reported.is_ok();
            if self.lmtp {
                self.say(reply(reported.is_ok())).await?;
            }
        }
        if self.lmtp { Ok(()) } else { self.say(reply(all_stored)).await }
    }

    /// The beginning of a text, up to the part that is parsed, and its full size.
    async fn text(&mut self) -> io::Result<(Vec<u8>, usize)> {
        let mut text = Text { kept: Vec::new(), most: self.post.max_parsed_size, size: 0, begins: true };
        loop {
            let (used, ended) = text.take(&self.read);
            self.read.drain(..used);
            if ended {
                return Ok((text.kept, text.size));
            }
            if text.size / 2 > self.post.max_size {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too large"));
            }
            self.read.reserve(PIECE);
            if !timeout(self.post.waits.byte, self.more()).await?? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A text that arrives in pieces. Our own, because the receiver of smtp-proto also ends a text at a dot and two
/// carriage returns.
struct Text {
    kept: Vec<u8>,
    most: usize,
    size: usize,
    /// Whether the next byte begins a line.
    begins: bool,
}

impl Text {
    /// Consumes bytes; returns how many, and whether the text has ended.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut used = 0;
        while let Some(at) = bytes[used..].windows(2).position(|two| two == b"\r\n") {
            let line = &bytes[used..used + at + 2];
            used += line.len();
            if self.begins && line == b".\r\n" {
                return (used, true);
            }
            self.keep(line);
            self.begins = true;
        }
        // A long line is consumed in parts; its last byte may be half of a CRLF.
        let rest = &bytes[used..];
        if rest.len() > PIECE {
            let part = &rest[..rest.len() - 1];
            self.keep(part);
            self.begins = false;
            used += part.len();
        }
        (used, false)
    }

    fn keep(&mut self, part: &[u8]) {
        self.size += part.len();
        let part = if self.begins { part.strip_prefix(b".").unwrap_or(part) } else { part };
        let room = self.most.saturating_sub(self.kept.len());
        self.kept.extend(&part[..part.len().min(room)]);
    }
}

fn reply(is_stored: bool) -> &'static str {
    if is_stored { "250 2.0.0 accepted" } else { "451 4.3.0 not stored, try again later" }
}

#[cfg(test)]
#[path = "bounce_server_tests.rs"]
mod tests;
