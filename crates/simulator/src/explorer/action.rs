//! What can happen next.

use posthaste_model::{Lane, State as RowState};
use posthaste_protocol::scripts::close::Index;
use posthaste_protocol::scripts::receipt::Word;

use super::Explorer;
use super::command::RENEWED_MS;
use super::state::{Courier, Held, Row, State};

/// What becomes of a request and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives once and the reply is heard.
    Heard,
    /// The script runs; the reply is lost.
    Lost,
    /// It arrives, the reply is heard, and a second copy stays on its way.
    Copied,
    /// Its sender dies; it stays on its way and arrives later.
    Orphaned,
}

/// What a provider call does, and what the courier hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The provider takes it and says so.
    Taken,
    /// The provider takes it and nobody hears.
    TakenUntold,
    /// Bytes leave, the provider never sees them, and nobody hears.
    Unheard,
    /// "Not now": the row goes back.
    Later,
    /// Throttled: the courier begins it again itself.
    Throttled,
    /// Refused for good.
    Refused,
    /// Nothing left, for sure.
    NotSent,
    /// The courier slept since the begin, sees it, and does not send.
    Overslept,
    /// The courier slept after its last look at the clock: the provider takes it late and says so.
    TakenAsleep,
    /// As before, and nobody hears.
    TakenAsleepUntold,
    /// The provider says at once that it arrived.
    Delivered,
    /// The address must not be used again.
    Suppressed,
    /// One part of several is through.
    Part,
}

/// A step. Couriers, parcels held, orders and channels are named by their places.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "places")]
pub enum Action {
    /// A courier asks for parcels.
    Claim { courier: usize, begin: u32, fate: Fate },
    /// It fetches the rows of a big order.
    Load { courier: usize, held: usize },
    /// It begins one row, or all that wait.
    Begin { courier: usize, held: usize, row: Option<usize>, fate: Fate },
    /// It gives a begun row to the provider.
    Send { courier: usize, held: usize, row: usize, call: Call },
    /// It tells what it has to tell.
    Settle { courier: usize, held: usize, fate: Fate },
    /// It hands a parcel back.
    Release { courier: usize, held: usize, fate: Fate },
    /// It prolongs a lease.
    Renew { courier: usize, held: usize, fate: Fate },
    /// It sees by its own clock that a lease is over.
    Notice { courier: usize, held: usize },
    /// It is told to stop.
    Stop { courier: usize },
    /// It dies.
    Crash { courier: usize },
    /// Some courier sweeps a channel.
    Sweep { channel: usize },
    /// Some courier's resolver asks what there is, and reads it.
    Inquire { channel: usize },
    /// It tells its decisions.
    Resolve { channel: usize, fate: Fate },
    /// A request that was on its way arrives.
    Deliver { late: usize },
    /// Time passes until something can happen by time alone.
    Jump,
    /// The time of all orders is over.
    Expire,
    /// An order is accepted.
    Accept { order: usize, fate: Fate },
    /// Somebody comes who expects another database.
    Stranger,
    /// An order is cancelled.
    Cancel { order: usize },
    /// An order is moved: to now, or two units on.
    Move { order: usize, now: bool, fate: Fate },
    /// The provider tells about a row it took.
    Receipt { parcel: usize, row: usize, attempt: u8, word: Word },
    /// Somebody rings.
    Ring,
    /// A sweeper walks an index.
    Close { channel: usize, index: Index },
    /// A sweeper audits an order.
    Audit { order: usize, channel: usize },
    /// A sweeper retires a day.
    Retire,
    /// Half a year passes.
    Rest,
}

impl Explorer {
    /// All steps possible in a state, always in the same order.
    pub(super) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        if state.fault.is_some() {
            return;
        }
        for (at, courier) in state.couriers.iter().enumerate() {
            self.of_courier(state, at, courier, actions);
        }
        self.of_channels(state, actions);
        for late in 0..state.late.len() {
            actions.push(Action::Deliver { late });
        }
        self.of_outside(state, actions);
        if state.view.next_instant().is_some() {
            actions.push(Action::Jump);
        }
        if self.scenario.wide {
            self.of_sweepers(state, actions);
        }
    }

    /// A request in each fate that the budgets allow; `orphan` if its sender may die with it on its way.
    fn fates(&self, state: &State, orphan: bool, mut push: impl FnMut(Fate)) {
        push(Fate::Heard);
        if state.left.lost > 0 {
            push(Fate::Lost);
        }
        if state.left.copies > 0 && state.late.len() < self.most_late() {
            push(Fate::Copied);
            if orphan && state.left.crashes > 0 {
                push(Fate::Orphaned);
            }
        }
    }

    /// Requests on their way at once.
    fn most_late(&self) -> usize {
        if self.scenario.wide { 8 } else { usize::from(self.scenario.budgets.copies) }
    }

    fn of_courier(&self, state: &State, at: usize, courier: &Courier, actions: &mut Vec<Action>) {
        let s = &self.scenario;
        if let Some(begin) = courier.asking {
            self.fates(state, true, |fate| {
                // What is lost twice is lost once, and later.
                if fate != Fate::Lost {
                    actions.push(Action::Claim { courier: at, begin, fate });
                }
            });
        } else if !courier.stopping && courier.held.len() < s.most_held && self.may_bring(state, courier) {
            for begin in &s.claim_begins {
                self.fates(state, true, |fate| {
                    actions.push(Action::Claim { courier: at, begin: *begin, fate })
                });
            }
        }
        for (place, held) in courier.held.iter().enumerate() {
            self.of_held(state, at, place, held, courier.stopping, actions);
        }
        if !courier.is_blank() && state.left.crashes > 0 {
            actions.push(Action::Crash { courier: at });
        }
        if !courier.is_blank() && !courier.stopping && state.left.stops > 0 {
            actions.push(Action::Stop { courier: at });
        }
    }

    /// Whether a claim may bring something; else it changes nothing.
    fn may_bring(&self, state: &State, courier: &Courier) -> bool {
        let parcels = state.view.parcels.iter().zip(&self.scenario.parcels);
        parcels.into_iter().any(|(view, spec)| spec.channel == courier.channel && view.ready.is_some())
            || state.view.orders.iter().any(|order| order.due.is_some())
    }

    fn of_held(
        &self,
        state: &State,
        courier: usize,
        held: usize,
        it: &Held,
        stopping: bool,
        actions: &mut Vec<Action>,
    ) {
        let s = &self.scenario;
        if !it.loaded && !stopping {
            actions.push(Action::Load { courier, held });
        }
        let waiting: Vec<usize> = it
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| matches!(row, Row::Waiting(_)))
            .map(|(i, _)| i)
            .collect();
        if !waiting.is_empty() {
            self.fates(state, true, |fate| actions.push(Action::Begin { courier, held, row: None, fate }));
            if s.single_begins && waiting.len() > 1 {
                for row in &waiting {
                    let row = Some(*row);
                    self.fates(state, true, |fate| actions.push(Action::Begin { courier, held, row, fate }));
                }
            }
        }
        for (row, memory) in it.rows.iter().enumerate() {
            if let Row::Begun(_, at) = memory {
                self.calls(state, *at == state.view.now, |call| {
                    actions.push(Action::Send { courier, held, row, call });
                });
            }
        }
        let whole = s.partial || (!it.is_out() && waiting.is_empty());
        let leaving = it.loaded && !stopping && !it.lost && it.is_done();
        if it.settling.is_some() || (whole && it.has_reports()) || leaving {
            self.fates(state, true, |fate| actions.push(Action::Settle { courier, held, fate }));
        }
        if stopping && !it.lost && it.is_idle() {
            self.fates(state, true, |fate| actions.push(Action::Release { courier, held, fate }));
        }
        let ends = state.view.parcels[it.parcel].leased.unwrap_or(0);
        if state.left.renewals > 0 && !it.lost && ends < state.view.now + RENEWED_MS {
            self.fates(state, false, |fate| actions.push(Action::Renew { courier, held, fate }));
        }
        if !it.closed && state.view.now >= it.lease_until {
            actions.push(Action::Notice { courier, held });
        }
    }

    /// What a provider call may do; `awake` if no time passed since the begin.
    fn calls(&self, state: &State, awake: bool, mut push: impl FnMut(Call)) {
        let left = &state.left;
        if !awake {
            if left.overslept > 0 {
                push(Call::Overslept);
            }
            if left.zombies > 0 {
                push(Call::TakenAsleep);
                push(Call::TakenAsleepUntold);
            }
            return;
        }
        push(Call::Taken);
        let some = [
            (left.unknown, &[Call::TakenUntold, Call::Unheard][..]),
            (left.later, &[Call::Later]),
            (left.throttled, &[Call::Throttled]),
            (left.refused, &[Call::Refused]),
            (left.not_sent, &[Call::NotSent]),
            (u8::from(self.scenario.wide), &[Call::Delivered, Call::Suppressed]),
            (u8::from(self.scenario.wide && self.scenario.tokens), &[Call::Part]),
        ];
        for (_, calls) in some.into_iter().filter(|(budget, _)| *budget > 0) {
            calls.iter().for_each(|call| push(*call));
        }
    }

    fn of_channels(&self, state: &State, actions: &mut Vec<Action>) {
        let view = &state.view;
        for channel in 0..self.scenario.channels.len() {
            let mine =
                || view.parcels.iter().zip(&self.scenario.parcels).filter(|(_, p)| p.channel == channel);
            if mine().any(|(parcel, _)| parcel.leased.is_some()) {
                actions.push(Action::Sweep { channel });
            }
            if state.resolvers[channel].is_some() {
                self.fates(state, false, |fate| actions.push(Action::Resolve { channel, fate }));
            } else if mine().any(|(parcel, _)| parcel.unresolved.is_some()) {
                actions.push(Action::Inquire { channel });
            }
        }
    }

    fn of_outside(&self, state: &State, actions: &mut Vec<Action>) {
        let view = &state.view;
        for (order, it) in view.orders.iter().enumerate() {
            if it.head.is_none() && !self.scenario.orders[order].accepted && !state.retired[order] {
                self.fates(state, false, |fate| actions.push(Action::Accept { order, fate }));
            }
            if it.head.is_none() {
                continue;
            }
            if state.left.cancels > 0 && !it.cancelled && !it.ended {
                actions.push(Action::Cancel { order });
            }
            if state.left.moves > 0 && it.due.is_some() {
                for now in [true, false] {
                    self.fates(state, false, |fate| actions.push(Action::Move { order, now, fate }));
                }
            }
        }
        if self.scenario.strangers {
            actions.push(Action::Stranger);
        }
        if state.left.expiries > 0 && !self.scenario.wide && view.now < self.over(state) {
            actions.push(Action::Expire);
        }
        if state.left.receipts == 0 {
            return;
        }
        for (parcel, rows) in state.truth.iter().enumerate() {
            for (row, truth) in rows.iter().enumerate() {
                let there = view.parcels[parcel].rows.get(row);
                if there.is_none_or(|row| row.state == RowState::Delivered) {
                    continue;
                }
                for attempt in &truth.taken {
                    for word in [Word::Sent, Word::Delivered, Word::Failed] {
                        actions.push(Action::Receipt { parcel, row, attempt: *attempt, word });
                    }
                }
            }
        }
    }

    fn of_sweepers(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Ring);
        for channel in 0..self.scenario.channels.len() {
            for index in [Index::Ready(Lane::Urgent), Index::Ready(Lane::Bulk), Index::Unresolved] {
                actions.push(Action::Close { channel, index });
            }
        }
        for (order, it) in state.view.orders.iter().enumerate() {
            if it.head.is_some() && !it.ended {
                let channels = self.scenario.orders[order].channels.iter();
                actions.extend(channels.map(|(channel, _)| Action::Audit { order, channel: *channel }));
            }
        }
        if state.view.now < self.over(state) {
            actions.push(Action::Expire);
        }
        if state.view.orders.iter().any(|order| order.retirements > 0) {
            actions.push(Action::Rest);
            actions.push(Action::Retire);
        }
    }
}
