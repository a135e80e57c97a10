//! The parcels a courier holds, and their deliveries that wait to be begun. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Content, Delivery, OutcomeKind, Priority, Reason, State, UnixMs};
use posthaste_store::{AttemptReport, DeliveryRecord, Head, ParcelRef};
use tokio::time::Instant;

use super::reports::Reports;
use super::suppression_check::SuppressedDeliveries;

/// A local id of a parcel held by this courier: the same parcel may be held twice, under two fences, while sends
/// under the first one are still on the wire.
pub(super) type Id = u64;

/// A parcel leased by this courier.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) partition: u16,
    pub(super) at: ParcelRef,
    pub(super) head: Head,
    pub(super) content: Arc<Content>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) outcomes: Vec<DeliveryRecord>,
    /// When it was claimed, on the server's clock and on ours.
    pub(super) met: (UnixMs, Instant),
    /// Number of deliveries waiting to be begun.
    pub(super) waiting: usize,
    /// Number of deliveries on the wire or being begun.
    pub(super) out: usize,
    /// Nothing more of it is begun; deliveries that wait stay as they are until the parcel is released.
    pub(super) closed: bool,
    /// Reports to be settled.
    pub(super) reports: Reports,
    /// Deliveries to begin again once their report is settled, and when.
    pub(super) again: Vec<(u16, Option<Instant>)>,
    /// Deliveries and attempts whose begin call got no answer, and when it was first made: they may be marked as
    /// sending, but were not sent.
    pub(super) doubtful: Vec<(u16, u8, Instant)>,
    /// Nothing is begun under this lease after this moment.
    pub(super) lease_until: Instant,
    /// The lease is lost: nothing more is begun, and reports count as evidence.
    pub(super) lost: bool,
    /// A settle call for it is in progress.
    pub(super) settling: bool,
    /// Deliveries whose address is suppressed.
    pub(super) suppressed: SuppressedDeliveries,
    /// Whether the provider drops a repeat under a token it has seen.
    pub(super) remembers: bool,
}

impl Parcel {
    /// Whether its next settle call may end the lease.
    pub(super) fn is_done(&self) -> bool {
        self.out == 0 && (self.closed || (self.waiting == 0 && self.again.is_empty()))
    }

    /// Begins nothing more of it; reports deliveries that may be marked but were not sent as not sent.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.again.clear();
        for (delivery, attempt, _) in std::mem::take(&mut self.doubtful) {
            self.tell_not_sent(delivery, attempt);
        }
    }

    /// The outcome for a delivery that is begun but must not be sent; `None` if it may be sent.
    ///
    /// If a repeat is not sent, the outcome of the first attempt stays unknown.
    pub(super) fn withheld(
        &self,
        delivery: u16,
        now: Instant,
        remembers: Duration,
    ) -> Option<(OutcomeKind, Reason)> {
        let repeated = self.outcomes.get(usize::from(delivery)).is_some_and(|outcome| outcome.repeated);
        match self.suppressed.get(&delivery) {
            Some(_) if repeated => Some((OutcomeKind::Unknown, Reason::NotRetried)),
            Some(reason) => Some((OutcomeKind::Suppressed, *reason)),
            None => self
                .is_forgotten(delivery, now, remembers)
                .then_some((OutcomeKind::Unknown, Reason::NotRetried)),
        }
    }

    /// Whether a repeat under this delivery's token would be a duplicate, because the provider has forgotten the
    /// token by now.
    fn is_forgotten(&self, delivery: u16, now: Instant, remembers: Duration) -> bool {
        let passed = now.saturating_duration_since(self.met.1);
        self.outcomes.get(usize::from(delivery)).is_some_and(|outcome| {
            let age = self.met.0.after(passed).since(outcome.changed);
            outcome.repeated && outcome.token.is_some() && !remembers.is_zero() && age >= remembers
        })
    }

    /// Whether a courier died while sending this delivery: then it is always sent alone.
    fn is_suspect(&self, delivery: u16) -> bool {
        self.outcomes.get(usize::from(delivery)).is_some_and(is_suspect)
    }

    /// Reports an attempt that was or may have been begun and provably did not leave. A repeat under a token is
    /// reported as unknown, like the attempt before it: so the delivery keeps the time since when the provider
    /// remembers the token.
    pub(super) fn tell_not_sent(&mut self, delivery: u16, attempt: u8) {
        let repeated = self.outcomes.get(usize::from(delivery)).is_some_and(|outcome| outcome.repeated);
        let kind = if repeated && self.remembers { OutcomeKind::Unknown } else { OutcomeKind::NotSent };
        let reason = Reason::None;
        self.reports.push(AttemptReport { delivery, attempt, outcome: kind, reason, value: 0 });
    }
}

fn is_suspect(outcome: &DeliveryRecord) -> bool {
    outcome.repeated && outcome.reason == Reason::CourierDied
}

/// A delivery waiting to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: Id,
    pub(super) delivery: u16,
}

/// All parcels held.
#[derive(Debug, Default)]
pub(super) struct LeasedParcels {
    parcels: HashMap<Id, Parcel>,
    next_id: Id,
    urgent: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    /// Suspects: deliveries whose courier died while sending them. Sent one at a time, with nothing else on the wire.
    suspects: VecDeque<Waiting>,
    /// Deliveries that wait for a moment, such as the end of their recipient's rate limit.
    later: BTreeMap<(Instant, u64), Waiting>,
    deliveries: usize,
    /// Parcels closed near the end of their lease, to be released.
    pub(super) closed: Vec<Id>,
    /// Number of deliveries being loaded.
    pub(super) expected: usize,
    /// Unreachable partitions, and their deliveries, which are set aside until the partition is back; the flag marks
    /// suspects.
    away: BTreeSet<u16>,
    shelf: Vec<(Waiting, bool)>,
}

impl LeasedParcels {
    /// Takes in a parcel. Deliveries that may be begun now are queued by priority; deliveries begun by the claim are
    /// returned; deliveries that must wait longer or are not open are left alone.
    pub(super) fn take(&mut self, mut parcel: Parcel, now: UnixMs) -> (Id, Vec<u16>) {
        let id = self.next_id;
        self.next_id += 1;
        let mut begun = Vec::new();
        for (delivery, outcome) in parcel.outcomes.iter().enumerate() {
            let Ok(delivery) = u16::try_from(delivery) else { continue };
            match outcome.state {
                // A claim begins nothing of a big order: what is `sending` there belongs to another courier.
                State::Sending if parcel.head.inline => {
                    begun.push(delivery);
                    parcel.out += 1;
                }
                State::Pending if outcome.not_before.is_none_or(|at| at <= now) => {
                    parcel.waiting += 1;
                    let waiting = Waiting { id, delivery };
                    let suspect = is_suspect(outcome);
                    if self.away.contains(&parcel.partition) {
                        self.shelf.push((waiting, suspect));
                    } else if suspect {
                        self.suspects.push_back(waiting);
                    } else {
                        self.priority(parcel.head.priority).push_back(waiting);
                    }
                }
                _ => {}
            }
        }
        self.deliveries += parcel.deliveries.len();
        self.parcels.insert(id, parcel);
        (id, begun)
    }

    fn priority(&mut self, priority: Priority) -> &mut VecDeque<Waiting> {
        match priority {
            Priority::Urgent => &mut self.urgent,
            Priority::Bulk => &mut self.bulk,
        }
    }

    /// Whether a partition is unreachable.
    pub(super) fn is_away(&self, p: u16) -> bool {
        self.away.contains(&p)
    }

    pub(super) fn some_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// Sets aside the deliveries of unreachable partitions, so that they do not block the others. Returns the
    /// partitions that are back.
    pub(super) fn set_away(&mut self, away: BTreeSet<u16>) -> Vec<u16> {
        if away == self.away {
            return Vec::new();
        }
        let back = self.away.difference(&away).copied().collect();
        self.away = away;
        let of_away = |waiting: &Waiting| {
            self.parcels.get(&waiting.id).is_some_and(|parcel| self.away.contains(&parcel.partition))
        };
        let mut aside = Vec::new();
        for (queue, suspect) in
            [(&mut self.suspects, true), (&mut self.urgent, false), (&mut self.bulk, false)]
        {
            let (out, stays): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(queue).into_iter().partition(of_away);
            *queue = stays;
            aside.extend(out.into_iter().map(|waiting| (waiting, suspect)));
        }
        let (stays, returns): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.shelf).into_iter().partition(|(waiting, _)| of_away(waiting));
        self.shelf = stays.into_iter().chain(aside).collect();
        for (waiting, suspect) in returns.into_iter().rev() {
            if suspect {
                self.suspects.push_front(waiting);
            } else {
                self.put_back(waiting);
            }
        }
        back
    }

    pub(super) fn get(&mut self, id: Id) -> Option<&mut Parcel> {
        self.parcels.get_mut(&id)
    }

    pub(super) fn drop_parcel(&mut self, id: Id) {
        if let Some(parcel) = self.parcels.remove(&id) {
            self.deliveries -= parcel.deliveries.len();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Parcel)> {
        self.parcels.iter().map(|(id, parcel)| (*id, parcel))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Number of deliveries held, including those being loaded.
    pub(super) fn deliveries(&self) -> usize {
        self.deliveries + self.expected
    }

    /// Number of deliveries held of reachable partitions. The others take no room; no more of them are claimed.
    pub(super) fn deliveries_here(&self) -> usize {
        if self.away.is_empty() {
            return self.deliveries();
        }
        let of_away = self.parcels.values().filter(|parcel| self.away.contains(&parcel.partition));
        self.deliveries().saturating_sub(of_away.map(|parcel| parcel.deliveries.len()).sum())
    }

    /// Number of reports of unreachable partitions.
    pub(super) fn reports_away(&self) -> usize {
        if self.away.is_empty() {
            return 0;
        }
        let of_away = self.parcels.values().filter(|parcel| self.away.contains(&parcel.partition));
        of_away.map(|parcel| parcel.reports.len()).sum()
    }

    /// Number of deliveries that may be begun now.
    pub(super) fn runnable(&self) -> usize {
        self.urgent.len() + self.bulk.len() + self.suspects.len() + self.expected
    }

    pub(super) fn urgent_waits(&self) -> bool {
        !self.urgent.is_empty()
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Queues a delivery again: now, at the front, or at a later moment.
    pub(super) fn requeue(&mut self, id: Id, delivery: u16, at: Option<Instant>) {
        let Some(parcel) = self.parcels.get_mut(&id).filter(|parcel| !parcel.closed) else { return };
        parcel.waiting += 1;
        let (priority, p, suspect) = (parcel.head.priority, parcel.partition, parcel.is_suspect(delivery));
        let waiting = Waiting { id, delivery };
        match at {
            None if self.away.contains(&p) => self.shelf.push((waiting, suspect)),
            None if suspect => self.suspects.push_front(waiting),
            None => self.priority(priority).push_front(waiting),
            Some(at) => {
                self.next_id += 1;
                self.later.insert((at, self.next_id), waiting);
            }
        }
    }

    /// Queues deliveries whose wait is over behind the others. Returns when the next wait is over.
    pub(super) fn wake_later(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.later.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return Some(at);
            }
            let waiting = entry.remove();
            let parcel = self.parcels.get(&waiting.id);
            match parcel
                .map(|parcel| (parcel.head.priority, parcel.partition, parcel.is_suspect(waiting.delivery)))
            {
                Some((_, p, suspect)) if self.away.contains(&p) => self.shelf.push((waiting, suspect)),
                Some((_, _, true)) => self.suspects.push_back(waiting),
                Some((priority, _, false)) => self.priority(priority).push_back(waiting),
                None => {}
            }
        }
        None
    }

    /// The next delivery to begin, urgent ones first. Skips deliveries of parcels that are gone, lost, or near the
    /// end of their lease.
    pub(super) fn next(&mut self, now: Instant) -> Option<Waiting> {
        loop {
            let waiting = self.urgent.pop_front().or_else(|| self.bulk.pop_front())?;
            if self.may_begin(waiting.id, now) {
                return Some(waiting);
            }
        }
    }

    /// Puts back the delivery returned by `next`, because there was no room for it.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        if let Some(priority) = self.parcels.get(&waiting.id).map(|parcel| parcel.head.priority) {
            self.priority(priority).push_front(waiting);
        }
    }

    /// The next delivery that must be sent alone.
    pub(super) fn next_suspect(&mut self, now: Instant) -> Option<Waiting> {
        loop {
            let waiting = self.suspects.pop_front()?;
            if self.may_begin(waiting.id, now) {
                return Some(waiting);
            }
        }
    }

    /// A suspect, together with the deliveries that shared its message when the courier died the first time.
    pub(super) fn together_with(&mut self, first: Waiting) -> Vec<u16> {
        let mut deliveries = vec![first.delivery];
        let Some(parcel) = self.parcels.get(&first.id) else { return deliveries };
        let token = |delivery: u16| {
            let outcome = parcel.outcomes.get(usize::from(delivery))?;
            outcome.token.filter(|_| outcome.attempt == 1)
        };
        if let Some(shared) = token(first.delivery) {
            self.suspects.retain(|waiting| {
                let joins = waiting.id == first.id && token(waiting.delivery) == Some(shared);
                if joins {
                    deliveries.push(waiting.delivery);
                }
                !joins
            });
        }
        deliveries
    }

    fn may_begin(&mut self, id: Id, now: Instant) -> bool {
        let Some(parcel) = self.parcels.get_mut(&id) else { return false };
        if !parcel.closed && (parcel.lost || now >= parcel.lease_until) {
            parcel.close();
            self.closed.push(id);
        }
        !parcel.closed
    }

    /// Closes every parcel; what waits is released unchanged.
    pub(super) fn close_all(&mut self) {
        self.urgent.clear();
        self.bulk.clear();
        self.suspects.clear();
        self.later.clear();
        self.shelf.clear();
        for parcel in self.parcels.values_mut() {
            parcel.close();
        }
    }
}
