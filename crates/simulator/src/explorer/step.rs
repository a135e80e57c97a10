//! Steps of couriers, as the engine of the courier crate takes them.

use posthaste_model::{OutcomeKind, State as DeliveryState};
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::DeliveryBegun;
use posthaste_protocol::scripts::renew::Renewed;

use super::Explorer;
use super::action::{Call, CallFate, Step};
use super::command::{RENEWED_MS, ScriptRequest, ServerAnswer};
use super::coverage::Window;
use super::scenario::{Budgets, UNIT_MS};
use super::state::{CourierDelivery, ExplorerState, HeldParcel, ModelCourier, PendingReport, SentSettle};
use super::view::is_ripe;

impl Explorer {
    /// Takes a step. False if it changed nothing.
    pub(super) fn take(&self, state: &mut ExplorerState, action: &Step) -> bool {
        state.entered.clear();
        match *action {
            Step::Claim { courier, begin, fate } => self.claim(state, courier, begin, fate),
            Step::Load { courier, held } => self.load(state, courier, held),
            Step::Begin { courier, held, delivery, fate } => self.begin(state, courier, held, delivery, fate),
            Step::Send { courier, held, delivery, call } => self.send(state, courier, held, delivery, call),
            Step::Settle { courier, held, fate } => self.settle(state, courier, held, fate),
            Step::Release { courier, held, fate } => self.release(state, courier, held, fate),
            Step::Renew { courier, held, fate } => self.renew(state, courier, held, fate),
            Step::Notice { courier, held } => state.couriers[courier].held[held].close(),
            Step::Stop { courier } => {
                Budgets::spend(&mut state.left.stops);
                let courier = &mut state.couriers[courier];
                courier.stopping = true;
                courier.held.iter_mut().for_each(HeldParcel::close);
            }
            Step::Crash { courier } => self.crash(state, courier),
            ref other => return self.take_elsewhere(state, other),
        }
        self.tidy(state);
        true
    }

    /// Forgets lost and idle parcels; a stopping courier that holds nothing stops, and another one starts.
    pub(super) fn tidy(&self, state: &mut ExplorerState) {
        for courier in &mut state.couriers {
            courier.held.retain(|held| !(held.lost && held.is_idle()));
            if courier.stopping && courier.is_blank() {
                *courier = ModelCourier::new(courier.channel, courier.life + 1);
            }
        }
    }

    /// Makes a request; returns the reply its sender receives, if any. An orphaned one kills its sender.
    pub(super) fn request(
        &self,
        state: &mut ExplorerState,
        courier: Option<usize>,
        command: ScriptRequest,
        fate: CallFate,
    ) -> Option<ServerAnswer> {
        match fate {
            CallFate::Orphaned => {
                Budgets::spend(&mut state.left.copies);
                state.entered.push(Window::Orphan);
                state.late.push(command);
                if let Some(courier) = courier {
                    self.crash(state, courier);
                }
                return None;
            }
            CallFate::Copied => {
                Budgets::spend(&mut state.left.copies);
                state.late.push(command.clone());
            }
            CallFate::Lost => {
                Budgets::spend(&mut state.left.lost);
            }
            CallFate::Received => {}
        }
        let received = self.run(state, &command)?;
        (fate != CallFate::Lost).then_some(received)
    }

    fn crash(&self, state: &mut ExplorerState, courier: usize) {
        Budgets::spend(&mut state.left.crashes);
        let ModelCourier { channel, life, asking, ref held, .. } = state.couriers[courier];
        let mut windows = Vec::new();
        if asking.is_some() {
            windows.push(Window::CrashAsking);
        }
        for held in held {
            let deliveries = || held.deliveries.iter();
            if held.is_out() {
                windows.push(Window::CrashBegun);
            } else if !held.has_reports() {
                windows.push(Window::CrashHolding);
            }
            let truth = &state.truth[held.parcel];
            let said = |(delivery, memory): (usize, &CourierDelivery)| match memory {
                CourierDelivery::Report(report) if truth[delivery].taken.contains(&report.attempt) => {
                    Window::CrashTaken
                }
                _ => Window::CrashReported,
            };
            windows.extend(
                deliveries()
                    .enumerate()
                    .filter(|(_, delivery)| matches!(delivery, CourierDelivery::Report(_)))
                    .map(said),
            );
        }
        state.entered.extend(windows);
        state.couriers[courier] = ModelCourier::new(channel, life + 1);
    }

    fn claim(&self, state: &mut ExplorerState, at: usize, begin: u32, fate: CallFate) {
        let courier = &mut state.couriers[at];
        let command = ScriptRequest::Claim { courier: at, life: courier.life, number: courier.number, begin };
        courier.asking = Some(begin);
        if state.view.orders.iter().any(|order| order.due == Some(state.view.now)) {
            state.entered.push(Window::ClaimedAtDue);
        }
        let received = self.request(state, Some(at), command, fate);
        if fate == CallFate::Lost {
            state.entered.push(Window::ClaimReplyLost);
        }
        let Some(received) = received else { return };
        let now = state.view.now;
        let courier = &mut state.couriers[at];
        courier.asking = None;
        courier.number += 1;
        let ServerAnswer::Claimed { already_done, fence, parcels } = received else { return };
        if already_done {
            state.entered.push(Window::SameClaimAgain);
        }
        for (parcel, outcomes) in parcels {
            let mut held = HeldParcel {
                parcel,
                fence,
                loaded: outcomes.is_some(),
                deliveries: Vec::new(),
                lease_until: now + UNIT_MS,
                closed: false,
                lost: false,
                settling: None,
            };
            if outcomes.is_some() {
                held.deliveries = memories(state, parcel, true);
            }
            if state.couriers[at].stopping {
                held.close();
            }
            state.couriers[at].held.push(held);
        }
    }

    fn load(&self, state: &mut ExplorerState, courier: usize, held: usize) {
        // A claim begins nothing of a big order: what is sending there belongs to another courier.
        let deliveries = memories(state, state.couriers[courier].held[held].parcel, false);
        let held = &mut state.couriers[courier].held[held];
        held.loaded = true;
        held.deliveries = deliveries;
        if held.closed {
            held.close();
        }
    }

    fn begin(
        &self,
        state: &mut ExplorerState,
        courier: usize,
        place: usize,
        only: Option<usize>,
        fate: CallFate,
    ) {
        let held = &state.couriers[courier].held[place];
        let mut deliveries = Vec::new();
        for (at, memory) in held.deliveries.iter().enumerate() {
            if let CourierDelivery::Waiting(last) = memory
                && only.is_none_or(|only| only == at)
                && let Ok(delivery) = u16::try_from(at)
            {
                deliveries.push((delivery, last.wrapping_add(1)));
            }
        }
        let command =
            ScriptRequest::Begin { parcel: held.parcel, fence: held.fence, deliveries: deliveries.clone() };
        let repeated = deliveries.iter().any(|(delivery, attempt)| {
            let recorded = state.view.parcels[held.parcel].deliveries.get(usize::from(*delivery));
            recorded.is_some_and(|delivery| {
                delivery.state == DeliveryState::Sending && delivery.attempt == *attempt
            })
        });
        let received = self.request(state, Some(courier), command, fate);
        if fate == CallFate::Lost {
            state.entered.push(Window::BeginReplyLost);
        }
        let Some(ServerAnswer::Begun(code, begun)) = received else { return };
        let now = state.view.now;
        let held = &mut state.couriers[courier].held[place];
        let window = match code {
            ParcelCode::Ok => {
                for ((delivery, attempt), what) in deliveries.into_iter().zip(begun) {
                    held.deliveries[usize::from(delivery)] = match what {
                        DeliveryBegun::Begun { .. } => CourierDelivery::Begun(attempt, now),
                        _ => CourierDelivery::NotOurs,
                    };
                    match what {
                        DeliveryBegun::Begun { .. } if repeated => state.entered.push(Window::BeginRepeated),
                        DeliveryBegun::Final => state.entered.push(Window::BeginFinal),
                        _ => {}
                    }
                }
                return;
            }
            ParcelCode::Cancelled => Window::BeginCancelled,
            ParcelCode::Expired => Window::BeginExpired,
            ParcelCode::LeaseExpired => Window::BeginOver,
            _ => Window::BeginStale,
        };
        state.entered.push(window);
        held.close();
        held.lost = !matches!(code, ParcelCode::Cancelled | ParcelCode::Expired);
    }

    fn send(&self, state: &mut ExplorerState, courier: usize, place: usize, delivery: usize, call: Call) {
        let held = &state.couriers[courier].held[place];
        let (parcel, closed) = (held.parcel, held.closed);
        let CourierDelivery::Begun(attempt, _) = held.deliveries[delivery] else { return };
        let left = &mut state.left;
        let (outcome, again, value) = match call {
            Call::Taken | Call::TakenAsleep => (OutcomeKind::Sent, false, 0),
            Call::TakenUntold | Call::Unheard | Call::TakenAsleepUntold => (OutcomeKind::Unknown, false, 0),
            Call::Later => (OutcomeKind::Retry, false, span()),
            Call::Throttled => (OutcomeKind::NotSent, !closed, 0),
            Call::Refused => (OutcomeKind::Failed, false, 0),
            Call::NotSent => (OutcomeKind::NotSent, false, 0),
            Call::Overslept => (OutcomeKind::NotSent, false, span()),
            Call::Delivered => (OutcomeKind::Delivered, false, 0),
            Call::Suppressed => (OutcomeKind::Suppressed, false, 0),
            Call::Part => (OutcomeKind::Part, !closed, 1),
        };
        let budget = match call {
            Call::TakenUntold | Call::Unheard => Some(&mut left.unknown),
            Call::TakenAsleep | Call::TakenAsleepUntold => Some(&mut left.zombies),
            Call::Later => Some(&mut left.later),
            Call::Throttled => Some(&mut left.throttled),
            Call::Refused => Some(&mut left.refused),
            Call::NotSent => Some(&mut left.not_sent),
            Call::Overslept => Some(&mut left.overslept),
            _ => None,
        };
        budget.map(Budgets::spend);
        let window = match call {
            Call::TakenUntold => Some(Window::TakenUntold),
            Call::Unheard => Some(Window::LostUntold),
            Call::TakenAsleep | Call::TakenAsleepUntold => Some(Window::Zombie),
            Call::Overslept => Some(Window::Overslept),
            Call::Later => Some(Window::Waited),
            _ => None,
        };
        state.entered.extend(window);
        let asleep = matches!(call, Call::TakenAsleep | Call::TakenAsleepUntold);
        state.truth[parcel][delivery].sleeps += u8::from(asleep);
        let taken = matches!(outcome, OutcomeKind::Sent | OutcomeKind::Delivered)
            || call == Call::TakenUntold
            || asleep;
        self.check_send(state, parcel, delivery, attempt, taken);
        let report = PendingReport { attempt, outcome, again, value };
        state.couriers[courier].held[place].deliveries[delivery] = CourierDelivery::Report(report);
    }

    fn settle(&self, state: &mut ExplorerState, courier: usize, place: usize, fate: CallFate) {
        let held = &mut state.couriers[courier].held[place];
        let said = held.settling.take().unwrap_or_else(|| {
            let leave = held.is_done();
            let mut reports = Vec::new();
            for (at, memory) in held.deliveries.iter_mut().enumerate() {
                if let (CourierDelivery::Report(report), Ok(delivery)) = (*memory, u16::try_from(at)) {
                    reports.push((delivery, report));
                    *memory = if report.again {
                        CourierDelivery::Again(report.attempt)
                    } else {
                        CourierDelivery::NotOurs
                    };
                }
            }
            SentSettle { reports, leave }
        });
        let (parcel, fence, out) = (held.parcel, held.fence, held.is_out());
        // Until it is answered, this is what will be repeated.
        held.settling = Some(said.clone());
        let over = (state.view.parcels[parcel].leased).is_some_and(|ends| ends <= state.view.now)
            && (state.view.parcels[parcel].lease.as_ref()).is_some_and(|lease| lease.fence == fence);
        let SentSettle { leave, reports } = said;
        let some = !reports.is_empty();
        let command = ScriptRequest::Settle { parcel, fence, leave, reports };
        let received = self.request(state, Some(courier), command, fate);
        if fate == CallFate::Lost {
            state.entered.push(Window::SettleReplyLost);
        }
        let Some(ServerAnswer::Settled(code, letters)) = received else { return };
        self.windows_of_settle(state, code, &letters, over, out && some);
        let held = &mut state.couriers[courier].held[place];
        held.settling = None;
        match code {
            ParcelCode::Leased | ParcelCode::Sending => {
                for memory in &mut held.deliveries {
                    if let CourierDelivery::Again(last) = *memory {
                        *memory = if held.closed {
                            CourierDelivery::NotOurs
                        } else {
                            CourierDelivery::Waiting(last)
                        };
                    }
                }
            }
            _ => {
                held.lost = true;
                held.close();
            }
        }
    }

    fn release(&self, state: &mut ExplorerState, courier: usize, place: usize, fate: CallFate) {
        let HeldParcel { parcel, fence, .. } = state.couriers[courier].held[place];
        let received = self.request(state, Some(courier), ScriptRequest::Release { parcel, fence }, fate);
        if fate != CallFate::Orphaned {
            // Forgotten whatever the answer: what was not handed back is reclaimed.
            state.couriers[courier].held.remove(place);
        }
        match received {
            Some(ServerAnswer::Released(ParcelCode::Sending)) => state.entered.push(Window::ReleasedSending),
            Some(ServerAnswer::Released(ParcelCode::Ready)) => state.entered.push(Window::Released),
            _ => {}
        }
    }

    fn renew(&self, state: &mut ExplorerState, courier: usize, place: usize, fate: CallFate) {
        Budgets::spend(&mut state.left.renewals);
        let HeldParcel { parcel, fence, .. } = state.couriers[courier].held[place];
        let received = self.request(state, Some(courier), ScriptRequest::Renew { parcel, fence }, fate);
        let now = state.view.now;
        let held = &mut state.couriers[courier].held[place];
        match received {
            Some(ServerAnswer::Renewed(Renewed::Renewed)) => {
                held.lease_until = now + RENEWED_MS;
                state.entered.push(Window::Renewed);
            }
            Some(_) => {
                held.lost = true;
                held.close();
                state.entered.push(Window::RenewRefused);
            }
            None => {}
        }
    }
}

/// What a courier knows of the deliveries of a parcel it was given, as recorded; `begun` if the claim may have begun
/// some.
fn memories(state: &ExplorerState, parcel: usize, begun: bool) -> Vec<CourierDelivery> {
    let now = state.view.now;
    let memory = |delivery: &posthaste_protocol::record::DeliveryRecord| match delivery.state {
        DeliveryState::Sending if begun => CourierDelivery::Begun(delivery.attempt, now),
        _ if is_ripe(delivery, now) => CourierDelivery::Waiting(delivery.attempt),
        _ => CourierDelivery::NotOurs,
    };
    state.view.parcels[parcel].deliveries.iter().map(memory).collect()
}

/// A wait of one unit.
fn span() -> u32 {
    u32::try_from(UNIT_MS).unwrap_or(u32::MAX)
}
