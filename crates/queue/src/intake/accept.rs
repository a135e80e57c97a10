//! From a checked order to a stored one: its key is tied, its place in the day taken, then it is stored whole.
//!
//! Each of the three steps is harmless when repeated, so a client that got no answer asks again and learns the truth. What
//! the first two wrote is taken back only with a proof that the order was refused ([`NothingStored`]): while it may be
//! stored, its key stays tied and its place taken, so that a repeat finds the same order and counts as one.

use posthaste_model::{Suffix, UnixMs};
use posthaste_store::{AcceptError, Accepted, CallError, NewOrder, NothingStored, Place};

use super::answer::{AcceptedView, history_key, recipients, stored, without_courier};
use super::daily::{self, Day, NoPlace};
use super::draft::{Draft, Times};
use super::flaw::{Flaw, FlawCode, refused};
use super::key::{Key, Tie, outcome_unknown, reused};
use super::quota::{self, Paid, Taken};
use super::sieve::{Rows, Sorted, Tally};
use crate::moment::Moment;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Ids tried for one order whose partitions go away one after the other.
const TRIES: u32 = 3;

/// What a request is known by, as it was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The order's id.
    pub(crate) id: Option<Suffix>,
    /// Its idempotency key.
    pub(crate) key: Option<Key>,
}

/// An order that may be stored: all that comes before is done.
#[derive(Debug)]
pub(crate) struct Cleared {
    pub(crate) tie: Tie,
    pub(crate) times: Times,
    /// Its place in the day, when it was taken just now.
    place: Option<Place>,
    /// Its share of what may be sent by SMS, when it was taken just now.
    share: Option<Taken>,
}

impl Cleared {
    /// Takes the order's share of what may be sent by SMS. When there is too little left, what was written before is taken back.
    pub(crate) async fn paid(
        mut self,
        state: &AppState,
        draft: &Draft,
        paid: &Paid,
    ) -> Result<Self, Problem> {
        match quota::take(state, draft, &self.tie.suffix, paid).await {
            Ok(share) => {
                self.share = share;
                Ok(self)
            }
            Err(problem) => Err(abandon(state, draft, &self, &NothingStored::never_tried(), problem).await),
        }
    }
}

/// Ties the key, finds the times and takes the place in the day. `digest`: what the key is tied to.
/// `whole`: digest of the whole order, once it is known.
pub(crate) async fn clear(
    state: &AppState,
    draft: &Draft,
    known: &Known,
    digest: [u8; 12],
    whole: Option<[u8; 12]>,
) -> Result<Cleared, Problem> {
    let tie = Tie::new(state, &draft.sender, known.id.as_ref(), known.key.as_ref(), digest).await?;
    match cleared(state, draft, &tie, whole).await {
        Ok((times, place)) => Ok(Cleared { tie, times, place, share: None }),
        Err(NoPlace { problem, lost }) => {
            // A place that may be taken is found again by the suffix the key is tied to.
            let alone = if lost { !tie.before } else { tie.undo(state, &NothingStored::never_tried()).await };
            Err(tie.told(state, problem, alone).await)
        }
    }
}

async fn cleared(
    state: &AppState,
    draft: &Draft,
    tie: &Tie,
    whole: Option<[u8; 12]>,
) -> Result<(Times, Option<Place>), NoPlace> {
    let failed = |problem: Problem| NoPlace { problem, lost: false };
    let now = state.clock.now();
    let times = match draft.times(&tie.suffix, now, &state.rules) {
        Ok(times) => times,
        Err(flaws) => {
            // The time of a repeated order may have passed: it keeps the times it got.
            let before = if tie.before { state.store.glance(&tie.suffix, None).await } else { Ok(None) };
            let before = before.map_err(|error| failed(error.into()))?;
            match before {
                Some(glance) if whole.is_none_or(|whole| whole == glance.head.digest) => {
                    return Ok((Times { due: None, not_after: None, moved: false }, None));
                }
                Some(_) => return Err(failed(conflict(tie))),
                None => return Err(failed(refused(flaws))),
            }
        }
    };
    let place = match draft.daily {
        Some(daily) => daily::take(state, &draft.sender, (&tie.suffix, tie.before), daily, now).await?,
        None => None,
    };
    Ok((times, place))
}

/// Stores an order whose recipients are all known, or only says what would be.
pub(crate) async fn accept(
    state: &AppState,
    draft: Draft,
    known: &Known,
    sorted: Sorted,
    rows: Rows,
) -> Result<AcceptedView, Problem> {
    let Sorted { digest, no_contact, tally } = sorted;
    let mut rest = (rows, no_contact);
    let mut tries = 1;
    loop {
        let cleared = clear(state, &draft, known, digest, Some(digest)).await?;
        let cleared = cleared.paid(state, &draft, &tally.paid).await?;
        let (head, (rows, no_contact)) = (draft.head(&cleared.tie.suffix, cleared.times, &state.rules), rest);
        let order = NewOrder { head, digest, rows, no_contact };
        let accepted = match state.store.accept(&order).await {
            // Something else was streamed under this id before; it is removed now.
            Err(AcceptError::Gone) => state.store.accept(&order).await,
            other => other,
        };
        if tries < TRIES
            && known.id.is_none()
            && let Err(error) = &accepted
            && let Some(proof) = went_away(state, error, &cleared.tie.suffix)
        {
            // Nothing is stored, and the id was made here: another one lies where it can be stored.
            abandon(state, &draft, &cleared, &proof, problem(error, &cleared.tie)).await;
            rest = (order.rows, order.no_contact);
            tries += 1;
            continue;
        }
        return conclude(state, &draft, cleared, accepted, tally).await;
    }
}

/// The proof that an order is not stored, when it was refused because its partition is away while others are there.
fn went_away(state: &AppState, error: &AcceptError, suffix: &Suffix) -> Option<NothingStored> {
    let AcceptError::Refused(CallError::Away(_) | CallError::Later { .. }) = error else { return None };
    let (store, p) = (&state.store, state.store.partition_of(suffix));
    let others = || (0..store.partitions()).any(|other| store.can_ask(other));
    if !store.can_ask(p) && others() { error.nothing_stored() } else { None }
}

/// Makes the answer of what the store said, and takes back what was written for nothing.
pub(crate) async fn conclude(
    state: &AppState,
    draft: &Draft,
    cleared: Cleared,
    accepted: Result<Accepted, AcceptError>,
    tally: Tally,
) -> Result<AcceptedView, Problem> {
    match accepted {
        Ok(accepted) => {
            if accepted.again {
                give_second_back(state, draft, &cleared, accepted.accepted).await;
            }
            count(&accepted);
            Ok(view(state, draft, &accepted, tally))
        }
        Err(error) => {
            if matches!(error, AcceptError::Conflict)
                && let Ok(Some(other)) = state.store.glance(&cleared.tie.suffix, None).await
            {
                give_second_back(state, draft, &cleared, other.head.accepted).await;
            }
            let told = problem(&error, &cleared.tie);
            match error.nothing_stored() {
                Some(proof) => Err(abandon(state, draft, &cleared, &proof, told).await),
                None => Err(told),
            }
        }
    }
}

/// Counts what was accepted; repeats are not counted.
pub(crate) fn count(accepted: &Accepted) {
    if !accepted.again {
        let rows: u64 = accepted.channels.iter().map(|one| u64::from(one.rows)).sum();
        metrics::counter!("posthaste_queue_accepted_orders_total").increment(1);
        metrics::counter!("posthaste_queue_accepted_recipients_total").increment(rows);
    }
}

/// Takes back what was written for an order that is refused and not stored; answers what is told. The place stays when
/// another request may store the order: that one counts on it.
pub(crate) async fn abandon(
    state: &AppState,
    draft: &Draft,
    cleared: &Cleared,
    proof: &NothingStored,
    problem: Problem,
) -> Problem {
    let alone = cleared.tie.undo(state, proof).await;
    if alone {
        give_back(state, draft, cleared, proof).await;
        give_share_back(state, draft, cleared, proof).await;
    }
    cleared.tie.told(state, problem, alone).await
}

/// Gives back the place of an order that was there before. It has its place in the day it was accepted: when that is today,
/// the place is its own.
async fn give_second_back(state: &AppState, draft: &Draft, cleared: &Cleared, accepted: UnixMs) {
    give_share_back(state, draft, cleared, &NothingStored::never_tried()).await;
    let today = Day::of(state.clock.now(), &state.rules.day_zone);
    if accepted < today.start {
        give_back(state, draft, cleared, &NothingStored::never_tried()).await;
    }
}

async fn give_back(state: &AppState, draft: &Draft, cleared: &Cleared, proof: &NothingStored) {
    let Some(place) = &cleared.place else { return };
    if let Err(error) = state.store.unreserve(&draft.sender, place, proof).await {
        tracing::debug!(%error, "a place in a day was not given back; it is found when the day is full");
    }
}

async fn give_share_back(state: &AppState, draft: &Draft, cleared: &Cleared, proof: &NothingStored) {
    let Some(share) = &cleared.share else { return };
    if let Err(error) = quota::give_back(state, draft, &cleared.tie.suffix, share, proof).await {
        tracing::warn!(%error, "segments of an order that was not stored were not given back; they count until the day is over");
    }
}

fn conflict(tie: &Tie) -> Problem {
    if tie.keyed {
        return reused();
    }
    Problem::new(Code::OrderExists, "there is another order of this id")
        .with("order_id", tie.suffix.order_id())
}

/// What an order that was not accepted is told.
pub(crate) fn problem(error: &AcceptError, tie: &Tie) -> Problem {
    let wrong = |pointer: &str, code, detail: &'static str| refused(vec![Flaw::new(pointer, code, detail)]);
    match error {
        AcceptError::Conflict => conflict(tie),
        AcceptError::Late => wrong("/not_after", FlawCode::EndsBeforeDue, "it must be after the due time"),
        AcceptError::Empty => wrong("/recipients", FlawCode::NoRows, "nobody named can be reached"),
        AcceptError::TooBig => wrong("/channels", FlawCode::TooMany, "fewer channels or rows"),
        AcceptError::Gone => {
            Problem::new(Code::UploadInterrupted, "another request took over this id; give it again")
        }
        AcceptError::NoSource => Problem::order_not_found(),
        AcceptError::Refused(error) => error.into(),
        AcceptError::Unknown(error) => {
            if let CallError::Fault(_) | CallError::Stop(_) = error {
                tracing::error!(%error, "an order may be stored: the answer of the store could not be used");
            }
            outcome_unknown(&tie.suffix)
        }
    }
}

/// What is told when another write of this order was not answered.
pub(crate) fn unanswered(error: &CallError, suffix: &Suffix) -> Problem {
    let told = Problem::of_write(error);
    if told.code() == Code::OutcomeUnknown { outcome_unknown(suffix) } else { told }
}

fn view(state: &AppState, draft: &Draft, accepted: &Accepted, tally: Tally) -> AcceptedView {
    let (suffix, due) = (&accepted.suffix, accepted.due);
    let stored = stored(accepted);
    AcceptedView {
        order_id: suffix.order_id(),
        history_key: history_key(suffix),
        state: if accepted.now { "running" } else { "scheduled" },
        accepted_at: Moment(accepted.accepted),
        due_at: Moment(due),
        moved_by: moved_by(state, draft, suffix, accepted.accepted, due),
        durability: accepted.durability,
        channels_without_courier: without_courier(&stored, state.clock.now().max(accepted.accepted)),
        recipients: recipients(tally, &stored),
        again: accepted.again,
    }
}

/// Whether the due time is the one quiet hours made of what was asked when it was accepted.
fn moved_by(
    state: &AppState,
    draft: &Draft,
    suffix: &Suffix,
    accepted: UnixMs,
    due: UnixMs,
) -> Option<&'static str> {
    let times = draft.times(suffix, accepted, &state.rules).ok()?;
    (times.moved && times.due == Some(due)).then_some("quiet_hours")
}
