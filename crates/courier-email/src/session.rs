//! A conversation with a relay: opened, used for one message after another, closed. Every wait has a deadline of its own, and
//! every trouble says at which stage it came, because that decides whether a message may have left.
//!
//! A session is moved into the call that uses it and comes back only when the conversation stands where it should. A call that
//! is dropped anywhere takes its connection with it, so no reply is ever read by the wrong message.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, MailParameter, RcptParameter};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::Answer;
use crate::compose::Letter;
use crate::opening::{authenticate, greeted, has_class_2};
use crate::relay::Relay;
use crate::replies::Stage;
use crate::wire::{What, Wire};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a relay is asked for no reports that did not take the parameters by which one asks.
const WITHOUT_REPORTS: Duration = Duration::from_secs(3600);

/// How long each stage may take, and who we are.
pub(crate) struct Manners {
    pub(crate) hello: ClientId,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) connect: Duration,
    pub(crate) reply: Duration,
    pub(crate) text: Duration,
    pub(crate) final_reply: Duration,
}

/// An open conversation.
pub(crate) struct Session {
    wire: Wire,
    pipelining: bool,
    /// Whether it knows of reports (RFC 3461).
    dsn: bool,
    /// Messages begun in it.
    pub(crate) used: u32,
    /// When it was put aside.
    pub(crate) idle_since: Instant,
}

/// What went wrong, and where.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) stage: Stage,
    pub(crate) what: What,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Connect => "when connecting",
            Stage::Auth => "to AUTH",
            Stage::Mail => "to MAIL",
            Stage::Rcpt => "to RCPT",
            Stage::Data => "to DATA",
            Stage::Text => "to the message",
        };
        match &self.what {
            What::Reply(reply) => write!(f, "said {reply} {stage}"),
            What::Silent => write!(f, "gave no answer {stage}"),
            What::Lost(why) => write!(f, "is not there {stage}: {why}"),
            What::Nonsense => write!(f, "gave an answer that makes no sense {stage}"),
            What::Surplus => write!(f, "said more than it was asked {stage}"),
            What::Injected => write!(
                f,
                "sent plain text after its answer to STARTTLS, where TLS has to begin {stage}: somebody on the way may be \
                 answering in its place (RFC 3207)"
            ),
        }
    }
}

impl Trouble {
    fn lost(stage: Stage, why: impl fmt::Display) -> Self {
        Self { stage, what: What::Lost(why.to_string()) }
    }

    /// Whether the relay gave an answer, and did not say that it closes.
    fn is_answer(&self) -> bool {
        matches!(&self.what, What::Reply(reply) if reply.code != 421)
    }

    /// Whether the conversation is over.
    pub(crate) fn ends_it(&self) -> bool {
        matches!(&self.what, What::Lost(_)) || matches!(&self.what, What::Reply(reply) if reply.code == 421)
    }

    /// Whether the relay does not know a parameter of MAIL or RCPT.
    fn is_about_parameters(&self) -> bool {
        matches!(self.stage, Stage::Mail | Stage::Rcpt)
            && matches!(&self.what, What::Reply(reply) if reply.code == 555)
    }

    /// Whether replies and commands are out of step, as the relay sees it.
    fn is_out_of_step(&self) -> bool {
        matches!(&self.what, What::Reply(reply) if reply.code == 503)
    }
}

/// Waits until a deadline.
async fn within<T>(
    stage: Stage,
    until: Instant,
    asked: impl Future<Output = Result<T, What>>,
) -> Result<T, Trouble> {
    match timeout_at(until, asked).await {
        Ok(answered) => answered.map_err(|what| Trouble { stage, what }),
        Err(_) => Err(Trouble { stage, what: What::Silent }),
    }
}

/// The answer to a command that has to be of class 2.
async fn done(asked: impl Future<Output = Result<Answer, What>>) -> Result<(), What> {
    has_class_2(&asked.await?)
}

impl Session {
    /// Connects, protects the bytes and says who we are.
    pub(crate) async fn open(relay: &Relay, manners: &Manners, deadline: Instant) -> Result<Self, Trouble> {
        let until = deadline.min(Instant::now() + manners.connect);
        let greeted = Box::pin(greeted(relay, &manners.hello));
        let (mut wire, offers) = within(Stage::Connect, until, greeted).await?;
        if let Some(credentials) = &manners.credentials {
            within(Stage::Auth, until, authenticate(&mut wire, &offers, credentials)).await?;
        }
        let (pipelining, dsn) = (offers.has("PIPELINING"), offers.has("DSN"));
        Ok(Self { wire, pipelining, dsn, used: 0, idle_since: Instant::now() })
    }

    /// Hands over one message. Where the parameters that ask for reports are not taken, it goes without them.
    pub(crate) async fn deliver(
        &mut self,
        relay: &Relay,
        letter: &Letter,
        manners: &Manners,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        self.used += 1;
        let reports = self.dsn && letter.reports.is_some() && relay.takes_reports(Instant::now());
        let ended = self.converse(letter, reports, manners, deadline).await;
        let Err(refused) = &ended else { return ended };
        if !reports || !refused.is_about_parameters() {
            return ended;
        }
        let ended = if self.recover(refused, manners, deadline).await {
            self.converse(letter, false, manners, deadline).await
        } else {
            Err(Trouble::lost(Stage::Mail, "the conversation can't go on"))
        };
        // Refused without them as well, it was not about them.
        if !matches!(&ended, Err(trouble) if trouble.is_about_parameters()) {
            tracing::warn!(%relay, "a relay says DSN and does not take it: bounces may be harder to read");
            relay.ask_for_no_reports_until(Instant::now() + WITHOUT_REPORTS);
        }
        ended
    }

    async fn converse(
        &mut self,
        letter: &Letter,
        reports: bool,
        manners: &Manners,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let wait = |limit: Duration| deadline.min(Instant::now() + limit);
        let (of_mail, of_rcpt) = match &letter.reports {
            Some(to) if reports => reporting(&to.id, &letter.to),
            _ => (Vec::new(), Vec::new()),
        };
        let mail = Mail::new(Some(letter.from.clone()), of_mail);
        let rcpt = Rcpt::new(letter.to.clone(), of_rcpt);
        let go = if self.pipelining {
            self.ask_at_once(&mail, &rcpt, wait(manners.reply)).await?
        } else {
            within(Stage::Mail, wait(manners.reply), done(self.wire.ask(mail))).await?;
            within(Stage::Rcpt, wait(manners.reply), done(self.wire.ask(rcpt))).await?;
            within(Stage::Data, wait(manners.reply), self.wire.ask(Data)).await?
        };
        // Any other code would mean that replies and commands are out of step: not one byte of the message leaves then.
        if go.code != 354 {
            return Err(Trouble { stage: Stage::Data, what: What::Nonsense });
        }
        self.hand_over(&letter.text, manners, deadline).await
    }

    /// MAIL, RCPT and DATA in one write (RFC 2920), and then all of their replies.
    async fn ask_at_once(&mut self, mail: &Mail, rcpt: &Rcpt, until: Instant) -> Result<Answer, Trouble> {
        let group = format!("{mail}{rcpt}{Data}");
        let mail = within(Stage::Mail, until, done(self.wire.ask(group))).await;
        refuses_or_goes_on(&mail)?;
        let rcpt = within(Stage::Rcpt, until, done(self.wire.answer())).await;
        refuses_or_goes_on(&rcpt)?;
        let data = within(Stage::Data, until, self.wire.answer()).await;
        refuses_or_goes_on(&data)?;
        match (mail, rcpt, data) {
            (Ok(_), Ok(_), data) => data,
            // It waits for a text nevertheless: there is none, and nobody to get it.
            (Ok(_), Err(refused), Ok(_)) => {
                let nothing = within(Stage::Rcpt, until, self.wire.ask(".\r\n")).await;
                refuses_or_goes_on(&nothing)?;
                Err(refused)
            }
            (Ok(_), Err(refused), Err(_)) => Err(refused),
            (Err(refused), Err(_), Err(_)) => Err(refused),
            // Refused and taken at once: nothing can be said in such a conversation any more.
            (Err(_), _, _) => Err(Trouble { stage: Stage::Mail, what: What::Nonsense }),
        }
    }

    /// The text and the final dot. Up to the dot nothing has been sent; from its first byte on only an answer tells.
    async fn hand_over(&mut self, text: &[u8], manners: &Manners, deadline: Instant) -> Result<(), Trouble> {
        let until = deadline.min(Instant::now() + manners.text);
        let handing = async {
            self.wire.nothing_came()?;
            self.wire.write(&stuffed(text)).await
        };
        within(Stage::Data, until, handing).await?;
        let until = deadline.min(Instant::now() + manners.final_reply);
        let ending = async {
            self.wire.write(b"\r\n.\r\n").await?;
            self.wire.answer().await
        };
        within(Stage::Text, until, done(ending)).await
    }

    /// Makes the conversation ready for another message after a trouble; false when it can't be used any more.
    pub(crate) async fn recover(&mut self, trouble: &Trouble, manners: &Manners, deadline: Instant) -> bool {
        if !trouble.is_answer() || trouble.is_out_of_step() {
            return false;
        }
        let until = deadline.min(Instant::now() + manners.reply);
        within(Stage::Mail, until, self.wire.ask(Rset)).await.is_ok()
    }

    /// Says good-bye in the background, so that the relay does not wait for us.
    pub(crate) fn close(mut self) {
        tokio::spawn(async move {
            let _ = timeout(FAREWELL, self.wire.ask(Quit)).await;
        });
    }
}

/// Asks for reports of failure and delay, with the head of the message alone, that name message and recipient as we do. The
/// values are written as xtext by lettre.
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

/// A text whose lines that begin with a dot have one more (RFC 5321 4.5.2).
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

/// Passes refusals on as they are; what breaks the conversation ends it.
fn refuses_or_goes_on<T>(answered: &Result<T, Trouble>) -> Result<(), Trouble> {
    match answered {
        Err(trouble) if !trouble.is_answer() => Err(trouble.clone()),
        _ => Ok(()),
    }
}
