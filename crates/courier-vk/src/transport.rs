//! The transport: its parts and capabilities.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::order_faults::OrderFaults;
use posthaste_courier::process::Section;
use posthaste_courier::rate_limiter::RateLimiter;
use posthaste_courier::{
    Batching, Capabilities, Envelope, FeedbackSink, Outcome, Transport, TransportStartError,
};
use posthaste_model::{Channel, OrderId, Reason};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{Api, LOOK_WITHIN, Token};
use crate::batch_size::BatchSize;
use crate::batching::{self, MOST_PEERS};
use crate::inbound::Inbound;
use crate::response_rules::{TABLE, VkClassification, VkRules};
use crate::send::Sending;
use crate::settings::{self, Settings};

/// How long VK reliably drops a repeat under the same `random_id`. VK documents one hour for a similar method; ten minutes of
/// that are reserved for a repeat on its way.
const IDEMPOTENT_FOR: Duration = Duration::from_secs(50 * 60);
/// The slowest rate of the channel, in requests per second.
const SLOWEST: f64 = 0.2;
/// Up to this much is added at random to every pause, so that couriers on several machines do not resume together.
const SPREAD: Duration = Duration::from_millis(500);

/// The VK channel.
pub struct VkTransport {
    channel: Channel,
    pub(crate) settings: settings::VkSettings,
    capabilities: Capabilities,
    pub(crate) answers: VkRules,
    pub(crate) api: Api,
    inbound: Option<Inbound>,
    budget: Mutex<RateLimiter>,
    groups: Mutex<BatchSize>,
    order_faults: OrderFaults,
}

impl VkTransport {
    /// The channel with these settings. Opens nothing.
    ///
    /// # Errors
    /// [`TransportStartError`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, TransportStartError> {
        let settings = settings.vk;
        settings.check()?;
        let budget = RateLimiter::new(
            settings.requests_per_second,
            SLOWEST,
            settings.recover_within.get(),
            Instant::now(),
        );
        Ok(Self {
            order_faults: OrderFaults::new(channel.clone()),
            channel,
            capabilities: capabilities(&settings, courier),
            answers: VkRules::embedded(&TABLE)?,
            api: Api::new(&settings)?,
            inbound: Inbound::read(&settings)?,
            budget: Mutex::new(budget),
            groups: Mutex::new(BatchSize::new(settings.groups_per_request)),
            settings,
        })
    }

    pub(crate) fn budget(&self) -> MutexGuard<'_, RateLimiter> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn groups(&self) -> MutexGuard<'_, BatchSize> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses the channel, because the answer to a request sent at `sent` asked to wait. Returns the length of the pause.
    pub(crate) fn throttled(&self, sent: Instant, wait: Duration, number: u32) -> Duration {
        let now = Instant::now();
        let mut budget = self.budget();
        let before = budget.pause(now);
        budget.throttled(sent, now, wait + SPREAD.mul_f64(rand::random()));
        let wait = budget.pause(now).unwrap_or(wait);
        drop(budget);
        if before.is_none() {
            tracing::warn!(
                event = "channel.paused",
                channel = %self.channel,
                code = number,
                seconds = wait.as_secs(),
                "VK rate limit; the channel pauses"
            );
        }
        wait
    }

    /// Logs a fault of the message or the program, once per order.
    pub(crate) fn tell(&self, order: &OrderId, found: VkClassification<'_>, number: u32) {
        if found.alarm && self.order_faults.is_new(order) {
            tracing::error!(
                event = "message.rejected",
                provider = "vk",
                %order,
                code = number,
                "VK refuses the message as invalid; check its content"
            );
        }
    }
}

fn capabilities(settings: &settings::VkSettings, courier: &Section) -> Capabilities {
    let at_once = requests(settings.requests_per_second * 2.0);
    courier.capabilities(Capabilities {
        batching: Batching::Groups { groups: settings.groups_per_request, deliveries: MOST_PEERS },
        concurrency: at_once.min(8),
        // Enough for answers that take two seconds.
        max_concurrency: at_once,
        send_window: settings.send_within.get(),
        tokens: true,
        deliveries_a_token: u16::try_from(MOST_PEERS).unwrap_or(1),
        idempotent_for: IDEMPOTENT_FOR,
        ..Capabilities::default()
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 4 and 100")]
fn requests(wanted: f64) -> usize {
    wanted.clamp(4.0, 100.0) as usize
}

#[async_trait]
impl Transport for VkTransport {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn refuses(&self, envelope: &Envelope) -> Option<Reason> {
        let (_, outcomes) =
            batching::group(std::slice::from_ref(envelope), &self.channel, self.settings.subject);
        outcomes.into_iter().flatten().find_map(|outcome| match outcome {
            Outcome::Failed(why) => Some(why.reason),
            _ => None,
        })
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let (calls, outcomes) = batching::group(batch, &self.channel, self.settings.subject);
        Sending::new(self, calls, outcomes, deadline).run().await
    }

    async fn check(&self) -> Result<(), String> {
        match self.api.look_at_token(&self.answers, Instant::now() + LOOK_WITHIN).await {
            Token::Good | Token::Busy => Ok(()),
            Token::Bad(why) | Token::CannotTell(why) => Err(why),
        }
    }

    async fn serve(&self, feedback: Arc<dyn FeedbackSink>, stop: CancellationToken) -> Result<(), String> {
        match &self.inbound {
            Some(inbound) => inbound.serve(&self.channel, feedback, stop).await,
            None => Ok(()),
        }
    }
}
