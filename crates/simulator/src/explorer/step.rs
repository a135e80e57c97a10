//! Steps of couriers, as the engine of the courier crate takes them.

use posthaste_model::{State as RowState, Verdict};
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::RowBegun;
use posthaste_protocol::scripts::renew::Renewed;

use super::Explorer;
use super::action::{Action, Call, Fate};
use super::command::{Command, Heard, RENEWED_MS};
use super::scenario::{Budgets, UNIT_MS};
use super::state::{Courier, Held, Report, Row, Said, State};
use super::view::is_ripe;
use super::windows::Window;

impl Explorer {
    /// Takes a step. False if nothing came of it.
    pub(super) fn take(&self, state: &mut State, action: &Action) -> bool {
        state.entered.clear();
        match *action {
            Action::Claim { courier, begin, fate } => self.claim(state, courier, begin, fate),
            Action::Load { courier, held } => self.load(state, courier, held),
            Action::Begin { courier, held, row, fate } => self.begin(state, courier, held, row, fate),
            Action::Send { courier, held, row, call } => self.send(state, courier, held, row, call),
            Action::Settle { courier, held, fate } => self.settle(state, courier, held, fate),
            Action::Release { courier, held, fate } => self.release(state, courier, held, fate),
            Action::Renew { courier, held, fate } => self.renew(state, courier, held, fate),
            Action::Notice { courier, held } => state.couriers[courier].held[held].close(),
            Action::Stop { courier } => {
                Budgets::spend(&mut state.left.stops);
                let courier = &mut state.couriers[courier];
                courier.stopping = true;
                courier.held.iter_mut().for_each(Held::close);
            }
            Action::Crash { courier } => self.crash(state, courier),
            ref other => return self.take_elsewhere(state, other),
        }
        self.tidy(state);
        true
    }

    /// What was lost and is idle is forgotten; who was to stop and has nothing left stops, and another starts.
    pub(super) fn tidy(&self, state: &mut State) {
        for courier in &mut state.couriers {
            courier.held.retain(|held| !(held.lost && held.is_idle()));
            if courier.stopping && courier.is_blank() {
                *courier = Courier::new(courier.channel, courier.life + 1);
            }
        }
    }

    /// A request: what its sender hears, if anything. An orphaned one kills its sender.
    pub(super) fn request(
        &self,
        state: &mut State,
        courier: Option<usize>,
        command: Command,
        fate: Fate,
    ) -> Option<Heard> {
        match fate {
            Fate::Orphaned => {
                Budgets::spend(&mut state.left.copies);
                state.entered.push(Window::Orphan);
                state.late.push(command);
                if let Some(courier) = courier {
                    self.crash(state, courier);
                }
                return None;
            }
            Fate::Copied => {
                Budgets::spend(&mut state.left.copies);
                state.late.push(command.clone());
            }
            Fate::Lost => {
                Budgets::spend(&mut state.left.lost);
            }
            Fate::Heard => {}
        }
        let heard = self.run(state, &command)?;
        (fate != Fate::Lost).then_some(heard)
    }

    fn crash(&self, state: &mut State, courier: usize) {
        Budgets::spend(&mut state.left.crashes);
        let Courier { channel, life, asking, ref held, .. } = state.couriers[courier];
        let mut windows = Vec::new();
        if asking.is_some() {
            windows.push(Window::CrashAsking);
        }
        for held in held {
            let rows = || held.rows.iter();
            if held.is_out() {
                windows.push(Window::CrashBegun);
            } else if !held.has_reports() {
                windows.push(Window::CrashHolding);
            }
            let truth = &state.truth[held.parcel];
            let said = |(row, memory): (usize, &Row)| match memory {
                Row::Report(report) if truth[row].taken.contains(&report.attempt) => Window::CrashTaken,
                _ => Window::CrashReported,
            };
            windows.extend(rows().enumerate().filter(|(_, row)| matches!(row, Row::Report(_))).map(said));
        }
        state.entered.extend(windows);
        state.couriers[courier] = Courier::new(channel, life + 1);
    }

    fn claim(&self, state: &mut State, at: usize, begin: u32, fate: Fate) {
        let courier = &mut state.couriers[at];
        let command = Command::Claim { courier: at, life: courier.life, number: courier.number, begin };
        courier.asking = Some(begin);
        if state.view.orders.iter().any(|order| order.due == Some(state.view.now)) {
            state.entered.push(Window::RungAtDue);
        }
        let heard = self.request(state, Some(at), command, fate);
        if fate == Fate::Lost {
            state.entered.push(Window::ClaimReplyLost);
        }
        let Some(heard) = heard else { return };
        let now = state.view.now;
        let courier = &mut state.couriers[at];
        courier.asking = None;
        courier.number += 1;
        let Heard::Taken { again, fence, parcels } = heard else { return };
        if again {
            state.entered.push(Window::ClaimAsked);
        }
        for (parcel, outcomes) in parcels {
            let mut held = Held {
                parcel,
                fence,
                loaded: outcomes.is_some(),
                rows: Vec::new(),
                lease_until: now + UNIT_MS,
                closed: false,
                lost: false,
                settling: None,
            };
            if outcomes.is_some() {
                held.rows = memories(state, parcel, true);
            }
            if state.couriers[at].stopping {
                held.close();
            }
            state.couriers[at].held.push(held);
        }
    }

    fn load(&self, state: &mut State, courier: usize, held: usize) {
        // Of a big order a claim begins nothing: what is sending there is another's.
        let rows = memories(state, state.couriers[courier].held[held].parcel, false);
        let held = &mut state.couriers[courier].held[held];
        held.loaded = true;
        held.rows = rows;
        if held.closed {
            held.close();
        }
    }

    fn begin(&self, state: &mut State, courier: usize, place: usize, only: Option<usize>, fate: Fate) {
        let held = &state.couriers[courier].held[place];
        let mut rows = Vec::new();
        for (at, memory) in held.rows.iter().enumerate() {
            if let Row::Waiting(last) = memory
                && only.is_none_or(|only| only == at)
                && let Ok(row) = u16::try_from(at)
            {
                rows.push((row, last.wrapping_add(1)));
            }
        }
        let command = Command::Begin { parcel: held.parcel, fence: held.fence, rows: rows.clone() };
        let repeated = rows.iter().any(|(row, attempt)| {
            let recorded = state.view.parcels[held.parcel].rows.get(usize::from(*row));
            recorded.is_some_and(|row| row.state == RowState::Sending && row.attempt == *attempt)
        });
        let heard = self.request(state, Some(courier), command, fate);
        if fate == Fate::Lost {
            state.entered.push(Window::BeginReplyLost);
        }
        let Some(Heard::Begun(code, begun)) = heard else { return };
        let now = state.view.now;
        let held = &mut state.couriers[courier].held[place];
        let window = match code {
            ParcelCode::Ok => {
                for ((row, attempt), what) in rows.into_iter().zip(begun) {
                    held.rows[usize::from(row)] = match what {
                        RowBegun::Begun { .. } => Row::Begun(attempt, now),
                        _ => Row::NotOurs,
                    };
                    match what {
                        RowBegun::Begun { .. } if repeated => state.entered.push(Window::BeginRepeated),
                        RowBegun::Final => state.entered.push(Window::BeginFinal),
                        _ => {}
                    }
                }
                return;
            }
            ParcelCode::Cancelled => Window::BeginCancelled,
            ParcelCode::Expired => Window::BeginExpired,
            ParcelCode::Over => Window::BeginOver,
            _ => Window::BeginStale,
        };
        state.entered.push(window);
        held.close();
        held.lost = !matches!(code, ParcelCode::Cancelled | ParcelCode::Expired);
    }

    fn send(&self, state: &mut State, courier: usize, place: usize, row: usize, call: Call) {
        let held = &state.couriers[courier].held[place];
        let (parcel, closed) = (held.parcel, held.closed);
        let Row::Begun(attempt, _) = held.rows[row] else { return };
        let left = &mut state.left;
        let (verdict, again, value) = match call {
            Call::Taken | Call::TakenAsleep => (Verdict::Sent, false, 0),
            Call::TakenUntold | Call::Unheard | Call::TakenAsleepUntold => (Verdict::Unknown, false, 0),
            Call::Later => (Verdict::Retry, false, span()),
            Call::Throttled => (Verdict::NotSent, !closed, 0),
            Call::Refused => (Verdict::Failed, false, 0),
            Call::NotSent => (Verdict::NotSent, false, 0),
            Call::Overslept => (Verdict::NotSent, false, span()),
            Call::Delivered => (Verdict::Delivered, false, 0),
            Call::Suppressed => (Verdict::Suppressed, false, 0),
            Call::Part => (Verdict::Part, !closed, 1),
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
        state.truth[parcel][row].sleeps += u8::from(asleep);
        let taken =
            matches!(verdict, Verdict::Sent | Verdict::Delivered) || call == Call::TakenUntold || asleep;
        self.check_send(state, parcel, row, attempt, taken);
        let report = Report { attempt, verdict, again, value };
        state.couriers[courier].held[place].rows[row] = Row::Report(report);
    }

    fn settle(&self, state: &mut State, courier: usize, place: usize, fate: Fate) {
        let held = &mut state.couriers[courier].held[place];
        let said = held.settling.take().unwrap_or_else(|| {
            let leave = held.is_done();
            let mut reports = Vec::new();
            for (at, memory) in held.rows.iter_mut().enumerate() {
                if let (Row::Report(report), Ok(row)) = (*memory, u16::try_from(at)) {
                    reports.push((row, report));
                    *memory = if report.again { Row::Again(report.attempt) } else { Row::NotOurs };
                }
            }
            Said { reports, leave }
        });
        let (parcel, fence, out) = (held.parcel, held.fence, held.is_out());
        // Until it is answered this is what will be said again.
        held.settling = Some(said.clone());
        let over = (state.view.parcels[parcel].leased).is_some_and(|ends| ends <= state.view.now)
            && (state.view.parcels[parcel].lease.as_ref()).is_some_and(|lease| lease.fence == fence);
        let Said { leave, reports } = said;
        let some = !reports.is_empty();
        let command = Command::Settle { parcel, fence, leave, reports };
        let heard = self.request(state, Some(courier), command, fate);
        if fate == Fate::Lost {
            state.entered.push(Window::SettleReplyLost);
        }
        let Some(Heard::Settled(code, letters)) = heard else { return };
        self.windows_of_settle(state, code, &letters, over, out && some);
        let held = &mut state.couriers[courier].held[place];
        held.settling = None;
        match code {
            ParcelCode::Held | ParcelCode::Sending => {
                for memory in &mut held.rows {
                    if let Row::Again(last) = *memory {
                        *memory = if held.closed { Row::NotOurs } else { Row::Waiting(last) };
                    }
                }
            }
            _ => {
                held.lost = true;
                held.close();
            }
        }
    }

    fn release(&self, state: &mut State, courier: usize, place: usize, fate: Fate) {
        let Held { parcel, fence, .. } = state.couriers[courier].held[place];
        let heard = self.request(state, Some(courier), Command::Release { parcel, fence }, fate);
        if fate != Fate::Orphaned {
            // Whatever the answer, it is forgotten: what was not handed back is swept.
            state.couriers[courier].held.remove(place);
        }
        match heard {
            Some(Heard::Released(ParcelCode::Sending)) => state.entered.push(Window::ReleasedSending),
            Some(Heard::Released(ParcelCode::Ready)) => state.entered.push(Window::Released),
            _ => {}
        }
    }

    fn renew(&self, state: &mut State, courier: usize, place: usize, fate: Fate) {
        Budgets::spend(&mut state.left.renewals);
        let Held { parcel, fence, .. } = state.couriers[courier].held[place];
        let heard = self.request(state, Some(courier), Command::Renew { parcel, fence }, fate);
        let now = state.view.now;
        let held = &mut state.couriers[courier].held[place];
        match heard {
            Some(Heard::Renewed(Renewed::Renewed)) => {
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

/// What a courier makes of the rows of a parcel it was given, as they stand; `begun` if the claim may have begun some.
fn memories(state: &State, parcel: usize, begun: bool) -> Vec<Row> {
    let now = state.view.now;
    let memory = |row: &posthaste_protocol::record::RowOutcome| match row.state {
        RowState::Sending if begun => Row::Begun(row.attempt, now),
        _ if is_ripe(row, now) => Row::Waiting(row.attempt),
        _ => Row::NotOurs,
    };
    state.view.parcels[parcel].rows.iter().map(memory).collect()
}

/// A wait of one unit.
fn span() -> u32 {
    u32::try_from(UNIT_MS).unwrap_or(u32::MAX)
}
