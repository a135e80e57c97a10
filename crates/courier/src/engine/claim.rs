//! Claiming: when to ask which partition for how much, and what to do with the answer.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{State, UnixMs};
use posthaste_store::{
    Answer, CallError, ClaimAsk, ClaimReply, Claimed, Loaded, ParcelRef, RowOutcome, Rung, Taken,
};
use tokio::time::Instant;

use super::held::Parcel;
use super::{Engine, Note};
use crate::probe::Point;
use crate::transport::Batching;

/// What the engine knows of one partition's queue.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) p: u16,
    number: u64,
    wake: Instant,
    asking: bool,
    /// Something was heard while a call was under way: look again.
    heard_since: bool,
    by_bell: bool,
    /// Parcels a claim may take: grows from one, so that what kills couriers is soon claimed alone.
    ramp: u32,
    /// Ready parcels were left behind, for want of room.
    hungry: bool,
}

impl Partition {
    pub(super) fn new(p: u16, now: Instant) -> Self {
        Self {
            p,
            number: 1,
            wake: now,
            asking: false,
            heard_since: false,
            by_bell: false,
            ramp: 1,
            hungry: false,
        }
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        (!self.asking).then_some(self.wake)
    }

    pub(super) fn wake_now(&mut self) {
        self.wake = Instant::now();
        self.heard_since = true;
    }

    pub(super) fn heard(&mut self) {
        self.by_bell = true;
        self.wake_now();
    }
}

pub(super) struct ClaimDone {
    p: u16,
    started: Instant,
    limit: u32,
    bulk_limit: u32,
    result: Result<Answer<ClaimReply>, CallError>,
}

pub(super) struct RingDone {
    p: u16,
    result: Result<Answer<Rung>, CallError>,
}

pub(super) struct LoadDone {
    p: u16,
    claimed: Box<Claimed>,
    fence: u64,
    lease_until: Instant,
    expected: usize,
    now: UnixMs,
    result: Result<Loaded, CallError>,
}

impl Engine {
    /// Asks every partition whose time has come. A channel that sends nothing now still rings for all the others.
    pub(super) fn claim_where_due(&mut self, now: Instant) {
        if let Some(until) = self.clock.paused(now) {
            for partition in &mut self.partitions {
                partition.wake = partition.wake.max(until);
            }
            return;
        }
        if !self.up {
            return;
        }
        let paused = self.pace.paused(now).is_some();
        for at in 0..self.partitions.len() {
            let partition = &self.partitions[at];
            if partition.asking || partition.wake > now {
                continue;
            }
            let (limit, bulk_limit) = if paused { (0, 0) } else { self.room() };
            let partition = &mut self.partitions[at];
            partition.asking = true;
            partition.heard_since = false;
            self.meter.wake(if std::mem::take(&mut partition.by_bell) { "event" } else { "timer" });
            if limit == 0 {
                self.start_ring(at);
            } else {
                self.start_claim(at, limit.min(self.partitions[at].ramp), bulk_limit);
            }
        }
    }

    /// How many parcels to ask for, and how many bulk ones among them.
    fn room(&self) -> (u32, u32) {
        let size = self.abilities.batching.size();
        let rows_wanted = (self.pace.concurrency() * size * 2).max(self.meter.rows_last_second());
        let free = self.settings.max_rows.saturating_sub(self.held.rows());
        let need = rows_wanted.saturating_sub(self.held.runnable()).min(free);
        let most = self.settings.claim_limit;
        let parcels = |rows: usize| {
            let a_parcel = self.meter.rows_a_parcel();
            u32::try_from(rows.div_ceil(a_parcel)).unwrap_or(most).min(most)
        };
        // Urgent parcels always find a place; bulk ones take what is needed.
        let bulk = parcels(need);
        let urgent = if self.held.urgent_waits() { bulk } else { bulk.max(1) };
        (urgent.max(bulk), bulk)
    }

    fn start_claim(&mut self, at: usize, limit: u32, bulk_limit: u32) {
        let now = Instant::now();
        let (p, number) = (self.partitions[at].p, self.partitions[at].number);
        let begin = self.begin_with_claim(now);
        let (store, notes) = (self.store.clone(), self.notes.clone());
        let (channel, courier) = (self.channel.clone(), self.courier.clone());
        let (lease, send_window) = (self.settings.lease, self.abilities.send_window);
        let probe = Arc::clone(&self.probe);
        tokio::spawn(async move {
            probe.reached(Point::BeforeClaim);
            let ask = ClaimAsk {
                channel: &channel,
                courier: &courier,
                number,
                lease,
                limit,
                bulk_limit: bulk_limit.min(limit),
                begin,
                send_window,
            };
            let result = store.claim(p, &ask).await;
            let _ = notes.send(Note::Claimed(ClaimDone { p, started: now, limit, bulk_limit, result }));
        });
    }

    /// Rows that may be begun by the claim itself: those that would be on the wire at once.
    fn begin_with_claim(&mut self, now: Instant) -> u32 {
        let batched = matches!(self.abilities.batching, Batching::SameOrder(_));
        if self.abilities.tokens
            || batched
            || self.alone
            || self.held.has_suspects()
            || self.held.runnable() > 0
        {
            return 0;
        }
        let allowed = self.pace.allowance(now, self.settings.begin_ahead);
        u32::try_from(self.free_rows(true).min(allowed)).unwrap_or(u32::MAX)
    }

    fn start_ring(&mut self, at: usize) {
        let p = self.partitions[at].p;
        let (store, notes) = (self.store.clone(), self.notes.clone());
        tokio::spawn(async move {
            let result = store.ring(p).await;
            let _ = notes.send(Note::Rung(RingDone { p, result }));
        });
    }

    pub(super) fn on_rung(&mut self, done: RingDone) {
        let now = Instant::now();
        let poll = self.settings.poll;
        let wake = match &done.result {
            Ok(answer) => self.until_server(answer.reply.next, answer.now, now).min(now + poll),
            Err(error) => {
                self.after_failure(error);
                now + Duration::from_millis(250)
            }
        };
        let partition = &mut self.partitions[usize::from(done.p)];
        partition.asking = false;
        partition.wake = if partition.heard_since { now } else { wake };
    }

    /// A server's moment on our monotonic clock, never in the past.
    fn until_server(&self, at: Option<UnixMs>, server_now: UnixMs, now: Instant) -> Instant {
        match at {
            // Ring takes what is strictly past, so one millisecond after.
            Some(at) if at >= server_now => match self.clock.local(UnixMs(at.0 + 1)) {
                Some(here) => here.max(now),
                None => now + at.since(server_now) + Duration::from_millis(1),
            },
            Some(_) => now,
            None => now + self.settings.poll,
        }
    }

    pub(super) fn on_claimed(&mut self, done: ClaimDone) {
        let now = Instant::now();
        let at = usize::from(done.p);
        self.partitions[at].asking = false;
        let answer = match done.result {
            Ok(answer) => answer,
            Err(error) => {
                // No answer: the same number is asked again, and takes nothing twice.
                let repeat = self.after_failure(&error);
                if matches!(error, CallError::Fault(_)) {
                    self.partitions[at].number += 1;
                }
                let wait = if matches!(error, CallError::Away { .. }) { 50 } else { 250 };
                self.partitions[at].wake = now + Duration::from_millis(if repeat { wait } else { 1_000 });
                return;
            }
        };
        self.partitions[at].number += 1;
        if let Some(jump) = self.clock.saw(answer.now, now) {
            tracing::error!(channel = %self.channel, jump_ms = i64::try_from(jump).unwrap_or(i64::MAX), "the server's clock jumped: claiming pauses");
            self.meter.alarm("clock");
        }
        let taken = match answer.reply {
            ClaimReply::Taken(taken) => taken,
            ClaimReply::Old => {
                self.partitions[at].wake = now;
                return;
            }
        };
        self.plan_next_claim(at, &taken, answer.now, now, done.limit, done.bulk_limit);
        self.meter.claimed(&taken, answer.now);
        if !taken.parcels.is_empty() {
            self.probe.reached(Point::AfterClaim);
        }
        let lease_until = done.started + self.settings.lease - self.settings.lease / 10;
        let window = done.started + self.abilities.send_window;
        for claimed in taken.parcels {
            self.take_in(done.p, claimed, answer.fence, lease_until, window, answer.now);
        }
    }

    fn plan_next_claim(
        &mut self,
        at: usize,
        taken: &Taken,
        server_now: UnixMs,
        now: Instant,
        limit: u32,
        bulk_limit: u32,
    ) {
        let count = u32::try_from(taken.parcels.len()).unwrap_or(u32::MAX);
        let overdue = taken.next.is_some_and(|next| next <= server_now);
        if overdue && count == 0 {
            // Something is over that claiming does not move: a lease, or a send of unknown outcome.
            self.kicks.sweep.notify_one();
            self.kicks.resolve.notify_one();
        }
        let ready_now = taken.oldest.is_some_and(|oldest| oldest <= server_now);
        let more = ready_now && (count >= limit || (bulk_limit == 0 && count == 0));
        let mut wake = self.until_server(taken.next, server_now, now).min(now + self.settings.poll);
        if !ready_now {
            wake = wake.min(self.until_server(taken.oldest, server_now, now));
        }
        let poll_floor = now + Duration::from_millis(if count == 0 && !ready_now { 1 } else { 0 });
        let partition = &mut self.partitions[at];
        if count > 0 {
            partition.ramp = partition.ramp.saturating_mul(2).min(self.settings.claim_limit);
        }
        partition.hungry = ready_now;
        partition.wake = if partition.heard_since || (ready_now && count > 0 && !more) {
            now
        } else {
            wake.max(poll_floor)
        };
    }

    /// Room came free: partitions that were left with ready parcels are asked again.
    pub(super) fn feed_hungry(&mut self, now: Instant) {
        if self.held.runnable() > self.pace.concurrency() * self.abilities.batching.size() {
            return;
        }
        for partition in self.partitions.iter_mut().filter(|partition| partition.hungry) {
            partition.wake = partition.wake.min(now);
        }
    }

    fn take_in(
        &mut self,
        p: u16,
        claimed: Claimed,
        fence: u64,
        lease_until: Instant,
        window: Instant,
        now: UnixMs,
    ) {
        if self.draining {
            // Claimed while the stop came: handed straight back.
            self.release_one(p, ParcelRef { member: claimed.member, fence });
            return;
        }
        let (Some(inline), Some(outcomes)) = (claimed.inline.as_ref(), claimed.outcomes.as_ref()) else {
            self.start_load(p, claimed, fence, lease_until, now);
            return;
        };
        let outcomes: Vec<RowOutcome> = outcomes.rows().collect();
        let parcel = Parcel {
            partition: p,
            at: ParcelRef { member: claimed.member, fence },
            head: claimed.head,
            content: Arc::new(inline.content.clone()),
            rows: inline.rows.clone(),
            outcomes,
            waiting: 0,
            out: 0,
            closed: false,
            reports: Vec::new(),
            again: Vec::new(),
            lease_until,
            lost: false,
            settling: false,
        };
        self.hold(parcel, now, window);
    }

    fn hold(&mut self, parcel: Parcel, now: UnixMs, window: Instant) {
        debug_assert!(parcel.outcomes.len() == parcel.rows.len());
        let fresh = parcel.outcomes.iter().filter(|o| o.state == State::Pending || o.attempt == 1).count();
        self.meter.late(parcel.head.due, now, fresh);
        let (id, begun) = self.held.take(parcel, now);
        if begun.is_empty() {
            self.settle_if_done(id);
        } else {
            self.pace.spend(begun.len());
            self.probe.reached(Point::AfterBegin);
            self.dispatch(id, &begun, window);
        }
    }

    fn start_load(&mut self, p: u16, claimed: Claimed, fence: u64, lease_until: Instant, now: UnixMs) {
        let expected = claimed.head.parcel_rows(&self.channel, claimed.member.number) as usize;
        self.held.expected += expected;
        let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
        tokio::spawn(async move {
            let result = store.load(p, &channel, &claimed.member, &claimed.head).await;
            let claimed = Box::new(claimed);
            let _ =
                notes.send(Note::Loaded(LoadDone { p, claimed, fence, lease_until, expected, now, result }));
        });
    }

    pub(super) fn on_loaded(&mut self, done: LoadDone) {
        self.held.expected -= done.expected;
        let at = ParcelRef { member: done.claimed.member.clone(), fence: done.fence };
        let loaded = match done.result {
            Ok(loaded) if !self.draining => loaded,
            Ok(_) => return self.release_one(done.p, at),
            Err(error) => {
                if self.after_failure(&error) {
                    self.release_one(done.p, at);
                }
                return;
            }
        };
        let parcel = Parcel {
            partition: done.p,
            at,
            head: done.claimed.head,
            content: loaded.content,
            rows: loaded.rows,
            outcomes: loaded.outcomes.rows().collect(),
            waiting: 0,
            out: 0,
            closed: false,
            reports: Vec::new(),
            again: Vec::new(),
            lease_until: done.lease_until,
            lost: false,
            settling: false,
        };
        // Nothing of a big order is begun by a claim; what is `sending` here belongs to nobody and is swept.
        self.hold(parcel, done.now, done.lease_until);
    }
}
