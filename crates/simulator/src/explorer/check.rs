//! The properties: what must hold in every state, and of every change.

use posthaste_model::transition::{Event, TABLE};
use posthaste_model::{Counters, OnUnknown, State as RowState, Verdict};
use posthaste_protocol::scripts::begin::RowBegun;
use posthaste_protocol::scripts::resolve::Decision;

use super::Explorer;
use super::command::{Command, Heard};
use super::scenario::Resolver;
use super::state::{Fault, State};
use super::view::{OrderView, ParcelView, View, at};
use super::windows::Window;

/// Names of all properties.
pub const PROPERTIES: [&str; 13] = [
    "every script answers",
    "sums are right",
    "indexes agree with records",
    "nothing is sending without a lease",
    "rows change as the table says",
    "final rows stay final",
    "nothing goes out early or unbegun",
    "sent again only after an unknown, and once",
    "what is told is true",
    "every row can still become final",
    "an old request takes and moves nothing",
    "a lease is ended and prolonged by its holder, or swept",
    "poison is what couriers died of with nothing beside it",
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

impl State {
    /// Remembers the first thing found to be wrong.
    pub(super) fn found(&mut self, property: &'static str, text: impl FnOnce() -> String) {
        if self.fault.is_none() {
            self.fault = Some(Fault { property, text: text() });
        }
    }
}

impl Explorer {
    /// A row goes out: it must have been begun, its time must have come, and it must not have gone out before unless the
    /// order allows it.
    pub(super) fn check_send(&self, state: &mut State, parcel: usize, row: usize, attempt: u8, taken: bool) {
        let order = self.scenario.parcels[parcel].order;
        let view = std::sync::Arc::clone(&state.view);
        let recorded = view.parcels[parcel].rows.get(row);
        if !recorded.is_some_and(|row| row.attempt == attempt || row.attempt.wrapping_sub(attempt) < 128) {
            state.found(EARLY, || {
                format!("row {row} goes out under attempt {attempt}, recorded: {recorded:?}")
            });
        }
        if !taken {
            return;
        }
        let policy = self.scenario.orders[order].on_unknown;
        let truth = &mut state.truth[parcel][row];
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
            // The provider says truly that nothing came; then the sleeper wakes and sends what its clock forbids.
            Resolver::Asking => 1 + usize::from(truth.sleeps),
            _ if policy == OnUnknown::Retry => 2,
            _ => 1,
        };
        if times > most || (times > 1 && !told_unknown) {
            let truth = state.truth[parcel][row].clone();
            state.found(TWICE, || format!("row {row} of parcel {parcel}, {policy:?}: {truth:?}"));
        }
    }

    /// Looks at what a call changed.
    pub(super) fn check_change(&self, state: &mut State, before: &View, command: Option<&Command>) {
        let after = std::sync::Arc::clone(&state.view);
        for (parcel, (old, new)) in before.parcels.iter().zip(&after.parcels).enumerate() {
            self.check_lease(state, parcel, old, new, command);
            self.check_poison(state, parcel, old, new);
            if old.rows.len() != new.rows.len() {
                if !old.rows.is_empty() && !new.rows.is_empty() {
                    state.found(CHANGES, || format!("parcel {parcel} has {} rows", new.rows.len()));
                }
                continue;
            }
            for (row, (old, new)) in old.rows.iter().zip(&new.rows).enumerate() {
                if old.state == new.state {
                    if old.attempt != new.attempt {
                        state.found(CHANGES, || {
                            format!("row {row}: attempt {} to {}", old.attempt, new.attempt)
                        });
                    }
                    continue;
                }
                if !old.state.is_open() && new.state.is_open() {
                    state.found(FINAL, || format!("row {row}: {:?} to {:?}", old.state, new.state));
                }
                if !command.is_some_and(|command| may_lead(command, old.state, new.state)) {
                    state.found(CHANGES, || format!("row {row}: {:?} to {:?}", old.state, new.state));
                }
                self.check_begin(state, parcel, before, old.state, new.state);
                self.check_repeat(state, parcel, row, before, command, new.state);
                note(state, parcel, row, old.state, old.repeated, new.state, command);
            }
        }
    }

    /// A lease ends by its holder's word, or by a sweep when it is over.
    fn check_lease(
        &self,
        state: &mut State,
        parcel: usize,
        old: &ParcelView,
        new: &ParcelView,
        command: Option<&Command>,
    ) {
        let (Some(lease), after) = (&old.lease, &new.lease) else { return };
        if after.as_ref().is_some_and(|after| after.fence == lease.fence) {
            let alive = old.leased.is_some_and(|ends| ends > state.view.now);
            let by_right =
                matches!(command, Some(Command::Renew { fence, .. }) if *fence == lease.fence && alive);
            if new.leased > old.leased && !by_right {
                state.found(HOLDER, || format!("parcel {parcel}: {lease:?} prolonged by {command:?}"));
            }
            return;
        }
        let by_right = match command {
            Some(Command::Settle { fence, .. } | Command::Release { fence, .. }) => *fence == lease.fence,
            Some(Command::Sweep { .. }) => old.leased.is_some_and(|ends| ends <= state.view.now),
            _ => false,
        };
        if !by_right {
            state.found(HOLDER, || format!("parcel {parcel}: {lease:?} ended by {command:?}"));
        }
    }

    /// A row answered as begun is on record under the attempt that was named, and no other row was begun.
    pub(super) fn check_answer(&self, state: &mut State, command: &Command, heard: Option<&Heard>) {
        let (Command::Begin { parcel, rows, .. }, Some(Heard::Begun(_, letters))) = (command, heard) else {
            return;
        };
        let view = std::sync::Arc::clone(&state.view);
        for ((row, attempt), letter) in rows.iter().zip(letters) {
            let recorded = view.parcels[*parcel].rows.get(usize::from(*row));
            let so = recorded.is_some_and(|row| row.state == RowState::Sending && row.attempt == *attempt);
            if matches!(letter, RowBegun::Begun { .. }) && !so {
                state.found(EARLY, || {
                    format!("row {row} is begun as attempt {attempt}, recorded: {recorded:?}")
                });
            }
        }
    }

    /// Nothing is begun of an order that was cancelled or is over.
    fn check_begin(&self, state: &mut State, parcel: usize, before: &View, old: RowState, new: RowState) {
        if (old, new) != (RowState::Pending, RowState::Sending) {
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
        state: &mut State,
        parcel: usize,
        row: usize,
        before: &View,
        command: Option<&Command>,
        new: RowState,
    ) {
        let window = self.scenario.window_units * super::scenario::UNIT_MS;
        let truth = &mut state.truth[parcel][row];
        if new == RowState::Sending {
            truth.send_by = before.now + window;
        }
        let send_by = truth.send_by;
        if new == RowState::Pending
            && matches!(command, Some(Command::Resolve { .. }))
            && before.now < send_by
        {
            state.found(EARLY, || {
                format!("row {row} of parcel {parcel} is repeated while it may be on the wire")
            });
        }
    }

    /// Looks at a whole state.
    pub(super) fn check_state(&self, state: &mut State) {
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
            if it.rows.is_empty() {
                state.found(SUMS, || format!("parcel {parcel} has no readable record"));
                continue;
            }
            self.check_parcel(state, parcel, it, order, view.now);
            let early = view.now < at(head.due);
            if early && (it.has_record || it.ready.is_some() || it.leased.is_some()) && !order.cancelled {
                state.found(EARLY, || format!("parcel {parcel} is on its way before it is due"));
            }
            self.check_truth(state, parcel, it);
        }
    }

    fn check_order(&self, state: &mut State, order: usize, it: &OrderView, view: &View) {
        let s = &self.scenario;
        let parcels = || view.parcels.iter().zip(&s.parcels).filter(|(_, spec)| spec.order == order);
        let mut open = 0;
        for (channel, rows) in &s.orders[order].channels {
            let mut sum = Counters::default();
            for row in parcels().filter(|(_, spec)| spec.channel == *channel).flat_map(|(p, _)| &p.rows) {
                sum[row.state] += 1;
            }
            open += sum.open();
            let stored = it.counters[*channel];
            if sum.accepted() != u64::from(*rows) || (s.orders[order].big && stored != Some(sum)) {
                state.found(SUMS, || format!("order {order}: {stored:?} is stored, {sum:?} is there"));
            }
        }
        if s.orders[order].big && it.open != Some(open) {
            state.found(SUMS, || format!("order {order}: {:?} open rows stored, {open} there", it.open));
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

    fn check_parcel(&self, state: &mut State, parcel: usize, it: &ParcelView, order: &OrderView, now: i64) {
        let mut sum = Counters::default();
        for row in &it.rows {
            sum[row.state] += 1;
        }
        let [pending, sending, unresolved] =
            [RowState::Pending, RowState::Sending, RowState::Unresolved].map(|state| sum[state]);
        let counts = (u32::from(it.counts.0), u32::from(it.counts.1), u32::from(it.counts.2));
        if counts != (pending, sending, unresolved) {
            state.found(SUMS, || format!("parcel {parcel} counts {counts:?}, has {sum:?}"));
        }
        if sending > 0 && (it.leased.is_none() || it.lease.is_none()) {
            state.found(LEASES, || format!("parcel {parcel}: {it:?}"));
        }
        let number = u64::from(self.scenario.parcels[parcel].member.number);
        let rung = order.due.is_none() || order.rung.is_some_and(|rung| number < rung);
        let anywhere = it.ready.is_some() || it.leased.is_some() || it.unresolved.is_some();
        let rules = [
            (!it.wrong_lane, "it is in the other lane"),
            (!it.parked, "it is parked"),
            (it.leased.is_some() == it.lease.is_some(), "leased without a lease, or the other way round"),
            (!(it.ready.is_some() && it.leased.is_some()), "ready and leased"),
            (rung || !anywhere, "in an index before it was rung"),
            (!rung || pending == 0 || it.ready.is_some() || it.leased.is_some(), "pending in no index"),
            (it.ready.is_none() || pending > 0, "ready with nothing pending"),
            (it.unresolved.is_some() == (unresolved > 0), "the index of unresolved parcels differs"),
            (
                it.ready
                    .zip(order.head.as_ref())
                    .is_none_or(|(ready, head)| ready <= now.max(at(head.not_after))),
                "ready only when its order is over",
            ),
            (it.crashes.is_none() || sum.open() > 0 || it.leased.is_some(), "a crash mark of nothing"),
        ];
        for (holds, text) in rules {
            if !holds {
                state.found(INDEXES, || format!("parcel {parcel}, {text}: {it:?}"));
            }
        }
    }

    /// What is told must be true, as far as it was not told as unknown before.
    fn check_truth(&self, state: &mut State, parcel: usize, it: &ParcelView) {
        for (row, told) in it.rows.iter().enumerate() {
            let truth = &state.truth[parcel][row];
            let taken = !truth.taken.is_empty();
            let holds = match told.state {
                RowState::Sent | RowState::Delivered => taken,
                RowState::Cancelled | RowState::Expired => !taken || truth.sleeps > 0,
                RowState::Failed | RowState::Suppressed => {
                    !taken || truth.told_unknown || self.scenario.budgets.receipts > 0
                }
                _ => true,
            };
            if !holds {
                let truth = truth.clone();
                state.found(TRUE, || format!("row {row} of parcel {parcel} is {:?}: {truth:?}", told.state));
            }
        }
    }
}

/// Remembers what was told of a row.
fn note(
    state: &mut State,
    parcel: usize,
    row: usize,
    old: RowState,
    repeated: bool,
    new: RowState,
    command: Option<&Command>,
) {
    if matches!(new, RowState::Unresolved | RowState::Unknown) {
        state.truth[parcel][row].told_unknown = true;
    }
    let resolved = matches!(command, Some(Command::Resolve { .. }));
    let repeats = |at: usize| match command {
        Some(Command::Resolve { decisions, .. }) => {
            decisions.iter().any(|(row, _, it)| usize::from(*row) == at && *it == Decision::Repeat)
        }
        _ => false,
    };
    let window = match (old, new) {
        (RowState::Pending, RowState::Cancelled) => Window::Cancelled,
        (RowState::Pending, RowState::Expired) => Window::Expired,
        (RowState::Pending, RowState::Unknown) if repeated => Window::EndedUnknown,
        (RowState::Unresolved, RowState::Pending) if repeats(row) => Window::ResolvedRepeat,
        (RowState::Unresolved, RowState::Pending) if resolved => Window::ResolvedRetry,
        (RowState::Unresolved, RowState::Unknown) if resolved => Window::ResolvedHold,
        _ => return,
    };
    state.entered.push(window);
}

/// Whether the table allows a call to lead from one state to another, in one step or two.
fn may_lead(command: &Command, from: RowState, to: RowState) -> bool {
    let step = |from: RowState, to: RowState| {
        TABLE.iter().any(|(state, event, next)| *state == from && *next == to && may_cause(command, *event))
    };
    step(from, to) || RowState::ALL.into_iter().any(|between| step(from, between) && step(between, to))
}

/// Whether a call may cause an event.
fn may_cause(command: &Command, event: Event) -> bool {
    let ends = matches!(event, Event::Cancel | Event::Expire | Event::EndRepeated);
    match command {
        Command::Claim { .. } => ends || event == Event::Begin,
        Command::Begin { .. } => event == Event::Begin,
        Command::Settle { .. } => ends || matches!(event, Event::Settle(_) | Event::Evidence(_)),
        Command::Release { .. } => ends,
        Command::Sweep { .. } => ends || matches!(event, Event::LeaseOver | Event::GiveUp),
        Command::Resolve { .. } => {
            ends || matches!(
                event,
                Event::ResolveRetry | Event::ResolveRepeat | Event::ResolveHold | Event::Resolve(_)
            )
        }
        Command::Receipt { .. } => {
            let Event::Evidence(verdict) = event else { return matches!(event, Event::Receipt(_)) };
            matches!(verdict, Verdict::Sent | Verdict::Delivered)
        }
        Command::Cancel { .. } => event == Event::Cancel,
        Command::Close { .. } => ends || event == Event::ResolveHold,
        Command::Audit { .. } => event == Event::LeaseOver,
        _ => false,
    }
}
