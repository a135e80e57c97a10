//! The transport: what it is made of, and what it can do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::budget::Budget;
use posthaste_courier::process::Section;
use posthaste_courier::told::Told;
use posthaste_courier::{Abilities, Batching, Desk, Envelope, Outcome, Transport};
use posthaste_model::{Channel, Suffix};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answers::{Answers, BadTable, Verdict};
use crate::api::{Api, LOOK_WITHIN, Token};
use crate::calls::{self, MOST_PEERS};
use crate::groups::Groups;
use crate::inbound::Inbound;
use crate::send::Sending;
use crate::settings::{self, BadSetting, Settings};

/// For how long a repeat under the same `random_id` is surely dropped. VK says an hour of a method like this one; ten minutes of
/// that are for a repeat on its way.
const IDEMPOTENT_FOR: Duration = Duration::from_secs(50 * 60);
/// The slowest the channel gets, in requests a second.
const SLOWEST: f64 = 0.2;
/// A part of so much is added to every pause, so that couriers on several machines do not come back together.
const SPREAD: Duration = Duration::from_millis(500);

/// The VK channel.
pub struct Vk {
    channel: Channel,
    pub(crate) settings: settings::Vk,
    abilities: Abilities,
    pub(crate) answers: Answers,
    pub(crate) api: Api,
    inbound: Option<Inbound>,
    budget: Mutex<Budget>,
    groups: Mutex<Groups>,
    told: Told,
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

impl Vk {
    /// The channel with these settings. Opens nothing.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, Unusable> {
        let settings = settings.vk;
        settings.check()?;
        let budget = Budget::new(settings.rate, SLOWEST, settings.recover_within.get(), Instant::now());
        Ok(Self {
            told: Told::new(channel.clone()),
            channel,
            abilities: abilities(&settings, courier),
            answers: Answers::embedded()?,
            api: Api::new(&settings)?,
            inbound: Inbound::read(&settings)?,
            budget: Mutex::new(budget),
            groups: Mutex::new(Groups::new(settings.groups_per_request)),
            settings,
        })
    }

    pub(crate) fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer to a request sent at `sent` asked to wait: the channel pauses. How long in the end.
    pub(crate) fn throttled(&self, sent: Instant, wait: Duration, number: u32) -> Duration {
        let now = Instant::now();
        let mut budget = self.budget();
        let before = budget.pause(now);
        budget.throttled(sent, now, wait + SPREAD.mul_f64(rand::random()));
        let wait = budget.pause(now).unwrap_or(wait);
        drop(budget);
        if before.is_none() {
            tracing::warn!(error = number, seconds = wait.as_secs(), "VK asks the channel to pause");
        }
        wait
    }

    /// A fault of ours is told once an order.
    pub(crate) fn tell(&self, order: &Suffix, verdict: Verdict<'_>, number: u32) {
        if verdict.alarm && self.told.is_new(order) {
            tracing::error!(%order, error = number, "VK refuses the message for what it says");
        }
    }
}

fn abilities(settings: &settings::Vk, courier: &Section) -> Abilities {
    let at_once = requests(settings.rate * 2.0);
    courier.abilities(Abilities {
        batching: Batching::Groups { groups: settings.groups_per_request, rows: MOST_PEERS },
        concurrency: at_once.min(8),
        // Enough for answers that take two seconds.
        max_concurrency: at_once,
        send_window: settings.send_within.get(),
        tokens: true,
        rows_a_token: u16::try_from(MOST_PEERS).unwrap_or(1),
        idempotent_for: IDEMPOTENT_FOR,
        ..Abilities::default()
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 4 and 100")]
fn requests(wanted: f64) -> usize {
    wanted.clamp(4.0, 100.0) as usize
}

#[async_trait]
impl Transport for Vk {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let (calls, outcomes) = calls::group(batch, &self.channel, self.settings.subject);
        Sending::new(self, calls, outcomes, deadline).run().await
    }

    async fn check(&self) -> Result<(), String> {
        match self.api.look_at_token(&self.answers, Instant::now() + LOOK_WITHIN).await {
            Token::Good | Token::Busy => Ok(()),
            Token::Bad(why) | Token::CannotTell(why) => Err(why),
        }
    }

    async fn serve(&self, desk: Arc<dyn Desk>, stop: CancellationToken) -> Result<(), String> {
        match &self.inbound {
            Some(inbound) => inbound.serve(&self.channel, desk, stop).await,
            None => Ok(()),
        }
    }
}
