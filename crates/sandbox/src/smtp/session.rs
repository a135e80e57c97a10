//! The conversation of one connection: the command loop, the commands outside a message, and the faults on the way.

use std::net::IpAddr;

use bytes::Bytes;
use posthaste_model::{Address, Text};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::command::{self, BadCommand, Command};
use super::listen::Server;
use super::transaction::{Dialogue, Transaction};
use super::wire::{Line, Lost, Wire};
use crate::faults::{Decision, Occasion, RefusalAnswer, Then};
use crate::record::{Attempt, AttemptOutcome, AttemptStage, Cut, Ending, NotRecorded, Protocol, SmtpFacts};
use crate::settings::{Extension, Tolerance};

/// Invalid or out-of-order commands before the connection is answered 421.
const MOST_BAD: u32 = 50;

/// Bytes shown of a line that is not a command.
const MOST_SHOWN: usize = 200;

/// Why a conversation ends.
#[derive(Debug)]
pub(super) enum Stop {
    Lost(Lost),
    /// The conversation is finished.
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
    /// The stage an attempt would have if the connection ended now.
    pub(super) stage: AttemptStage,
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
        stage: AttemptStage::Greeting,
    };
    let stop = session.talk().await;
    session.end(stop).await;
}

impl Session<'_> {
    /// Runs to the end; returns why it ended.
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
        if let Some(answer) = self.meet(AttemptStage::Greeting, &[]).await? {
            self.refuse_early(AttemptStage::Greeting, answer.code, answer.text())?;
            return Err(Stop::Close);
        }
        let greeting = format!("{} ESMTP fake provider, nothing leaves here", self.server.settings.host);
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
                // It may hold a password.
                let is_auth = text.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
                let start = text.get(..MOST_SHOWN).unwrap_or(&text);
                let shown = if is_auth { "AUTH ***".to_owned() } else { start.escape_ascii().to_string() };
                self.dialogue.add('C', &shown);
                self.bad(code, answer)
            }
            Ok(command) => {
                // The parser accepts only UTF-8.
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
        if let Some(answer) = self.meet(AttemptStage::Ehlo, &[]).await? {
            return self.refuse_early(AttemptStage::Ehlo, answer.code, answer.text());
        }
        self.extended = extended;
        self.stage = AttemptStage::Ehlo;
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
        if let Some(answer) = self.meet(AttemptStage::Starttls, &[]).await? {
            return self.refuse_early(AttemptStage::Starttls, answer.code, answer.text());
        }
        if self.wire.has_input() && self.server.settings.tolerance == Tolerance::Strict {
            self.answer(503, "5.5.1 Nothing may follow STARTTLS before the handshake")?;
            return Err(Stop::Close);
        }
        self.answer(220, "2.0.0 Go ahead")?;
        self.wire.flush().await?;
        // Clear-text input must not be treated as if it had been encrypted (CVE-2011-0411).
        self.wire.discard_input();
        self.wire.encrypt(&self.server.tls).await?;
        self.hello.clear();
        self.extended = false;
        self.user = None;
        Ok(())
    }

    /// Whether an extension is active.
    pub(super) fn has(&self, extension: Extension) -> bool {
        !self.server.settings.without.contains(&extension)
    }

    /// Whether the client has sent EHLO or HELO.
    pub(super) fn said_hello(&self) -> bool {
        !self.hello.is_empty()
    }

    /// Sends a reply of one line. After a 421 the conversation ends.
    pub(super) fn answer(&mut self, code: u16, text: &str) -> Result<(), Stop> {
        let text = if self.has(Extension::EnhancedStatusCodes) {
            text
        } else {
            command::without_enhanced_code(text)
        };
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{code} {text}");
        self.dialogue.add('S', &line);
        self.wire.say(&line);
        if code == 421 { Err(Stop::Close) } else { Ok(()) }
    }

    /// Answers an invalid line; too many of them end the conversation.
    pub(super) fn bad(&mut self, code: u16, text: &str) -> Result<(), Stop> {
        self.bad += 1;
        if self.bad > MOST_BAD {
            return self.answer(421, "4.7.0 Too many bad commands");
        }
        self.answer(code, text)
    }

    /// Checks for faults at a stage and does what is not left to the caller: waiting, cutting, babbling. Returns the
    /// refusal to send, if there is one.
    pub(super) async fn meet(
        &mut self,
        stage: AttemptStage,
        recipients: &[&str],
    ) -> Result<Option<RefusalAnswer>, Stop> {
        let occasion = Occasion {
            channel: &self.server.channel,
            stage,
            peer: self.peer,
            sender: self.transaction.as_ref().map(|transaction| transaction.sender.as_str()),
            recipients,
        };
        let Decision { wait, then } = self.server.faults.decide(&occasion, Instant::now());
        if stage < AttemptStage::Dot {
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

    /// Ends the current message, if any, without a result.
    pub(super) fn give_up(&mut self) {
        let Some(transaction) = &self.transaction else { return };
        let outcome = match transaction.last_refusal {
            Some(code) if transaction.taken.is_empty() => {
                AttemptOutcome::new(Ending::Refused, AttemptStage::Rcpt, Some(code))
            }
            _ => AttemptOutcome::new(Ending::Left, self.stage, None),
        };
        self.conclude_early(outcome);
    }

    /// As [`Self::conclude`], for an attempt without a message.
    pub(super) fn conclude_early(&mut self, outcome: AttemptOutcome) {
        if let Err(error) = self.conclude(outcome, Bytes::new(), 0) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(event = "sandbox.record_failed", error, "cannot write to the record file");
        }
    }

    /// Records the attempt and returns its id; afterwards there is no current message.
    pub(super) fn conclude(
        &mut self,
        outcome: AttemptOutcome,
        raw: Bytes,
        size: u64,
    ) -> Result<u64, NotRecorded> {
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
            Stop::Cut(cut) if self.stage < AttemptStage::Dot => {
                let outcome = AttemptOutcome::new(Ending::Cut, self.stage, None);
                self.conclude_early(AttemptOutcome { cut: Some(*cut), ..outcome });
            }
            Stop::Babble(_) if self.stage < AttemptStage::Dot => {
                let outcome = AttemptOutcome::new(Ending::Cut, self.stage, None);
                self.conclude_early(AttemptOutcome { cut: Some(Cut::Drop), ..outcome });
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
            // Replies from before are sent first. A client that has left does not need them.
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
