//! An SMTP session with a relay: opened, used for one message after another, closed. Every wait has its own deadline,
//! and every error carries its stage, because that decides whether a message may have been sent.
//!
//! A session is moved into the call that uses it and is returned only in a known state. If a call is dropped, its
//! connection is dropped too, so no reply is ever read for the wrong message.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, MailParameter, RcptParameter};
use tokio::time::{Instant, timeout, timeout_at};

use crate::compose::OutgoingMessage;
use crate::handshake::{authenticate, greeted, has_class_2};
use crate::relay::Relay;
use crate::reply_parser::Answer;
use crate::reply_rules::SmtpStage;
use crate::smtp_stream::{SmtpErrorKind, SmtpStream};

/// Timeout of QUIT.
const FAREWELL: Duration = Duration::from_secs(1);

/// For how long no reports are requested from a relay that rejected the parameters.
const WITHOUT_REPORTS: Duration = Duration::from_secs(3600);

/// Timeouts of each stage, our host name, and the credentials.
pub(crate) struct SessionConfig {
    pub(crate) hello: ClientId,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) connect: Duration,
    pub(crate) reply: Duration,
    pub(crate) text: Duration,
    pub(crate) final_reply: Duration,
}

/// An open session.
pub(crate) struct Session {
    wire: SmtpStream,
    pipelining: bool,
    /// Whether the relay supports delivery reports (RFC 3461).
    dsn: bool,
    /// Number of messages begun in it.
    pub(crate) used: u32,
    /// Since when it has been idle.
    pub(crate) idle_since: Instant,
}

/// What went wrong, and at which stage.
#[derive(Debug, Clone)]
pub(crate) struct SmtpError {
    pub(crate) stage: SmtpStage,
    pub(crate) what: SmtpErrorKind,
}

impl fmt::Display for SmtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, during) = match self.stage {
            SmtpStage::Connect => ("while connecting", "while connecting"),
            SmtpStage::Auth => ("to AUTH", "during AUTH"),
            SmtpStage::Mail => ("to MAIL", "during MAIL"),
            SmtpStage::Rcpt => ("to RCPT", "during RCPT"),
            SmtpStage::Data => ("to DATA", "during DATA"),
            SmtpStage::Text => ("to the message", "after the message"),
        };
        match &self.what {
            SmtpErrorKind::Reply(reply) => write!(f, "replied {reply} {to}"),
            SmtpErrorKind::Silent => write!(f, "sent no reply {to}"),
            SmtpErrorKind::Lost(why) => write!(f, "failed {during}: {why}"),
            SmtpErrorKind::Nonsense => write!(f, "sent an invalid reply {to}"),
            SmtpErrorKind::Surplus => write!(f, "sent an unrequested reply {during}"),
            SmtpErrorKind::Injected => write!(
                f,
                "sent plain text after its reply to STARTTLS, where TLS must begin: somebody between here and the relay \
                 may have injected it (RFC 3207)"
            ),
        }
    }
}

impl SmtpError {
    fn lost(stage: SmtpStage, why: impl fmt::Display) -> Self {
        Self { stage, what: SmtpErrorKind::Lost(why.to_string()) }
    }

    /// Whether the relay replied, and not by closing the session.
    fn is_answer(&self) -> bool {
        matches!(&self.what, SmtpErrorKind::Reply(reply) if reply.code != 421)
    }

    /// Whether the session is over.
    pub(crate) fn ends_it(&self) -> bool {
        matches!(&self.what, SmtpErrorKind::Lost(_))
            || matches!(&self.what, SmtpErrorKind::Reply(reply) if reply.code == 421)
    }

    /// Whether the relay rejected a parameter of MAIL or RCPT.
    fn is_about_parameters(&self) -> bool {
        matches!(self.stage, SmtpStage::Mail | SmtpStage::Rcpt)
            && matches!(&self.what, SmtpErrorKind::Reply(reply) if reply.code == 555)
    }

    /// Whether the relay reports a bad sequence of commands.
    fn is_out_of_step(&self) -> bool {
        matches!(&self.what, SmtpErrorKind::Reply(reply) if reply.code == 503)
    }
}

/// Waits until a deadline.
async fn within<T>(
    stage: SmtpStage,
    until: Instant,
    requested: impl Future<Output = Result<T, SmtpErrorKind>>,
) -> Result<T, SmtpError> {
    match timeout_at(until, requested).await {
        Ok(answered) => answered.map_err(|what| SmtpError { stage, what }),
        Err(_) => Err(SmtpError { stage, what: SmtpErrorKind::Silent }),
    }
}

/// Accepts only a reply of class 2.
async fn done(requested: impl Future<Output = Result<Answer, SmtpErrorKind>>) -> Result<(), SmtpErrorKind> {
    has_class_2(&requested.await?)
}

impl Session {
    /// Connects, starts TLS and authenticates.
    pub(crate) async fn open(
        relay: &Relay,
        session_config: &SessionConfig,
        deadline: Instant,
    ) -> Result<Self, SmtpError> {
        let until = deadline.min(Instant::now() + session_config.connect);
        let greeted = Box::pin(greeted(relay, &session_config.hello));
        let (mut wire, offers) = within(SmtpStage::Connect, until, greeted).await?;
        if let Some(credentials) = &session_config.credentials {
            within(SmtpStage::Auth, until, authenticate(&mut wire, &offers, credentials)).await?;
        }
        let (pipelining, dsn) = (offers.has("PIPELINING"), offers.has("DSN"));
        Ok(Self { wire, pipelining, dsn, used: 0, idle_since: Instant::now() })
    }

    /// Sends one message. If the relay rejects the parameters that request reports, it is sent without them.
    pub(crate) async fn deliver(
        &mut self,
        relay: &Relay,
        letter: &OutgoingMessage,
        session_config: &SessionConfig,
        deadline: Instant,
    ) -> Result<(), SmtpError> {
        self.used += 1;
        let reports = self.dsn && letter.reports.is_some() && relay.takes_reports(Instant::now());
        let ended = self.converse(letter, reports, session_config, deadline).await;
        let Err(refused) = &ended else { return ended };
        if !reports || !refused.is_about_parameters() {
            return ended;
        }
        let ended = if self.recover(refused, session_config, deadline).await {
            self.converse(letter, false, session_config, deadline).await
        } else {
            Err(SmtpError::lost(SmtpStage::Mail, "the session can't continue"))
        };
        // If it is rejected without them as well, they were not the cause.
        if !matches!(&ended, Err(trouble) if trouble.is_about_parameters()) {
            tracing::warn!(
                event = "relay.dsn_rejected",
                %relay,
                "relay offers DSN but rejects its parameters; bounces may be harder to parse"
            );
            relay.ask_for_no_reports_until(Instant::now() + WITHOUT_REPORTS);
        }
        ended
    }

    async fn converse(
        &mut self,
        letter: &OutgoingMessage,
        reports: bool,
        session_config: &SessionConfig,
        deadline: Instant,
    ) -> Result<(), SmtpError> {
        let wait = |limit: Duration| deadline.min(Instant::now() + limit);
        let (of_mail, of_rcpt) = match &letter.reports {
            Some(to) if reports => reporting(&to.id, &letter.to),
            _ => (Vec::new(), Vec::new()),
        };
        let mail = Mail::new(Some(letter.from.clone()), of_mail);
        let rcpt = Rcpt::new(letter.to.clone(), of_rcpt);
        let go = if self.pipelining {
            self.ask_at_once(&mail, &rcpt, wait(session_config.reply)).await?
        } else {
            within(SmtpStage::Mail, wait(session_config.reply), done(self.wire.ask(mail))).await?;
            within(SmtpStage::Rcpt, wait(session_config.reply), done(self.wire.ask(rcpt))).await?;
            within(SmtpStage::Data, wait(session_config.reply), self.wire.ask(Data)).await?
        };
        // With any other code, replies and commands are out of step: then not one byte of the message is sent.
        if go.code != 354 {
            return Err(SmtpError { stage: SmtpStage::Data, what: SmtpErrorKind::Nonsense });
        }
        self.hand_over(&letter.text, session_config, deadline).await
    }

    /// Sends MAIL, RCPT and DATA in one write (RFC 2920), then reads all replies.
    async fn ask_at_once(&mut self, mail: &Mail, rcpt: &Rcpt, until: Instant) -> Result<Answer, SmtpError> {
        let group = format!("{mail}{rcpt}{Data}");
        let mail = within(SmtpStage::Mail, until, done(self.wire.ask(group))).await;
        refuses_or_goes_on(&mail)?;
        let rcpt = within(SmtpStage::Rcpt, until, done(self.wire.answer())).await;
        refuses_or_goes_on(&rcpt)?;
        let data = within(SmtpStage::Data, until, self.wire.answer()).await;
        refuses_or_goes_on(&data)?;
        match (mail, rcpt, data) {
            (Ok(_), Ok(_), data) => data,
            // It waits for a text nevertheless: end it at once; there is no recipient.
            (Ok(_), Err(refused), Ok(_)) => {
                let nothing = within(SmtpStage::Rcpt, until, self.wire.ask(".\r\n")).await;
                refuses_or_goes_on(&nothing)?;
                Err(refused)
            }
            (Ok(_), Err(refused), Err(_)) => Err(refused),
            (Err(refused), Err(_), Err(_)) => Err(refused),
            // MAIL was rejected but a later command accepted: the session can't be used any more.
            (Err(_), _, _) => Err(SmtpError { stage: SmtpStage::Mail, what: SmtpErrorKind::Nonsense }),
        }
    }

    /// Sends the text and the final dot. Before the dot nothing counts as sent; from its first byte on, only the
    /// reply decides.
    async fn hand_over(
        &mut self,
        text: &[u8],
        session_config: &SessionConfig,
        deadline: Instant,
    ) -> Result<(), SmtpError> {
        let until = deadline.min(Instant::now() + session_config.text);
        let handing = async {
            self.wire.nothing_came()?;
            self.wire.write(&stuffed(text)).await
        };
        within(SmtpStage::Data, until, handing).await?;
        let until = deadline.min(Instant::now() + session_config.final_reply);
        let ending = async {
            self.wire.write(b"\r\n.\r\n").await?;
            self.wire.answer().await
        };
        within(SmtpStage::Text, until, done(ending)).await
    }

    /// Resets the session after an error; false if it can't be used any more.
    pub(crate) async fn recover(
        &mut self,
        trouble: &SmtpError,
        session_config: &SessionConfig,
        deadline: Instant,
    ) -> bool {
        if !trouble.is_answer() || trouble.is_out_of_step() {
            return false;
        }
        let until = deadline.min(Instant::now() + session_config.reply);
        within(SmtpStage::Mail, until, self.wire.ask(Rset)).await.is_ok()
    }

    /// Sends QUIT in the background, so that the relay does not wait for us.
    pub(crate) fn close(mut self) {
        tokio::spawn(async move {
            let _ = timeout(FAREWELL, self.wire.ask(Quit)).await;
        });
    }
}

/// The parameters that request reports of failure and delay, with only the head of the message, and with our names of
/// message and recipient. lettre encodes the values as xtext.
fn reporting(id: &str, to: &Address) -> (Vec<MailParameter>, Vec<RcptParameter>) {
    let mail = |keyword: &str, value: &str| MailParameter::Other {
        keyword: keyword.to_owned(),
        value: Some(value.to_owned()),
    };
    let rcpt = |keyword: &str, value: String| RcptParameter::Other {
        keyword: keyword.to_owned(),
        value: Some(value),
    };
    (
        vec![mail("RET", "HDRS"), mail("ENVID", id)],
        vec![rcpt("NOTIFY", "FAILURE,DELAY".to_owned()), rcpt("ORCPT", format!("rfc822;{to}"))],
    )
}

/// Dot-stuffing: adds a dot to lines that begin with one (RFC 5321 4.5.2).
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(text.len() + text.len() / 64);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed
}

/// Fails only if the session is broken; a rejection is not an error here.
fn refuses_or_goes_on<T>(answered: &Result<T, SmtpError>) -> Result<(), SmtpError> {
    match answered {
        Err(trouble) if !trouble.is_answer() => Err(trouble.clone()),
        _ => Ok(()),
    }
}
