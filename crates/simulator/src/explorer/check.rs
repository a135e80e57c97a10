//! The properties, and those of every change; `check_state` has those of a whole state.

use posthaste_model::transition::{DeliveryEvent, TABLE};
use posthaste_model::{OnUnknown, OutcomeKind, State as DeliveryState};
use posthaste_protocol::scripts::begin::DeliveryBegun;
use posthaste_protocol::scripts::resolve::Decision;

use super::Explorer;
use super::command::{ScriptRequest, ServerAnswer};
use super::coverage::Window;
use super::scenario::Resolver;
use super::state::{BrokenProperty, ExplorerState};
use super::view::{DatabaseView, ParcelView, at};

/// Names of all properties.
pub const PROPERTIES: [&str; 13] = [
    "every script answers",
    "sums are right",
    "indexes agree with records",
    "nothing is sending without a lease",
    "deliveries change as the table says",
    "final deliveries stay final",
    "nothing goes out early or unbegun",
    "sent again only after an unknown, and once",
    "what is reported is true",
    "every delivery can still become final",
    "an old request takes and moves nothing",
    "a lease is ended and renewed only by its holder, or reclaimed",
    "only what was alone when its courier died is poison",
];
pub(super) const ANSWERS: &str = PROPERTIES[0];
pub(super) const SUMS: &str = PROPERTIES[1];
pub(super) const INDEXES: &str = PROPERTIES[2];
pub(super) const LEASES: &str = PROPERTIES[3];
const CHANGES: &str = PROPERTIES[4];
const FINAL: &str = PROPERTIES[5];
pub(super) const EARLY: &str = PROPERTIES[6];
const TWICE: &str = PROPERTIES[7];
pub(super) const TRUE: &str = PROPERTIES[8];
pub(super) const COMPLETES: &str = PROPERTIES[9];
pub(super) const OLD: &str = PROPERTIES[10];
const HOLDER: &str = PROPERTIES[11];

impl ExplorerState {
    /// Records the first violation.
    pub(super) fn found(&mut self, property: &'static str, text: impl FnOnce() -> String) {
        if self.fault.is_none() {
            self.fault = Some(BrokenProperty { property, text: text() });
        }
    }
}

impl Explorer {
    /// A delivery is sent: it must have been begun, it must be due, and it must not have been sent before unless the
    /// order allows it.
    pub(super) fn check_send(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        delivery: usize,
        attempt: u8,
        taken: bool,
    ) {
        let order = self.scenario.parcels[parcel].order;
        let view = std::sync::Arc::clone(&state.view);
        let recorded = view.parcels[parcel].deliveries.get(delivery);
        if !recorded.is_some_and(|delivery| {
            delivery.attempt == attempt || delivery.attempt.wrapping_sub(attempt) < 128
        }) {
            state.found(EARLY, || {
                format!("delivery {delivery} goes out under attempt {attempt}, recorded: {recorded:?}")
            });
        }
        if !taken {
            return;
        }
        let policy = self.scenario.orders[order].on_unknown;
        let truth = &mut state.truth[parcel][delivery];
        // Under a token the provider drops the second copy.
        if self.scenario.tokens && !truth.taken.is_empty() {
            return;
        }
        truth.taken.push(attempt);
        let (times, reported_unknown) = (truth.taken.len(), truth.reported_unknown);
        if times == 2 {
            state.entered.push(Window::SecondSend);
        }
        let most = match self.scenario.resolver {
            // The provider truly says that nothing arrived; then the sleeper wakes and sends what its clock forbids.
            Resolver::Asking => 1 + usize::from(truth.sleeps),
            _ if policy == OnUnknown::Retry => 2,
            _ => 1,
        };
        if times > most || (times > 1 && !reported_unknown) {
            let truth = state.truth[parcel][delivery].clone();
            state.found(TWICE, || format!("delivery {delivery} of parcel {parcel}, {policy:?}: {truth:?}"));
        }
    }

    /// Checks what a call changed.
    pub(super) fn check_change(
        &self,
        state: &mut ExplorerState,
        before: &DatabaseView,
        command: Option<&ScriptRequest>,
    ) {
        let after = std::sync::Arc::clone(&state.view);
        for (parcel, (old, new)) in before.parcels.iter().zip(&after.parcels).enumerate() {
            self.check_lease(state, parcel, old, new, command);
            self.check_poison(state, parcel, old, new);
            if old.deliveries.len() != new.deliveries.len() {
                if !old.deliveries.is_empty() && !new.deliveries.is_empty() {
                    state.found(CHANGES, || {
                        format!("parcel {parcel} has {} deliveries", new.deliveries.len())
                    });
                }
                continue;
            }
            for (delivery, (old, new)) in old.deliveries.iter().zip(&new.deliveries).enumerate() {
                if old.state == new.state {
                    if old.attempt != new.attempt {
                        state.found(CHANGES, || {
                            format!("delivery {delivery}: attempt {} to {}", old.attempt, new.attempt)
                        });
                    }
                    continue;
                }
                if !old.state.is_open() && new.state.is_open() {
                    state.found(FINAL, || format!("delivery {delivery}: {:?} to {:?}", old.state, new.state));
                }
                if !command.is_some_and(|command| may_lead(command, old.state, new.state)) {
                    state.found(CHANGES, || {
                        format!("delivery {delivery}: {:?} to {:?}", old.state, new.state)
                    });
                }
                self.check_begin(state, parcel, before, old.state, new.state);
                self.check_repeat(state, parcel, delivery, before, command, new.state);
                note(state, parcel, delivery, old.state, old.repeated, new.state, command);
            }
        }
    }

    /// A lease is ended by its holder, or reclaimed when it has expired.
    fn check_lease(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        old: &ParcelView,
        new: &ParcelView,
        command: Option<&ScriptRequest>,
    ) {
        let (Some(lease), after) = (&old.lease, &new.lease) else { return };
        if after.as_ref().is_some_and(|after| after.fence == lease.fence) {
            let alive = old.leased.is_some_and(|ends| ends > state.view.now);
            let by_right =
                matches!(command, Some(ScriptRequest::Renew { fence, .. }) if *fence == lease.fence && alive);
            if new.leased > old.leased && !by_right {
                state.found(HOLDER, || format!("parcel {parcel}: {lease:?} renewed by {command:?}"));
            }
            return;
        }
        let by_right = match command {
            Some(ScriptRequest::Settle { fence, .. } | ScriptRequest::Release { fence, .. }) => {
                *fence == lease.fence
            }
            Some(ScriptRequest::ReclaimLeases { .. }) => {
                old.leased.is_some_and(|ends| ends <= state.view.now)
            }
            _ => false,
        };
        if !by_right {
            state.found(HOLDER, || format!("parcel {parcel}: {lease:?} ended by {command:?}"));
        }
    }

    /// A delivery answered as begun is on record under the attempt that was named, and no other delivery was begun.
    pub(super) fn check_answer(
        &self,
        state: &mut ExplorerState,
        command: &ScriptRequest,
        received: Option<&ServerAnswer>,
    ) {
        let (ScriptRequest::Begin { parcel, deliveries, .. }, Some(ServerAnswer::Begun(_, letters))) =
            (command, received)
        else {
            return;
        };
        let view = std::sync::Arc::clone(&state.view);
        for ((delivery, attempt), letter) in deliveries.iter().zip(letters) {
            let recorded = view.parcels[*parcel].deliveries.get(usize::from(*delivery));
            let so = recorded.is_some_and(|delivery| {
                delivery.state == DeliveryState::Sending && delivery.attempt == *attempt
            });
            if matches!(letter, DeliveryBegun::Begun { .. }) && !so {
                state.found(EARLY, || {
                    format!("delivery {delivery} is begun as attempt {attempt}, recorded: {recorded:?}")
                });
            }
        }
    }

    /// Nothing is begun of an order that is cancelled or expired.
    fn check_begin(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        before: &DatabaseView,
        old: DeliveryState,
        new: DeliveryState,
    ) {
        if (old, new) != (DeliveryState::Pending, DeliveryState::Sending) {
            return;
        }
        let (now, leased) = (before.now, before.parcels[parcel].leased);
        if leased.is_some_and(|ends| ends <= now) {
            state.found(LEASES, || {
                format!("parcel {parcel} is begun at {now}, its lease ended at {leased:?}")
            });
        }
        let order = &before.orders[self.scenario.parcels[parcel].order];
        let over = order.head.as_ref().is_some_and(|head| before.now >= at(head.not_after));
        if order.cancelled || over {
            state.found(EARLY, || {
                format!("parcel {parcel} is begun, cancelled: {}, over: {over}", order.cancelled)
            });
        }
    }

    /// What was begun is repeated only when its send must have ended.
    fn check_repeat(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        delivery: usize,
        before: &DatabaseView,
        command: Option<&ScriptRequest>,
        new: DeliveryState,
    ) {
        let window = self.scenario.window_units * super::scenario::UNIT_MS;
        let truth = &mut state.truth[parcel][delivery];
        if new == DeliveryState::Sending {
            truth.send_by = before.now + window;
        }
        let send_by = truth.send_by;
        if new == DeliveryState::Pending
            && matches!(command, Some(ScriptRequest::Resolve { .. }))
            && before.now < send_by
        {
            state.found(EARLY, || {
                format!("delivery {delivery} of parcel {parcel} is repeated while it may be on the wire")
            });
        }
    }
}

/// Remembers what was reported about a delivery.
fn note(
    state: &mut ExplorerState,
    parcel: usize,
    delivery: usize,
    old: DeliveryState,
    repeated: bool,
    new: DeliveryState,
    command: Option<&ScriptRequest>,
) {
    if matches!(new, DeliveryState::Unresolved | DeliveryState::Unknown) {
        state.truth[parcel][delivery].reported_unknown = true;
    }
    let resolved = matches!(command, Some(ScriptRequest::Resolve { .. }));
    let repeats = |at: usize| match command {
        Some(ScriptRequest::Resolve { decisions, .. }) => {
            decisions.iter().any(|(delivery, _, it)| usize::from(*delivery) == at && *it == Decision::Repeat)
        }
        _ => false,
    };
    let window = match (old, new) {
        (DeliveryState::Pending, DeliveryState::Cancelled) => Window::Cancelled,
        (DeliveryState::Pending, DeliveryState::Expired) => Window::Expired,
        (DeliveryState::Pending, DeliveryState::Unknown) if repeated => Window::EndedUnknown,
        (DeliveryState::Unresolved, DeliveryState::Pending) if repeats(delivery) => Window::ResolvedRepeat,
        (DeliveryState::Unresolved, DeliveryState::Pending) if resolved => Window::ResolvedRetry,
        (DeliveryState::Unresolved, DeliveryState::Unknown) if resolved => Window::ResolvedHold,
        _ => return,
    };
    state.entered.push(window);
}

/// Whether the table allows a call to lead from one state to another, in one step or two.
fn may_lead(command: &ScriptRequest, from: DeliveryState, to: DeliveryState) -> bool {
    let step = |from: DeliveryState, to: DeliveryState| {
        TABLE.iter().any(|(state, event, next)| *state == from && *next == to && may_cause(command, *event))
    };
    step(from, to) || DeliveryState::ALL.into_iter().any(|between| step(from, between) && step(between, to))
}

/// Whether a call may cause an event.
fn may_cause(command: &ScriptRequest, event: DeliveryEvent) -> bool {
    let ends = matches!(event, DeliveryEvent::Cancel | DeliveryEvent::Expire | DeliveryEvent::EndRepeated);
    match command {
        ScriptRequest::Claim { .. } => ends || event == DeliveryEvent::Begin,
        ScriptRequest::Begin { .. } => event == DeliveryEvent::Begin,
        ScriptRequest::Settle { .. } => {
            ends || matches!(event, DeliveryEvent::Settle(_) | DeliveryEvent::Evidence(_))
        }
        ScriptRequest::Release { .. } => ends,
        ScriptRequest::ReclaimLeases { .. } => {
            ends || matches!(event, DeliveryEvent::LeaseOver | DeliveryEvent::GiveUp)
        }
        ScriptRequest::Resolve { .. } => {
            ends || matches!(
                event,
                DeliveryEvent::ResolveRetry
                    | DeliveryEvent::ResolveRepeat
                    | DeliveryEvent::ResolveHold
                    | DeliveryEvent::Resolve(_)
            )
        }
        ScriptRequest::ApplyReceipt { .. } => {
            let DeliveryEvent::Evidence(outcome) = event else {
                return matches!(event, DeliveryEvent::Receipt(_));
            };
            matches!(outcome, OutcomeKind::Sent | OutcomeKind::Delivered)
        }
        ScriptRequest::Cancel { .. } => event == DeliveryEvent::Cancel,
        ScriptRequest::ExpireParcels { .. } => ends || event == DeliveryEvent::ResolveHold,
        ScriptRequest::RepairIndexes { .. } => event == DeliveryEvent::LeaseOver,
        _ => false,
    }
}
