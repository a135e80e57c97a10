//! The mail server's side of LMTP, and the messages it delivers.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::net::SocketAddr;

use posthaste_rig::patience;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::served::{KEY, Served};

/// Settings with return paths and a port for bounces.
pub(crate) const BOUNCES: [(&str, &str); 3] =
    [("bounces.address", "bounces+{}@example.org"), ("bounces.key", KEY), ("bounces.listen", "127.0.0.1:0")];

impl Served {
    /// Delivers a message over LMTP; returns the reply to its text.
    pub(crate) async fn bring(&self, to: &str, message: &str) -> String {
        let mut client = Client::open(self.bounces()).await;
        client.greet("LHLO").await;
        client.bring("", &[to], message).await.concat()
    }
}

/// One connection, from the mail server's side.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        assert!(client.reply().await.starts_with("220 "));
        client
    }

    pub(crate) async fn greet(&mut self, verb: &str) {
        let reply = self.ask(&format!("{verb} mx.example.org")).await;
        assert!(reply.contains("250 SIZE") && reply.contains("PIPELINING"), "{reply}");
    }

    /// All lines of a reply; empty at the end of the connection.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(patience(), self.0.read_line(&mut line));
            if read.await.expect("a reply in time").unwrap_or_default() == 0 {
                return reply;
            }
            reply.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Delivers a whole message; returns the replies to its text, one for each recipient.
    pub(crate) async fn bring(&mut self, from: &str, to: &[&str], message: &str) -> Vec<String> {
        assert!(self.ask(&format!("MAIL FROM:<{from}>")).await.starts_with("250 "));
        for to in to {
            let reply = self.ask(&format!("RCPT TO:<{to}>")).await;
            assert!(reply.starts_with("250 "), "{reply}");
        }
        assert!(self.ask("DATA").await.starts_with("354 "));
        let text = message.replace("\r\n", "\n").replace("\n.", "\n..").replace('\n', "\r\n");
        self.write(format!("{text}\r\n.\r\n").as_bytes()).await;
        let mut replies = Vec::new();
        for _ in to {
            replies.push(self.reply().await);
        }
        replies
    }
}

/// A report in the format of a mail server.
pub(crate) fn report(action: &str, status: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\nTo: bounces@example.org\nSubject: Undelivered\n\
         Auto-Submitted: auto-replied\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b1\n\n\
         --b1\nContent-Type: text/plain\n\nIt did not work.\n\n--b1\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; canary-6152@mail.example\n\
         Action: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {status} canary-6152@mail.example said\n\n\
         --b1\nContent-Type: message/rfc822\n\nSubject: News\n\nHello\n--b1--\n"
    )
}
