//! A sending bot and its rate budget.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use posthaste_courier::rate_limiter::RateLimiter;
use tokio::time::Instant;

use crate::api::Bot;

/// One of the channel's bots.
pub(crate) struct BotSender {
    pub(crate) bot: Bot,
    pub(crate) budget: Mutex<RateLimiter>,
    /// The bot is not used before this moment, because Telegram refused its token.
    pub(crate) refused: Mutex<Option<Instant>>,
}

impl BotSender {
    pub(crate) fn budget(&self) -> MutexGuard<'_, RateLimiter> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops using the bot until then, because Telegram refused its token; `None`: the token is accepted.
    pub(crate) fn set_refused(&self, until: Option<Instant>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// How much longer, at `now`, the bot is not used because its token was refused.
    pub(crate) fn refused(&self, now: Instant) -> Option<Duration> {
        let until = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// How much longer the bot pauses, at `now`.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        self.budget().pause(now)
    }
}
