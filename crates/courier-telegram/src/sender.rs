//! A bot that sends, and the budget it has.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use posthaste_courier::budget::Budget;
use tokio::time::Instant;

use crate::api::Bot;

/// One of the channel's bots.
pub(crate) struct Sender {
    pub(crate) bot: Bot,
    pub(crate) budget: Mutex<Budget>,
    /// Until when the bot is not used, because Telegram refused its token.
    pub(crate) refused: Mutex<Option<Instant>>,
}

impl Sender {
    pub(crate) fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Telegram refused its token, so it is not used until then; `None`: it takes it.
    pub(crate) fn set_refused(&self, until: Option<Instant>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// How long it is not used yet, at `now`, because its token was refused.
    pub(crate) fn refused(&self, now: Instant) -> Option<Duration> {
        let until = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// How long it pauses yet, at `now`.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        self.budget().pause(now)
    }
}
