//! What happens to a message after it was accepted: its statuses, one after the other, and their callbacks.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Clock, SystemClock};
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use super::callback::{self, Target};
use super::resource::Kept;
use super::server::Inside;
use crate::fake_provider::{Callbacks, MessageAction};
use crate::record::LaterStatus;

/// The planned statuses of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// The last status; `delivered` if none is set.
    end: Option<(&'static str, Option<u16>)>,
    callbacks: Option<Callbacks>,
}

/// A status and the delay before it.
struct Step {
    after: Duration,
    status: &'static str,
    error: Option<u16>,
}

impl Plan {
    pub(super) fn of(action: Option<&MessageAction>) -> Self {
        match action {
            Some(MessageAction::End { status, code }) => {
                let status = match status.as_str() {
                    "sent" => "sent",
                    "undelivered" => "undelivered",
                    "failed" => "failed",
                    _ => "delivered",
                };
                Self { end: Some((status, *code)), callbacks: None }
            }
            Some(MessageAction::Callbacks(how)) => Self { end: None, callbacks: Some(*how) },
            _ => Self::default(),
        }
    }

    pub(super) fn is_early(&self) -> bool {
        self.callbacks == Some(Callbacks::Early)
    }

    /// The statuses after the first.
    fn steps(&self, kept: &Kept, inside: &Inside) -> Vec<Step> {
        let settings = &inside.settings;
        let step = |after, status| Step { after, status, error: None };
        let mut steps = Vec::new();
        if kept.status == "accepted" {
            steps.push(step(settings.queued_for, "queued"));
        }
        let (end, error) = self.end.unwrap_or(("delivered", None));
        if end == "failed" {
            steps.push(Step { after: settings.queued_for, status: end, error });
            return steps;
        }
        steps.push(step(settings.queued_for.saturating_add(inside.turn(kept)), "sending"));
        steps.push(step(settings.sending_for, "sent"));
        if end != "sent" {
            steps.push(Step { after: settings.sent_for, status: end, error });
        }
        steps
    }
}

/// Runs through the statuses. `answered` is released once an early one has reported everything.
pub(super) async fn run(
    inside: Arc<Inside>,
    kept: Kept,
    plan: Plan,
    attempt: Option<u64>,
    answered: Option<oneshot::Sender<()>>,
) {
    let mut held = Vec::new();
    for step in plan.steps(&kept, &inside) {
        if !plan.is_early() {
            tokio::time::sleep(step.after).await;
        }
        let advanced = inside.messages().advance(&kept.sid, step.status, step.error, SystemClock.now());
        let Some(now) = advanced else { return };
        match plan.callbacks {
            Some(Callbacks::Reversed) => held.push(now),
            how => tell(&inside, &now, how, attempt).await,
        }
    }
    for now in held.iter().rev() {
        tell(&inside, now, None, attempt).await;
    }
    if let Some(answered) = answered {
        // The receiver may be gone.
        let _ = answered.send(());
    }
}

/// Reports a status and records the result.
async fn tell(inside: &Inside, kept: &Kept, how: Option<Callbacks>, attempt: Option<u64>) {
    if how == Some(Callbacks::Forged) {
        let forged = Kept { status: "failed", error: Some(30_005), ..kept.clone() };
        inside.call_back(&forged, "not the token").await;
    }
    let key = inside.settings.auth_token.expose_secret();
    let mut callback = match how {
        Some(Callbacks::Lost) => "withheld",
        _ => inside.call_back(kept, key).await,
    };
    if how == Some(Callbacks::Twice) {
        callback = inside.call_back(kept, key).await;
    }
    if let (Some(record), Some(attempt)) = (&inside.back.record, attempt) {
        let later =
            LaterStatus { status: kept.status.to_owned(), at: kept.updated.0, code: kept.error, callback };
        if let Err(error) = record.add_later(attempt, later) {
            tracing::warn!(
                event = "sandbox.record_failed",
                error = &error as &dyn std::error::Error,
                "cannot write to the record file"
            );
        }
    }
}

impl Inside {
    /// How long a message waits for its turn: its sender sends a limited number of segments per second.
    fn turn(&self, kept: &Kept) -> Duration {
        let Some(rate) = std::num::NonZeroU32::new(self.settings.segments_per_second) else {
            return Duration::ZERO;
        };
        let span = Duration::from_secs(1).saturating_mul(u32::try_from(kept.segments).unwrap_or(u32::MAX))
            / rate.get();
        self.take_turn(kept.sender(), span)
    }

    /// Posts a status to the message's StatusCallback and retries where that may help; returns the result as a word.
    async fn call_back(&self, kept: &Kept, key: &str) -> &'static str {
        let Some(url) = &kept.callback else { return "not_asked" };
        let Some(target) = Target::of(url, &self.settings) else { return "not_called" };
        let error = kept.error.map(|code| code.to_string());
        let mut parameters = vec![
            ("AccountSid", self.settings.account.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("From", kept.from.as_deref().unwrap_or("+15005550006")),
            ("MessageSid", &kept.sid),
            ("MessageStatus", kept.status),
            ("SmsSid", &kept.sid),
            ("SmsStatus", kept.status),
            ("To", &kept.to),
        ];
        parameters.extend(kept.service.as_deref().map(|sid| ("MessagingServiceSid", sid)));
        parameters.extend(error.as_deref().map(|code| ("ErrorCode", code)));
        self.post(&target, key, &parameters).await
    }

    /// Posts a form, with retries after 5xx or no answer; returns the result as a word.
    pub(super) async fn post(&self, target: &Target, key: &str, parameters: &[(&str, &str)]) -> &'static str {
        let mut came = "lost";
        for attempt in 0..self.settings.callback_tries.max(1) {
            if attempt > 0 {
                tokio::time::sleep(self.settings.callback_wait).await;
            }
            // Held only during the call, so that a receiver that does not answer does not block others between tries.
            let Ok(_place) = self.calls.acquire().await else { return "lost" };
            came = match callback::post(&self.client, target, key, parameters).await {
                Ok(200..300) => return "told",
                Ok(500..) => "refused",
                Ok(_) => return "refused",
                Err(_) => "lost",
            };
        }
        came
    }
}
