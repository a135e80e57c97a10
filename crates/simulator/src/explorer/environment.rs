//! Steps outside the couriers' engines: housekeeping, resolvers, the network, time, senders, providers.

use posthaste_model::State as DeliveryState;
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::DeliveryBegun;
use posthaste_protocol::scripts::renew::Renewed;
use posthaste_protocol::scripts::resolve::Decided;
use posthaste_protocol::scripts::settle::Reported;

use super::Explorer;
use super::action::Step;
use super::call_cache::Deed;
use super::check;
use super::command::{ScriptRequest, ServerAnswer, is_unresolved, plan};
use super::coverage::Window;
use super::scenario::{Budgets, START_MS, UNIT_MS};
use super::state::{ExplorerState, Resolving};
use super::view::at;

const DAY_MS: i64 = 86_400_000;

impl Explorer {
    /// Takes a step outside the couriers. False if it changed nothing.
    pub(super) fn take_elsewhere(&self, state: &mut ExplorerState, action: &Step) -> bool {
        match *action {
            Step::ReclaimLeases { channel } => {
                let Some(ServerAnswer::Reclaimed { unresolved, poison, parcels }) =
                    self.run(state, &ScriptRequest::ReclaimLeases { channel })
                else {
                    return true;
                };
                let ahead =
                    state.view.parcels.iter().any(|p| p.unresolved.is_some_and(|at| at > state.view.now));
                let windows = [
                    (unresolved > 0, Window::ReclaimedUnresolved),
                    (unresolved > 0 && ahead, Window::SendByAhead),
                    (poison > 0, Window::Poison),
                    (parcels > 0 && unresolved == 0, Window::ReclaimedReady),
                ];
                state.entered.extend(windows.into_iter().filter(|(is, _)| *is).map(|(_, window)| window));
            }
            Step::ClaimUnresolved { channel } => self.claim_unresolved(state, channel),
            Step::Resolve { channel, fate } => {
                let Some(Resolving { parcel, decisions }) = state.resolvers[channel].take() else {
                    return false;
                };
                let heard = self.request(state, None, ScriptRequest::Resolve { parcel, decisions }, fate);
                if let Some(ServerAnswer::Resolved(decided)) = heard {
                    windows_of_resolve(state, &decided);
                }
            }
            Step::Deliver { late } => {
                let command = state.late.remove(late);
                let sending = |state: &ExplorerState| {
                    state.view.parcels.iter().map(|p| u64::from(p.counts.1)).sum::<u64>()
                };
                let before = sending(state);
                let begin = matches!(command, ScriptRequest::Begin { .. });
                if matches!(command, ScriptRequest::Reschedule { .. }) {
                    state.entered.push(Window::CopyMove);
                }
                if let Some(heard) = self.run(state, &command) {
                    windows_of_copy(state, begin && sending(state) > before, &heard);
                }
            }
            Step::Jump => {
                let Some(at) = state.view.next_instant() else { return false };
                self.set_time(state, at);
            }
            Step::Expire => {
                Budgets::spend(&mut state.left.expiries);
                let over = self.over(state);
                self.set_time(state, over);
            }
            Step::Rest => {
                // No request stays in flight for that long.
                state.late.clear();
                self.set_time(state, state.view.now + 91 * DAY_MS);
            }
            Step::PurgeOrders => {
                let before = std::sync::Arc::clone(&state.view);
                let day = u64::try_from((state.view.now - 90 * DAY_MS) / DAY_MS).unwrap_or(0);
                for day in day.saturating_sub(3)..=day {
                    self.run(state, &ScriptRequest::PurgeOrders { day });
                }
                let orders = state.view.orders.iter().zip(&before.orders);
                for (gone, (new, old)) in state.retired.iter_mut().zip(orders) {
                    *gone |= old.head.is_some() && new.head.is_none();
                }
            }
            Step::Receipt { parcel, delivery, attempt, word } => {
                Budgets::spend(&mut state.left.receipts);
                let before =
                    state.view.parcels[parcel].deliveries.get(delivery).map(|delivery| delivery.state);
                let number = u16::try_from(delivery).unwrap_or(u16::MAX);
                let command = ScriptRequest::ApplyReceipt { parcel, delivery: number, attempt, word };
                let heard = self.run(state, &command);
                if heard == Some(ServerAnswer::Receipt(Some(Reported::Applied))) {
                    state.entered.push(match before {
                        Some(DeliveryState::Sending | DeliveryState::Pending) => Window::ReceiptEarly,
                        Some(DeliveryState::Unresolved) => Window::ReceiptUnresolved,
                        _ => Window::ReceiptLate,
                    });
                }
            }
            Step::RepairIndexes { order, channel } => {
                let heard = self.run(state, &ScriptRequest::RepairIndexes { order, channel });
                if matches!(heard, Some(ServerAnswer::Repaired(n)) if n > 0) {
                    state.found(check::INDEXES, || {
                        format!("repairing the indexes of order {order} changed something")
                    });
                }
            }
            Step::Cancel { order } => {
                Budgets::spend(&mut state.left.cancels);
                self.run(state, &ScriptRequest::Cancel { order });
            }
            Step::Reschedule { order, now, fate } => {
                Budgets::spend(&mut state.left.moves);
                let due = if now { 0 } else { state.view.orders[order].due.unwrap_or(0) + 2 * UNIT_MS };
                let revision = self.names.revision(&state.world, order);
                let heard =
                    self.request(state, None, ScriptRequest::Reschedule { order, due, revision }, fate);
                if heard.is_some() && state.view.orders[order].due.is_some_and(|at| at == due) {
                    state.entered.push(Window::Moved);
                }
            }
            Step::Accept { order, fate } => {
                drop(self.request(state, None, ScriptRequest::Enqueue { order }, fate))
            }
            Step::Stranger => self.stranger(state),
            Step::PromoteDue => drop(self.run(state, &ScriptRequest::PromoteDue)),
            Step::ExpireParcels { channel, index } => {
                drop(self.run(state, &ScriptRequest::ExpireParcels { channel, index }))
            }
            _ => return false,
        }
        self.tidy(state);
        true
    }

    /// A caller that expects another database is refused, and nothing changes.
    fn stranger(&self, state: &mut ExplorerState) {
        let server = self.server();
        for courier in 0..state.couriers.len() {
            let command = ScriptRequest::Claim { courier, life: u16::MAX, number: 1, begin: 0 };
            let mut world = state.world.clone();
            if server.refuses(&mut world, &command) && world == state.world {
                continue;
            }
            state.found(check::ANSWERS, || "a caller with another epoch was not refused".to_owned());
        }
    }

    /// When all orders have expired.
    pub(super) fn over(&self, state: &ExplorerState) -> i64 {
        let heads = state.view.orders.iter().filter_map(|order| order.head.as_ref());
        let last = heads.map(|head| at(head.not_after)).max().unwrap_or(START_MS + self.scenario.life_ms);
        last.max(state.view.now)
    }

    fn set_time(&self, state: &mut ExplorerState, at: i64) {
        self.perform(state, Deed::Time(at));
    }

    fn claim_unresolved(&self, state: &mut ExplorerState, channel: usize) {
        let heard = self.run(state, &ScriptRequest::ClaimUnresolved { channel });
        let Some(ServerAnswer::Members(parcel_ids)) = heard else { return };
        let s = &self.scenario;
        let Some(parcel) = parcel_ids.first().and_then(|parcel_id| s.parcel(channel, parcel_id)) else {
            return;
        };
        let deliveries = state.view.parcels[parcel].deliveries.iter().enumerate();
        let open = deliveries.filter(|(_, delivery)| is_unresolved(delivery.state));
        let decisions: Vec<_> = open
            .filter_map(|(at, delivery)| {
                let decision = plan(s, parcel, delivery, Some(&state.truth[parcel][at]));
                Some((u16::try_from(at).ok()?, delivery.attempt, decision))
            })
            .collect();
        if !decisions.is_empty() {
            state.entered.push(Window::SendByOver);
            state.resolvers[channel] = Some(Resolving { parcel, decisions });
        }
    }

    /// Records the windows a settle entered.
    pub(super) fn windows_of_settle(
        &self,
        state: &mut ExplorerState,
        code: ParcelCode,
        letters: &[Reported],
        over: bool,
        partial: bool,
    ) {
        let mut windows = Vec::new();
        for letter in letters {
            match letter {
                Reported::Evidence => windows.push(Window::SettleEvidence),
                Reported::Stale => windows.push(Window::SettleStale),
                Reported::Known => windows.push(Window::SettleKnown),
                Reported::Applied if code == ParcelCode::Stale => windows.push(Window::SettleUnresolved),
                Reported::Applied if over => windows.push(Window::SettleOver),
                Reported::Applied | Reported::Unreadable => {}
            }
        }
        if partial && code == ParcelCode::Held {
            windows.push(Window::SettlePartial);
        }
        if code == ParcelCode::Sending {
            windows.push(Window::LeftSending);
        }
        state.entered.extend(windows);
    }
}

fn windows_of_resolve(state: &mut ExplorerState, decided: &[Decided]) {
    // What was applied shows in the deliveries themselves.
    state.entered.extend(decided.iter().filter_map(|decided| match decided {
        Decided::Applied => None,
        Decided::Known => Some(Window::ResolvedKnown),
        Decided::Stale => Some(Window::ResolvedStale),
        Decided::RetryUnconfirmed => Some(Window::ResolvedSpent),
    }));
}

/// Records the windows that a late request entered.
fn windows_of_copy(state: &mut ExplorerState, began: bool, heard: &ServerAnswer) {
    let mut windows = Vec::new();
    match heard {
        ServerAnswer::Taken { again: true, .. } => windows.push(Window::CopyClaimAgain),
        ServerAnswer::Taken { parcels, .. } if !parcels.is_empty() => windows.push(Window::CopyClaimTook),
        ServerAnswer::Old => windows.push(Window::CopyClaimOld),
        ServerAnswer::Begun(code, letters) => match code {
            ParcelCode::Ok => windows.extend(letters.iter().filter_map(|letter| match letter {
                DeliveryBegun::Begun { .. } => Some(Window::CopyBeginAgain),
                DeliveryBegun::OtherAttempt => Some(Window::CopyBeginOther),
                DeliveryBegun::Final => Some(Window::CopyBeginFinal),
                DeliveryBegun::NoDelivery => None,
            })),
            ParcelCode::Over => windows.push(Window::CopyBeginOver),
            ParcelCode::Cancelled | ParcelCode::Expired => windows.push(Window::CopyBeginEnded),
            _ => windows.push(Window::CopyBeginStale),
        },
        ServerAnswer::Settled(_, letters) => {
            windows.extend(letters.iter().filter_map(|letter| match letter {
                Reported::Applied => Some(Window::CopySettleApplied),
                Reported::Evidence => Some(Window::CopySettleEvidence),
                Reported::Known => Some(Window::CopySettleKnown),
                Reported::Stale => Some(Window::CopySettleStale),
                Reported::Unreadable => None,
            }))
        }
        ServerAnswer::Released(ParcelCode::Ready) => windows.push(Window::CopyReleaseReady),
        ServerAnswer::Released(_) => windows.push(Window::CopyReleaseStale),
        ServerAnswer::Renewed(Renewed::Renewed | Renewed::Over | Renewed::Stale) => {
            windows.push(Window::CopyRenew)
        }
        ServerAnswer::Resolved(decided) => {
            windows.extend(decided.iter().filter_map(|decided| match decided {
                Decided::Known => Some(Window::CopyResolveKnown),
                Decided::Stale => Some(Window::CopyResolveStale),
                Decided::RetryUnconfirmed => Some(Window::ResolvedSpent),
                Decided::Applied => None,
            }))
        }
        _ => {}
    }
    if began {
        windows = vec![Window::CopyBeginBegan];
    }
    state.entered.extend(windows);
}
