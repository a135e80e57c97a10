//! The transport: one POST per delivery.

use async_trait::async_trait;
use posthaste_courier::process::Section;
use posthaste_courier::{Batching, Capabilities, Envelope, Outcome, Transport, TransportStartError};
use posthaste_model::{Channel, Reason};
use tokio::time::Instant;

use crate::call::{self, CallResult, Clients};
use crate::message::{ID_HEADER, Message};
use crate::public_dns::{Lookup, system_lookup};
use crate::response_rules::WebhookRules;
use crate::settings::Settings;
use crate::target::AllowedTargets;

/// The webhook channel.
pub struct WebhookTransport {
    channel: Channel,
    capabilities: Capabilities,
    allowed: AllowedTargets,
    clients: Clients,
    rules: WebhookRules,
}

impl WebhookTransport {
    /// The channel with these settings. Opens nothing.
    ///
    /// # Errors
    /// [`TransportStartError`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, TransportStartError> {
        Self::with_lookup(settings, courier, channel, &system_lookup())
    }

    /// The same with another way to look names up. Every address it gives is checked like those of the system.
    ///
    /// # Errors
    /// [`TransportStartError`].
    pub fn with_lookup(
        settings: Settings,
        courier: &Section,
        channel: Channel,
        lookup: &Lookup,
    ) -> Result<Self, TransportStartError> {
        let settings = settings.webhook;
        settings.check()?;
        let capabilities = courier.capabilities(Capabilities {
            batching: Batching::Single,
            concurrency: settings.max_concurrency.min(16),
            max_concurrency: settings.max_concurrency,
            send_window: settings.send_within.get(),
            on_unknown: settings.on_unknown.into(),
            ..Capabilities::default()
        });
        Ok(Self {
            channel,
            capabilities,
            allowed: AllowedTargets::new(&settings)?,
            clients: Clients::new(&settings, lookup)?,
            rules: WebhookRules::embedded()?,
        })
    }

    async fn post(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let Some(target) = self.allowed.target(envelope.to.address.expose()) else {
            return Outcome::Failed(Reason::InvalidAddress.into());
        };
        let message = Message::new(envelope, &self.channel);
        let request = self.clients.post(target).header(ID_HEADER, &message.id).json(&message);
        match call::exchange(request, deadline).await {
            CallResult::Response { status, retry_after } => self.rules.outcome(status, retry_after),
            CallResult::Forbidden => Outcome::Failed(Reason::InvalidAddress.into()),
            CallResult::NotConnected => Outcome::NotSent { after: None, reason: Reason::ConnectionFailed },
            CallResult::Lost(reason) => Outcome::Unknown(reason),
        }
    }
}

#[async_trait]
impl Transport for WebhookTransport {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn refuses(&self, envelope: &Envelope) -> Option<Reason> {
        let target = self.allowed.target(envelope.to.address.expose());
        target.is_none().then_some(Reason::InvalidAddress)
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(self.post(envelope, deadline).await);
        }
        outcomes
    }

    fn unchecked(&self) -> Option<String> {
        Some(
            "Every recipient has a server of their own, which is called only when a message is sent."
                .to_owned(),
        )
    }
}
