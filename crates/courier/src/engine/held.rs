//! The parcels a courier holds, and the rows of them that wait to be begun. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Content, Lane, Reason, Row, State, UnixMs, Verdict};
use posthaste_store::{Head, ParcelRef, Report, RowOutcome};
use tokio::time::Instant;

use super::barred::Barred;
use super::reports::Reports;

/// A parcel in this courier's hands, by a number of its own: the same parcel may be held twice, under two fences, while
/// sends of the first are still out.
pub(super) type Id = u64;

/// A parcel under a lease of ours.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) partition: u16,
    pub(super) at: ParcelRef,
    pub(super) head: Head,
    pub(super) content: Arc<Content>,
    pub(super) rows: Vec<Row>,
    pub(super) outcomes: Vec<RowOutcome>,
    /// The server's time when it was met, and ours.
    pub(super) met: (UnixMs, Instant),
    /// Rows waiting here to be begun.
    pub(super) waiting: usize,
    /// Rows on the wire or being begun.
    pub(super) out: usize,
    /// Nothing more of it is begun; rows that wait are nobody's until it is handed back.
    pub(super) closed: bool,
    /// Reports to be settled.
    pub(super) reports: Reports,
    /// Rows to be begun again once their report is settled, and when.
    pub(super) again: Vec<(u16, Option<Instant>)>,
    /// Rows and attempts whose begin got no answer, and when it was asked first: they may be marked, and were not sent.
    pub(super) doubtful: Vec<(u16, u8, Instant)>,
    /// The moment after which nothing is begun under this lease.
    pub(super) lease_until: Instant,
    /// The lease is gone: nothing more is begun, reports are evidence.
    pub(super) lost: bool,
    /// A settle for it is under way.
    pub(super) settling: bool,
    /// Rows whose address must not be used.
    pub(super) barred: Barred,
    /// Whether the provider drops a repeat under a token it has met.
    pub(super) remembers: bool,
}

impl Parcel {
    /// Whether its next settle may leave the lease.
    pub(super) fn is_done(&self) -> bool {
        self.out == 0 && (self.closed || (self.waiting == 0 && self.again.is_empty()))
    }

    /// Nothing more of it is begun; what may be marked and was not sent is told so.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.again.clear();
        for (row, attempt, _) in std::mem::take(&mut self.doubtful) {
            self.tell_not_sent(row, attempt);
        }
    }

    /// What is told of a row that is begun and will not be sent; `None` when it may be.
    ///
    /// A repeat that is not sent leaves the first attempt as it is: unknown.
    pub(super) fn withheld(&self, row: u16, now: Instant, remembers: Duration) -> Option<(Verdict, Reason)> {
        let repeated = self.outcomes.get(usize::from(row)).is_some_and(|outcome| outcome.repeated);
        match self.barred.get(&row) {
            Some(_) if repeated => Some((Verdict::Unknown, Reason::Held)),
            Some(reason) => Some((Verdict::Suppressed, *reason)),
            None => self.is_forgotten(row, now, remembers).then_some((Verdict::Unknown, Reason::Held)),
        }
    }

    /// Whether a repeat under this row's token would be a second copy: the provider has forgotten the first by now.
    fn is_forgotten(&self, row: u16, now: Instant, remembers: Duration) -> bool {
        let passed = now.saturating_duration_since(self.met.1);
        self.outcomes.get(usize::from(row)).is_some_and(|outcome| {
            let age = self.met.0.after(passed).since(outcome.changed);
            outcome.repeated && outcome.token.is_some() && !remembers.is_zero() && age >= remembers
        })
    }

    /// Whether a row's courier died with it, so that it goes out with nothing beside it however often it is put back.
    fn is_suspect(&self, row: u16) -> bool {
        self.outcomes.get(usize::from(row)).is_some_and(is_suspect)
    }

    /// An attempt that was begun, or may be, and provably did not leave. A repeat under a token is told as unknown, as is the
    /// attempt before it: so its row keeps the moment from which the provider remembers the token.
    pub(super) fn tell_not_sent(&mut self, row: u16, attempt: u8) {
        let repeated = self.outcomes.get(usize::from(row)).is_some_and(|outcome| outcome.repeated);
        let verdict = if repeated && self.remembers { Verdict::Unknown } else { Verdict::NotSent };
        let reason = Reason::None;
        self.reports.push(Report { row, attempt, verdict, reason, value: 0 });
    }
}

fn is_suspect(outcome: &RowOutcome) -> bool {
    outcome.repeated && outcome.reason == Reason::CourierDied
}

/// A row waiting to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: Id,
    pub(super) row: u16,
}

/// Everything held.
#[derive(Debug, Default)]
pub(super) struct Held {
    parcels: HashMap<Id, Parcel>,
    next_id: Id,
    urgent: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    /// Rows whose courier died with them: sent one at a time, with nothing beside them.
    suspects: VecDeque<Waiting>,
    /// Rows that wait for their recipient's rate limit.
    later: BTreeMap<(Instant, u64), Waiting>,
    rows: usize,
    /// Parcels closed near the end of their lease, which have to be handed back.
    pub(super) closed: Vec<Id>,
    /// Rows expected of parcels whose rows are being fetched.
    pub(super) expected: usize,
    /// Partitions that can't be asked now, and their rows, which wait aside until they can: suspects apart.
    away: BTreeSet<u16>,
    shelf: Vec<(Waiting, bool)>,
}

impl Held {
    /// Takes a parcel in. Rows to be begun now wait in their lane; rows begun with the claim are answered; rows that have
    /// to wait longer, or are not open, are not ours to send.
    pub(super) fn take(&mut self, mut parcel: Parcel, now: UnixMs) -> (Id, Vec<u16>) {
        let id = self.next_id;
        self.next_id += 1;
        let mut begun = Vec::new();
        for (row, outcome) in parcel.outcomes.iter().enumerate() {
            let Ok(row) = u16::try_from(row) else { continue };
            match outcome.state {
                // Of a big order a claim begins nothing: what is `sending` there is another's.
                State::Sending if parcel.head.inline => {
                    begun.push(row);
                    parcel.out += 1;
                }
                State::Pending if outcome.not_before.is_none_or(|at| at <= now) => {
                    parcel.waiting += 1;
                    let waiting = Waiting { id, row };
                    let suspect = is_suspect(outcome);
                    if self.away.contains(&parcel.partition) {
                        self.shelf.push((waiting, suspect));
                    } else if suspect {
                        self.suspects.push_back(waiting);
                    } else {
                        self.lane(parcel.head.lane).push_back(waiting);
                    }
                }
                _ => {}
            }
        }
        self.rows += parcel.rows.len();
        self.parcels.insert(id, parcel);
        (id, begun)
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Waiting> {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// Whether a partition can't be asked now.
    pub(super) fn is_away(&self, p: u16) -> bool {
        self.away.contains(&p)
    }

    pub(super) fn some_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// Rows of partitions that can't be asked wait aside, so that those of others pass them; which partitions have come back.
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
            self.rows -= parcel.rows.len();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Parcel)> {
        self.parcels.iter().map(|(id, parcel)| (*id, parcel))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Rows held, those being fetched included.
    pub(super) fn rows(&self) -> usize {
        self.rows + self.expected
    }

    /// Rows held of partitions that can be asked: the others take no room, there is an end to them.
    pub(super) fn rows_here(&self) -> usize {
        if self.away.is_empty() {
            return self.rows();
        }
        let of_away = self.parcels.values().filter(|parcel| self.away.contains(&parcel.partition));
        self.rows().saturating_sub(of_away.map(|parcel| parcel.rows.len()).sum())
    }

    /// Reports of partitions that can't be asked.
    pub(super) fn reports_away(&self) -> usize {
        if self.away.is_empty() {
            return 0;
        }
        let of_away = self.parcels.values().filter(|parcel| self.away.contains(&parcel.partition));
        of_away.map(|parcel| parcel.reports.len()).sum()
    }

    /// Rows that wait to be begun now.
    pub(super) fn runnable(&self) -> usize {
        self.urgent.len() + self.bulk.len() + self.suspects.len() + self.expected
    }

    pub(super) fn urgent_waits(&self) -> bool {
        !self.urgent.is_empty()
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Puts a row back: at the front now, or when its moment comes.
    pub(super) fn requeue(&mut self, id: Id, row: u16, at: Option<Instant>) {
        let Some(parcel) = self.parcels.get_mut(&id).filter(|parcel| !parcel.closed) else { return };
        parcel.waiting += 1;
        let (lane, p, suspect) = (parcel.head.lane, parcel.partition, parcel.is_suspect(row));
        let waiting = Waiting { id, row };
        match at {
            None if self.away.contains(&p) => self.shelf.push((waiting, suspect)),
            None if suspect => self.suspects.push_front(waiting),
            None => self.lane(lane).push_front(waiting),
            Some(at) => {
                self.next_id += 1;
                self.later.insert((at, self.next_id), waiting);
            }
        }
    }

    /// Moves rows whose wait is over behind all the others. Answers when the next one's is.
    pub(super) fn wake_later(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.later.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return Some(at);
            }
            let waiting = entry.remove();
            let parcel = self.parcels.get(&waiting.id);
            match parcel.map(|parcel| (parcel.head.lane, parcel.partition, parcel.is_suspect(waiting.row))) {
                Some((_, p, suspect)) if self.away.contains(&p) => self.shelf.push((waiting, suspect)),
                Some((_, _, true)) => self.suspects.push_back(waiting),
                Some((lane, _, false)) => self.lane(lane).push_back(waiting),
                None => {}
            }
        }
        None
    }

    /// The next row to begin, urgent first. Rows of parcels that are gone, lost, or near the end of their lease are passed
    /// over.
    pub(super) fn next(&mut self, now: Instant) -> Option<Waiting> {
        loop {
            let waiting = self.urgent.pop_front().or_else(|| self.bulk.pop_front())?;
            if self.may_begin(waiting.id, now) {
                return Some(waiting);
            }
        }
    }

    /// There was no room for the row `next` named.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        if let Some(lane) = self.parcels.get(&waiting.id).map(|parcel| parcel.head.lane) {
            self.lane(lane).push_front(waiting);
        }
    }

    /// The next row that must be sent with nothing beside it.
    pub(super) fn next_suspect(&mut self, now: Instant) -> Option<Waiting> {
        loop {
            let waiting = self.suspects.pop_front()?;
            if self.may_begin(waiting.id, now) {
                return Some(waiting);
            }
        }
    }

    /// A row that must be sent with nothing beside it, and those its message had beside it when its courier died the first time.
    pub(super) fn together_with(&mut self, first: Waiting) -> Vec<u16> {
        let mut rows = vec![first.row];
        let Some(parcel) = self.parcels.get(&first.id) else { return rows };
        let token = |row: u16| {
            let outcome = parcel.outcomes.get(usize::from(row))?;
            outcome.token.filter(|_| outcome.attempt == 1)
        };
        if let Some(shared) = token(first.row) {
            self.suspects.retain(|waiting| {
                let joins = waiting.id == first.id && token(waiting.row) == Some(shared);
                if joins {
                    rows.push(waiting.row);
                }
                !joins
            });
        }
        rows
    }

    fn may_begin(&mut self, id: Id, now: Instant) -> bool {
        let Some(parcel) = self.parcels.get_mut(&id) else { return false };
        if !parcel.closed && (parcel.lost || now >= parcel.lease_until) {
            parcel.close();
            self.closed.push(id);
        }
        !parcel.closed
    }

    /// Closes every parcel: what waits is handed back as it is.
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
