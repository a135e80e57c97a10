//! The interface between the channel and its providers. Everything that is common to all of them (numbers, lengths,
//! segments, pauses, the listener for receipts) is handled before it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use posthaste_courier::order_faults::OrderFaults;
use posthaste_courier::{Capabilities, Envelope, FeedbackSink, LookupResult, Outcome};
use posthaste_model::UnixMs;
use posthaste_model::segments::Counted;
use tokio::time::Instant;

/// A message ready to be sent: its number is valid, and its text is not too long.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The attempt.
    pub(crate) envelope: &'a Envelope,
    /// The recipient's number, E.164.
    pub(crate) to: &'a str,
    /// Its text.
    pub(crate) text: &'a str,
    /// Its segments.
    pub(crate) counted: Counted,
    /// Orders whose fault has been logged.
    pub(crate) order_faults: &'a OrderFaults,
}

impl Message<'_> {
    /// Whether a rejection that requires operator action is to be logged: once per order.
    pub(crate) fn is_news(&self) -> bool {
        self.order_faults.is_new(&self.envelope.order_id)
    }
}

/// A provider.
#[async_trait]
pub(crate) trait Provider: Send + Sync + 'static {
    /// Its capabilities, added to those of the channel.
    fn capabilities(&self, channel: Capabilities) -> Capabilities;

    /// The number of segments of a text when this provider sends it.
    fn count(&self, text: &str) -> Counted;

    /// Sends a message. Ends by `deadline`.
    async fn send(&self, message: Message<'_>, deadline: Instant) -> Outcome;

    /// As [`posthaste_courier::Transport::look_up`].
    async fn look_up(&self, _envelope: &Envelope, _begun: UnixMs, _now: UnixMs) -> LookupResult {
        LookupResult::CannotTell
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

    /// Takes the feedback sink, and returns the routes of the public listener.
    fn open(&self, feedback: Arc<dyn FeedbackSink>) -> Router;
}
