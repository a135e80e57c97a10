//! From a validated order to a stored one: bind its idempotency key, take its place in the day, then store it whole.
//!
//! Each of the three steps is safe to repeat, so a client that got no response repeats the request and learns the
//! outcome. What the first two steps wrote is undone only with proof that the order was refused ([`NothingStored`]):
//! as long as it may be stored, its key stays bound and its place taken, so that a repeat finds the same order and
//! counts once.

use posthaste_model::{OrderId, UnixMs};
use posthaste_store::{AcceptError, AcceptedOrder, CallError, DailyPlace, NewOrder, NothingStored};

use super::answer::{AcceptedView, recipients, stored, without_courier};
use super::daily_limit::{Day, NoPlace};
use super::idempotency::{IdempotencyBinding, IdempotencyKey, outcome_unknown, reused};
use super::recipient_validator::{Deliveries, Sorted, Tally};
use super::sms_limits::{Paid, TakenShare};
use super::state::IntakeState;
use super::too_long::warnings;
use super::validated_order::{Times, ValidatedOrder};
use super::validation_error::{ValidationCode, ValidationError, refused};
use crate::problem::{Code, Problem};
use crate::timestamp::ApiTime;

/// How many ids are tried for one order if their partitions become unreachable one after the other.
const TRIES: u32 = 3;

/// What identifies a request, as the client sent it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The order id.
    pub(crate) id: Option<OrderId>,
    /// The idempotency key.
    pub(crate) key: Option<IdempotencyKey>,
}

/// An order that may be stored: all preceding steps are done.
#[derive(Debug)]
pub(crate) struct Cleared {
    pub(crate) tie: IdempotencyBinding,
    pub(crate) times: Times,
    /// Its place in the day, if this request took it.
    place: Option<DailyPlace>,
    /// Its share of the SMS limits, if this request took it.
    share: Option<TakenShare>,
}

impl Cleared {
    /// Takes the order's share of the SMS limits. If too little is left, undoes what was written before.
    pub(crate) async fn paid(
        mut self,
        state: &IntakeState,
        draft: &ValidatedOrder,
        paid: &Paid,
    ) -> Result<Self, Problem> {
        match state.sms_limits.take(draft, &self.tie.order_id, paid).await {
            Ok(share) => {
                self.share = share;
                Ok(self)
            }
            Err(problem) => Err(abandon(state, draft, &self, &NothingStored::never_tried(), problem).await),
        }
    }
}

/// Binds the key, determines the times and takes the place in the day. `digest`: what the key is bound to. `whole`:
/// digest of the whole order, once it is known.
pub(crate) async fn clear(
    state: &IntakeState,
    draft: &ValidatedOrder,
    known: &Known,
    digest: [u8; 12],
    whole: Option<[u8; 12]>,
) -> Result<Cleared, Problem> {
    let tie =
        IdempotencyBinding::new(state, &draft.sender, known.id.as_ref(), known.key.as_ref(), digest).await?;
    match cleared(state, draft, &tie, whole).await {
        Ok((times, place)) => Ok(Cleared { tie, times, place, share: None }),
        Err(NoPlace { problem, lost }) => {
            // A place that may be taken is found again through the order id that the key is bound to.
            let alone = if lost { !tie.before } else { tie.undo(state, &NothingStored::never_tried()).await };
            Err(tie.reported(state, problem, alone).await)
        }
    }
}

async fn cleared(
    state: &IntakeState,
    draft: &ValidatedOrder,
    tie: &IdempotencyBinding,
    whole: Option<[u8; 12]>,
) -> Result<(Times, Option<DailyPlace>), NoPlace> {
    let failed = |problem: Problem| NoPlace { problem, lost: false };
    let now = state.clock.now();
    let times = match draft.times(&tie.order_id, now, &state.rules) {
        Ok(times) => times,
        Err(field_errors) => {
            // The times of a repeated order may have passed: it keeps the times it got.
            let before =
                if tie.before { state.store.order_summary(&tie.order_id, None).await } else { Ok(None) };
            let before = before.map_err(|error| failed(error.into()))?;
            match before {
                Some(summary) if whole.is_none_or(|whole| whole == summary.head.digest) => {
                    return Ok((Times { due: None, expires: None, moved: false }, None));
                }
                Some(_) => return Err(failed(conflict(tie))),
                None => return Err(failed(refused(field_errors))),
            }
        }
    };
    let place = match draft.daily {
        Some(daily) => {
            state.daily_limits.take(&draft.sender, (&tie.order_id, tie.before), daily, now).await?
        }
        None => None,
    };
    Ok((times, place))
}

/// Stores an order whose recipients are all known.
pub(crate) async fn accept(
    state: &IntakeState,
    draft: ValidatedOrder,
    known: &Known,
    sorted: Sorted,
    deliveries: Deliveries,
) -> Result<AcceptedView, Problem> {
    let Sorted { digest, no_contact, tally } = sorted;
    let mut rest = (deliveries, no_contact);
    let mut tries = 1;
    loop {
        let cleared = clear(state, &draft, known, digest, Some(digest)).await?;
        let cleared = cleared.paid(state, &draft, &tally.paid).await?;
        let (head, (deliveries, no_contact)) =
            (draft.head(&cleared.tie.order_id, cleared.times, &state.rules), rest);
        let order = NewOrder { head, digest, deliveries, no_contact };
        let accepted = match state.store.accept(&order).await {
            // A different upload was streamed under this id before; it is removed now.
            Err(AcceptError::Gone) => state.store.accept(&order).await,
            other => other,
        };
        if tries < TRIES
            && known.id.is_none()
            && let Err(error) = &accepted
            && let Some(proof) = went_away(state, error, &cleared.tie.order_id)
        {
            // Nothing is stored, and the id was made here: try another id in a partition that is reachable.
            abandon(state, &draft, &cleared, &proof, problem(error, &cleared.tie)).await;
            rest = (order.deliveries, order.no_contact);
            tries += 1;
            continue;
        }
        return conclude(state, &draft, cleared, accepted, tally).await;
    }
}

/// The proof that an order is not stored, if it was refused because its partition is unreachable while others are reachable.
fn went_away(state: &IntakeState, error: &AcceptError, order_id: &OrderId) -> Option<NothingStored> {
    let AcceptError::Refused(CallError::NoReply(_) | CallError::Retryable { .. }) = error else {
        return None;
    };
    let (store, p) = (&state.store, state.store.partition_of(order_id));
    let others = || (0..store.partitions()).any(|other| store.can_ask(other));
    if !store.can_ask(p) && others() { error.nothing_stored() } else { None }
}

/// Builds the response from the store's reply, and undoes what was written if the order is not new.
pub(crate) async fn conclude(
    state: &IntakeState,
    draft: &ValidatedOrder,
    cleared: Cleared,
    accepted: Result<AcceptedOrder, AcceptError>,
    tally: Tally,
) -> Result<AcceptedView, Problem> {
    match accepted {
        Ok(accepted) => {
            if accepted.already_done {
                give_second_back(state, draft, &cleared, accepted.accepted).await;
            }
            count(&accepted);
            Ok(view(state, draft, &accepted, tally))
        }
        Err(error) => {
            if matches!(error, AcceptError::Conflict)
                && let Ok(Some(other)) = state.store.order_summary(&cleared.tie.order_id, None).await
            {
                give_second_back(state, draft, &cleared, other.head.accepted).await;
            }
            let reported = problem(&error, &cleared.tie);
            match error.nothing_stored() {
                Some(proof) => Err(abandon(state, draft, &cleared, &proof, reported).await),
                None => Err(reported),
            }
        }
    }
}

/// Counts accepted orders; repeats are not counted.
pub(crate) fn count(accepted: &AcceptedOrder) {
    if !accepted.already_done {
        let deliveries: u64 = accepted.channels.iter().map(|one| u64::from(one.deliveries)).sum();
        metrics::counter!("posthaste_orders_accepted_total").increment(1);
        metrics::counter!("posthaste_deliveries_accepted_total").increment(deliveries);
    }
}

/// Undoes what was written for an order that is refused and not stored; returns the problem to send. The place is
/// kept if another request may store the order, because that request relies on it.
pub(crate) async fn abandon(
    state: &IntakeState,
    draft: &ValidatedOrder,
    cleared: &Cleared,
    proof: &NothingStored,
    problem: Problem,
) -> Problem {
    let alone = cleared.tie.undo(state, proof).await;
    if alone {
        give_back(state, draft, cleared, proof).await;
        give_share_back(state, draft, cleared, proof).await;
    }
    cleared.tie.reported(state, problem, alone).await
}

/// Gives back the place taken for an order that already existed. The order keeps its place in the day it was
/// accepted: if that is today, the place taken is its own.
async fn give_second_back(state: &IntakeState, draft: &ValidatedOrder, cleared: &Cleared, accepted: UnixMs) {
    give_share_back(state, draft, cleared, &NothingStored::never_tried()).await;
    let today = Day::of(state.clock.now(), &state.rules.day_zone);
    if accepted < today.start {
        give_back(state, draft, cleared, &NothingStored::never_tried()).await;
    }
}

async fn give_back(state: &IntakeState, draft: &ValidatedOrder, cleared: &Cleared, proof: &NothingStored) {
    let Some(place) = &cleared.place else { return };
    if let Err(error) = state.store.return_daily_places(&draft.sender, place, proof).await {
        tracing::debug!(%error, "could not return a place in the daily limit; it is recovered when the day is full");
    }
}

async fn give_share_back(
    state: &IntakeState,
    draft: &ValidatedOrder,
    cleared: &Cleared,
    proof: &NothingStored,
) {
    let Some(share) = &cleared.share else { return };
    if let Err(error) = state.sms_limits.give_back(draft, &cleared.tie.order_id, share, proof).await {
        tracing::warn!(
            event = "sms_limits.not_returned",
            %error,
            "could not return the SMS segments of a refused order; they count until the day ends"
        );
    }
}

fn conflict(tie: &IdempotencyBinding) -> Problem {
    if tie.keyed {
        return reused();
    }
    Problem::new(Code::OrderAlreadyExists, "an order with this id already exists")
        .with("order_id", tie.order_id.wire_id())
}

/// The problem for an order that was not accepted.
pub(crate) fn problem(error: &AcceptError, tie: &IdempotencyBinding) -> Problem {
    let wrong = |pointer: &str, code, detail: &'static str| {
        refused(vec![ValidationError::new(pointer, code, detail)])
    };
    match error {
        AcceptError::Conflict => conflict(tie),
        AcceptError::ExpiresBeforeDue => {
            wrong("/expires_at", ValidationCode::ExpiresBeforeDelivery, "must be after the due time")
        }
        AcceptError::Empty => {
            wrong("/recipients", ValidationCode::NoReachableRecipient, "no recipient has a usable address")
        }
        // Only a retry is refused for it, in its own words.
        AcceptError::AllSuppressed(count) => super::retry::all_suppressed(*count),
        AcceptError::TooBig => {
            wrong("/channels", ValidationCode::TooMany, "too many channels or deliveries; split the order")
        }
        AcceptError::Gone => {
            Problem::new(Code::UploadInterrupted, "another upload took over this id; send the order again")
        }
        AcceptError::NoSource => Problem::order_not_found(),
        AcceptError::Refused(error) => error.into(),
        AcceptError::Unknown(error) => {
            if let CallError::InvalidReply(_) | CallError::Fatal(_) = error {
                tracing::error!(
                    event = "database.invalid_reply",
                    %error,
                    "invalid reply from the database; the order may be stored"
                );
            }
            outcome_unknown(&tie.order_id)
        }
    }
}

/// The problem for another write to this order that got no reply.
pub(crate) fn unanswered(error: &CallError, order_id: &OrderId) -> Problem {
    let reported = Problem::of_write(error);
    if reported.code() == Code::OutcomeUnknown { outcome_unknown(order_id) } else { reported }
}

fn view(state: &IntakeState, draft: &ValidatedOrder, accepted: &AcceptedOrder, tally: Tally) -> AcceptedView {
    let (order_id, due) = (&accepted.order_id, accepted.due);
    let stored = stored(accepted);
    AcceptedView {
        id: order_id.wire_id(),
        status: Some(if accepted.due_now { "running" } else { "scheduled" }),
        dry_run: false,
        created_at: ApiTime(accepted.accepted),
        deliver_at: ApiTime(due),
        delay_reason: delay_reason(state, draft, order_id, accepted.accepted, due),
        durability: accepted.durability,
        channels_without_courier: without_courier(&stored, state.clock.now().max(accepted.accepted)),
        warnings: warnings(&tally.too_long, &stored),
        recipients: recipients(tally, &stored),
        again: accepted.already_done,
    }
}

/// Whether the due time is the one that quiet hours made of the requested time when the order was accepted.
fn delay_reason(
    state: &IntakeState,
    draft: &ValidatedOrder,
    order_id: &OrderId,
    accepted: UnixMs,
    due: UnixMs,
) -> Option<&'static str> {
    let times = draft.times(order_id, accepted, &state.rules).ok()?;
    (times.moved && times.due == Some(due)).then_some("quiet_hours")
}
