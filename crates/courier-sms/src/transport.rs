//! The transport: everything common to all providers. Decides which messages may be sent and when, and handles rate
//! limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::order_faults::OrderFaults;
use posthaste_courier::process::Section;
use posthaste_courier::{
    Capabilities, Envelope, FeedbackSink, LookupResult, Outcome, ThrottleScope, Transport,
    TransportStartError,
};
use posthaste_model::{Channel, Reason, UnixMs};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::callback_server::CallbackServer;
use crate::gateway::GatewayProvider;
use crate::number;
use crate::provider::{Message, Provider};
use crate::segment_pacer::SegmentPacer;
use crate::sender_health::SenderHealth;
use crate::settings::{ProviderKind as Kind, Settings, SmsSettings as Common};
use crate::twilio::TwilioProvider;

/// How long a begun message waits for its turn in the transport; longer waits are left to the runtime.
const AHEAD: Duration = Duration::from_millis(250);

/// The SMS channel.
pub struct SmsTransport {
    channel: Channel,
    capabilities: Capabilities,
    max_characters: usize,
    provider: Box<dyn Provider>,
    public: Option<CallbackServer>,
    budget: Mutex<SegmentPacer>,
    pause: Mutex<Option<Pause>>,
    sender: Arc<SenderHealth>,
    order_faults: OrderFaults,
}

/// The last time the provider requested a wait of the whole channel.
#[derive(Debug, Clone, Copy)]
struct Pause {
    requested: Instant,
    until: Instant,
}

impl SmsTransport {
    /// The channel with these settings. Opens no connection.
    ///
    /// # Errors
    /// [`TransportStartError`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, TransportStartError> {
        settings.sms.check()?;
        let sender = Arc::new(SenderHealth::new(settings.sms.policy_share));
        let provider: Box<dyn Provider> = match settings.sms.provider {
            Kind::Twilio => Box::new(TwilioProvider::new(&settings, channel.clone(), Arc::clone(&sender))?),
            Kind::Gateway => Box::new(GatewayProvider::new(&settings, &channel, Arc::clone(&sender))?),
        };
        let capabilities = provider.capabilities(capabilities(&settings.sms, courier));
        Ok(Self {
            capabilities,
            max_characters: settings.sms.max_characters,
            provider,
            public: CallbackServer::read(&settings.sms)?,
            budget: Mutex::new(SegmentPacer::new(settings.sms.segments_per_second, Instant::now())),
            pause: Mutex::new(None),
            sender,
            order_faults: OrderFaults::new(channel.clone()),
            channel,
        })
    }

    /// The number and the text, or why no message can be sent.
    fn message<'e>(&self, envelope: &'e Envelope) -> Result<(&'e str, &'e str), Reason> {
        let to = number::read(&envelope.to.address).ok_or(Reason::InvalidAddress)?;
        let text = envelope.content.text_for(&self.channel).expose();
        let fits = !text.trim().is_empty() && text.chars().count() <= self.max_characters;
        if fits { Ok((to, text)) } else { Err(Reason::Rejected) }
    }

    async fn one(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let (to, text) = match self.message(envelope) {
            Ok(message) => message,
            Err(reason) => return Outcome::Failed(reason.into()),
        };
        let counted = self.provider.count(text);
        if let Some(withheld) = self.withheld() {
            return withheld;
        }
        let now = Instant::now();
        let turn = self.budget().admit(counted.segments, now, AHEAD);
        match turn {
            // Not reported as a pause of the channel, which would halve the number of concurrent requests.
            Err(wait) => return Outcome::Throttled { scope: ThrottleScope::Recipient, wait },
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
        let message = Message { envelope, to, text, counted, order_faults: &self.order_faults };
        match self.provider.send(message, deadline).await {
            Outcome::Throttled { scope: ThrottleScope::Channel, wait } => self.paused(sent, wait),
            outcome => {
                if matches!(outcome, Outcome::Sent | Outcome::Delivered) {
                    self.sender.took();
                }
                outcome
            }
        }
    }

    fn budget(&self) -> MutexGuard<'_, SegmentPacer> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome of a message that must not be sent now.
    fn withheld(&self) -> Option<Outcome> {
        self.sender.stops().map(Outcome::Stop).or_else(|| self.waits())
    }

    /// The outcome of a message during a wait requested by the provider. The runtime has already paused the channel:
    /// reported again, the pause would halve the number of concurrent requests again.
    fn waits(&self) -> Option<Outcome> {
        let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = pause?.until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(Outcome::Throttled { scope: ThrottleScope::Recipient, wait: rest })
    }

    /// The provider requests a wait of the whole channel. Of all requests that were in flight, only one reports it:
    /// each report would halve the number of concurrent requests.
    fn paused(&self, sent: Instant, wait: Duration) -> Outcome {
        let now = Instant::now();
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        match *pause {
            Some(Pause { requested, until })
                if sent < requested && now + wait <= until + Duration::from_secs(1) =>
            {
                let wait = wait.max(until.saturating_duration_since(now));
                Outcome::Throttled { scope: ThrottleScope::Recipient, wait }
            }
            _ => {
                *pause = Some(Pause { requested: now, until: now + wait });
                tracing::warn!(
                    event = "channel.paused",
                    channel = %self.channel,
                    seconds = wait.as_secs(),
                    "provider rate limit reached; channel paused"
                );
                Outcome::Throttled { scope: ThrottleScope::Channel, wait }
            }
        }
    }
}

/// The channel's capabilities common to all providers.
fn capabilities(settings: &Common, courier: &Section) -> Capabilities {
    let capabilities = courier.capabilities(Capabilities {
        concurrency: settings.concurrency,
        max_concurrency: settings.max_concurrency,
        send_window: settings.send_within.get(),
        on_unknown: settings.on_unknown.into(),
        ..Capabilities::default()
    });
    // A message has at least one segment, so no more messages per second need to be begun.
    let segments = (settings.segments_per_second > 0.0).then_some(settings.segments_per_second);
    let rate = match (capabilities.rate, segments) {
        (Some(messages), Some(segments)) => Some(messages.min(segments)),
        (messages, segments) => messages.or(segments),
    };
    Capabilities { rate, ..capabilities }
}

#[async_trait]
impl Transport for SmsTransport {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn refuses(&self, envelope: &Envelope) -> Option<Reason> {
        self.message(envelope).err()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(self.one(envelope, deadline).await);
        }
        outcomes
    }

    async fn look_up(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> LookupResult {
        self.provider.look_up(envelope, begun, now).await
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

    async fn serve(&self, feedback: Arc<dyn FeedbackSink>, stop: CancellationToken) -> Result<(), String> {
        let routes = self.provider.open(feedback);
        match &self.public {
            Some(public) => public.serve(routes, stop).await,
            None => Ok(()),
        }
    }
}
