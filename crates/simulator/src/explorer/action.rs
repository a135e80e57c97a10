//! What can happen next.

use posthaste_model::{Priority, State as DeliveryState};
use posthaste_protocol::scripts::apply_receipt::ReceiptStatus;
use posthaste_protocol::scripts::expire_parcels::Index;

use super::Explorer;
use super::command::RENEWED_MS;
use super::state::{CourierDelivery, ExplorerState, HeldParcel, ModelCourier};

/// What happens to a request and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFate {
    /// It arrives once and the reply is received.
    Received,
    /// The script runs; the reply is lost.
    Lost,
    /// It arrives, the reply is received, and a second copy stays in flight.
    Copied,
    /// Its sender dies; it stays in flight and arrives later.
    Orphaned,
}

/// What a provider call does, and what the courier learns about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The provider takes it and the courier gets the answer.
    Taken,
    /// The provider takes it and the answer is lost.
    TakenUntold,
    /// Bytes leave, the provider never sees them, and there is no answer.
    Unheard,
    /// "Not now": the delivery is returned for later.
    Later,
    /// Throttled: the same courier begins it again.
    Throttled,
    /// Refused permanently.
    Refused,
    /// Certainly nothing was sent.
    NotSent,
    /// The courier slept since the begin, notices it, and does not send.
    Overslept,
    /// The courier slept after its last look at the clock: the provider takes it late and the courier gets the answer.
    TakenAsleep,
    /// As before, and the answer is lost.
    TakenAsleepUntold,
    /// The provider reports at once that it was delivered.
    Delivered,
    /// The address must not be used again.
    Suppressed,
    /// One part of several is sent.
    Part,
}

/// A step. Couriers, held parcels, orders and channels are identified by index.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "places")]
pub enum Step {
    /// A courier claims parcels.
    Claim { courier: usize, begin: u32, fate: CallFate },
    /// It fetches the deliveries of a big order.
    Load { courier: usize, held: usize },
    /// It begins one delivery, or all that wait.
    Begin { courier: usize, held: usize, delivery: Option<usize>, fate: CallFate },
    /// It gives a begun delivery to the provider.
    Send { courier: usize, held: usize, delivery: usize, call: Call },
    /// It settles its reports.
    Settle { courier: usize, held: usize, fate: CallFate },
    /// It hands a parcel back.
    Release { courier: usize, held: usize, fate: CallFate },
    /// It renews a lease.
    Renew { courier: usize, held: usize, fate: CallFate },
    /// It sees by its own clock that a lease has ended.
    Notice { courier: usize, held: usize },
    /// It is asked to stop.
    Stop { courier: usize },
    /// It dies.
    Crash { courier: usize },
    /// Some courier reclaims the leases of a channel.
    ReclaimLeases { channel: usize },
    /// Some courier's resolver claims unresolved deliveries and reads them.
    ClaimUnresolved { channel: usize },
    /// It sends its decisions.
    Resolve { channel: usize, fate: CallFate },
    /// A request in flight arrives.
    Deliver { late: usize },
    /// Time passes until the next moment at which time alone can change something.
    Jump,
    /// All orders expire.
    Expire,
    /// An order is accepted.
    Accept { order: usize, fate: CallFate },
    /// A caller that expects another database.
    Stranger,
    /// An order is cancelled.
    Cancel { order: usize },
    /// An order is moved: to now, or two units later.
    Reschedule { order: usize, now: bool, fate: CallFate },
    /// The provider sends a receipt about a delivery it took.
    Receipt { parcel: usize, delivery: usize, attempt: u8, word: ReceiptStatus },
    /// Some process promotes due orders.
    PromoteDue,
    /// Some process expires the parcels of an index.
    ExpireParcels { channel: usize, index: Index },
    /// Some process repairs the indexes of an order.
    RepairIndexes { order: usize, channel: usize },
    /// Some process purges a day of ended orders.
    PurgeOrders,
    /// Half a year passes.
    Rest,
}

impl Explorer {
    /// All steps possible in a state, always in the same order.
    pub(super) fn possible(&self, state: &ExplorerState, actions: &mut Vec<Step>) {
        if state.fault.is_some() {
            return;
        }
        for (at, courier) in state.couriers.iter().enumerate() {
            self.of_courier(state, at, courier, actions);
        }
        self.of_channels(state, actions);
        for late in 0..state.late.len() {
            actions.push(Step::Deliver { late });
        }
        self.of_outside(state, actions);
        if state.view.next_instant().is_some() {
            actions.push(Step::Jump);
        }
        if self.scenario.wide {
            self.of_sweepers(state, actions);
        }
    }

    /// A request with each fate the budgets allow; `orphan` if its sender may die while it is in flight.
    fn fates(&self, state: &ExplorerState, orphan: bool, mut push: impl FnMut(CallFate)) {
        push(CallFate::Received);
        if state.left.lost > 0 {
            push(CallFate::Lost);
        }
        if state.left.copies > 0 && state.late.len() < self.most_late() {
            push(CallFate::Copied);
            if orphan && state.left.crashes > 0 {
                push(CallFate::Orphaned);
            }
        }
    }

    /// Most requests in flight.
    fn most_late(&self) -> usize {
        if self.scenario.wide { 8 } else { usize::from(self.scenario.budgets.copies) }
    }

    fn of_courier(&self, state: &ExplorerState, at: usize, courier: &ModelCourier, actions: &mut Vec<Step>) {
        let s = &self.scenario;
        if let Some(begin) = courier.asking {
            self.fates(state, true, |fate| {
                // Losing the reply twice is the same as losing it once, later.
                if fate != CallFate::Lost {
                    actions.push(Step::Claim { courier: at, begin, fate });
                }
            });
        } else if !courier.stopping && courier.held.len() < s.most_held && self.may_bring(state, courier) {
            for begin in &s.claim_begins {
                self.fates(state, true, |fate| {
                    actions.push(Step::Claim { courier: at, begin: *begin, fate })
                });
            }
        }
        for (place, held) in courier.held.iter().enumerate() {
            self.of_held(state, at, place, held, courier.stopping, actions);
        }
        if !courier.is_blank() && state.left.crashes > 0 {
            actions.push(Step::Crash { courier: at });
        }
        if !courier.is_blank() && !courier.stopping && state.left.stops > 0 {
            actions.push(Step::Stop { courier: at });
        }
    }

    /// Whether a claim can return anything; otherwise it changes nothing.
    fn may_bring(&self, state: &ExplorerState, courier: &ModelCourier) -> bool {
        let parcels = state.view.parcels.iter().zip(&self.scenario.parcels);
        parcels.into_iter().any(|(view, spec)| spec.channel == courier.channel && view.ready.is_some())
            || state.view.orders.iter().any(|order| order.due.is_some())
    }

    fn of_held(
        &self,
        state: &ExplorerState,
        courier: usize,
        held: usize,
        it: &HeldParcel,
        stopping: bool,
        actions: &mut Vec<Step>,
    ) {
        let s = &self.scenario;
        if !it.loaded && !stopping {
            actions.push(Step::Load { courier, held });
        }
        let waiting: Vec<usize> = it
            .deliveries
            .iter()
            .enumerate()
            .filter(|(_, delivery)| matches!(delivery, CourierDelivery::Waiting(_)))
            .map(|(i, _)| i)
            .collect();
        if !waiting.is_empty() {
            self.fates(state, true, |fate| actions.push(Step::Begin { courier, held, delivery: None, fate }));
            if s.single_begins && waiting.len() > 1 {
                for delivery in &waiting {
                    let delivery = Some(*delivery);
                    self.fates(state, true, |fate| {
                        actions.push(Step::Begin { courier, held, delivery, fate })
                    });
                }
            }
        }
        for (delivery, memory) in it.deliveries.iter().enumerate() {
            if let CourierDelivery::Begun(_, at) = memory {
                self.calls(state, *at == state.view.now, |call| {
                    actions.push(Step::Send { courier, held, delivery, call });
                });
            }
        }
        let whole = s.partial || (!it.is_out() && waiting.is_empty());
        let leaving = it.loaded && !stopping && !it.lost && it.is_done();
        if it.settling.is_some() || (whole && it.has_reports()) || leaving {
            self.fates(state, true, |fate| actions.push(Step::Settle { courier, held, fate }));
        }
        if stopping && !it.lost && it.is_idle() {
            self.fates(state, true, |fate| actions.push(Step::Release { courier, held, fate }));
        }
        let ends = state.view.parcels[it.parcel].leased.unwrap_or(0);
        if state.left.renewals > 0 && !it.lost && ends < state.view.now + RENEWED_MS {
            self.fates(state, false, |fate| actions.push(Step::Renew { courier, held, fate }));
        }
        if !it.closed && state.view.now >= it.lease_until {
            actions.push(Step::Notice { courier, held });
        }
    }

    /// What a provider call may do; `awake` if no time passed since the begin.
    fn calls(&self, state: &ExplorerState, awake: bool, mut push: impl FnMut(Call)) {
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

    fn of_channels(&self, state: &ExplorerState, actions: &mut Vec<Step>) {
        let view = &state.view;
        for channel in 0..self.scenario.channels.len() {
            let mine =
                || view.parcels.iter().zip(&self.scenario.parcels).filter(|(_, p)| p.channel == channel);
            if mine().any(|(parcel, _)| parcel.leased.is_some()) {
                actions.push(Step::ReclaimLeases { channel });
            }
            if state.resolvers[channel].is_some() {
                self.fates(state, false, |fate| actions.push(Step::Resolve { channel, fate }));
            } else if mine().any(|(parcel, _)| parcel.unresolved.is_some()) {
                actions.push(Step::ClaimUnresolved { channel });
            }
        }
    }

    fn of_outside(&self, state: &ExplorerState, actions: &mut Vec<Step>) {
        let view = &state.view;
        for (order, it) in view.orders.iter().enumerate() {
            if it.head.is_none() && !self.scenario.orders[order].accepted && !state.retired[order] {
                self.fates(state, false, |fate| actions.push(Step::Accept { order, fate }));
            }
            if it.head.is_none() {
                continue;
            }
            if state.left.cancels > 0 && !it.cancelled && !it.ended {
                actions.push(Step::Cancel { order });
            }
            if state.left.moves > 0 && it.due.is_some() {
                for now in [true, false] {
                    self.fates(state, false, |fate| actions.push(Step::Reschedule { order, now, fate }));
                }
            }
        }
        if self.scenario.strangers {
            actions.push(Step::Stranger);
        }
        if state.left.expiries > 0 && !self.scenario.wide && view.now < self.over(state) {
            actions.push(Step::Expire);
        }
        if state.left.receipts == 0 {
            return;
        }
        for (parcel, deliveries) in state.truth.iter().enumerate() {
            for (delivery, truth) in deliveries.iter().enumerate() {
                let there = view.parcels[parcel].deliveries.get(delivery);
                if there.is_none_or(|delivery| delivery.state == DeliveryState::Delivered) {
                    continue;
                }
                for attempt in &truth.taken {
                    for word in [ReceiptStatus::Sent, ReceiptStatus::Delivered, ReceiptStatus::Failed] {
                        actions.push(Step::Receipt { parcel, delivery, attempt: *attempt, word });
                    }
                }
            }
        }
    }

    fn of_sweepers(&self, state: &ExplorerState, actions: &mut Vec<Step>) {
        actions.push(Step::PromoteDue);
        for channel in 0..self.scenario.channels.len() {
            for index in [Index::Ready(Priority::Urgent), Index::Ready(Priority::Bulk), Index::Unresolved] {
                actions.push(Step::ExpireParcels { channel, index });
            }
        }
        for (order, it) in state.view.orders.iter().enumerate() {
            if it.head.is_some() && !it.ended {
                let channels = self.scenario.orders[order].channels.iter();
                actions.extend(channels.map(|(channel, _)| Step::RepairIndexes { order, channel: *channel }));
            }
        }
        if state.view.now < self.over(state) {
            actions.push(Step::Expire);
        }
        if state.view.orders.iter().any(|order| order.retirements > 0) {
            actions.push(Step::Rest);
            actions.push(Step::PurgeOrders);
        }
    }
}
