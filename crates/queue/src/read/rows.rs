//! A row of an order as answers tell it.

use posthaste_model::{State, UnixMs};
use posthaste_store::{ListedRow, WaitsFor};
use serde::Serialize;
use utoipa::ToSchema;

use crate::moment::Moment;
use crate::view::reason_word;

/// One address of one recipient, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecipientRow {
    /// Position of the recipient in the order, from 0.
    index: u32,
    /// The sender's own id of the recipient.
    recipient_id: Option<String>,
    /// Name of the recipient.
    name: Option<String>,
    /// The channel.
    #[schema(example = "email")]
    channel: String,
    /// The address, as it was normalised.
    address: String,
    /// `pending`, `sending`, `sent`, `delivered`, `failed`, `unknown`, `suppressed`, `expired` or `cancelled`.
    state: &'static str,
    /// Why it is in this state, as a stable word; a provider's own reasons are `provider` and their number.
    reason: Option<String>,
    /// Attempts begun so far.
    attempts: u8,
    /// When it last changed, to the second; missing while nothing happened.
    updated_at: Option<Moment>,
    /// When it goes on at the earliest, if that is known.
    next_at: Option<Moment>,
    /// What it waits for: `due` (its time), `quiet_hours` (their end), `retry`, `throttle` (the provider asked to wait),
    /// `channel_stopped` (a credential is refused), `no_courier`, `courier` (its turn), `provider` (an answer), `resolver`.
    waits_for: Option<&'static str>,
}

impl RecipientRow {
    /// `quiet`: the order was moved out of the quiet hours.
    pub(super) fn new(listed: ListedRow, quiet: bool) -> Self {
        let ListedRow { channel, row, outcome, waits_for } = listed;
        let given = |text: String| (!text.is_empty()).then_some(text);
        let untouched =
            outcome.state == State::Pending && outcome.attempt == 0 && outcome.not_before.is_none();
        let next_at: Option<UnixMs> = waits_for.and_then(WaitsFor::at);
        Self {
            index: row.index,
            recipient_id: given(row.recipient),
            name: given(row.name),
            channel: channel.to_string(),
            address: row.address.expose().to_owned(),
            state: outcome.state.word(),
            reason: reason_word(outcome.reason),
            attempts: outcome.attempt,
            updated_at: (!untouched).then_some(Moment(outcome.changed)),
            next_at: next_at.map(Moment),
            waits_for: waits_for.map(|what| match what {
                WaitsFor::Due(_) if quiet => "quiet_hours",
                other => other.word(),
            }),
        }
    }
}
