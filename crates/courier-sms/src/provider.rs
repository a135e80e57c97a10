//! The seam between the channel and its providers: what a provider gives. Everything that is the same for all of them (numbers,
//! lengths, segments, pauses, where receipts come in) stands before it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use posthaste_courier::told::Told;
use posthaste_courier::{Abilities, Desk, Envelope, Found, Outcome};
use posthaste_model::UnixMs;
use posthaste_model::segments::Counted;
use tokio::time::Instant;

/// A message that may go: its number is one, and its text is not too long.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The attempt.
    pub(crate) envelope: &'a Envelope,
    /// To which number, E.164.
    pub(crate) to: &'a str,
    /// What it says.
    pub(crate) text: &'a str,
    /// Its segments.
    pub(crate) counted: Counted,
    /// Orders whose fault was told.
    pub(crate) told: &'a Told,
}

impl Message<'_> {
    /// It was refused for what somebody has to look at. Whether that is to be told: once an order.
    pub(crate) fn is_news(&self) -> bool {
        self.told.is_new(&self.envelope.suffix)
    }
}

/// Who takes messages.
#[async_trait]
pub(crate) trait Provider: Send + Sync + 'static {
    /// What it can do beyond what the channel can.
    fn abilities(&self, channel: Abilities) -> Abilities;

    /// How many segments a text has when this provider sends it.
    fn count(&self, text: &str) -> Counted;

    /// Sends a message. Over by `deadline`.
    async fn send(&self, message: Message<'_>, deadline: Instant) -> Outcome;

    /// As [`posthaste_courier::Transport::inquire`].
    async fn inquire(&self, _envelope: &Envelope, _begun: UnixMs, _now: UnixMs) -> Found {
        Found::CannotTell
    }

    /// As [`posthaste_courier::Transport::check`].
    async fn check(&self) -> Result<(), String>;

    /// As [`posthaste_courier::Transport::unchecked`].
    fn unchecked(&self) -> Option<String> {
        None
    }

    /// As [`posthaste_courier::Transport::to_set_up`].
    fn to_set_up(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes the desk, and gives what comes in at the public place.
    fn open(&self, desk: Arc<dyn Desk>) -> Router;
}
