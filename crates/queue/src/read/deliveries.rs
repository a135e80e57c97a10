//! A delivery of an order as responses show it.

use posthaste_model::{State, UnixMs};
use posthaste_store::{ListedDelivery, WaitingFor};
use serde::Serialize;
use utoipa::ToSchema;

use crate::order_response::reason_word;
use crate::timestamp::ApiTime;

/// One address of one recipient, and the status of its delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryView {
    /// Position of the recipient in the order, from 0.
    recipient_index: u32,
    /// The client's own id of the recipient.
    #[schema(required = true)]
    recipient_id: Option<String>,
    /// The recipient's name.
    #[schema(required = true)]
    recipient_name: Option<String>,
    /// The channel.
    #[schema(example = "email")]
    channel: String,
    /// The address in its normalised form.
    address: String,
    /// `pending`, `sending`, `sent`, `delivered`, `failed`, `unknown`, `suppressed`, `expired` or `cancelled`.
    status: &'static str,
    /// Why it has this status, as a stable word; `provider_error` is one that only the provider's code describes.
    #[schema(example = "provider_error", required = true)]
    reason: Option<&'static str>,
    /// The code with which the provider refused it: an SMTP reply code, an error of the provider's list (Twilio, VK), or
    /// an HTTP status (Telegram); `null` unless `status` is `failed` and the provider gave a number.
    #[schema(example = 550, required = true)]
    provider_code: Option<u32>,
    /// The enhanced status of a mail server (RFC 3463) beside its reply code; `null` without one.
    #[schema(example = "5.1.1", required = true)]
    enhanced_status: Option<String>,
    /// Number of attempts made so far; 0 if it is `suppressed` and was never tried.
    attempt_count: u8,
    /// When it last changed, to the second; `null` if nothing has happened yet.
    #[schema(required = true)]
    updated_at: Option<ApiTime>,
    /// The earliest time it continues, if known.
    #[schema(required = true)]
    next_attempt_at: Option<ApiTime>,
    /// What it waits for: `schedule` (its due time), `quiet_hours` (their end), `retry`, `rate_limit` (the provider
    /// asked to wait), `channel_stopped` (the provider refused the credentials), `no_courier`, `courier` (its turn),
    /// `provider` (a reply), `outcome_check` (whether a message of unknown outcome arrived).
    #[schema(required = true)]
    waiting_for: Option<&'static str>,
}

impl DeliveryView {
    /// `quiet`: quiet hours moved the order.
    pub(super) fn new(listed: ListedDelivery, quiet: bool) -> Self {
        let ListedDelivery { channel, delivery, outcome, waits_for } = listed;
        let given = |text: String| (!text.is_empty()).then_some(text);
        let untouched =
            outcome.state == State::Pending && outcome.attempt == 0 && outcome.not_before.is_none();
        let next_at: Option<UnixMs> = waits_for.and_then(WaitingFor::at);
        Self {
            recipient_index: delivery.index,
            recipient_id: given(delivery.recipient),
            recipient_name: given(delivery.name),
            channel: channel.to_string(),
            address: delivery.address.expose().to_owned(),
            status: outcome.state.word(),
            reason: reason_word(outcome.reason),
            provider_code: outcome.code.number().or(outcome.reason.provider_code().map(u32::from)),
            enhanced_status: outcome.code.enhanced().map(|status| status.to_string()),
            attempt_count: outcome.attempts_made(),
            updated_at: (!untouched).then_some(ApiTime(outcome.changed)),
            next_attempt_at: next_at.map(ApiTime),
            waiting_for: waits_for.map(|what| match what {
                WaitingFor::Due(_) if quiet => "quiet_hours",
                other => other.word(),
            }),
        }
    }
}
