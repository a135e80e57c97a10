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
}

impl Sender {
    pub(crate) fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it pauses yet, at `now`.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        self.budget().pause(now)
    }
}
