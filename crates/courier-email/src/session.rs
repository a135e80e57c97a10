//! A conversation with a relay: opened, used for one message after another, closed. Every wait has a deadline of its own, and
//! every trouble says at which stage it came, because that decides whether a message may have left.
//!
//! A session is moved into the call that uses it and comes back only when the conversation stands where it should. A call that
//! is dropped anywhere takes its connection with it, so no reply is ever read by the wrong message.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, MailParameter, RcptParameter};
use lettre::transport::smtp::response::Response;
use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::compose::Letter;
use crate::relay::{Relay, Tls};
use crate::replies::{Reply, Stage};
use crate::wire::Wire;

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
    smtp: AsyncSmtpConnection,
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

/// What went wrong.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The relay said no.
    Reply(Reply),
    /// No answer in time.
    Silent,
    /// The connection broke, or never was. In words, without anything the relay said.
    Lost(String),
    /// An answer that is none, or at a wrong place.
    Nonsense,
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
        }
    }
}

impl Trouble {
    fn of(stage: Stage, error: &Error) -> Self {
        let what = match error.status() {
            Some(code) => {
                let text = error.source().map(ToString::to_string).unwrap_or_default();
                What::Reply(Reply::new(code.into(), &text))
            }
            // lettre calls the end of the stream an incomplete response.
            None if error.source().is_some_and(|source| source.to_string() == "incomplete response") => {
                What::Lost("the connection was closed".to_owned())
            }
            None if error.is_response() => What::Nonsense,
            None => What::Lost(error.to_string()),
        };
        Self { stage, what }
    }

    fn lost(stage: Stage, why: impl fmt::Display) -> Self {
        Self { stage, what: What::Lost(why.to_string()) }
    }

    fn nonsense(stage: Stage) -> Self {
        Self { stage, what: What::Nonsense }
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

/// Waits for an answer until a deadline.
async fn answer<T>(
    stage: Stage,
    until: Instant,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Trouble> {
    match timeout_at(until, asked).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(error)) => Err(Trouble::of(stage, &error)),
        Err(_) => Err(Trouble { stage, what: What::Silent }),
    }
}

fn has_code(stage: Stage, response: &Response, code: u16) -> Result<(), Trouble> {
    if u16::from(response.code()) == code { Ok(()) } else { Err(Trouble::nonsense(stage)) }
}

impl Session {
    /// Connects, protects the bytes and says who we are.
    pub(crate) async fn open(relay: &Relay, manners: &Manners, deadline: Instant) -> Result<Self, Trouble> {
        let until = deadline.min(Instant::now() + manners.connect);
        let wire = match timeout_at(until, connect(relay)).await {
            Ok(connected) => connected.map_err(|error| Trouble::lost(Stage::Connect, error))?,
            Err(_) => return Err(Trouble { stage: Stage::Connect, what: What::Silent }),
        };
        let (peer, hello) = (wire.peer(), &manners.hello);
        let greeted = async {
            match &relay.tls {
                Tls::Plain => AsyncSmtpConnection::connect_with_transport(Box::new(wire), hello).await,
                Tls::Upgrade(parameters) => {
                    let plain = AsyncSmtpConnection::connect_with_transport(Box::new(wire), hello);
                    let mut smtp = plain.await?;
                    smtp.starttls(parameters.clone(), hello).await?;
                    Ok(smtp)
                }
                Tls::Implicit(connector, name) => {
                    let secured = connector.connect(name.clone(), wire).await;
                    let wire = match secured {
                        Ok(secured) => Wire::over(secured, peer),
                        Err(error) => return Ok(Err(error)),
                    };
                    let smtp = AsyncSmtpConnection::connect_with_transport(Box::new(wire), hello);
                    return smtp.await.map(Ok);
                }
            }
            .map(Ok)
        };
        let greeted = answer(Stage::Connect, until, Box::pin(greeted)).await?;
        let mut smtp = greeted.map_err(|error| Trouble::lost(Stage::Connect, error))?;
        // lettre keeps no extension but those it uses itself, so the question is asked again.
        let features = answer(Stage::Connect, until, smtp.command(Ehlo::new(hello.clone()))).await?;
        let offers = |name: &str| features.message().any(|line| line.trim().eq_ignore_ascii_case(name));
        let (pipelining, dsn) = (offers("PIPELINING"), offers("DSN"));
        if let Some(credentials) = &manners.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let answered = answer(Stage::Auth, until, smtp.auth(&mechanisms, credentials)).await?;
            has_code(Stage::Auth, &answered, 235)?;
        }
        Ok(Self { smtp, pipelining, dsn, used: 0, idle_since: Instant::now() })
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
            answer(Stage::Mail, wait(manners.reply), self.smtp.command(mail)).await?;
            answer(Stage::Rcpt, wait(manners.reply), self.smtp.command(rcpt)).await?;
            answer(Stage::Data, wait(manners.reply), self.smtp.command(Data)).await?
        };
        // Any other code would mean that replies and commands are out of step: not one byte of the message leaves then.
        has_code(Stage::Data, &go, 354)?;
        self.hand_over(&letter.text, manners, deadline).await
    }

    /// MAIL, RCPT and DATA in one write (RFC 2920), and then all of their replies.
    async fn ask_at_once(&mut self, mail: &Mail, rcpt: &Rcpt, until: Instant) -> Result<Response, Trouble> {
        let group = format!("{mail}{rcpt}{Data}");
        let mail = answer(Stage::Mail, until, self.smtp.command(group)).await;
        refuses_or_goes_on(&mail)?;
        let rcpt = answer(Stage::Rcpt, until, self.smtp.read_response()).await;
        refuses_or_goes_on(&rcpt)?;
        let data = answer(Stage::Data, until, self.smtp.read_response()).await;
        refuses_or_goes_on(&data)?;
        match (mail, rcpt, data) {
            (Ok(_), Ok(_), data) => data,
            // It waits for a text nevertheless: there is none, and nobody to get it.
            (Ok(_), Err(refused), Ok(_)) => {
                let nothing = answer(Stage::Rcpt, until, self.smtp.command(".\r\n")).await;
                refuses_or_goes_on(&nothing)?;
                Err(refused)
            }
            (Ok(_), Err(refused), Err(_)) => Err(refused),
            (Err(refused), Err(_), Err(_)) => Err(refused),
            // Refused and taken at once: nothing can be said in such a conversation any more.
            (Err(_), _, _) => Err(Trouble::nonsense(Stage::Mail)),
        }
    }

    /// The text and the final dot. Up to the dot nothing has been sent; from its first byte on only an answer tells.
    async fn hand_over(&mut self, text: &[u8], manners: &Manners, deadline: Instant) -> Result<(), Trouble> {
        let dot = Notify::new();
        let mut left = Some(text);
        // lettre asks for the next part when it has written the one before, and writes the dot when there is none.
        let parts = std::iter::from_fn(|| {
            let part = left.take();
            if part.is_none() {
                dot.notify_one();
            }
            part
        });
        let mut handing = Box::pin(self.smtp.message_iter(parts));
        let text_until = deadline.min(Instant::now() + manners.text);
        let early = tokio::select! {
            biased;
            ended = &mut handing => Some(ended),
            () = dot.notified() => None,
            () = tokio::time::sleep_until(text_until) => {
                return Err(Trouble { stage: Stage::Data, what: What::Silent });
            }
        };
        let ended = match early {
            Some(ended) => ended,
            None => {
                let until = deadline.min(Instant::now() + manners.final_reply);
                let answered = answer(Stage::Text, until, handing).await?;
                return if answered.code().severity as u8 == 2 {
                    Ok(())
                } else {
                    Err(Trouble::nonsense(Stage::Text))
                };
            }
        };
        // It ended in one go: with the dot on its way if there was no part left to ask for.
        let dotted = timeout(Duration::ZERO, dot.notified()).await.is_ok();
        let stage = if dotted { Stage::Text } else { Stage::Data };
        match ended {
            Ok(answered) if answered.code().severity as u8 == 2 => Ok(()),
            Ok(_) => Err(Trouble::nonsense(stage)),
            Err(error) => Err(Trouble::of(stage, &error)),
        }
    }

    /// Makes the conversation ready for another message after a trouble; false when it can't be used any more.
    pub(crate) async fn recover(&mut self, trouble: &Trouble, manners: &Manners, deadline: Instant) -> bool {
        if !trouble.is_answer() || trouble.is_out_of_step() {
            return false;
        }
        let until = deadline.min(Instant::now() + manners.reply);
        answer(Stage::Mail, until, self.smtp.command(Rset)).await.is_ok()
    }

    /// Says good-bye in the background, so that the relay does not wait for us.
    pub(crate) fn close(mut self) {
        tokio::spawn(async move {
            let _ = timeout(FAREWELL, self.smtp.command(Quit)).await;
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

/// Passes refusals on as they are; what breaks the conversation ends it.
fn refuses_or_goes_on(answered: &Result<Response, Trouble>) -> Result<(), Trouble> {
    match answered {
        Err(trouble) if !trouble.is_answer() => Err(trouble.clone()),
        _ => Ok(()),
    }
}

/// Connects to the first address of the relay that answers.
async fn connect(relay: &Relay) -> std::io::Result<Wire<tokio::net::TcpStream>> {
    let mut last =
        std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address that may be used");
    for address in lookup_host((relay.host.as_str(), relay.port)).await? {
        if !relay.may_connect(&address) {
            continue;
        }
        match Wire::connect(address).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = error,
        }
    }
    Err(last)
}
