//! A desk that writes down what it is told, a transport that brings it what it hears, and a mail server's side of LMTP.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{AttemptId, Desk, List, NotStored, Noted, Receipt, Transport};
use posthaste_courier_email::{Email, Open};
use posthaste_model::{Address, Reason, Suffix};
use posthaste_rig::{eventually, patience};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Settings with return paths of their own and a port for bounces.
pub(crate) const BOUNCES: [(&str, &str); 3] =
    [("bounces.address", "bounces+{}@example.org"), ("bounces.key", KEY), ("bounces.listen", "127.0.0.1:0")];

/// What it was told.
#[derive(Default)]
pub(crate) struct FakeDesk {
    receipts: Mutex<Vec<Receipt>>,
    leavers: Mutex<Vec<(AttemptId, List, Reason)>>,
    pub(crate) names: Mutex<BTreeMap<String, (Suffix, Duration)>>,
    pub(crate) remembered: AtomicU64,
    /// Nothing can be stored.
    pub(crate) away: AtomicBool,
    /// There was never such an attempt.
    pub(crate) knows_nobody: AtomicBool,
}

impl FakeDesk {
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.receipts.lock().unwrap().clone()
    }

    pub(crate) fn leavers(&self) -> Vec<(AttemptId, List, Reason)> {
        self.leavers.lock().unwrap().clone()
    }

    fn is_there(&self) -> Result<(), NotStored> {
        if self.away.load(Ordering::SeqCst) { Err(NotStored("it is away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Desk for FakeDesk {
    async fn receipt(&self, receipt: &Receipt) -> Result<Noted, NotStored> {
        self.is_there()?;
        let mut receipts = self.receipts.lock().unwrap();
        let is_new = !receipts.contains(receipt);
        receipts.push(receipt.clone());
        Ok(if is_new { Noted::Changed } else { Noted::Known })
    }

    async fn suppress(&self, _: &Address, _: &List, _: Reason) -> Result<(), NotStored> {
        panic!("e-mail knows attempts, no addresses");
    }

    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &List,
        reason: Reason,
    ) -> Result<Noted, NotStored> {
        self.is_there()?;
        if self.knows_nobody.load(Ordering::SeqCst) {
            return Ok(Noted::NoSuchAttempt);
        }
        self.leavers.lock().unwrap().push((of.clone(), list.clone(), reason));
        Ok(Noted::Changed)
    }

    async fn lift(&self, _: &Address, _: &List, _: Reason) -> Result<bool, NotStored> {
        panic!("nothing is lifted by e-mail");
    }

    async fn remember(&self, name: &str, order: &Suffix, keep: Duration) -> Result<(), NotStored> {
        self.is_there()?;
        self.remembered.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().insert(name.to_owned(), (order.clone(), keep));
        Ok(())
    }

    async fn recall(&self, name: &str) -> Result<Option<Suffix>, NotStored> {
        self.is_there()?;
        Ok(self.names.lock().unwrap().get(name).map(|(order, _)| order.clone()))
    }
}

/// A transport that listens.
pub(crate) struct Served {
    pub(crate) email: Arc<Email>,
    pub(crate) desk: Arc<FakeDesk>,
    pub(crate) open: Open,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), String>>,
}

impl Served {
    pub(crate) async fn start(email: Email) -> Self {
        let (email, desk, stop) = (Arc::new(email), Arc::new(FakeDesk::default()), CancellationToken::new());
        let task = tokio::spawn({
            let (email, desk, stop) = (Arc::clone(&email), Arc::clone(&desk), stop.clone());
            async move { email.serve(desk, stop).await }
        });
        let open = eventually("the ports", || email.open().cloned().ok_or("not open"));
        Self { email, desk, open, stop, task }
    }

    pub(crate) fn bounces(&self) -> SocketAddr {
        self.open.bounces.unwrap()
    }

    /// Brings a message by LMTP; the answer to its text.
    pub(crate) async fn bring(&self, to: &str, message: &str) -> String {
        let mut client = Client::open(self.bounces()).await;
        client.greet("LHLO").await;
        client.bring("", &[to], message).await.concat()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One conversation, from the mail server's side.
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

    /// A reply, all of its lines; empty at the end of the conversation.
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

    /// A whole message; the answers to its text, one for each recipient.
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

/// A report as a mail server makes it.
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
