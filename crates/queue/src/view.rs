//! An order as answers tell it.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use posthaste_model::{Channel, Content, Counters, Lane, Reason, State as RowState, Suffix};
use posthaste_store::Glance;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::moment::Moment;

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Not due yet.
    Scheduled,
    /// Due; rows are being sent or wait for it.
    Running,
    /// Every row has its final outcome, and all are sent or delivered.
    Finished,
    /// Every row has its final outcome, and some did not get through, or nobody knows.
    FinishedWithFailures,
    /// It was cancelled; rows that were out then are still told.
    Cancelled,
}

impl OrderState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Scheduled, Self::Running, Self::Finished, Self::FinishedWithFailures, Self::Cancelled];

    /// The state of an order.
    #[must_use]
    pub fn of(glance: &Glance) -> Self {
        if glance.cancelled.is_some() {
            return Self::Cancelled;
        }
        if glance.finished.is_some() {
            let totals = glance.totals();
            let through = u64::from(totals[RowState::Sent]) + u64::from(totals[RowState::Delivered]);
            return if through == totals.accepted() { Self::Finished } else { Self::FinishedWithFailures };
        }
        // A big order that is being rung is in `due` still, and under way.
        if glance.waits_until.is_some() && glance.rung.is_none_or(|rung| rung == 0) {
            Self::Scheduled
        } else {
            Self::Running
        }
    }

    /// The stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::FinishedWithFailures => "finished_with_failures",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Rows by outcome. `accepted` is the sum of all others but `no_contact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Counts {
    /// Rows of the order.
    pub accepted: u64,
    /// To be sent.
    pub pending: u64,
    /// On their way to the provider.
    pub sending: u64,
    /// Taken by the provider.
    pub sent: u64,
    /// Arrived, as the provider says.
    pub delivered: u64,
    /// Refused for good.
    pub failed: u64,
    /// Nobody knows whether they arrived.
    pub unknown: u64,
    /// Not sent, because the address is on the suppression list.
    pub suppressed: u64,
    /// Not sent, because their time was over.
    pub expired: u64,
    /// Not sent, because the order was cancelled.
    pub cancelled: u64,
    /// Recipients without an address on this channel; no rows.
    pub no_contact: u64,
}

impl From<&Counters> for Counts {
    fn from(counters: &Counters) -> Self {
        let of = |state: RowState| u64::from(counters[state]);
        Self {
            accepted: counters.accepted(),
            pending: of(RowState::Pending),
            sending: of(RowState::Sending),
            sent: of(RowState::Sent),
            delivered: of(RowState::Delivered),
            failed: of(RowState::Failed),
            unknown: of(RowState::Unknown) + of(RowState::Unresolved),
            suppressed: of(RowState::Suppressed),
            expired: of(RowState::Expired),
            cancelled: of(RowState::Cancelled),
            no_contact: u64::from(counters.no_contact),
        }
    }
}

/// An order: when, how far, with what outcome.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderView {
    /// `<sender id>.<nanoseconds>`.
    #[schema(example = "u17.1763618400000000000")]
    pub order_id: String,
    /// The same, as the history is called.
    #[schema(example = "history:u17:1763618400000000000")]
    pub history_key: String,
    /// Where it is in its life.
    pub state: OrderState,
    /// `urgent` or `bulk`.
    #[schema(value_type = String, example = "bulk")]
    pub lane: Lane,
    /// When it was accepted.
    pub accepted_at: Moment,
    /// When it is due.
    pub due_at: Moment,
    /// When what is not begun expires.
    pub not_after: Moment,
    /// When it was cancelled.
    pub cancelled_at: Option<Moment>,
    /// When its last row became final.
    pub finished_at: Option<Moment>,
    /// Grows with every change.
    pub revision: u64,
    /// The order whose rows it repeats.
    pub retry_of: Option<String>,
    /// Who sends.
    pub sender_id: String,
    /// Where it came from, in the client's words.
    pub origin: Option<String>,
    /// Rows by outcome, of each channel.
    pub counters: BTreeMap<String, Counts>,
    /// Rows by outcome, of all channels.
    pub totals: Counts,
    /// Of each channel: whether word comes of what became of a message after its provider took it. Where it is `true`, a row
    /// that is `sent` may still become `delivered`, or `failed` (of e-mail only what comes back is told); where it is `false`,
    /// `sent` is the last that will be known. `null` as long as no courier of the channel said so. As its last courier
    /// said when it started.
    pub receipts: BTreeMap<String, Option<bool>>,
}

/// What an order's content adds to its view. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    retry_of: Option<String>,
    origin: Option<String>,
}

impl From<&Content> for Provenance {
    fn from(content: &Content) -> Self {
        let retry_of = content.retry_of.parse::<Suffix>().ok().map(|suffix| suffix.order_id());
        let origin = (!content.origin.is_empty()).then(|| content.origin.clone());
        Self { retry_of, origin }
    }
}

impl OrderView {
    /// The view of an order.
    #[must_use]
    pub fn new(
        suffix: &Suffix,
        glance: &Glance,
        provenance: Provenance,
        receipts: &BTreeMap<Channel, bool>,
    ) -> Self {
        let head = &glance.head;
        let said = |name: &Channel| (name.to_string(), receipts.get(name).copied());
        Self {
            order_id: suffix.order_id(),
            history_key: format!("history:{suffix}"),
            state: OrderState::of(glance),
            lane: head.lane,
            accepted_at: Moment(head.accepted),
            due_at: Moment(head.due),
            not_after: Moment(head.not_after),
            cancelled_at: glance.cancelled.map(Moment),
            finished_at: glance.finished.map(Moment),
            revision: glance.revision,
            retry_of: provenance.retry_of,
            sender_id: suffix.sender().to_owned(),
            origin: provenance.origin,
            counters: glance.counters.iter().map(|(name, of)| (name.to_string(), Counts::from(of))).collect(),
            totals: Counts::from(&glance.totals()),
            receipts: glance.counters.iter().map(|(name, _)| said(name)).collect(),
        }
    }

    /// Names this version of the order. The state is part of it: an order begins to run without a change of its record.
    #[must_use]
    pub fn etag(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("\"{}-{}\"", self.revision, self.state.word())).ok()
    }
}
/// A reason as answers tell it: its stable word, or `provider_` and the provider's number.
pub(crate) fn reason_word(reason: Reason) -> Option<String> {
    match reason {
        Reason::None => None,
        Reason::Provider(code) => Some(format!("provider_{code}")),
        other => Some(other.word().to_owned()),
    }
}
