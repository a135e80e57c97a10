//! A real SMTP server on its own port, with a fault at any step on request. It accepts CR, LF and CRLF as line ends,
//! like the servers that are vulnerable to SMTP smuggling.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Message, MessageParser};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

pub(crate) use crate::plan::{Act, Plan, Step};

/// An accepted message.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

impl Mail {
    /// The message as a mail client sees it.
    pub(crate) fn read(&self) -> Message<'_> {
        MessageParser::default().parse(&self.text).unwrap()
    }
}

/// The features of a server.
#[derive(Clone, Default)]
pub(crate) struct Kind {
    pub(crate) pipelining: bool,
    pub(crate) credentials: Option<(&'static str, &'static str)>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) implicit: bool,
    /// Replies 354 to DATA although no recipient was accepted, as RFC 2920 allows.
    pub(crate) lax: bool,
    /// Supports delivery reports (RFC 3461).
    pub(crate) dsn: bool,
    /// Offers DSN but rejects its parameters at this step.
    pub(crate) no_dsn_at: Option<Step>,
}

pub(crate) struct State {
    pub(crate) kind: Kind,
    pub(crate) plan: Mutex<Plan>,
    pub(crate) taken: Mutex<Vec<Mail>>,
    /// The verb of every command.
    pub(crate) verbs: Mutex<Vec<String>>,
    /// Every MAIL and RCPT, whole.
    pub(crate) paths: Mutex<Vec<String>>,
    /// When each MAIL came.
    pub(crate) arrivals: Mutex<Vec<Instant>>,
    pub(crate) connections: AtomicU64,
    pub(crate) away: AtomicBool,
    /// When this number changes, all open sessions are closed.
    pub(crate) cut: watch::Sender<u64>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(kind: Kind) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // A small buffer, so that an unread text stays with the sender.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            kind,
            plan: Mutex::default(),
            taken: Mutex::default(),
            verbs: Mutex::default(),
            paths: Mutex::default(),
            arrivals: Mutex::default(),
            connections: AtomicU64::new(0),
            away: AtomicBool::new(false),
            cut: watch::channel(0).0,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    pub(crate) async fn plain() -> Self {
        Self::start(Kind::default()).await
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match (&self.state.kind.tls, self.state.kind.implicit) {
            (None, _) => "smtp+plain",
            (Some(_), false) => "smtp",
            (Some(_), true) => "smtps",
        };
        let host = if self.state.kind.tls.is_some() { "localhost" } else { "127.0.0.1" };
        format!("{scheme}://{host}:{}", self.address.port())
    }

    /// Sets the behaviour from now on.
    pub(crate) fn plan(&self, plan: Plan) {
        *self.state.plan.lock().unwrap() = plan;
    }

    /// Closes every open session; returns when they are closed.
    pub(crate) async fn cut(&self) {
        self.state.cut.send_modify(|number| *number += 1);
        // Each session holds a receiver until it ends.
        let closed = tokio::time::timeout(posthaste_rig::patience(), self.state.cut.closed()).await;
        closed.expect("the end of all sessions");
    }

    pub(crate) fn taken(&self) -> Vec<Mail> {
        self.state.taken.lock().unwrap().clone()
    }

    pub(crate) fn verbs(&self) -> Vec<String> {
        self.state.verbs.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        if state.away.load(Ordering::SeqCst) {
            continue;
        }
        state.connections.fetch_add(1, Ordering::SeqCst);
        let (state, mut cut) = (Arc::clone(&state), state.cut.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = converse(stream, &state) => {}
                _ = cut.changed() => {}
            }
            // The stream is dropped before the receiver.
        });
    }
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

/// The session is over.
struct Over;

struct Talk<'a> {
    stream: Box<dyn Bytes>,
    read: Vec<u8>,
    state: &'a State,
    plan: Plan,
    to: Vec<String>,
}

async fn converse(stream: TcpStream, state: &State) -> Result<(), Over> {
    let plan = state.plan.lock().unwrap().clone();
    let mut stream: Box<dyn Bytes> = Box::new(stream);
    if let (Some(tls), true) = (&state.kind.tls, state.kind.implicit) {
        stream = Box::new(tls.accept(stream).await.map_err(|_| Over)?);
    }
    let mut talk = Talk { stream, read: Vec::new(), state, plan, to: Vec::new() };
    talk.say(Step::Greeting, "220 test server").await?;
    let (mut from, mut known, mut begun) = (String::new(), state.kind.credentials.is_none(), false);
    loop {
        let line = talk.line().await?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        state.verbs.lock().unwrap().push(verb.clone());
        if matches!(verb.as_str(), "MAIL" | "RCPT") {
            state.paths.lock().unwrap().push(line.clone());
        }
        match verb.as_str() {
            "EHLO" => {
                let features = talk.features();
                talk.say(Step::Ehlo, &features).await?;
            }
            "STARTTLS" => talk = talk.upgraded().await?,
            "AUTH" => known = talk.auth(&line).await?,
            "MAIL" => {
                // The plan at the time of MAIL applies to the message.
                talk.plan = state.plan.lock().unwrap().clone();
                state.arrivals.lock().unwrap().push(Instant::now());
                talk.to.clear();
                from = path(&line);
                let right = if known { "250 2.1.0 ok" } else { "530 5.7.0 authentication required" };
                begun = match talk.knows(Step::Mail, &line) {
                    true => talk.say(Step::Mail, right).await?,
                    false => talk.write("555 5.5.4 unsupported option").await.map(|()| false)?,
                };
            }
            "RCPT" if !begun => talk.write("503 5.5.1 MAIL first").await?,
            "RCPT" if !talk.knows(Step::Rcpt, &line) => talk.write("555 5.5.4 unsupported option").await?,
            "RCPT" => {
                talk.to.push(path(&line));
                if !talk.say(Step::Rcpt, "250 2.1.5 ok").await? {
                    talk.to.pop();
                }
            }
            "DATA" if talk.to.is_empty() && !state.kind.lax => talk.write("503 5.5.1 no recipients").await?,
            "DATA" => {
                begun = false;
                if talk.say(Step::Data, "354 go").await? {
                    talk.message(&from).await?;
                }
            }
            "RSET" => {
                begun = false;
                talk.say(Step::Rset, "250 2.0.0 ok").await?;
            }
            "QUIT" => return talk.write("221 2.0.0 bye").await,
            _ => talk.write("500 5.5.2 what").await?,
        }
    }
}

/// The text between the angle brackets.
fn path(line: &str) -> String {
    line.split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map(|(path, _)| path.to_owned())
        .unwrap_or_default()
}

impl Talk<'_> {
    async fn write(&mut self, reply: &str) -> Result<(), Over> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await.map_err(|_| Over)?;
        self.stream.flush().await.map_err(|_| Over)
    }

    /// Whether it accepts the parameters of a command.
    fn knows(&self, step: Step, line: &str) -> bool {
        self.state.kind.no_dsn_at != Some(step) || line.ends_with('>')
    }

    /// The planned fault at a step, if any.
    fn act(&self, step: Step) -> Option<Act> {
        let concerned = match &self.plan.only {
            Some(only) if step >= Step::Rcpt => self.to.iter().any(|to| only.contains(to)),
            Some(_) => false,
            None => true,
        };
        self.plan.acts.get(&step).filter(|_| concerned).cloned()
    }

    /// Sends the correct reply, or does what is planned. True if the reply was not an error.
    async fn say(&mut self, step: Step, right: &str) -> Result<bool, Over> {
        match self.act(step) {
            None => {
                self.write(right).await?;
                Ok(right.starts_with(['2', '3']))
            }
            Some(Act::Say(reply)) => {
                self.write(&reply).await?;
                Ok(reply.lines().last().is_some_and(|line| line.starts_with(['2', '3'])))
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Close | Act::TakeAndClose) => Err(Over),
            Some(Act::Flood) => loop {
                self.stream.write_all(&[b'x'; 4096]).await.map_err(|_| Over)?;
            },
        }
    }

    fn features(&self) -> String {
        let mut lines = vec!["250-localhost", "250-8BITMIME"];
        if self.state.kind.pipelining {
            lines.push("250-PIPELINING");
        }
        if self.state.kind.dsn || self.state.kind.no_dsn_at.is_some() {
            lines.push("250-DSN");
        }
        if self.state.kind.tls.is_some() && !self.state.kind.implicit {
            lines.push("250-STARTTLS");
        }
        if self.state.kind.credentials.is_some() {
            lines.push("250-AUTH PLAIN LOGIN");
        }
        lines.push("250 SIZE 20000000");
        lines.join("\r\n")
    }

    async fn upgraded(mut self) -> Result<Self, Over> {
        if !self.say(Step::StartTls, "220 2.0.0 go").await? {
            return Ok(self);
        }
        let tls = self.state.kind.tls.as_ref().ok_or(Over)?;
        // Bytes from before must not be read as if they had come under TLS.
        self.read.clear();
        self.stream = Box::new(tls.accept(self.stream).await.map_err(|_| Over)?);
        Ok(self)
    }

    async fn auth(&mut self, line: &str) -> Result<bool, Over> {
        let (user, password) = self.state.kind.credentials.unwrap_or_default();
        let given = line.rsplit(' ').next().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        let right = given == format!("\0{user}\0{password}").into_bytes();
        let reply = if right { "235 2.7.0 ok" } else { "535 5.7.8 bad credential" };
        self.say(Step::Auth, reply).await
    }

    /// Reads the text up to the dot, and replies to it.
    async fn message(&mut self, from: &str) -> Result<(), Over> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            if self.act(Step::HalfText).is_some() {
                self.say(Step::HalfText, "").await?;
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
        if self.to.is_empty() {
            return self.write("554 5.5.1 no valid recipients").await;
        }
        let mail = Mail { from: from.to_owned(), to: std::mem::take(&mut self.to), text };
        // The plan depends on the recipients.
        self.to.clone_from(&mail.to);
        let take = || self.state.taken.lock().unwrap().push(mail.clone());
        match self.act(Step::Text) {
            None | Some(Act::TakeAndClose) => take(),
            Some(_) => {}
        }
        self.say(Step::Text, "250 2.0.0 taken").await?;
        self.to.clear();
        Ok(())
    }

    /// A line; CR, LF and CRLF all end one.
    async fn line(&mut self) -> Result<String, Over> {
        loop {
            if let Some(at) = self.read.iter().position(|byte| matches!(byte, b'\r' | b'\n'))
                && (self.read[at] == b'\n' || self.read.len() > at + 1)
            {
                let end = if self.read[at] == b'\r' && self.read[at + 1] == b'\n' { at + 2 } else { at + 1 };
                let rest = self.read.split_off(end);
                let line = std::mem::replace(&mut self.read, rest);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.stream.read_buf(&mut self.read).await.map_err(|_| Over)? == 0 {
                return Err(Over);
            }
        }
    }
}
