//! Claiming: when to claim from which partition, how much, and what to do with the answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::UnixMs;
use posthaste_store::{CallError, ClaimReply, ClaimRequest, ClaimedParcels, ParcelRef, ScriptAnswer};
use tokio::time::Instant;

use super::intake::Under;
use super::suppression_check::{self, SuppressedDeliveries};
use super::{Engine, Note};
use crate::panic_guard::noticed;
use crate::probe::Point;
use crate::transport::Batching;

/// What the engine knows about one partition's queue.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) p: u16,
    number: u64,
    /// When the claim with this number was first sent, if unanswered: its leases and begun sends count from then.
    requested: Option<Instant>,
    wake: Instant,
    asking: bool,
    /// An event arrived while a claim was in progress: claim again.
    received_since: bool,
    by_bell: bool,
    /// Maximum parcels per claim. Grows from one, so that after a crash the parcel that kills couriers is soon
    /// claimed alone.
    ramp: u32,
    /// Ready parcels were left in the queue for lack of room.
    hungry: bool,
    /// Consecutive claims that found something overdue which claiming does not move.
    in_vain: u32,
}

impl Partition {
    pub(super) fn new(p: u16, now: Instant) -> Self {
        Self {
            p,
            number: 1,
            requested: None,
            wake: now,
            asking: false,
            received_since: false,
            by_bell: false,
            ramp: 1,
            hungry: false,
            in_vain: 0,
        }
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        (!self.asking).then_some(self.wake)
    }

    /// A claim is in progress, or one got no answer and may have taken parcels.
    pub(super) fn is_open(&self) -> bool {
        self.asking || self.requested.is_some()
    }

    /// Forgets an unanswered claim: nothing more is claimed.
    pub(super) fn forget(&mut self) {
        self.requested = None;
    }

    pub(super) fn wake_now(&mut self) {
        self.wake = Instant::now();
        self.received_since = true;
    }

    pub(super) fn received(&mut self) {
        self.by_bell = true;
        self.wake_now();
    }
}

pub(super) struct ClaimDone {
    p: u16,
    /// When this claim number was first sent, and when it was sent this time.
    first_requested: Instant,
    requested: Instant,
    limit: u32,
    bulk_limit: u32,
    begin: usize,
    /// The suppressed deliveries of each parcel.
    suppressed: Result<Vec<SuppressedDeliveries>, CallError>,
    result: Result<ScriptAnswer<ClaimReply>, CallError>,
}

impl Engine {
    /// Claims from every partition whose time has come. A paused channel claims nothing, but its calls still promote
    /// the due orders of all channels.
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
        let paused = self.draining || self.pace.paused(now).is_some();
        let mut holds: Option<BTreeSet<u16>> = None;
        for at in 0..self.partitions.len() {
            let partition = &self.partitions[at];
            if partition.asking
                || partition.wake > now
                || self.held.is_away(partition.p)
                || (self.draining && partition.requested.is_none())
            {
                continue;
            }
            // If a partition confirms nothing, the parcels already held are enough to see when it does: more would
            // take room from others.
            let p = partition.p;
            let enough = self.starting.is_doubted(p)
                && holds
                    .get_or_insert_with(|| self.held.iter().map(|(_, parcel)| parcel.partition).collect())
                    .contains(&p);
            let (limit, bulk_limit) = if paused || enough { (0, 0) } else { self.room() };
            let partition = &mut self.partitions[at];
            partition.asking = true;
            partition.received_since = false;
            self.meter.wake(if std::mem::take(&mut partition.by_bell) { "event" } else { "timer" });
            // A claim for nothing also promotes due orders and returns the number of waiting parcels.
            self.start_claim(at, limit.min(self.partitions[at].ramp), bulk_limit);
        }
    }

    /// How many parcels to claim, and how many of them may be bulk.
    fn room(&self) -> (u32, u32) {
        let size = self.capabilities.batching.size();
        let deliveries_wanted = (self.pace.concurrency() * size * 2).max(self.meter.deliveries_last_second());
        let free = self.settings.max_deliveries.saturating_sub(self.held.deliveries_here());
        let need = deliveries_wanted.saturating_sub(self.held.runnable()).min(free);
        let most = self.settings.claim_limit;
        let parcels = |deliveries: usize| {
            let a_parcel = self.meter.deliveries_a_parcel();
            u32::try_from(deliveries.div_ceil(a_parcel)).unwrap_or(most).min(most)
        };
        // At high rates, parcels of one delivery are begun by the claim itself, so no more are taken than can be begun:
        // to begin them later would cost the server as much again. At low rates nothing would ask again soon for what
        // is left, since only calls that end do.
        let busy = self.stock(Instant::now()) > 0;
        let need = if busy && self.begins_with_claim() && self.meter.parcels_are_single() {
            self.free_deliveries(true).min(need)
        } else {
            need
        };
        // There is always room for urgent parcels; bulk parcels fill the need.
        let bulk = parcels(need);
        let urgent = if self.held.urgent_waits() { bulk } else { bulk.max(1) };
        (urgent.max(bulk), bulk)
    }

    fn start_claim(&mut self, at: usize, limit: u32, bulk_limit: u32) {
        let requested = Instant::now();
        let doubted = self.starting.is_doubted(self.partitions[at].p);
        let begin = if limit == 0 || doubted { 0 } else { self.begin_with_claim(requested) };
        // Reserved until the answer arrives, since other partitions claim at the same time.
        self.starting.add(self.partitions[at].p, requested, begin);
        self.pace.spend(begin);
        let partition = &mut self.partitions[at];
        let (p, number) = (partition.p, partition.number);
        let first_requested = *partition.requested.get_or_insert(requested);
        let (store, notes) = (self.store.clone(), self.notes.clone());
        let (channel, courier) = (self.channel.clone(), self.courier.clone());
        let (lease, send_window) = (self.settings.lease, self.capabilities.send_window);
        let (probe, meter) = (Arc::clone(&self.probe), Arc::clone(&self.meter));
        let others_ask = self.partitions.iter().any(|other| other.p != p && other.is_open());
        let empty_handed = self.held.is_empty() && self.held.expected == 0 && !others_ask;
        tokio::spawn(async move {
            let ask = ClaimRequest {
                channel: &channel,
                courier: &courier,
                number,
                lease,
                limit,
                bulk_limit: bulk_limit.min(limit),
                begin: u32::try_from(begin).unwrap_or(u32::MAX),
                send_window,
                empty_handed,
            };
            let call = async {
                probe.reached(Point::BeforeClaim);
                let answer = store.claim(p, &ask).await?;
                let suppressed = suppression_check::of_claim(&store, &channel, &answer.reply).await;
                Ok((answer, suppressed))
            };
            let (result, suppressed) = match noticed(&meter, "claim", call).await {
                Ok((answer, suppressed)) => (Ok(answer), suppressed),
                Err(error) => (Err(error), Ok(Vec::new())),
            };
            let done =
                ClaimDone { p, first_requested, requested, limit, bulk_limit, begin, suppressed, result };
            let _ = notes.send(Note::Claimed(done));
        });
    }

    /// How many deliveries the claim itself may begin: those that would go on the wire at once.
    fn begin_with_claim(&mut self, now: Instant) -> usize {
        if !self.begins_with_claim() || self.held.runnable() > 0 {
            return 0;
        }
        let allowed = self.pace.allowance(now, self.settings.begin_ahead);
        self.free_deliveries(true).min(allowed)
    }

    /// Whether claims of this channel may begin deliveries at all.
    fn begins_with_claim(&self) -> bool {
        let batched = matches!(self.capabilities.batching, Batching::SameOrder(_) | Batching::Groups { .. });
        !self.capabilities.tokens && !batched && !self.alone && !self.held.has_suspects()
    }

    /// A moment of the server's clock on our monotonic clock, never in the past.
    fn until_server(&self, at: Option<UnixMs>, server_now: UnixMs, now: Instant) -> Instant {
        match at {
            // Only orders strictly in the past are promoted, so one millisecond later.
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
        self.starting.done(done.p, done.requested, done.begin);
        self.pace.spare(done.begin);
        let answer = match done.result {
            Ok(answer) => answer,
            Err(error) => {
                // No answer: the claim is repeated with the same number, so it takes nothing twice.
                let repeat = self.after_failure(&error);
                self.doubt(done.p, &error);
                if matches!(error, CallError::InvalidReply(_)) {
                    self.partitions[at].number += 1;
                    self.partitions[at].requested = None;
                }
                let wait = if matches!(error, CallError::NoReply { .. }) { 50 } else { 250 };
                self.partitions[at].wake = now + Duration::from_millis(if repeat { wait } else { 1_000 });
                return;
            }
        };
        self.partitions[at].number += 1;
        self.partitions[at].requested = None;
        if let Some(jump) = self.clock.saw(answer.now, done.requested, now) {
            tracing::error!(
                event = "database.clock_jumped",
                channel = %self.channel,
                jump_ms = i64::try_from(jump).unwrap_or(i64::MAX),
                "the server's clock jumped; claiming pauses for the length of a lease"
            );
            self.meter.alert("clock_jump");
        }
        let taken = match answer.reply {
            ClaimReply::Claimed(taken) => {
                let inline = taken.parcels.iter().any(|parcel| parcel.inline.is_some());
                if inline && (taken.already_done || done.begin > 0) {
                    // What the claim began is confirmed.
                    self.starting.trust(done.p);
                }
                taken
            }
            ClaimReply::Outdated => {
                self.partitions[at].wake = now;
                return;
            }
        };
        self.plan_next_claim(at, &taken, answer.now, now, done.limit, done.bulk_limit);
        self.meter.claimed(&taken);
        if !taken.parcels.is_empty() {
            self.probe.reached(Point::AfterClaim);
        }
        let lease_until = done.first_requested + self.settings.lease - self.settings.lease / 10;
        let window = done.first_requested + self.capabilities.send_window;
        let some = !taken.parcels.is_empty();
        if let Err(error) = &done.suppressed {
            tracing::warn!(
                event = "suppression.lookup_failed",
                channel = %self.channel,
                %error,
                "suppression lookup failed; leases released"
            );
            self.meter.alert("suppression_unavailable");
            self.after_failure(error);
        }
        if taken.newer > 0 {
            let order =
                taken.newer_order_id.as_ref().map(posthaste_model::OrderId::wire_id).unwrap_or_default();
            self.meter.newer(&self.channel, taken.newer, &order);
        }
        for unreadable in &taken.unreadable {
            let parcel = ParcelRef { parcel_id: unreadable.parcel_id.clone(), fence: answer.fence };
            self.put_aside(done.p, parcel, &unreadable.malformed);
        }
        let mut suppressed = done.suppressed.ok().map(Vec::into_iter);
        for claimed in taken.parcels {
            let suppressed = suppressed.as_mut().map(|suppressed| suppressed.next().unwrap_or_default());
            let under = Under { fence: answer.fence, lease_until, window, now: answer.now };
            self.take_in(done.p, claimed, suppressed, under);
        }
        // The first claims take few parcels; claim more at once while there are free calls. A claim that took nothing
        // had kept room from other partitions.
        if some || (done.begin > 0 && self.room().1 > 0) {
            self.feed_hungry(now);
        }
    }

    fn plan_next_claim(
        &mut self,
        at: usize,
        taken: &ClaimedParcels,
        server_now: UnixMs,
        now: Instant,
        limit: u32,
        bulk_limit: u32,
    ) {
        let count = u32::try_from(taken.parcels.len()).unwrap_or(u32::MAX);
        let overdue = taken.next.is_some_and(|next| next <= server_now);
        if overdue && count == 0 {
            // Something is overdue that claiming does not move: a lease, or an unresolved delivery.
            if let Some(sweep) = self.wakers.sweep.get(at) {
                sweep.notify_one();
            }
            self.wakers.resolve.notify_one();
        }
        let ready_now = taken.oldest.is_some_and(|oldest| oldest <= server_now);
        let more = ready_now && (count >= limit || (bulk_limit == 0 && count == 0));
        let mut wake = self.until_server(taken.next, server_now, now).min(now + self.settings.poll);
        if !ready_now {
            wake = wake.min(self.until_server(taken.oldest, server_now, now));
        }
        let partition = &mut self.partitions[at];
        let in_vain = overdue && count == 0 && taken.promoted == 0;
        partition.in_vain = if in_vain { (partition.in_vain + 1).min(6) } else { 0 };
        // The tasks just woken need a moment, and claiming all the time does not speed them up.
        let floor = if count == 0 {
            Duration::from_millis(1 << partition.in_vain.saturating_sub(1))
        } else {
            Duration::ZERO
        };
        if count > 0 {
            partition.ramp = partition.ramp.saturating_mul(2).min(self.settings.claim_limit);
        }
        partition.hungry = ready_now;
        partition.wake = if partition.received_since || (ready_now && count > 0 && !more) {
            now
        } else {
            wake.max(now + floor)
        };
    }

    /// Room became free: claim again from partitions with ready parcels left.
    pub(super) fn feed_hungry(&mut self, now: Instant) {
        if self.held.runnable() > self.pace.concurrency() * self.capabilities.batching.size()
            || (self.held.runnable() == 0 && !self.needs_more(now))
        {
            return;
        }
        let feeds = |partition: &&mut Partition| partition.hungry && !self.starting.is_doubted(partition.p);
        for partition in self.partitions.iter_mut().filter(feeds) {
            partition.wake = partition.wake.min(now);
        }
    }
}
