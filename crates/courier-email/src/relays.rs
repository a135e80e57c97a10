//! All relays: finds one that can be used, hands a message over, and tells what became of it.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use metrics::counter;
use posthaste_courier::standing::{LAST, Standing};
use posthaste_courier::{Envelope, Outcome, Scope};
use posthaste_model::Reason;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::compose::Letter;
use crate::mailbox::ascii_domain;
use crate::relay::{Relay, Trust};
use crate::replies::{Meaning, Replies, Reply, Stage};
use crate::session::{Manners, Session, Trouble};
use crate::settings::{BadSetting, Smtp};
use crate::wire::What;

/// A message with which conversations break comes again after so long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// Everything a call needs to speak to relays.
pub(crate) struct Relays {
    relays: Vec<Relay>,
    replies: Arc<Replies>,
    manners: Manners,
    connections: usize,
    messages_per_connection: u32,
    idle_for: Duration,
    rest_for: Duration,
    standing: Standing,
}

/// How a try with one relay ended.
enum Tried {
    /// This is what became of the message.
    Said(Outcome),
    /// It has not left; another relay may take it.
    Next(String, Then),
}

/// What it means that a relay did not take a message, if no other one does.
enum Then {
    /// Somebody has to mend this relay.
    Stop,
    /// It may come back by itself.
    Away,
    /// It was there, and the conversation broke with this very message.
    Broke,
    /// It asked to wait with this very message.
    Wait(Duration),
}

impl Relays {
    pub(crate) fn new(smtp: &Smtp, replies: Arc<Replies>) -> Result<Self, BadSetting> {
        let trust = Trust::of(&smtp.ca_file)?;
        let relays: Result<Vec<Relay>, BadSetting> =
            smtp.relays.iter().map(|text| Relay::new(text, &trust)).collect();
        let relays = relays?;
        if relays.is_empty() {
            return Err(BadSetting::new("smtp.relays", "name one relay at least"));
        }
        if !(1..=1_000).contains(&smtp.connections) {
            return Err(BadSetting::new("smtp.connections", "must be 1 to 1000"));
        }
        if smtp.messages_per_connection == 0 {
            return Err(BadSetting::new("smtp.messages_per_connection", "must be 1 at least"));
        }
        if !(0.0..=1.0).contains(&smtp.policy_share) {
            return Err(BadSetting::new("smtp.policy_share", "must be 0 to 1"));
        }
        let standing = Standing::new(smtp.policy_share);
        let credentials = match (smtp.username.as_str(), smtp.password.expose_secret()) {
            ("", "") => None,
            ("", _) => {
                return Err(BadSetting::new("smtp.username", "is missing, but there is a password"));
            }
            (_, "") => return Err(BadSetting::new("smtp.password", "is missing, but there is a user")),
            (user, password) => Some(Credentials::new(user.to_owned(), password.to_owned())),
        };
        let hello = match smtp.hello_name.as_str() {
            "" => ClientId::default(),
            name => ClientId::Domain(ascii_domain(name).map_err(|_| {
                BadSetting::new("smtp.hello_name", "expected a host name, as in mail.example.org")
            })?),
        };
        let manners = Manners {
            hello,
            credentials,
            connect: smtp.connect_within.get(),
            reply: smtp.reply_within.get(),
            text: smtp.text_within.get(),
            final_reply: smtp.final_reply_within.get(),
        };
        let (messages_per_connection, connections) = (smtp.messages_per_connection, smtp.connections);
        let (idle_for, rest_for) = (smtp.idle_for.get(), smtp.rest_for.get());
        Ok(Self {
            relays,
            replies,
            manners,
            connections,
            messages_per_connection,
            idle_for,
            rest_for,
            standing,
        })
    }

    /// Sends over the first relay that can be used.
    pub(crate) async fn send(&self, envelope: &Envelope, letter: &Letter, deadline: Instant) -> Outcome {
        let (mut stop, mut away, mut after, mut wait) = (None, false, None, None);
        let mut held = false;
        for relay in self.in_order(Instant::now()) {
            if relay.rests_from_all(Instant::now()) {
                held = true;
                continue;
            }
            match self.over(relay, letter, deadline).await {
                Tried::Said(outcome) => return outcome,
                Tried::Next(why, then) => {
                    tracing::warn!(%relay, why, "a relay can't be used");
                    match then {
                        Then::Stop => _ = stop.get_or_insert_with(|| format!("{relay} {why}")),
                        Then::Away => away = true,
                        Then::Broke => after = Some(longer_each_time(envelope.attempt)),
                        Then::Wait(asked) => wait = wait.max(Some(asked)),
                    }
                }
            }
        }
        match (stop, wait) {
            // Others are not held up by it: the reason may be this recipient alone.
            (_, Some(wait)) => Outcome::Throttled { scope: Scope::Recipient, wait },
            // While one relay may come back by itself, nobody has to be called.
            (Some(why), None) if !away && !held && after.is_none() => Outcome::Stop(why),
            _ => match self.all_rest() {
                // Whatever comes now would be refused like those before it.
                Some(wait) if held && after.is_none() => Outcome::Throttled { scope: Scope::Channel, wait },
                _ => Outcome::NotSent { after, reason: Reason::NotConnected },
            },
        }
    }

    /// How long until the first rest ends, if every relay rests.
    fn all_rest(&self) -> Option<Duration> {
        let now = Instant::now();
        let rests: Option<Vec<Instant>> = self.relays.iter().map(|relay| relay.rests(now)).collect();
        // Another message may have begun a rest since: measured from before, it would be longer than was asked for.
        let wait = rests?.into_iter().min()?.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// The relays that do not rest, in order of preference; then the others, in the order in which their rest ends.
    fn in_order(&self, now: Instant) -> Vec<&Relay> {
        let mut relays: Vec<(Option<Instant>, &Relay)> =
            self.relays.iter().map(|relay| (relay.rests(now), relay)).collect();
        relays.sort_by_key(|(rests, _)| *rests);
        relays.into_iter().map(|(_, relay)| relay).collect()
    }

    /// Sends over one relay: in a conversation that is open, or in a new one.
    async fn over(&self, relay: &Relay, letter: &Letter, deadline: Instant) -> Tried {
        loop {
            let (mut session, is_new) = match self.take(relay) {
                Some(session) => (session, false),
                None => match Session::open(relay, &self.manners, deadline).await {
                    Ok(session) => {
                        self.count(relay, "opened");
                        relay.is_there();
                        (session, true)
                    }
                    Err(trouble) => return self.not_open(relay, &trouble),
                },
            };
            let Err(trouble) = session.deliver(relay, letter, &self.manners, deadline).await else {
                relay.took_one();
                self.standing.took();
                self.put_aside(relay, session);
                return Tried::Said(Outcome::Accepted);
            };
            if !is_new && trouble.stage != Stage::Text && trouble.ends_it() {
                // The relay had closed it while nobody used it; a new one is not a second try.
                continue;
            }
            let tried = self.judge(relay, letter, &trouble);
            if session.recover(&trouble, &self.manners, deadline).await {
                self.put_aside(relay, session);
            }
            return tried;
        }
    }

    /// What a relay means that could not be spoken to at all.
    fn not_open(&self, relay: &Relay, trouble: &Trouble) -> Tried {
        self.count(relay, "failed");
        relay.rest_until(Instant::now() + self.rest_for);
        let stops = |reply| self.replies.judge(trouble.stage, reply).meaning == Meaning::Stop;
        let then = match &trouble.what {
            What::Reply(reply) if stops(reply) => Then::Stop,
            _ => Then::Away,
        };
        Tried::Next(trouble.to_string(), then)
    }

    /// What a trouble in the middle means for the message.
    fn judge(&self, relay: &Relay, letter: &Letter, trouble: &Trouble) -> Tried {
        let reply = match (&trouble.what, trouble.stage) {
            (What::Reply(reply), _) => reply,
            (What::Silent, Stage::Text) => return Tried::Said(Outcome::Unknown(Reason::TimedOut)),
            (What::Lost(_), Stage::Text) => return Tried::Said(Outcome::Unknown(Reason::ConnectionLost)),
            (What::Nonsense | What::Surplus | What::Injected, Stage::Text) => {
                return Tried::Said(Outcome::Unknown(Reason::BadAnswer));
            }
            // Without the final dot there is no message.
            (_, stage) => {
                let then = if stage == Stage::Mail { Then::Away } else { Then::Broke };
                return Tried::Next(trouble.to_string(), then);
            }
        };
        counter!("posthaste_smtp_refusals_total", "relay" => relay.to_string(), "code" => reply.code.to_string())
            .increment(1);
        let verdict = self.replies.judge(trouble.stage, reply);
        if verdict.alarm {
            tracing::error!(%relay, %reply, stage = ?trouble.stage, "a relay does not understand us");
        }
        let reason = verdict.reason;
        let after = wait(reply, verdict.after, verdict.spread, letter);
        if verdict.policy {
            if let Some(refused) = self.standing.refused() {
                let how = format!("{refused} of the last {LAST} messages were refused by policy (5.7.x)");
                return Tried::Said(Outcome::Stop(format!("{how}, the last by {relay}, which said {reply}")));
            }
        } else if matches!(verdict.meaning, Meaning::Reject | Meaning::Suppress | Meaning::Strike) {
            self.standing.took();
        }
        Tried::Said(match verdict.meaning {
            Meaning::Reject => Outcome::Rejected(reason),
            Meaning::Suppress => Outcome::Suppress(reason),
            Meaning::Strike => Outcome::Strike { reason, of: verdict.of },
            Meaning::Retry => Outcome::Retry { after, reason },
            Meaning::Relay => {
                let wait = reply.wait().unwrap_or(self.rest_for);
                if relay.asks_to_wait(letter.identity, Instant::now() + wait) {
                    tracing::warn!(%relay, %reply, ?wait, "a relay takes no message now");
                }
                let then = match trouble.stage {
                    Stage::Connect | Stage::Auth | Stage::Mail => Then::Away,
                    Stage::Rcpt | Stage::Data => Then::Wait(wait),
                    // It had all of the message, and said no to it for now.
                    Stage::Text => {
                        return Tried::Said(Outcome::Throttled { scope: Scope::Recipient, wait });
                    }
                };
                return Tried::Next(trouble.to_string(), then);
            }
            Meaning::Stop => return Tried::Next(trouble.to_string(), Then::Stop),
        })
    }

    /// An open conversation that nobody uses and that has not waited for too long.
    fn take(&self, relay: &Relay) -> Option<Session> {
        let mut idle = relay.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let session = idle.pop()?;
        if session.idle_since.elapsed() < self.idle_for {
            return Some(session);
        }
        // Those below it have waited for longer.
        idle.push(session);
        idle.drain(..).for_each(Session::close);
        None
    }

    fn put_aside(&self, relay: &Relay, mut session: Session) {
        if session.used >= self.messages_per_connection {
            return session.close();
        }
        session.idle_since = Instant::now();
        let mut idle = relay.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.connections { idle.push(session) } else { session.close() }
    }

    fn count(&self, relay: &Relay, how: &'static str) {
        counter!("posthaste_smtp_connections_total", "relay" => relay.to_string(), "how" => how).increment(1);
    }

    /// Whether one relay at least can be used.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut troubles = Vec::new();
        for relay in &self.relays {
            let deadline = Instant::now() + self.manners.connect;
            match Session::open(relay, &self.manners, deadline).await {
                Ok(session) => {
                    relay.is_there();
                    session.close();
                    return Ok(());
                }
                Err(trouble) => troubles.push(format!("{relay} {trouble}")),
            }
        }
        Err(troubles.join("; "))
    }
}

/// The wait of a message with which conversations break: no try is spent on that, and everybody else goes on meanwhile.
fn longer_each_time(attempt: u8) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_WAIT)
}

/// The wait before the next try: the relay's, or that of the table with a part of the spread that is this message's own.
fn wait(reply: &Reply, after: Option<Duration>, spread: Duration, letter: &Letter) -> Option<Duration> {
    reply.wait().or_else(|| {
        let most = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        after.map(|after| after + Duration::from_millis(letter.identity.below(most)))
    })
}

/// Closes conversations nobody uses, until the transport is gone.
pub(crate) async fn tidy(relays: Weak<Relays>, every: Duration) {
    loop {
        tokio::time::sleep(every.max(Duration::from_millis(100))).await;
        let Some(all) = relays.upgrade() else { return };
        for relay in &all.relays {
            let mut idle = relay.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let old = idle.iter().take_while(|session| session.idle_since.elapsed() >= all.idle_for).count();
            idle.drain(..old).for_each(Session::close);
        }
    }
}
