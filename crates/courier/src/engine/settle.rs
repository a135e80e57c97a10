//! Settling: reports go to the server in batches, a few calls at a time; a call without an answer is repeated.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use posthaste_store::{CallError, ParcelCode, Reported, ScriptAnswer, Settled, Settlement};
use tokio::time::Instant;

use super::leased_parcels::Id;
use super::reports::Unsettled;
use super::{Engine, Note};
use crate::panic_guard::noticed;
use crate::probe::Point;

const MOST_PARCELS: usize = 200;
const MOST_REPORTS: usize = 2_000;
/// Maximum concurrent calls to all partitions that answer, and to each one that does not.
const MOST_CALLS: usize = 4;
/// Reports that are worth a call of their own while another call to their partition is in progress. Fewer wait for its
/// answer and go together: a call costs the server as much as several reports, and nothing but their own confirmation
/// waits for them.
const WORTH_A_CALL: usize = 100;
/// How long a call may take before its partition counts as not answering.
const SLOW: Duration = Duration::from_millis(300);
/// Settlements this recent are repeated when the server may have lost them.
const RECENT: Duration = Duration::from_secs(5);
/// Maximum number of settlements remembered for that.
const MOST_RECENT: usize = 20_000;

/// Settle calls in progress and pending.
#[derive(Default)]
pub(super) struct Settles {
    dirty: VecDeque<Id>,
    marked: HashSet<Id>,
    calls: BTreeMap<u16, Vec<Instant>>,
    /// Number of reports in these calls.
    telling: BTreeMap<u16, usize>,
    /// Number of reports in no call yet.
    unsettled: Unsettled,
    /// Calls without an answer, to be repeated.
    repeats: VecDeque<(Instant, u16, Vec<Id>, Vec<Settlement>)>,
    recent: VecDeque<(Instant, u16, Settlement)>,
}

impl Settles {
    /// The parcel has something to settle.
    pub(super) fn mark(&mut self, id: Id) {
        if self.marked.insert(id) {
            self.dirty.push_back(id);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.calls.is_empty() && self.repeats.is_empty()
    }

    /// When the next unanswered call may be repeated, if its partition is reachable and may get another call.
    pub(super) fn next_try(&self, now: Instant, away: impl Fn(u16) -> bool) -> Option<Instant> {
        let may = |p: u16| !away(p) && self.may_call(p, now);
        self.repeats.iter().filter(|(_, p, ..)| may(*p)).map(|(at, ..)| *at).min()
    }

    /// Whether one more call to a partition may be made. Hanging calls do not block other partitions.
    fn may_call(&self, p: u16, now: Instant) -> bool {
        let hangs =
            |calls: &&Vec<Instant>| calls.iter().any(|begun| now.saturating_duration_since(*begun) >= SLOW);
        let own = self.calls.get(&p);
        if own.is_some_and(|calls| !hangs(&calls)) && self.unsettled.get() < WORTH_A_CALL {
            return false;
        }
        let answering = self.calls.values().filter(|calls| !hangs(calls)).map(Vec::len).sum::<usize>();
        own.map_or(0, Vec::len) < MOST_CALLS && (answering < MOST_CALLS || own.as_ref().is_some_and(hangs))
    }

    fn begun(&mut self, p: u16, now: Instant, reports: usize) {
        self.calls.entry(p).or_default().push(now);
        *self.telling.entry(p).or_default() += reports;
    }

    fn answered(&mut self, p: u16, begun: Instant, reports: usize) {
        if let Some(calls) = self.calls.get_mut(&p) {
            if let Some(at) = calls.iter().position(|call| *call == begun) {
                calls.swap_remove(at);
            }
            if calls.is_empty() {
                self.calls.remove(&p);
            }
        }
        if let Some(telling) = self.telling.get_mut(&p) {
            *telling = telling.saturating_sub(reports);
        }
    }

    /// Drops everything pending: the database no longer accepts reports.
    pub(super) fn give_up(&mut self) {
        let unsettled = self.unsettled.clone();
        let (calls, telling) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.telling));
        *self = Self { calls, telling, unsettled, ..Self::default() };
    }

    /// The counter of unsettled reports.
    pub(super) fn unsettled(&self) -> &Unsettled {
        &self.unsettled
    }

    /// Number of reports the server has not confirmed: if the process died now, their deliveries would be in doubt.
    /// For unreachable partitions, only those in no call yet.
    pub(super) fn unreported(&self, away: impl Fn(u16) -> bool) -> usize {
        let telling = self.telling.iter().filter(|(p, _)| !away(**p)).map(|(_, reports)| reports);
        let repeats = self.repeats.iter().filter(|(_, p, ..)| !away(*p));
        self.unsettled.get()
            + telling.sum::<usize>()
            + repeats.map(|(.., settlements)| reports_in(settlements)).sum::<usize>()
    }

    /// The server was down and may have lost what it confirmed last: repeats it.
    pub(super) fn repeat_recent(&mut self, now: Instant) {
        let mut again: BTreeMap<u16, Vec<Settlement>> = BTreeMap::new();
        for (at, p, settlement) in self.recent.drain(..) {
            if now.saturating_duration_since(at) <= RECENT + Duration::from_secs(60) {
                again.entry(p).or_default().push(settlement);
            }
        }
        for (p, settlements) in again {
            for chunk in settlements.chunks(MOST_PARCELS) {
                self.repeats.push_back((now, p, Vec::new(), chunk.to_vec()));
            }
        }
    }

    fn remember(&mut self, now: Instant, p: u16, settlements: Vec<Settlement>) {
        self.recent.extend(settlements.into_iter().map(|settlement| (now, p, settlement)));
        while self.recent.front().is_some_and(|(at, ..)| {
            now.saturating_duration_since(*at) > RECENT || self.recent.len() > MOST_RECENT
        }) {
            self.recent.pop_front();
        }
    }
}

pub(super) struct SettleDone {
    p: u16,
    begun: Instant,
    ids: Vec<Id>,
    settlements: Vec<Settlement>,
    result: Result<ScriptAnswer<Settled>, CallError>,
}

impl Engine {
    /// Starts settle calls for new reports and unanswered calls.
    pub(super) fn settle_dirty(&mut self) {
        let now = Instant::now();
        while let Some(at) =
            self.settles.repeats.iter().position(|(at, p, ..)| {
                *at <= now && !self.held.is_away(*p) && self.settles.may_call(*p, now)
            })
            && let Some((_, p, ids, settlements)) = self.settles.repeats.remove(at)
        {
            self.start_settle(p, ids, settlements);
        }
        while self.up && !self.settles.dirty.is_empty() {
            let Some((p, ids, settlements)) = self.next_settle(now) else { break };
            self.start_settle(p, ids, settlements);
        }
    }

    /// Everything is settled, except for unreachable partitions.
    pub(super) fn is_settled(&mut self) -> bool {
        if !self.held.some_away() {
            return self.settles.is_idle();
        }
        let Self { settles, held, .. } = self;
        settles.calls.keys().all(|p| held.is_away(*p))
            && settles.repeats.iter().all(|(_, p, ..)| held.is_away(*p))
            && settles.dirty.iter().all(|id| match held.get(*id).map(|parcel| parcel.partition) {
                Some(p) => held.is_away(p),
                None => true,
            })
    }

    /// Collects the reports of one partition.
    fn next_settle(&mut self, now: Instant) -> Option<(u16, Vec<Id>, Vec<Settlement>)> {
        let mut partition = None;
        let (mut ids, mut settlements, mut put_back) = (Vec::new(), Vec::new(), Vec::new());
        let mut reports = 0;
        while ids.len() < MOST_PARCELS && reports < MOST_REPORTS {
            let Some(id) = self.settles.dirty.pop_front() else { break };
            let Some(p) = self.held.get(id).map(|parcel| parcel.partition) else {
                self.settles.marked.remove(&id);
                continue;
            };
            let kept = self.held.is_away(p) || (partition.is_none() && !self.settles.may_call(p, now));
            let Some(parcel) = self.held.get(id) else { continue };
            // One call at a time per parcel keeps its reports in order.
            if kept || parcel.settling || partition.is_some_and(|p| p != parcel.partition) {
                put_back.push(id);
                continue;
            }
            self.settles.marked.remove(&id);
            let leave = parcel.is_done();
            if parcel.reports.is_empty() && !leave {
                continue;
            }
            partition = Some(parcel.partition);
            let rest = MOST_REPORTS - reports;
            let taken = parcel.reports.take(rest);
            let leave = leave && parcel.reports.is_empty();
            reports += taken.len();
            parcel.settling = true;
            settlements.push(Settlement { parcel: parcel.at.clone(), leave, reports: taken });
            ids.push(id);
        }
        for id in put_back {
            self.settles.dirty.push_back(id);
        }
        partition.map(|p| (p, ids, settlements))
    }

    fn start_settle(&mut self, p: u16, ids: Vec<Id>, settlements: Vec<Settlement>) {
        let begun = Instant::now();
        self.settles.begun(p, begun, reports_in(&settlements));
        let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
        let meter = Arc::clone(&self.meter);
        tokio::spawn(async move {
            let result = noticed(&meter, "settle", store.settle(p, &channel, &settlements)).await;
            let _ = notes.send(Note::Settled(SettleDone { p, begun, ids, settlements, result }));
        });
    }

    pub(super) fn on_settled(&mut self, done: SettleDone) {
        self.settles.answered(done.p, done.begun, reports_in(&done.settlements));
        let now = Instant::now();
        let answer = match done.result {
            Ok(answer) => answer,
            Err(error) => {
                // Repeating is harmless; dropping the reports would leave the deliveries unknown.
                if self.after_failure(&error) {
                    let at = now + Duration::from_millis(100);
                    self.settles.repeats.push_back((at, done.p, done.ids, done.settlements));
                }
                return;
            }
        };
        self.meter.settled(&done.settlements, &answer.reply);
        self.probe.reached(Point::AfterSettle);
        for ((id, settled), (code, reported)) in
            done.ids.iter().zip(&done.settlements).zip(answer.reply.parcels)
        {
            self.after_settle(*id, settled, code, &reported, now);
        }
        self.settles.remember(now, done.p, done.settlements);
        self.feed_hungry(now);
    }

    fn after_settle(
        &mut self,
        id: Id,
        settled: &Settlement,
        code: ParcelCode,
        reported: &[Reported],
        now: Instant,
    ) {
        let Some(parcel) = self.held.get(id) else { return };
        parcel.settling = false;
        for letter in reported {
            self.meter.reported(*letter);
        }
        match code {
            ParcelCode::Leased | ParcelCode::Sending => {
                // Deliveries reported after this call started are still `sending` in the record; they wait for the
                // next call.
                let reported = |delivery: &u16| {
                    settled.reports.binary_search_by_key(delivery, |report| report.delivery).is_ok()
                };
                let again = std::mem::take(&mut parcel.again).into_iter();
                let (again, unreported) = again.partition(|(delivery, _)| reported(delivery));
                parcel.again = unreported;
                let again: Vec<_> = again;
                for (delivery, at) in again {
                    self.held.requeue(id, delivery, at.map(|at| at.max(now)));
                }
            }
            ParcelCode::Ready | ParcelCode::Settled => {
                if parcel.out == 0 {
                    return self.held.drop_parcel(id);
                }
                parcel.lost = true;
                parcel.close();
            }
            _ => {
                parcel.lost = true;
                parcel.close();
            }
        }
        self.drop_if_idle(id);
        self.settle_if_done(id);
    }

    /// Drops a lost parcel when nothing of it is on the wire and everything is settled.
    pub(super) fn drop_if_idle(&mut self, id: Id) {
        if let Some(parcel) = self.held.get(id)
            && parcel.lost
            && parcel.out == 0
            && parcel.reports.is_empty()
            && !parcel.settling
        {
            self.held.drop_parcel(id);
        }
    }

    /// Marks the parcel to be settled if it has reports or its lease can end.
    pub(super) fn settle_if_done(&mut self, id: Id) {
        if let Some(parcel) = self.held.get(id)
            && !parcel.settling
            && (parcel.is_done() || !parcel.reports.is_empty())
        {
            self.settles.mark(id);
        }
    }
}

fn reports_in(settlements: &[Settlement]) -> usize {
    settlements.iter().map(|settlement| settlement.reports.len()).sum()
}
