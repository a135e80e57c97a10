//! The properties: what must hold in every state, and for every change.

use posthaste_model::transition::{DeliveryEvent, TABLE};
use posthaste_model::{Counters, OnUnknown, OutcomeKind, State as DeliveryState};
use posthaste_protocol::scripts::begin::DeliveryBegun;
use posthaste_protocol::scripts::resolve::Decision;

use super::Explorer;
use super::command::{ScriptRequest, ServerAnswer};
use super::coverage::Window;
use super::scenario::Resolver;
use super::state::{BrokenProperty, ExplorerState};
use super::view::{DatabaseView, ModelOrder, ParcelView, at};

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
const SUMS: &str = PROPERTIES[1];
pub(super) const INDEXES: &str = PROPERTIES[2];
const LEASES: &str = PROPERTIES[3];
const CHANGES: &str = PROPERTIES[4];
const FINAL: &str = PROPERTIES[5];
const EARLY: &str = PROPERTIES[6];
const TWICE: &str = PROPERTIES[7];
const TRUE: &str = PROPERTIES[8];
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
        let (times, told_unknown) = (truth.taken.len(), truth.told_unknown);
        if times == 2 {
            state.entered.push(Window::SecondSend);
        }
        let most = match self.scenario.resolver {
            // The provider truly says that nothing arrived; then the sleeper wakes and sends what its clock forbids.
            Resolver::Asking => 1 + usize::from(truth.sleeps),
            _ if policy == OnUnknown::Retry => 2,
            _ => 1,
        };
        if times > most || (times > 1 && !told_unknown) {
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
            Some(ScriptRequest::Sweep { .. }) => old.leased.is_some_and(|ends| ends <= state.view.now),
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
        heard: Option<&ServerAnswer>,
    ) {
        let (ScriptRequest::Begin { parcel, deliveries, .. }, Some(ServerAnswer::Begun(_, letters))) =
            (command, heard)
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

    /// Checks a whole state.
    pub(super) fn check_state(&self, state: &mut ExplorerState) {
        let view = std::sync::Arc::clone(&state.view);
        if let Some(stray) = &view.strays {
            state.found(INDEXES, || stray.clone());
        }
        let s = &self.scenario;
        for (order, it) in view.orders.iter().enumerate() {
            if it.head.is_some() {
                self.check_order(state, order, it, &view);
            }
        }
        for (parcel, it) in view.parcels.iter().enumerate() {
            let order = &view.orders[s.parcels[parcel].order];
            let Some(head) = &order.head else { continue };
            if it.deliveries.is_empty() {
                state.found(SUMS, || format!("parcel {parcel} has no readable record"));
                continue;
            }
            self.check_parcel(state, parcel, it, order, view.now);
            let early = view.now < at(head.due);
            if early && (it.has_record || it.ready.is_some() || it.leased.is_some()) && !order.cancelled {
                state.found(EARLY, || format!("parcel {parcel} is in flight before it is due"));
            }
            self.check_truth(state, parcel, it);
        }
    }

    fn check_order(&self, state: &mut ExplorerState, order: usize, it: &ModelOrder, view: &DatabaseView) {
        let s = &self.scenario;
        let parcels = || view.parcels.iter().zip(&s.parcels).filter(|(_, spec)| spec.order == order);
        let mut open = 0;
        for (channel, deliveries) in &s.orders[order].channels {
            let mut sum = Counters::default();
            for delivery in
                parcels().filter(|(_, spec)| spec.channel == *channel).flat_map(|(p, _)| &p.deliveries)
            {
                sum[delivery.state] += 1;
            }
            open += sum.open();
            let stored = it.counters[*channel];
            if sum.accepted() != u64::from(*deliveries) || (s.orders[order].big && stored != Some(sum)) {
                state.found(SUMS, || format!("order {order}: {stored:?} is stored, {sum:?} is there"));
            }
        }
        if s.orders[order].big && it.open != Some(open) {
            state
                .found(SUMS, || format!("order {order}: {:?} open deliveries stored, {open} there", it.open));
        }
        if it.ended != (open == 0) || it.retirements != usize::from(open == 0) {
            state.found(SUMS, || {
                format!("order {order}: {open} open, ended {}, retired {}", it.ended, it.retirements)
            });
        }
        if it.due.is_some_and(|due| it.head.as_ref().is_some_and(|head| at(head.due) != due) || open == 0) {
            state.found(INDEXES, || format!("order {order} is due at {:?}", it.due));
        }
    }

    fn check_parcel(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        it: &ParcelView,
        order: &ModelOrder,
        now: i64,
    ) {
        let mut sum = Counters::default();
        for delivery in &it.deliveries {
            sum[delivery.state] += 1;
        }
        let [pending, sending, unresolved] =
            [DeliveryState::Pending, DeliveryState::Sending, DeliveryState::Unresolved]
                .map(|state| sum[state]);
        let counts = (u32::from(it.counts.0), u32::from(it.counts.1), u32::from(it.counts.2));
        if counts != (pending, sending, unresolved) {
            state.found(SUMS, || format!("parcel {parcel} counts {counts:?}, has {sum:?}"));
        }
        if sending > 0 && (it.leased.is_none() || it.lease.is_none()) {
            state.found(LEASES, || format!("parcel {parcel}: {it:?}"));
        }
        let number = u64::from(self.scenario.parcels[parcel].parcel_id.number);
        let rung = order.due.is_none() || order.rung.is_some_and(|rung| number < rung);
        let anywhere = it.ready.is_some() || it.leased.is_some() || it.unresolved.is_some();
        let rules = [
            (!it.wrong_priority, "it is in the index of the other priority"),
            (!it.parked, "it is parked"),
            (it.leased.is_some() == it.lease.is_some(), "leased without a lease, or the other way round"),
            (!(it.ready.is_some() && it.leased.is_some()), "ready and leased"),
            (rung || !anywhere, "in an index before it was promoted"),
            (!rung || pending == 0 || it.ready.is_some() || it.leased.is_some(), "pending in no index"),
            (it.ready.is_none() || pending > 0, "ready with nothing pending"),
            (it.unresolved.is_some() == (unresolved > 0), "the index of unresolved parcels differs"),
            (
                it.ready
                    .zip(order.head.as_ref())
                    .is_none_or(|(ready, head)| ready <= now.max(at(head.not_after))),
                "ready only when its order is over",
            ),
            (it.crashes.is_none() || sum.open() > 0 || it.leased.is_some(), "a crash mark without reason"),
        ];
        for (holds, text) in rules {
            if !holds {
                state.found(INDEXES, || format!("parcel {parcel}, {text}: {it:?}"));
            }
        }
    }

    /// What is reported must be true, unless it was reported as unknown before.
    fn check_truth(&self, state: &mut ExplorerState, parcel: usize, it: &ParcelView) {
        for (delivery, told) in it.deliveries.iter().enumerate() {
            let truth = &state.truth[parcel][delivery];
            let taken = !truth.taken.is_empty();
            let holds = match told.state {
                DeliveryState::Sent | DeliveryState::Delivered => taken,
                DeliveryState::Cancelled | DeliveryState::Expired => !taken || truth.sleeps > 0,
                DeliveryState::Failed | DeliveryState::Suppressed => {
                    !taken || truth.told_unknown || self.scenario.budgets.receipts > 0
                }
                _ => true,
            };
            if !holds {
                let truth = truth.clone();
                state.found(TRUE, || {
                    format!("delivery {delivery} of parcel {parcel} is {:?}: {truth:?}", told.state)
                });
            }
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
        state.truth[parcel][delivery].told_unknown = true;
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
        ScriptRequest::Sweep { .. } => {
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
        ScriptRequest::Receipt { .. } => {
            let DeliveryEvent::Evidence(outcome) = event else {
                return matches!(event, DeliveryEvent::Receipt(_));
            };
            matches!(outcome, OutcomeKind::Sent | OutcomeKind::Delivered)
        }
        ScriptRequest::Cancel { .. } => event == DeliveryEvent::Cancel,
        ScriptRequest::Close { .. } => ends || event == DeliveryEvent::ResolveHold,
        ScriptRequest::Audit { .. } => event == DeliveryEvent::LeaseOver,
        _ => false,
    }
}
