//! All relays: picks an available one, sends a message over it, and returns the outcome.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use metrics::counter;
use posthaste_courier::rejection_window::{LAST, RejectionWindow};
use posthaste_courier::response_rules::ResponseAction;
use posthaste_courier::{Envelope, Outcome, ThrottleScope};
use posthaste_model::Reason;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::compose::OutgoingMessage;
use crate::mailbox::ascii_domain;
use crate::relay::{Relay, Trust};
use crate::reply_rules::{ReplyAction, ReplyRules, SmtpReply, SmtpStage};
use crate::session::{Session, SessionConfig, SmtpError};
use crate::settings::{BadSetting, SmtpSettings};
use crate::smtp_stream::SmtpErrorKind;

/// The longest wait of a message whose sessions break.
const LONGEST_RECONNECT_WAIT: Duration = Duration::from_secs(900);

/// Everything a call needs to use relays.
pub(crate) struct Relays {
    relays: Vec<Relay>,
    replies: Arc<ReplyRules>,
    session_config: SessionConfig,
    connections: usize,
    messages_per_connection: u32,
    idle_for: Duration,
    skip_relay_for: Duration,
    rejections: RejectionWindow,
}

/// The result of trying one relay.
enum Tried {
    /// The outcome of the message.
    Said(Outcome),
    /// Not sent; another relay may accept it.
    Next(String, Then),
}

/// What a relay's failure means for the message if no other relay accepts it.
enum Then {
    /// This relay requires operator action.
    Stop,
    /// It may recover by itself.
    Away,
    /// It was available, but the session broke during this message.
    Broke,
    /// It deferred this message.
    Wait(Duration),
}

impl Relays {
    pub(crate) fn new(smtp: &SmtpSettings, replies: Arc<ReplyRules>) -> Result<Self, BadSetting> {
        let trust = Trust::of(&smtp.ca_file)?;
        let relays: Result<Vec<Relay>, BadSetting> =
            smtp.relays.iter().map(|text| Relay::new(text, &trust)).collect();
        let relays = relays?;
        if relays.is_empty() {
            return Err(BadSetting::new("smtp.relays", "must name at least one relay"));
        }
        if !(1..=1_000).contains(&smtp.max_connections) {
            return Err(BadSetting::new("smtp.max_connections", "must be 1 to 1000"));
        }
        if smtp.messages_per_connection == 0 {
            return Err(BadSetting::new("smtp.messages_per_connection", "must be at least 1"));
        }
        if !(0.0..=1.0).contains(&smtp.policy_share) {
            return Err(BadSetting::new("smtp.policy_share", "must be 0 to 1"));
        }
        let rejections = RejectionWindow::new(smtp.policy_share);
        let credentials = match (smtp.username.as_str(), smtp.password.expose_secret()) {
            ("", "") => None,
            ("", _) => {
                return Err(BadSetting::new("smtp.username", "is missing although smtp.password is set"));
            }
            (_, "") => {
                return Err(BadSetting::new("smtp.password", "is missing although smtp.username is set"));
            }
            (user, password) => Some(Credentials::new(user.to_owned(), password.to_owned())),
        };
        let hello = match smtp.hello_name.as_str() {
            "" => ClientId::default(),
            name => ClientId::Domain(ascii_domain(name).map_err(|_| {
                BadSetting::new("smtp.hello_name", "expected a host name, as in mail.example.org")
            })?),
        };
        let session_config = SessionConfig {
            hello,
            credentials,
            connect: smtp.connect_within.get(),
            reply: smtp.reply_within.get(),
            text: smtp.text_within.get(),
            final_reply: smtp.final_reply_within.get(),
        };
        let (messages_per_connection, connections) = (smtp.messages_per_connection, smtp.max_connections);
        let (idle_for, skip_relay_for) = (smtp.idle_for.get(), smtp.skip_relay_for.get());
        Ok(Self {
            relays,
            replies,
            session_config,
            connections,
            messages_per_connection,
            idle_for,
            skip_relay_for,
            rejections,
        })
    }

    /// Sends over the first available relay.
    pub(crate) async fn send(
        &self,
        envelope: &Envelope,
        letter: &OutgoingMessage,
        deadline: Instant,
    ) -> Outcome {
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
                    tracing::warn!(
                        event = "relay.failed",
                        %relay,
                        why,
                        "relay failed; trying the next one if there is one"
                    );
                    match then {
                        Then::Stop => _ = stop.get_or_insert_with(|| format!("{relay} {why}")),
                        Then::Away => away = true,
                        Then::Broke => after = Some(longer_each_time(envelope.attempt)),
                        Then::Wait(requested) => wait = wait.max(Some(requested)),
                    }
                }
            }
        }
        match (stop, wait) {
            // Only this recipient waits: the cause may be this recipient alone.
            (_, Some(wait)) => Outcome::Throttled { scope: ThrottleScope::Recipient, wait },
            // While a relay may recover by itself, no operator action is needed.
            (Some(why), None) if !away && !held && after.is_none() => Outcome::Stop(why),
            _ => match self.all_rest() {
                // Further messages would be refused like those before.
                Some(wait) if held && after.is_none() => {
                    Outcome::Throttled { scope: ThrottleScope::Channel, wait }
                }
                _ => Outcome::NotSent { after, reason: Reason::ConnectionFailed },
            },
        }
    }

    /// The time until the first pause ends, if every relay is paused.
    fn all_rest(&self) -> Option<Duration> {
        let now = Instant::now();
        let rests: Option<Vec<Instant>> = self.relays.iter().map(|relay| relay.rests(now)).collect();
        // Another message may have begun a pause meanwhile: measured from `now`, it would be longer than requested.
        let wait = rests?.into_iter().min()?.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// The relays that are not paused, in order of preference; then the others, in the order in which their pause ends.
    fn in_order(&self, now: Instant) -> Vec<&Relay> {
        let mut relays: Vec<(Option<Instant>, &Relay)> =
            self.relays.iter().map(|relay| (relay.rests(now), relay)).collect();
        relays.sort_by_key(|(rests, _)| *rests);
        relays.into_iter().map(|(_, relay)| relay).collect()
    }

    /// Sends over one relay, in an idle session or a new one.
    async fn over(&self, relay: &Relay, letter: &OutgoingMessage, deadline: Instant) -> Tried {
        loop {
            let (mut session, is_new) = match self.take(relay) {
                Some(session) => (session, false),
                None => match Session::open(relay, &self.session_config, deadline).await {
                    Ok(session) => {
                        self.count(relay, "opened");
                        relay.is_there();
                        (session, true)
                    }
                    Err(trouble) => return self.not_open(relay, &trouble),
                },
            };
            let Err(trouble) = session.deliver(relay, letter, &self.session_config, deadline).await else {
                relay.took_one();
                self.rejections.took();
                self.put_aside(relay, session);
                return Tried::Said(Outcome::Sent);
            };
            if !is_new && trouble.stage != SmtpStage::Text && trouble.ends_it() {
                // The relay had closed the idle session; a new one is not a second try.
                continue;
            }
            let tried = self.judge(relay, letter, &trouble);
            if session.recover(&trouble, &self.session_config, deadline).await {
                self.put_aside(relay, session);
            }
            return tried;
        }
    }

    /// What it means that no session could be opened.
    fn not_open(&self, relay: &Relay, trouble: &SmtpError) -> Tried {
        self.count(relay, "failed");
        relay.rest_until(Instant::now() + self.skip_relay_for);
        let stops = |reply: &SmtpReply| {
            self.replies.classify(&reply.response(trouble.stage)).action == ResponseAction::Stop
        };
        let then = match &trouble.what {
            SmtpErrorKind::Reply(reply) if stops(reply) => Then::Stop,
            _ => Then::Away,
        };
        Tried::Next(trouble.to_string(), then)
    }

    /// What an error during a session means for the message.
    fn judge(&self, relay: &Relay, letter: &OutgoingMessage, trouble: &SmtpError) -> Tried {
        let reply = match (&trouble.what, trouble.stage) {
            (SmtpErrorKind::Reply(reply), _) => reply,
            (SmtpErrorKind::Silent, SmtpStage::Text) => {
                return Tried::Said(Outcome::Unknown(Reason::TimedOut));
            }
            (SmtpErrorKind::Lost(_), SmtpStage::Text) => {
                return Tried::Said(Outcome::Unknown(Reason::ConnectionLost));
            }
            (SmtpErrorKind::Nonsense | SmtpErrorKind::Surplus | SmtpErrorKind::Injected, SmtpStage::Text) => {
                return Tried::Said(Outcome::Unknown(Reason::InvalidProviderResponse));
            }
            // Without the final dot there is no message.
            (_, stage) => {
                let then = if stage == SmtpStage::Mail { Then::Away } else { Then::Broke };
                return Tried::Next(trouble.to_string(), then);
            }
        };
        counter!("posthaste_smtp_rejections_total", "relay" => relay.to_string(), "code" => reply.code.to_string())
            .increment(1);
        let mut found = self.replies.classify(&reply.response(trouble.stage));
        if found.alarm {
            let stage = trouble.stage;
            tracing::error!(
                event = "relay.command_rejected",
                %relay,
                %reply,
                ?stage,
                "relay rejected a command as invalid"
            );
        }
        // Spread by the message, so that every courier waits as long for it.
        let spread = u64::try_from(found.spread.as_millis()).unwrap_or(u64::MAX);
        let more = Duration::from_millis(letter.identity.below(spread));
        found.after = found.after.map(|after| after + more);
        if found.policy {
            if let Some(refused) = self.rejections.refused() {
                let how = format!("{refused} of the last {LAST} messages were rejected by policy (5.7.x)");
                return Tried::Said(Outcome::Stop(format!("{how}, the last by {relay} with {reply}")));
            }
        } else if found.action.is_final() {
            self.rejections.took();
        }
        match found.outcome(|| trouble.to_string()) {
            Ok(Outcome::Stop(why)) => Tried::Next(why, Then::Stop),
            Ok(outcome) => Tried::Said(outcome),
            Err(ReplyAction::Relay) => {
                let wait = found.after.unwrap_or(self.skip_relay_for);
                if relay.pause_until(letter.identity, Instant::now() + wait) {
                    tracing::warn!(
                        event = "relay.paused",
                        %relay,
                        %reply,
                        seconds = wait.as_secs(),
                        "relay accepts no messages for now; pausing it"
                    );
                }
                let then = match trouble.stage {
                    SmtpStage::Connect | SmtpStage::Auth | SmtpStage::Mail => Then::Away,
                    SmtpStage::Rcpt | SmtpStage::Data => Then::Wait(wait),
                    // It received all of the message and deferred it.
                    SmtpStage::Text => {
                        return Tried::Said(Outcome::Throttled { scope: ThrottleScope::Recipient, wait });
                    }
                };
                Tried::Next(trouble.to_string(), then)
            }
        }
    }

    /// An idle session that is not too old.
    fn take(&self, relay: &Relay) -> Option<Session> {
        let mut idle = relay.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let session = idle.pop()?;
        if session.idle_since.elapsed() < self.idle_for {
            return Some(session);
        }
        // Those below it have been idle for longer.
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

    fn count(&self, relay: &Relay, result: &'static str) {
        counter!("posthaste_smtp_connections_total", "relay" => relay.to_string(), "result" => result)
            .increment(1);
    }

    /// Checks that at least one relay is available.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut troubles = Vec::new();
        for relay in &self.relays {
            let deadline = Instant::now() + self.session_config.connect;
            match Session::open(relay, &self.session_config, deadline).await {
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

/// The wait of a message whose sessions break: no try is spent on it, and other messages go on meanwhile.
fn longer_each_time(attempt: u8) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_RECONNECT_WAIT)
}

/// Closes idle sessions until the transport is dropped.
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
