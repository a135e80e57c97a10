//! Beginning: rows are marked as sending just before they are on the wire, never more than that.

use std::collections::BTreeMap;

use posthaste_model::Lane;
use posthaste_store::{Answer, CallError, ParcelCode, ParcelRef, RowBegun};
use tokio::time::Instant;

use super::held::Id;
use super::{Engine, Note};
use crate::noticed::noticed;
use crate::probe::Point;

/// Rows of one begin call at most.
const MOST_ROWS: usize = 2_000;
/// Parcels of one begin call at most.
const MOST_PARCELS: usize = 200;

/// How long rows of a partition that confirms nothing wait until they are looked at again.
const UNCONFIRMED: std::time::Duration = std::time::Duration::from_millis(500);

/// Parcels, and the rows and attempts to begin of each.
type Asked = Vec<(ParcelRef, Vec<(u16, u8)>)>;
/// What became of each parcel, and of each of its rows.
type Begun = Vec<(ParcelCode, Vec<RowBegun>)>;

pub(super) struct BeginDone {
    p: u16,
    /// Since when room is kept.
    kept: Instant,
    started: Instant,
    ids: Vec<Id>,
    asked: Asked,
    result: Result<Answer<Begun>, CallError>,
}

impl Engine {
    /// Envelopes that could go out now, by the calls that are free; `bulk` leaves the share of urgent ones alone.
    pub(super) fn free_rows(&self, bulk: bool) -> usize {
        let size = self.abilities.batching.size();
        let calls = self.pace.concurrency();
        let reserve = if bulk { calls * usize::from(self.settings.urgent_reserve) / 100 } else { 0 };
        let batching = self.abilities.batching;
        let queued: usize = self.batches.iter().map(|batch| batch.cost(batching)).sum();
        let busy = self.calls * size + queued + self.starting.room(Instant::now()) + self.beyond_unsettled();
        (calls.saturating_sub(reserve).max(1) * size).saturating_sub(busy)
    }

    /// Reports nobody has confirmed, beyond what is allowed; those of partitions that can't be asked do not count, for no more of
    /// them are begun. They take room from what is begun, so that a courier leaves a bounded number
    /// of rows in doubt when it dies, however slow the server is.
    fn beyond_unsettled(&self) -> usize {
        let allowed = self.settings.max_unsettled.max(self.abilities.batching.size());
        let told_later = self.held.reports_away();
        self.settles.untold(|p| self.held.is_away(p)).saturating_sub(told_later).saturating_sub(allowed)
    }

    /// Begins what can be on the wire within `begin_ahead`.
    pub(super) fn begin_rows(&mut self, now: Instant) {
        self.held.wake_later(now);
        self.choose_rows(now);
        for id in std::mem::take(&mut self.held.closed) {
            self.drop_if_idle(id);
            self.settle_if_done(id);
        }
    }

    fn choose_rows(&mut self, now: Instant) {
        if !self.up || self.held.runnable() == 0 || self.pace.paused(now).is_some() {
            return;
        }
        if self.held.has_suspects() || self.alone {
            self.begin_suspect(now);
            return;
        }
        let allowed = self.pace.allowance(now, self.settings.begin_ahead);
        let (mut room, mut bulk_room) = (self.free_rows(false), self.free_rows(true));
        let (batching, mut rows_left) = (self.abilities.batching, allowed.min(MOST_ROWS));
        let mut chosen: BTreeMap<(u16, Id), Vec<u16>> = BTreeMap::new();
        // Of partitions that confirm nothing, how much is tried in this call.
        let mut tried: BTreeMap<u16, usize> = BTreeMap::new();
        while rows_left > 0 && chosen.len() < MOST_PARCELS {
            let Some(waiting) = self.held.next(now) else { break };
            let Some(parcel) = self.held.get(waiting.id) else { continue };
            let key = (parcel.partition, waiting.id);
            let there = chosen.get(&key).map_or(0, Vec::len);
            let cost = batching.cost(there + 1) - batching.cost(there);
            if self.starting.is_doubted(key.0) {
                // It takes no room from others. One call at a time looks whether it confirms again, and begins no more than that.
                let trying = tried.entry(key.0).or_default();
                if self.starting.is_begun(key.0) || *trying + cost > batching.size() {
                    parcel.waiting = parcel.waiting.saturating_sub(1);
                    self.held.requeue(waiting.id, waiting.row, Some(now + UNCONFIRMED));
                } else {
                    *trying += cost;
                    chosen.entry(key).or_default().push(waiting.row);
                }
                continue;
            }
            let bulk = parcel.head.lane == Lane::Bulk;
            if cost > room || (bulk && cost > bulk_room) {
                self.held.put_back(waiting);
                break;
            }
            chosen.entry(key).or_default().push(waiting.row);
            room -= cost;
            bulk_room = bulk_room.saturating_sub(cost);
            rows_left -= 1;
        }
        self.start_begin(chosen, now);
    }

    /// A row whose courier died with it goes out alone: should it do so again, nothing else becomes unknown. Rows that went out as
    /// one message, under one token, do so once more first: of a few hundred one by one the channel would stand still.
    fn begin_suspect(&mut self, now: Instant) {
        let away = |p| self.held.is_away(p);
        if self.calls > 0
            || !self.batches.is_empty()
            || !self.starting.is_idle_but(away)
            || !self.is_settled()
        {
            return;
        }
        self.alone = false;
        if let Some(waiting) = self.held.next_suspect(now)
            && let Some(parcel) = self.held.get(waiting.id)
        {
            let key = (parcel.partition, waiting.id);
            let rows = self.held.together_with(waiting);
            self.alone = true;
            self.start_begin(BTreeMap::from([(key, rows)]), now);
        }
    }

    fn start_begin(&mut self, chosen: BTreeMap<(u16, Id), Vec<u16>>, now: Instant) {
        let mut by_partition: BTreeMap<u16, (Instant, Vec<Id>, Asked)> = BTreeMap::new();
        for ((p, id), mut rows) in chosen {
            let Some(parcel) = self.held.get(id) else { continue };
            rows.sort_unstable();
            rows.dedup();
            parcel.waiting = parcel.waiting.saturating_sub(rows.len());
            parcel.out += rows.len();
            let named = rows
                .iter()
                .map(|row| {
                    let last = parcel.outcomes.get(usize::from(*row)).map_or(0, |outcome| outcome.attempt);
                    (*row, last.wrapping_add(1))
                })
                .collect();
            // A repeat: if the first call arrived, what it stored counts from then.
            let asked_again = |doubt: &&(u16, u8, Instant)| rows.binary_search(&doubt.0).is_ok();
            let first = parcel.doubtful.iter().filter(asked_again).map(|(.., at)| *at).min();
            parcel.doubtful.retain(|doubt| !asked_again(&doubt));
            let at = parcel.at.clone();
            self.starting.add(p, now, self.abilities.batching.cost(rows.len()));
            self.pace.spend(rows.len());
            let (started, ids, asked) = by_partition.entry(p).or_insert((now, Vec::new(), Vec::new()));
            *started = (*started).min(first.unwrap_or(now));
            ids.push(id);
            asked.push((at, named));
        }
        for (p, (started, ids, asked)) in by_partition {
            let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
            let (window, rows_a_token) = (self.abilities.send_window, self.abilities.rows_a_token());
            let meter = std::sync::Arc::clone(&self.meter);
            tokio::spawn(async move {
                let begin = store.begin(p, &channel, window, rows_a_token, &asked);
                let result = noticed(&meter, "begin", begin).await;
                let _ = notes.send(Note::Begun(BeginDone { p, kept: now, started, ids, asked, result }));
            });
        }
    }

    pub(super) fn on_begun(&mut self, done: BeginDone) {
        let window = done.started + self.abilities.send_window;
        let batching = self.abilities.batching;
        for (_, rows) in &done.asked {
            self.starting.done(done.p, done.kept, batching.cost(rows.len()));
        }
        match &done.result {
            Ok(_) => self.starting.trust(done.p),
            Err(error) => self.doubt(done.p, error),
        }
        let parcels = match done.result {
            Ok(answer) => answer.reply,
            Err(error) => return self.begin_failed(done.started, &done.ids, &done.asked, &error),
        };
        for ((id, (_, rows)), (code, begun)) in done.ids.into_iter().zip(done.asked).zip(parcels) {
            if code == ParcelCode::Ok {
                self.begun_rows(id, &rows, &begun, window);
            } else {
                self.not_begun(id, rows.len(), code);
            }
        }
    }

    fn begun_rows(&mut self, id: Id, rows: &[(u16, u8)], begun: &[RowBegun], window: Instant) {
        let Some(parcel) = self.held.get(id) else { return };
        let mut out = Vec::new();
        for ((row, attempt), what) in rows.iter().zip(begun) {
            let outcome = parcel.outcomes.get_mut(usize::from(*row));
            match (what, outcome) {
                (RowBegun::Begun { token }, Some(outcome)) => {
                    outcome.attempt = *attempt;
                    if *token != 0 {
                        outcome.token = Some(*token);
                    }
                    out.push(*row);
                }
                // Decided by somebody else meanwhile: not ours any more.
                _ => parcel.out = parcel.out.saturating_sub(1),
            }
        }
        if out.is_empty() {
            self.alone = false;
            self.settle_if_done(id);
        } else {
            self.probe.reached(Point::AfterBegin);
            self.dispatch(id, &out, window);
        }
    }

    /// A call that begins rows was not confirmed, or not answered.
    pub(super) fn doubt(&mut self, p: u16, error: &CallError) {
        if matches!(error, CallError::Undurable | CallError::Away(_)) {
            self.starting.doubt(p);
        }
    }

    /// The parcel can't be begun: cancelled, over, or no longer ours. What is waiting of it is not ours to send.
    fn not_begun(&mut self, id: Id, rows: usize, code: ParcelCode) {
        self.alone = false;
        self.meter.refused(code);
        let Some(parcel) = self.held.get(id) else { return };
        parcel.out -= rows;
        parcel.close();
        if matches!(code, ParcelCode::Cancelled | ParcelCode::Expired) {
            self.settle_if_done(id);
        } else {
            parcel.lost = true;
            self.drop_if_idle(id);
            self.settle_if_done(id);
        }
    }

    /// No answer to a begin: the rows may be marked. They are not sent; the same attempt is begun again, which is a repeat
    /// if the first call arrived.
    fn begin_failed(
        &mut self,
        started: Instant,
        ids: &[Id],
        asked: &[(ParcelRef, Vec<(u16, u8)>)],
        error: &CallError,
    ) {
        self.alone = false;
        if !self.after_failure(error) {
            return;
        }
        let again = Instant::now() + std::time::Duration::from_millis(100);
        for (id, (_, rows)) in ids.iter().zip(asked) {
            let Some(parcel) = self.held.get(*id) else { continue };
            parcel.out -= rows.len();
            parcel.doubtful.extend(rows.iter().map(|(row, attempt)| (*row, *attempt, started)));
            if parcel.closed {
                parcel.close();
                self.settle_if_done(*id);
                continue;
            }
            for (row, _) in rows {
                self.held.requeue(*id, *row, Some(again));
            }
        }
    }
}
