//! Steps of everything that is no courier's engine: sweepers, resolvers, the network, time, senders, providers.

use posthaste_model::State as RowState;
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::RowBegun;
use posthaste_protocol::scripts::renew::Renewed;
use posthaste_protocol::scripts::resolve::Decided;
use posthaste_protocol::scripts::settle::Reported;

use super::Explorer;
use super::action::Action;
use super::check;
use super::command::{Command, Heard, is_unresolved, plan};
use super::memo::Deed;
use super::scenario::{Budgets, START_MS, UNIT_MS};
use super::state::{Resolving, State};
use super::view::at;
use super::windows::Window;

const DAY_MS: i64 = 86_400_000;

impl Explorer {
    /// Takes a step that is no courier's. False if nothing came of it.
    pub(super) fn take_elsewhere(&self, state: &mut State, action: &Action) -> bool {
        match *action {
            Action::Sweep { channel } => {
                let Some(Heard::Swept { unresolved, poison, parcels }) =
                    self.run(state, &Command::Sweep { channel })
                else {
                    return true;
                };
                let ahead =
                    state.view.parcels.iter().any(|p| p.unresolved.is_some_and(|at| at > state.view.now));
                let windows = [
                    (unresolved > 0, Window::SweptUnresolved),
                    (unresolved > 0 && ahead, Window::SendByAhead),
                    (poison > 0, Window::Poison),
                    (parcels > 0 && unresolved == 0, Window::SweptReady),
                ];
                state.entered.extend(windows.into_iter().filter(|(is, _)| *is).map(|(_, window)| window));
            }
            Action::Inquire { channel } => self.inquire(state, channel),
            Action::Resolve { channel, fate } => {
                let Some(Resolving { parcel, decisions }) = state.resolvers[channel].take() else {
                    return false;
                };
                let heard = self.request(state, None, Command::Resolve { parcel, decisions }, fate);
                if let Some(Heard::Resolved(decided)) = heard {
                    windows_of_resolve(state, &decided);
                }
            }
            Action::Deliver { late } => {
                let command = state.late.remove(late);
                let sending =
                    |state: &State| state.view.parcels.iter().map(|p| u64::from(p.counts.1)).sum::<u64>();
                let before = sending(state);
                let begin = matches!(command, Command::Begin { .. });
                if matches!(command, Command::Move { .. }) {
                    state.entered.push(Window::CopyMove);
                }
                if let Some(heard) = self.run(state, &command) {
                    windows_of_copy(state, begin && sending(state) > before, &heard);
                }
            }
            Action::Jump => {
                let Some(at) = state.view.next_instant() else { return false };
                self.set_time(state, at);
            }
            Action::Expire => {
                Budgets::spend(&mut state.left.expiries);
                let over = self.over(state);
                self.set_time(state, over);
            }
            Action::Rest => {
                // No request is on its way for that long.
                state.late.clear();
                self.set_time(state, state.view.now + 91 * DAY_MS);
            }
            Action::Retire => {
                let before = std::sync::Arc::clone(&state.view);
                let day = u64::try_from((state.view.now - 90 * DAY_MS) / DAY_MS).unwrap_or(0);
                for day in day.saturating_sub(3)..=day {
                    self.run(state, &Command::Retire { day });
                }
                let orders = state.view.orders.iter().zip(&before.orders);
                for (gone, (new, old)) in state.retired.iter_mut().zip(orders) {
                    *gone |= old.head.is_some() && new.head.is_none();
                }
            }
            Action::Receipt { parcel, row, attempt, word } => {
                Budgets::spend(&mut state.left.receipts);
                let before = state.view.parcels[parcel].rows.get(row).map(|row| row.state);
                let number = u16::try_from(row).unwrap_or(u16::MAX);
                let command = Command::Receipt { parcel, row: number, attempt, word };
                let heard = self.run(state, &command);
                if heard == Some(Heard::Receipt(Some(Reported::Applied))) {
                    state.entered.push(match before {
                        Some(RowState::Sending | RowState::Pending) => Window::ReceiptEarly,
                        Some(RowState::Unresolved) => Window::ReceiptUnresolved,
                        _ => Window::ReceiptLate,
                    });
                }
            }
            Action::Audit { order, channel } => {
                let heard = self.run(state, &Command::Audit { order, channel });
                if matches!(heard, Some(Heard::Mended(n)) if n > 0) {
                    state.found(check::INDEXES, || {
                        format!("an audit of order {order} found something to mend")
                    });
                }
            }
            Action::Cancel { order } => {
                Budgets::spend(&mut state.left.cancels);
                self.run(state, &Command::Cancel { order });
            }
            Action::Move { order, now, fate } => {
                Budgets::spend(&mut state.left.moves);
                let due = if now { 0 } else { state.view.orders[order].due.unwrap_or(0) + 2 * UNIT_MS };
                let revision = self.names.revision(&state.world, order);
                let heard = self.request(state, None, Command::Move { order, due, revision }, fate);
                if heard.is_some() && state.view.orders[order].due.is_some_and(|at| at == due) {
                    state.entered.push(Window::Moved);
                }
            }
            Action::Accept { order, fate } => {
                drop(self.request(state, None, Command::Enqueue { order }, fate))
            }
            Action::Stranger => self.stranger(state),
            Action::Ring => drop(self.run(state, &Command::Ring)),
            Action::Close { channel, index } => drop(self.run(state, &Command::Close { channel, index })),
            _ => return false,
        }
        self.tidy(state);
        true
    }

    /// Somebody who knows another database: it is refused, and nothing changes.
    fn stranger(&self, state: &mut State) {
        let server = self.server();
        for courier in 0..state.couriers.len() {
            let command = Command::Claim { courier, life: u16::MAX, number: 1, begin: 0 };
            let mut world = state.world.clone();
            if server.refuses(&mut world, &command) && world == state.world {
                continue;
            }
            state.found(check::ANSWERS, || "a caller of another epoch was let in".to_owned());
        }
    }

    /// When the time of all orders is over.
    pub(super) fn over(&self, state: &State) -> i64 {
        let heads = state.view.orders.iter().filter_map(|order| order.head.as_ref());
        let last = heads.map(|head| at(head.not_after)).max().unwrap_or(START_MS + self.scenario.life_ms);
        last.max(state.view.now)
    }

    fn set_time(&self, state: &mut State, at: i64) {
        self.perform(state, Deed::Time(at));
    }

    fn inquire(&self, state: &mut State, channel: usize) {
        let heard = self.run(state, &Command::Inquire { channel });
        let Some(Heard::Members(members)) = heard else { return };
        let s = &self.scenario;
        let Some(parcel) = members.first().and_then(|member| s.parcel(channel, member)) else { return };
        let rows = state.view.parcels[parcel].rows.iter().enumerate();
        let open = rows.filter(|(_, row)| is_unresolved(row.state));
        let decisions: Vec<_> = open
            .filter_map(|(at, row)| {
                let decision = plan(s, parcel, row, Some(&state.truth[parcel][at]));
                Some((u16::try_from(at).ok()?, row.attempt, decision))
            })
            .collect();
        if !decisions.is_empty() {
            state.entered.push(Window::SendByOver);
            state.resolvers[channel] = Some(Resolving { parcel, decisions });
        }
    }

    /// Notes what a settle met.
    pub(super) fn windows_of_settle(
        &self,
        state: &mut State,
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
                Reported::Applied => {}
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

fn windows_of_resolve(state: &mut State, decided: &[Decided]) {
    // What was applied is told by the rows themselves.
    state.entered.extend(decided.iter().filter_map(|decided| match decided {
        Decided::Applied => None,
        Decided::Known => Some(Window::ResolvedKnown),
        Decided::Stale => Some(Window::ResolvedStale),
        Decided::RepeatSpent => Some(Window::ResolvedSpent),
    }));
}

/// Notes what a request met that arrived late.
fn windows_of_copy(state: &mut State, began: bool, heard: &Heard) {
    let mut windows = Vec::new();
    match heard {
        Heard::Taken { again: true, .. } => windows.push(Window::CopyClaimAgain),
        Heard::Taken { parcels, .. } if !parcels.is_empty() => windows.push(Window::CopyClaimTook),
        Heard::Old => windows.push(Window::CopyClaimOld),
        Heard::Begun(code, letters) => match code {
            ParcelCode::Ok => windows.extend(letters.iter().filter_map(|letter| match letter {
                RowBegun::Begun { .. } => Some(Window::CopyBeginAgain),
                RowBegun::OtherAttempt => Some(Window::CopyBeginOther),
                RowBegun::Final => Some(Window::CopyBeginFinal),
                RowBegun::NoRow => None,
            })),
            ParcelCode::Over => windows.push(Window::CopyBeginOver),
            ParcelCode::Cancelled | ParcelCode::Expired => windows.push(Window::CopyBeginEnded),
            _ => windows.push(Window::CopyBeginStale),
        },
        Heard::Settled(_, letters) => windows.extend(letters.iter().map(|letter| match letter {
            Reported::Applied => Window::CopySettleApplied,
            Reported::Evidence => Window::CopySettleEvidence,
            Reported::Known => Window::CopySettleKnown,
            Reported::Stale => Window::CopySettleStale,
        })),
        Heard::Released(ParcelCode::Ready) => windows.push(Window::CopyReleaseReady),
        Heard::Released(_) => windows.push(Window::CopyReleaseStale),
        Heard::Renewed(Renewed::Renewed | Renewed::Over | Renewed::Stale) => windows.push(Window::CopyRenew),
        Heard::Resolved(decided) => windows.extend(decided.iter().filter_map(|decided| match decided {
            Decided::Known => Some(Window::CopyResolveKnown),
            Decided::Stale => Some(Window::CopyResolveStale),
            Decided::RepeatSpent => Some(Window::ResolvedSpent),
            Decided::Applied => None,
        })),
        _ => {}
    }
    if began {
        windows = vec![Window::CopyBeginBegan];
    }
    state.entered.extend(windows);
}
