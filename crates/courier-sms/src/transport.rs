//! The transport: what is the same for all providers. Which messages may go and when, and how a rate limit is taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::process::Section;
use posthaste_courier::told::Told;
use posthaste_courier::{Abilities, Desk, Envelope, Found, Outcome, Scope, Transport};
use posthaste_model::{Channel, Reason, UnixMs};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answers::BadTable;
use crate::budget::Budget;
use crate::gateway::Gateway;
use crate::number;
use crate::provider::{Message, Provider};
use crate::public::Public;
use crate::sender::Sender;
use crate::settings::{BadSetting, Provider as Kind, Settings, Sms as Common};
use crate::twilio::Twilio;

/// How long a begun message waits for its turn with the transport; longer waits are the runtime's.
const AHEAD: Duration = Duration::from_millis(250);

/// The SMS channel.
pub struct Sms {
    channel: Channel,
    abilities: Abilities,
    max_characters: usize,
    provider: Box<dyn Provider>,
    public: Option<Public>,
    budget: Mutex<Budget>,
    pause: Mutex<Option<Pause>>,
    sender: Arc<Sender>,
    told: Told,
}

/// The last time the provider asked everybody to wait.
#[derive(Debug, Clone, Copy)]
struct Pause {
    asked: Instant,
    until: Instant,
}

/// What makes the channel unusable before it starts.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A setting.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The table of answers.
    #[error(transparent)]
    Table(#[from] BadTable),
}

impl Sms {
    /// The channel with these settings. Opens nothing.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(settings: &Settings, courier: &Section, channel: Channel) -> Result<Self, Unusable> {
        settings.sms.check()?;
        let sender = Arc::new(Sender::new(settings.sms.policy_share));
        let provider: Box<dyn Provider> = match settings.sms.provider {
            Kind::Twilio => Box::new(Twilio::new(settings, channel.clone(), Arc::clone(&sender))?),
            Kind::Gateway => Box::new(Gateway::new(settings, &channel, Arc::clone(&sender))?),
        };
        let abilities = provider.abilities(abilities(&settings.sms, courier));
        Ok(Self {
            abilities,
            max_characters: settings.sms.max_characters,
            provider,
            public: Public::read(&settings.sms)?,
            budget: Mutex::new(Budget::new(settings.sms.segments_per_second, Instant::now())),
            pause: Mutex::new(None),
            sender,
            told: Told::new(channel.clone()),
            channel,
        })
    }

    async fn one(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let Some(to) = number::read(&envelope.to.address) else {
            return Outcome::Rejected(Reason::BadAddress);
        };
        let text = envelope.content.text_for(&self.channel).expose();
        if text.trim().is_empty() || text.chars().count() > self.max_characters {
            return Outcome::Rejected(Reason::Rejected);
        }
        let counted = self.provider.count(text);
        if let Some(withheld) = self.withheld() {
            return withheld;
        }
        let now = Instant::now();
        let turn = self.budget().admit(counted.segments, now, AHEAD);
        match turn {
            // Not told as a pause of the channel, which would halve the requests at once.
            Err(wait) => return Outcome::Throttled { scope: Scope::Recipient, wait },
            Ok(at) if at > now => {
                tokio::time::sleep_until(at).await;
                // A pause may have begun meanwhile.
                if let Some(withheld) = self.withheld() {
                    self.budget().give_back(counted.segments);
                    return withheld;
                }
            }
            Ok(_) => {}
        }
        let sent = Instant::now();
        let message = Message { envelope, to, text, counted, told: &self.told };
        match self.provider.send(message, deadline).await {
            Outcome::Throttled { scope: Scope::Channel, wait } => self.paused(sent, wait),
            outcome => {
                if matches!(outcome, Outcome::Accepted | Outcome::Delivered) {
                    self.sender.took();
                }
                outcome
            }
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a message that must not go now.
    fn withheld(&self) -> Option<Outcome> {
        self.sender.stops().map(Outcome::Stop).or_else(|| self.waits())
    }

    /// What becomes of a message that comes while the provider wants none. The runtime pauses the channel since the answer that
    /// began the wait: told once more, it would halve the requests once more.
    fn waits(&self) -> Option<Outcome> {
        let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = pause?.until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(Outcome::Throttled { scope: Scope::Recipient, wait: rest })
    }

    /// The provider asks everybody to wait. Of all the requests that were on the wire then, one says so: each that did would
    /// halve the requests at once.
    fn paused(&self, sent: Instant, wait: Duration) -> Outcome {
        let now = Instant::now();
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        match *pause {
            Some(Pause { asked, until }) if sent < asked && now + wait <= until + Duration::from_secs(1) => {
                let wait = wait.max(until.saturating_duration_since(now));
                Outcome::Throttled { scope: Scope::Recipient, wait }
            }
            _ => {
                *pause = Some(Pause { asked: now, until: now + wait });
                tracing::warn!(seconds = wait.as_secs(), "the provider asks to wait");
                Outcome::Throttled { scope: Scope::Channel, wait }
            }
        }
    }
}

/// What the channel can do, whoever the provider is.
fn abilities(settings: &Common, courier: &Section) -> Abilities {
    let abilities = courier.abilities(Abilities {
        concurrency: settings.concurrency,
        max_concurrency: settings.max_concurrency,
        send_window: settings.send_within.get(),
        on_unknown: settings.on_unknown.into(),
        ..Abilities::default()
    });
    // A message has a segment at least, so more messages a second need not even be begun.
    let segments = (settings.segments_per_second > 0.0).then_some(settings.segments_per_second);
    let rate = match (abilities.rate, segments) {
        (Some(messages), Some(segments)) => Some(messages.min(segments)),
        (messages, segments) => messages.or(segments),
    };
    Abilities { rate, ..abilities }
}

#[async_trait]
impl Transport for Sms {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(self.one(envelope, deadline).await);
        }
        outcomes
    }

    async fn inquire(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> Found {
        self.provider.inquire(envelope, begun, now).await
    }

    async fn check(&self) -> Result<(), String> {
        self.provider.check().await?;
        self.sender.try_again();
        Ok(())
    }

    fn unchecked(&self) -> Option<String> {
        self.provider.unchecked()
    }

    fn to_set_up(&self) -> Vec<String> {
        self.provider.to_set_up()
    }

    async fn serve(&self, desk: Arc<dyn Desk>, stop: CancellationToken) -> Result<(), String> {
        let routes = self.provider.open(desk);
        match &self.public {
            Some(public) => public.serve(routes, stop).await,
            None => Ok(()),
        }
    }
}
