//! Beginning: deliveries are marked as sending just before they go on the wire, and no more than will be on the wire.

use std::collections::BTreeMap;

use posthaste_model::Priority;
use posthaste_store::{CallError, DeliveryBegun, ParcelCode, ParcelRef, ScriptAnswer};
use tokio::time::Instant;

use super::leased_parcels::Id;
use super::{Engine, Note};
use crate::panic_guard::noticed;
use crate::probe::Point;
use crate::transport::Batching;

/// Maximum number of deliveries per begin call.
const MOST_DELIVERIES: usize = 2_000;
/// Maximum number of parcels per begin call.
const MOST_PARCELS: usize = 200;

/// How many deliveries are begun ahead of the calls: those that leave within this time. A call that becomes free finds
/// its next message begun, and many deliveries are begun together instead of one with each free call.
const STOCK: std::time::Duration = std::time::Duration::from_millis(5);

/// How long deliveries of a partition that confirms nothing wait before they are tried again.
const UNCONFIRMED: std::time::Duration = std::time::Duration::from_millis(500);

/// Parcels, and the deliveries and attempts to begin of each.
type RequestedDeliveries = Vec<(ParcelRef, Vec<(u16, u8)>)>;
/// The result for each parcel and each of its deliveries.
type Begun = Vec<(ParcelCode, Vec<DeliveryBegun>)>;

pub(super) struct BeginDone {
    p: u16,
    /// Since when room is reserved.
    kept: Instant,
    started: Instant,
    ids: Vec<Id>,
    requested: RequestedDeliveries,
    result: Result<ScriptAnswer<Begun>, CallError>,
}

impl Engine {
    /// How many more envelopes the free calls have room for; with `bulk`, the share reserved for urgent ones is left
    /// out.
    pub(super) fn free_deliveries(&self, bulk: bool) -> usize {
        let now = Instant::now();
        let size = self.capabilities.batching.size();
        let calls = if bulk { self.bulk_places() } else { self.pace.concurrency().max(1) };
        let busy = self.calls * size + self.begun_ahead(now) + self.beyond_unsettled();
        (calls * size + self.stock(now)).saturating_sub(busy)
    }

    /// How many calls may carry bulk deliveries: the rest is kept for urgent ones.
    pub(super) fn bulk_places(&self) -> usize {
        let calls = self.pace.concurrency();
        calls.saturating_sub(calls * usize::from(self.settings.urgent_reserve) / 100).max(1)
    }

    /// Envelopes that are begun, or are being begun, and are in no call yet.
    fn begun_ahead(&self, now: Instant) -> usize {
        let batching = self.capabilities.batching;
        let queued: usize = self.batches.iter().map(|batch| batch.cost(batching)).sum();
        queued + self.starting.room(now)
    }

    /// How many envelopes may be begun beyond the free calls. If the process died now they would be in doubt like
    /// unconfirmed reports, so both together stay below the allowed number. Calls of several envelopes are filled in
    /// another way, and with a rate of its own a channel has no calls to keep busy.
    pub(super) fn stock(&self, now: Instant) -> usize {
        if self.capabilities.batching != Batching::Single || self.capabilities.rate.is_some() {
            return 0;
        }
        let spare = self.settings.max_unsettled.saturating_sub(self.unreported_here());
        self.outflow.within(now, STOCK).min(spare)
    }

    /// Whether it is time to begin more: a call is free, or half of the stock is gone. In between, each call that
    /// ends would begin one delivery, and a begin costs the server twenty times what one delivery of many costs.
    pub(super) fn needs_more(&self, now: Instant) -> bool {
        let stock = self.stock(now);
        let ahead = (self.calls + self.begun_ahead(now)).saturating_sub(self.bulk_places());
        stock == 0 || ahead <= stock / 2
    }

    /// Unconfirmed reports above the allowed number. They reduce the room for new sends, so that a courier that dies
    /// leaves a bounded number of deliveries in doubt, however slow the server is. Reports of unreachable partitions
    /// do not count, since nothing more is begun there.
    fn beyond_unsettled(&self) -> usize {
        let allowed = self.settings.max_unsettled.max(self.capabilities.batching.size());
        self.unreported_here().saturating_sub(allowed)
    }

    /// Unconfirmed reports of reachable partitions.
    fn unreported_here(&self) -> usize {
        self.settles.unreported(|p| self.held.is_away(p)).saturating_sub(self.held.reports_away())
    }

    /// Begins the deliveries that can be on the wire within `begin_ahead`.
    pub(super) fn begin_deliveries(&mut self, now: Instant) {
        self.held.wake_later(now);
        self.choose_deliveries(now);
        for id in std::mem::take(&mut self.held.closed) {
            self.drop_if_idle(id);
            self.settle_if_done(id);
        }
    }

    fn choose_deliveries(&mut self, now: Instant) {
        if !self.up || self.held.runnable() == 0 || self.pace.paused(now).is_some() {
            return;
        }
        if self.held.has_suspects() || self.alone {
            self.begin_suspect(now);
            return;
        }
        if !self.held.urgent_waits() && !self.needs_more(now) {
            return;
        }
        let allowed = self.pace.allowance(now, self.settings.begin_ahead);
        let (mut room, mut bulk_room) = (self.free_deliveries(false), self.free_deliveries(true));
        let (batching, mut deliveries_left) = (self.capabilities.batching, allowed.min(MOST_DELIVERIES));
        let mut chosen: BTreeMap<(u16, Id), Vec<u16>> = BTreeMap::new();
        // For partitions that confirm nothing: how much this call tries.
        let mut tried: BTreeMap<u16, usize> = BTreeMap::new();
        while deliveries_left > 0 && chosen.len() < MOST_PARCELS {
            let Some(waiting) = self.held.next(now) else { break };
            let Some(parcel) = self.held.get(waiting.id) else { continue };
            let key = (parcel.partition, waiting.id);
            let there = chosen.get(&key).map_or(0, Vec::len);
            let cost = batching.cost(there + 1) - batching.cost(there);
            if self.starting.is_doubted(key.0) {
                // It takes no room from the others. One call at a time tests whether it confirms again, with one
                // batch at most.
                let trying = tried.entry(key.0).or_default();
                if self.starting.is_begun(key.0) || *trying + cost > batching.size() {
                    parcel.waiting = parcel.waiting.saturating_sub(1);
                    self.held.requeue(waiting.id, waiting.delivery, Some(now + UNCONFIRMED));
                } else {
                    *trying += cost;
                    chosen.entry(key).or_default().push(waiting.delivery);
                }
                continue;
            }
            let bulk = parcel.head.priority == Priority::Bulk;
            if cost > room || (bulk && cost > bulk_room) {
                self.held.put_back(waiting);
                break;
            }
            chosen.entry(key).or_default().push(waiting.delivery);
            room -= cost;
            bulk_room = bulk_room.saturating_sub(cost);
            deliveries_left -= 1;
        }
        self.start_begin(chosen, now);
    }

    /// A delivery whose courier died while sending it is sent alone: if a courier dies again, nothing else becomes
    /// unknown. Deliveries that were sent as one message, under one token, are first sent together once more: sending
    /// a few hundred one by one would block the channel.
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
            let deliveries = self.held.together_with(waiting);
            self.alone = true;
            self.start_begin(BTreeMap::from([(key, deliveries)]), now);
        }
    }

    fn start_begin(&mut self, chosen: BTreeMap<(u16, Id), Vec<u16>>, now: Instant) {
        let mut by_partition: BTreeMap<u16, (Instant, Vec<Id>, RequestedDeliveries)> = BTreeMap::new();
        for ((p, id), mut deliveries) in chosen {
            let Some(parcel) = self.held.get(id) else { continue };
            deliveries.sort_unstable();
            deliveries.dedup();
            parcel.waiting = parcel.waiting.saturating_sub(deliveries.len());
            parcel.out += deliveries.len();
            let named = deliveries
                .iter()
                .map(|delivery| {
                    let last =
                        parcel.outcomes.get(usize::from(*delivery)).map_or(0, |outcome| outcome.attempt);
                    (*delivery, last.wrapping_add(1))
                })
                .collect();
            // A repeat: if the first call arrived, its send window counts from that call.
            let requested_again = |doubt: &&(u16, u8, Instant)| deliveries.binary_search(&doubt.0).is_ok();
            let first = parcel.doubtful.iter().filter(requested_again).map(|(.., at)| *at).min();
            parcel.doubtful.retain(|doubt| !requested_again(&doubt));
            let at = parcel.at.clone();
            self.starting.add(p, now, self.capabilities.batching.cost(deliveries.len()));
            self.pace.spend(deliveries.len());
            let (started, ids, requested) = by_partition.entry(p).or_insert((now, Vec::new(), Vec::new()));
            *started = (*started).min(first.unwrap_or(now));
            ids.push(id);
            requested.push((at, named));
        }
        for (p, (started, ids, requested)) in by_partition {
            let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
            let (window, deliveries_a_token) =
                (self.capabilities.send_window, self.capabilities.deliveries_a_token());
            let meter = std::sync::Arc::clone(&self.meter);
            tokio::spawn(async move {
                let begin = store.begin(p, &channel, window, deliveries_a_token, &requested);
                let result = noticed(&meter, "begin", begin).await;
                let _ = notes.send(Note::Begun(BeginDone { p, kept: now, started, ids, requested, result }));
            });
        }
    }

    pub(super) fn on_begun(&mut self, done: BeginDone) {
        let window = done.started + self.capabilities.send_window;
        let batching = self.capabilities.batching;
        for (_, deliveries) in &done.requested {
            self.starting.done(done.p, done.kept, batching.cost(deliveries.len()));
        }
        match &done.result {
            Ok(_) => self.starting.trust(done.p),
            Err(error) => self.doubt(done.p, error),
        }
        let parcels = match done.result {
            Ok(answer) => answer.reply,
            Err(error) => return self.begin_failed(done.started, &done.ids, &done.requested, &error),
        };
        for ((id, (_, deliveries)), (code, begun)) in done.ids.into_iter().zip(done.requested).zip(parcels) {
            if code == ParcelCode::Ok {
                self.begun_deliveries(id, &deliveries, &begun, window);
            } else {
                self.not_begun(id, deliveries.len(), code);
            }
        }
    }

    fn begun_deliveries(
        &mut self,
        id: Id,
        deliveries: &[(u16, u8)],
        begun: &[DeliveryBegun],
        window: Instant,
    ) {
        let Some(parcel) = self.held.get(id) else { return };
        let mut out = Vec::new();
        for ((delivery, attempt), what) in deliveries.iter().zip(begun) {
            let outcome = parcel.outcomes.get_mut(usize::from(*delivery));
            match (what, outcome) {
                (DeliveryBegun::Begun { token }, Some(outcome)) => {
                    outcome.attempt = *attempt;
                    if *token != 0 {
                        outcome.token = Some(*token);
                    }
                    out.push(*delivery);
                }
                // It was settled by another process meanwhile; do not send it.
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

    /// A call that begins deliveries was not confirmed or not answered.
    pub(super) fn doubt(&mut self, p: u16, error: &CallError) {
        if matches!(error, CallError::NotDurable | CallError::NoReply(_)) {
            self.starting.doubt(p);
        }
    }

    /// The parcel can't be begun: it was cancelled, is over, or its lease is lost. Its waiting deliveries are not
    /// sent.
    fn not_begun(&mut self, id: Id, deliveries: usize, code: ParcelCode) {
        self.alone = false;
        self.meter.refused(code);
        let Some(parcel) = self.held.get(id) else { return };
        parcel.out -= deliveries;
        parcel.close();
        if matches!(code, ParcelCode::Cancelled | ParcelCode::Expired) {
            self.settle_if_done(id);
        } else {
            parcel.lost = true;
            self.drop_if_idle(id);
            self.settle_if_done(id);
        }
    }

    /// A begin call got no answer, so the deliveries may be marked as sending. They are not sent; the same attempt is
    /// begun again, which counts as a repeat if the first call arrived.
    fn begin_failed(
        &mut self,
        started: Instant,
        ids: &[Id],
        requested: &[(ParcelRef, Vec<(u16, u8)>)],
        error: &CallError,
    ) {
        self.alone = false;
        if !self.after_failure(error) {
            return;
        }
        let again = Instant::now() + std::time::Duration::from_millis(100);
        for (id, (_, deliveries)) in ids.iter().zip(requested) {
            let Some(parcel) = self.held.get(*id) else { continue };
            parcel.out -= deliveries.len();
            parcel
                .doubtful
                .extend(deliveries.iter().map(|(delivery, attempt)| (*delivery, *attempt, started)));
            if parcel.closed {
                parcel.close();
                self.settle_if_done(*id);
                continue;
            }
            for (delivery, _) in deliveries {
                self.held.requeue(*id, *delivery, Some(again));
            }
        }
    }
}
