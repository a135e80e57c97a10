//! The conversation of one connection: the loop over commands, what belongs to no message, and the faults on the way.

use std::net::IpAddr;

use bytes::Bytes;
use posthaste_model::{Address, Text};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::command::{self, BadCommand, Command};
use super::listen::Server;
use super::transaction::{Dialogue, Transaction};
use super::wire::{Line, Lost, Wire};
use crate::faults::{Answer, Decision, Occasion, Then};
use crate::record::{Attempt, Cut, Ending, NotRecorded, Outcome, Protocol, SmtpFacts, Stage};
use crate::settings::{Extension, Tolerance};

/// Lines that are no commands, or out of order, before the connection is answered 421.
const MOST_BAD: u32 = 50;

/// Bytes shown of a line that is no command.
const MOST_SHOWN: usize = 200;

/// Why a conversation ends.
#[derive(Debug)]
pub(super) enum Stop {
    Lost(Lost),
    /// All is said.
    Close,
    Cut(Cut),
    Babble(u32),
}

impl From<Lost> for Stop {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

pub(super) struct Session<'a> {
    pub(super) server: &'a Server,
    pub(super) wire: Wire,
    pub(super) peer: IpAddr,
    connection: u64,
    hello: String,
    /// Whether the client said EHLO.
    pub(super) extended: bool,
    pub(super) user: Option<String>,
    pub(super) dialogue: Dialogue,
    /// Messages so far.
    pub(super) messages: u64,
    bad: u32,
    pub(super) transaction: Option<Transaction>,
    /// Where an attempt would end if the connection ended now.
    pub(super) stage: Stage,
}

/// Talks with one client to the end.
pub(super) async fn converse(
    server: &Server,
    stream: TcpStream,
    peer: IpAddr,
    connection: u64,
    implicit_tls: bool,
) {
    let settings = &server.settings;
    let mut wire = Wire::new(stream, settings.idle_for, settings.reply_after);
    if implicit_tls && wire.encrypt(&server.tls).await.is_err() {
        return;
    }
    let mut session = Session {
        server,
        wire,
        peer,
        connection,
        hello: String::new(),
        extended: false,
        user: None,
        dialogue: Dialogue::default(),
        messages: 0,
        bad: 0,
        transaction: None,
        stage: Stage::Greeting,
    };
    let stop = session.talk().await;
    session.end(stop).await;
}

impl Session<'_> {
    /// Until the end, and why it ended.
    async fn talk(&mut self) -> Stop {
        if let Err(stop) = self.greet().await {
            return stop;
        }
        loop {
            if let Err(stop) = self.next().await {
                return stop;
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Stop> {
        if let Some(answer) = self.meet(Stage::Greeting, &[]).await? {
            self.refuse_early(Stage::Greeting, answer.code, answer.text())?;
            return Err(Stop::Close);
        }
        let greeting = format!("{} ESMTP stand-in, nothing leaves here", self.server.settings.host);
        self.answer(220, &greeting)
    }

    async fn next(&mut self) -> Result<(), Stop> {
        let (text, crlf) = match self.wire.line().await? {
            Line::Whole { text, crlf } => (text, crlf),
            Line::TooLong => {
                self.dialogue.add('C', "(a line too long)");
                return self.bad(500, "5.5.2 Line too long");
            }
        };
        if !crlf && self.server.settings.tolerance == Tolerance::Strict {
            self.answer(500, "5.5.2 Lines end with CR LF")?;
            return Err(Stop::Close);
        }
        match command::parse(&text) {
            Err(BadCommand(code, answer)) => {
                // A password may stand in it.
                let is_auth = text.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
                let start = text.get(..MOST_SHOWN).unwrap_or(&text);
                let shown = if is_auth { "AUTH ***".to_owned() } else { start.escape_ascii().to_string() };
                self.dialogue.add('C', &shown);
                self.bad(code, answer)
            }
            Ok(command) => {
                // The parser lets UTF-8 pass only.
                let said = String::from_utf8_lossy(&text);
                match &command {
                    Command::Auth(mechanism, _) => self.dialogue.add('C', &format!("AUTH {mechanism} ***")),
                    _ => self.dialogue.add('C', &said),
                }
                self.obey(command).await
            }
        }
    }

    async fn obey(&mut self, command: Command<'_>) -> Result<(), Stop> {
        match command {
            Command::Ehlo(name) => self.hello(name, true).await,
            Command::Helo(name) => self.hello(name, false).await,
            Command::StartTls => self.start_tls().await,
            Command::Auth(mechanism, initial) => self.auth(mechanism, initial).await,
            Command::Mail(path) => self.mail(&path).await,
            Command::Rcpt(path) => self.rcpt(&path).await,
            Command::Data => self.data().await,
            Command::Reset => {
                self.give_up();
                self.answer(250, "2.0.0 Ok")
            }
            Command::Noop => self.answer(250, "2.0.0 Ok"),
            Command::Verify => self.answer(252, "2.5.0 Send it and see"),
            Command::Help => self.answer(214, "2.0.0 See RFC 5321"),
            Command::Quit => {
                self.give_up();
                self.answer(221, "2.0.0 Bye")?;
                Err(Stop::Close)
            }
        }
    }

    async fn hello(&mut self, name: &str, extended: bool) -> Result<(), Stop> {
        self.give_up();
        name.clone_into(&mut self.hello);
        if let Some(answer) = self.meet(Stage::Ehlo, &[]).await? {
            return self.refuse_early(Stage::Ehlo, answer.code, answer.text());
        }
        self.extended = extended;
        self.stage = Stage::Ehlo;
        let host = &self.server.settings.host;
        if !extended {
            return self.answer(250, host);
        }
        let mut lines = vec![host.clone()];
        let mut announce = |extension, line: String| {
            if self.has(extension) {
                lines.push(line);
            }
        };
        announce(Extension::Size, format!("SIZE {}", self.server.settings.max_message_bytes));
        announce(Extension::Pipelining, "PIPELINING".into());
        announce(Extension::EightBitMime, "8BITMIME".into());
        announce(Extension::SmtpUtf8, "SMTPUTF8".into());
        announce(Extension::EnhancedStatusCodes, "ENHANCEDSTATUSCODES".into());
        if !self.wire.is_tls() {
            announce(Extension::StartTls, "STARTTLS".into());
        }
        if self.wire.is_tls() || !self.server.settings.auth.only_over_tls {
            announce(Extension::Auth, "AUTH PLAIN LOGIN".into());
        }
        let last = lines.len() - 1;
        for (i, line) in lines.iter().enumerate() {
            let line = format!("250{}{line}", if i == last { ' ' } else { '-' });
            self.dialogue.add('S', &line);
            self.wire.say(&line);
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), Stop> {
        if !self.has(Extension::StartTls) {
            return self.answer(502, "5.5.1 Command not implemented");
        }
        if self.wire.is_tls() || self.transaction.is_some() {
            return self.answer(503, "5.5.1 Bad sequence of commands");
        }
        if let Some(answer) = self.meet(Stage::Starttls, &[]).await? {
            return self.refuse_early(Stage::Starttls, answer.code, answer.text());
        }
        if self.wire.has_input() && self.server.settings.tolerance == Tolerance::Strict {
            self.answer(503, "5.5.1 Nothing may follow STARTTLS before the handshake")?;
            return Err(Stop::Close);
        }
        self.answer(220, "2.0.0 Go ahead")?;
        self.wire.flush().await?;
        // What came in clear must not count as said under encryption (CVE-2011-0411).
        self.wire.discard_input();
        self.wire.encrypt(&self.server.tls).await?;
        self.hello.clear();
        self.extended = false;
        self.user = None;
        Ok(())
    }

    /// Whether an extension is known here.
    pub(super) fn has(&self, extension: Extension) -> bool {
        !self.server.settings.without.contains(&extension)
    }

    /// Whether the client has said who it is.
    pub(super) fn said_hello(&self) -> bool {
        !self.hello.is_empty()
    }

    /// Says a reply of one line. After a 421 the conversation is over.
    pub(super) fn answer(&mut self, code: u16, text: &str) -> Result<(), Stop> {
        let text = if self.has(Extension::EnhancedStatusCodes) { text } else { without_enhanced(text) };
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{code} {text}");
        self.dialogue.add('S', &line);
        self.wire.say(&line);
        if code == 421 { Err(Stop::Close) } else { Ok(()) }
    }

    /// Answers a line that makes no sense; too many of them end the conversation.
    pub(super) fn bad(&mut self, code: u16, text: &str) -> Result<(), Stop> {
        self.bad += 1;
        if self.bad > MOST_BAD {
            return self.answer(421, "4.7.0 Too many bad commands");
        }
        self.answer(code, text)
    }

    /// Asks for faults at a stage and does what is not left to the caller: waiting, cutting, babbling. Gives the refusal
    /// to say, if there is one.
    pub(super) async fn meet(&mut self, stage: Stage, recipients: &[&str]) -> Result<Option<Answer>, Stop> {
        let occasion = Occasion {
            channel: &self.server.channel,
            stage,
            peer: self.peer,
            sender: self.transaction.as_ref().map(|transaction| transaction.sender.as_str()),
            recipients,
        };
        let Decision { wait, then } = self.server.faults.decide(&occasion, Instant::now());
        if stage < Stage::Dot {
            self.stage = stage;
        }
        if !wait.is_zero() {
            self.wire.flush().await?;
            sleep(wait).await;
        }
        match then {
            None => Ok(None),
            Some(Then::Refuse(answer)) => Ok(Some(answer)),
            Some(Then::Cut(cut)) => Err(Stop::Cut(cut)),
            Some(Then::Babble(bytes)) => Err(Stop::Babble(bytes)),
        }
    }

    /// The message under way, if any, ends without a verdict on it.
    pub(super) fn give_up(&mut self) {
        let Some(transaction) = &self.transaction else { return };
        let outcome = match transaction.last_refusal {
            Some(code) if transaction.taken.is_empty() => {
                Outcome::new(Ending::Refused, Stage::Rcpt, Some(code))
            }
            _ => Outcome::new(Ending::Left, self.stage, None),
        };
        self.conclude_early(outcome);
    }

    /// As [`Self::conclude`], of an attempt that brought no message.
    pub(super) fn conclude_early(&mut self, outcome: Outcome) {
        if let Err(error) = self.conclude(outcome, Bytes::new(), 0) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an attempt is missing in the record file"
            );
        }
    }

    /// Writes the attempt down and gives its id; there is no message under way then.
    pub(super) fn conclude(&mut self, outcome: Outcome, raw: Bytes, size: u64) -> Result<u64, NotRecorded> {
        let server = self.server;
        let transaction =
            self.transaction.take().unwrap_or_else(|| Transaction::begin(server.clock.now(), "", ""));
        let order = super::transaction::header(&raw, &server.order_header);
        server.record.put(Attempt {
            id: 0,
            channel: server.channel.clone(),
            at: transaction.at,
            took: transaction.took(),
            connection: self.connection,
            peer: self.peer,
            sender: Address::new(transaction.sender),
            recipients: transaction.recipients.into(),
            order,
            outcome,
            raw,
            size,
            dialogue: Text::new(self.dialogue.take()),
            protocol: Protocol::Smtp(SmtpFacts {
                hello: self.hello.clone(),
                tls: self.wire.is_tls(),
                user: self.user.clone(),
                parameters: transaction.parameters,
                lenient: server.settings.tolerance == Tolerance::Lenient,
            }),
        })
    }

    async fn end(mut self, stop: Stop) {
        match &stop {
            Stop::Cut(cut) if self.stage < Stage::Dot => {
                let outcome = Outcome::new(Ending::Cut, self.stage, None);
                self.conclude_early(Outcome { cut: Some(*cut), ..outcome });
            }
            Stop::Babble(_) if self.stage < Stage::Dot => {
                let outcome = Outcome::new(Ending::Cut, self.stage, None);
                self.conclude_early(Outcome { cut: Some(Cut::Drop), ..outcome });
            }
            _ => self.give_up(),
        }
        match stop {
            Stop::Lost(Lost::Gone) => {}
            Stop::Lost(Lost::Idle) => {
                self.wire.say("421 4.4.2 Nothing said for too long");
                self.wire.close().await;
            }
            Stop::Close | Stop::Cut(Cut::Drop) => self.wire.close().await,
            // What was said before is sent first. A client that is gone meanwhile needs no more.
            Stop::Cut(cut) => {
                let _ = self.wire.flush().await;
                match cut {
                    Cut::Reset => self.wire.reset(),
                    _ => self.wire.hang(self.server.settings.hang_for).await,
                }
            }
            Stop::Babble(bytes) => {
                self.babble(bytes).await;
                self.wire.close().await;
            }
        }
    }

    async fn babble(&mut self, bytes: u32) {
        const NOISE: [u8; 4_096] = [0xfe; 4_096];
        self.wire.say_raw(b"250-");
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
        while left > 0 {
            let some = left.min(NOISE.len());
            self.wire.say_raw(NOISE.get(..some).unwrap_or_default());
            if self.wire.flush().await.is_err() {
                return;
            }
            left -= some;
        }
    }
}

/// A text without the enhanced code in front.
fn without_enhanced(text: &str) -> &str {
    match text.split_once(' ') {
        Some((code, rest)) if code.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => rest,
        _ => text,
    }
}
