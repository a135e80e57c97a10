//! A bare SMTP client that sends exactly what the test says; every wait is bounded by the common patience of all
//! tests.

use std::io;
use std::sync::Arc;

use posthaste_rig::{eventually_async, patience};
use posthaste_sandbox::{Attempt, Sandbox, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) struct Client(pub(crate) BufStream<Box<dyn Stream>>);

pub(crate) async fn start() -> Sandbox {
    Sandbox::start(Settings::default()).await.unwrap()
}

/// Waits until the sandbox has recorded `n` attempts, and returns them.
pub(crate) async fn attempts(sandbox: &Sandbox, n: usize) -> Vec<Arc<Attempt>> {
    eventually_async(&format!("{n} attempts"), async || {
        let attempts = sandbox.attempts();
        if attempts.len() >= n { Ok(attempts) } else { Err(attempts.len()) }
    })
    .await
}

impl Client {
    /// Connects and reads the greeting.
    pub(crate) async fn greeted(sandbox: &Sandbox) -> Self {
        let mut client = Self::connected(sandbox).await;
        assert_eq!(client.reply().await.0, 220);
        client
    }

    /// Connects, reads the greeting and says EHLO.
    pub(crate) async fn ready(sandbox: &Sandbox) -> Self {
        let mut client = Self::greeted(sandbox).await;
        client.expect("EHLO client.test", 250).await;
        client
    }

    pub(crate) async fn connected(sandbox: &Sandbox) -> Self {
        Self::over(TcpStream::connect(sandbox.smtp()).await.unwrap())
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self(BufStream::new(Box::new(stream)))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// One line of a reply without its end, or how the connection ended.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        timeout(patience(), async {
            while !line.ends_with(b"\r\n") {
                line.push(self.0.read_u8().await?);
            }
            line.truncate(line.len() - 2);
            Ok(String::from_utf8_lossy(&line).into_owned())
        })
        .await
        .expect("the server says something")
    }

    /// A whole reply: its code and its lines.
    pub(crate) async fn reply(&mut self) -> (u16, String) {
        self.try_reply().await.unwrap()
    }

    pub(crate) async fn try_reply(&mut self) -> io::Result<(u16, String)> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            let (code, rest) = line.split_at(3);
            text.push_str(rest);
            text.push('\n');
            if !rest.starts_with('-') {
                return Ok((code.parse().unwrap(), text));
            }
        }
    }

    /// Sends a line and returns the text of the reply, which must have this code.
    pub(crate) async fn expect(&mut self, line: &str, code: u16) -> String {
        self.send(format!("{line}\r\n")).await;
        let (answered, text) = self.reply().await;
        assert_eq!(answered, code, "after {line:?}: {text}");
        text
    }

    /// MAIL and RCPT.
    pub(crate) async fn envelope(&mut self, to: &str) {
        self.expect("MAIL FROM:<from@client.test>", 250).await;
        self.expect(&format!("RCPT TO:<{to}>"), 250).await;
    }

    /// MAIL, RCPT, DATA, a short message and the dot; everything except its reply.
    pub(crate) async fn message(&mut self, to: &str) {
        self.envelope(to).await;
        self.expect("DATA", 354).await;
        self.send("Subject: Hello\r\n\r\nHello.\r\n.\r\n").await;
    }

    /// How the connection ends: `Ok` normally, `Err` by a reset.
    pub(crate) async fn ending(&mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        let read = timeout(patience(), self.0.read_to_end(&mut rest)).await;
        read.expect("the connection ends").map(|_| ())
    }
}
