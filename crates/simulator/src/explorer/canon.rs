//! Which states are one: what no script and no courier can tell apart has the same fingerprint.
//!
//! - Moments count by their distance from now, and what is past is past; when a row changed is told to people only.
//! - Fences are compared for equality only, so they count by their rank.
//! - The number of a claim counts by what the database remembers of it.
//! - Couriers of one channel are alike, and so are the rows of a parcel: the least of all namings counts.
//!
//! A test takes pairs of states with one fingerprint and looks whether the same can follow.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use posthaste_protocol::record::RowOutcome;
use posthaste_protocol::scripts::resolve::Decision;

use super::Explorer;
use super::command::Command;
use super::scenario::UNIT_MS;
use super::state::{Courier, Held, Report, Row, Said, State, Truth};
use super::view::{View, at};

/// Nothing that happens in between is that far ahead.
const NEAR_MS: i64 = 100 * UNIT_MS;

/// One way to name rows and couriers: place in the fingerprint → place in the state, and back for rows.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    rows: Vec<usize>,
    places: Vec<usize>,
    couriers: Vec<usize>,
}

impl Naming {
    /// All namings that make no difference.
    pub(super) fn all(rows: Option<usize>, couriers: &[usize]) -> Vec<Self> {
        let alike = couriers.len() == 2 && couriers[0] == couriers[1];
        let swap = |times: usize, swapped: bool| {
            if swapped { (0..times).rev().collect() } else { (0..times).collect::<Vec<_>>() }
        };
        let mut namings = Vec::new();
        for rows_swapped in [false, true] {
            for couriers_swapped in [false, true] {
                if (rows_swapped && rows != Some(2)) || (couriers_swapped && !alike) {
                    continue;
                }
                let rows = swap(rows.unwrap_or(0), rows_swapped);
                namings.push(Self {
                    places: rows.clone(),
                    rows,
                    couriers: swap(couriers.len(), couriers_swapped),
                });
            }
        }
        namings
    }

    fn row(&self, place: usize) -> usize {
        self.rows.get(place).copied().unwrap_or(place)
    }

    fn place<T: Ord>(&self, rows: impl Iterator<Item = (u16, T)>) -> Vec<(usize, T)> {
        let place = |row: u16| self.places.get(usize::from(row)).copied().unwrap_or(usize::from(row));
        let mut placed: Vec<_> = rows.map(|(row, rest)| (place(row), rest)).collect();
        placed.sort_unstable();
        placed
    }
}

/// What is written down of a state, to be hashed in one go.
#[derive(Default)]
struct Ink(Vec<u8>);

impl Hasher for Ink {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0);
        hasher.finish()
    }
}

/// Writes one naming of a state into a hasher.
struct Writer<'a> {
    explorer: &'a Explorer,
    state: &'a State,
    naming: &'a Naming,
    fences: &'a [u64],
}

/// The fingerprint of a state.
pub(super) fn fingerprint(explorer: &Explorer, state: &State) -> u64 {
    let fences = fences(explorer, state);
    let written = explorer.namings.iter().map(|naming| {
        let mut ink = Ink::default();
        Writer { explorer, state, naming, fences: &fences }.write(&mut ink);
        ink.0
    });
    Ink(written.min().unwrap_or_default()).finish()
}

/// The fingerprint of a database alone, as it is to somebody new.
pub(super) fn fingerprint_of_world(view: &View) -> u64 {
    let mut hasher = Ink::default();
    let mut fences: Vec<u64> =
        view.parcels.iter().filter_map(|p| p.lease.as_ref()).map(|lease| lease.fence).collect();
    fences.sort_unstable();
    fences.dedup();
    write_orders(view, &mut hasher);
    for parcel in &view.parcels {
        write_places(view, parcel, &fences, &mut hasher);
        for row in &parcel.rows {
            write_row(view.now, row, &mut hasher);
        }
    }
    hasher.finish()
}

/// Every fence that somebody may still name, lowest first.
fn fences(explorer: &Explorer, state: &State) -> Vec<u64> {
    let leases = state.view.parcels.iter().filter_map(|p| p.lease.as_ref()).map(|lease| lease.fence);
    let held = state.couriers.iter().flat_map(|courier| &courier.held).map(|held| held.fence);
    let late = state.late.iter().filter_map(|command| match command {
        Command::Begin { fence, .. }
        | Command::Settle { fence, .. }
        | Command::Release { fence, .. }
        | Command::Renew { fence, .. } => Some(*fence),
        _ => None,
    });
    let asked = (0..state.couriers.len()).filter_map(|at| Some(remembered(explorer, state, at)?.1));
    let mut fences: Vec<u64> = leases.chain(held).chain(late).chain(asked).collect();
    fences.sort_unstable();
    fences.dedup();
    fences
}

/// What the database would tell a courier that asks again.
fn remembered(explorer: &Explorer, state: &State, at: usize) -> Option<(u64, u64, String)> {
    let courier = &state.couriers[at];
    courier.asking?;
    let request = explorer.names.request(&state.world, courier.channel, at, courier.life)?;
    (request.0 == courier.number).then_some(request)
}

/// Time left until a moment; what is past is past.
fn left(now: i64, moment: i64) -> i64 {
    (moment - now).max(0)
}

fn rank(fences: &[u64], fence: u64) -> usize {
    fences.binary_search(&fence).unwrap_or(usize::MAX)
}

fn write_orders(view: &View, hasher: &mut Ink) {
    for order in &view.orders {
        let over = order.head.as_ref().map(|head| view.now >= at(head.not_after));
        let due = order.due.map(|due| (due - view.now).max(-1 - view.lead));
        (over, order.cancelled, order.ended, order.rung, due, order.bell).hash(hasher);
        // Far away all moments are alike.
        let span = order.head.as_ref().map(|head| left(view.now, at(head.not_after)));
        span.filter(|span| *span < NEAR_MS).hash(hasher);
    }
}

fn write_places(view: &View, it: &super::view::ParcelView, fences: &[u64], hasher: &mut Ink) {
    let until = |moment: Option<i64>| moment.map(|moment| left(view.now, moment));
    (until(it.ready), until(it.leased), until(it.unresolved), it.crashes, it.parked).hash(hasher);
    let lease = it.lease.as_ref();
    lease.map(|l| (rank(fences, l.fence), l.begun, l.alone, l.last, left(view.now, l.send_by))).hash(hasher);
}

fn write_row(now: i64, row: &RowOutcome, hasher: &mut Ink) {
    let wait = row.not_before.map(|moment| left(now, at(moment)));
    (row.state, row.attempt, row.tries, row.repeated).hash(hasher);
    (row.reason.code(), row.token.is_some(), wait.unwrap_or(0)).hash(hasher);
}

fn report(report: &Report) -> (u8, u8, bool, u32) {
    (report.attempt, report.verdict.letter(), report.again, report.value)
}

fn decision(decision: &Decision) -> (u8, u16) {
    match decision {
        Decision::Retry => (0, 0),
        Decision::Repeat => (1, 0),
        Decision::Hold(reason) => (2, reason.code()),
        Decision::Found(verdict, reason) => (3 + verdict.letter(), reason.code()),
    }
}

impl Writer<'_> {
    fn write(&self, hasher: &mut Ink) {
        let view = &self.state.view;
        write_orders(view, hasher);
        for (parcel, it) in view.parcels.iter().enumerate() {
            write_places(view, it, self.fences, hasher);
            for place in 0..it.rows.len() {
                let row = self.naming.row(place);
                write_row(view.now, &it.rows[row], hasher);
                let Truth { taken, told_unknown, send_by, sleeps } = &self.state.truth[parcel][row];
                (taken, told_unknown, left(view.now, *send_by), sleeps).hash(hasher);
            }
        }
        for at in &self.naming.couriers {
            self.courier(*at, &self.state.couriers[*at], hasher);
        }
        for resolving in &self.state.resolvers {
            let told = resolving.as_ref().map(|resolving| {
                let decisions = resolving.decisions.iter();
                let decisions = decisions.map(|(row, attempt, it)| (*row, (*attempt, decision(it))));
                (resolving.parcel, self.naming.place(decisions))
            });
            told.hash(hasher);
        }
        let mut late: Vec<u64> = self.state.late.iter().map(|command| self.late(command)).collect();
        late.sort_unstable();
        late.hash(hasher);
        self.state.left.hash(hasher);
        self.state.fault.as_ref().map(|fault| fault.property).hash(hasher);
    }

    fn courier(&self, at: usize, courier: &Courier, hasher: &mut Ink) {
        (courier.channel, courier.asking, courier.stopping, courier.held.len()).hash(hasher);
        let remembered = remembered(self.explorer, self.state, at);
        remembered.map(|(_, fence, members)| (rank(self.fences, fence), members)).hash(hasher);
        for held in &courier.held {
            self.held(held, hasher);
        }
    }

    fn held(&self, held: &Held, hasher: &mut Ink) {
        let now = self.state.view.now;
        (held.parcel, rank(self.fences, held.fence), held.loaded, held.closed, held.lost).hash(hasher);
        left(now, held.lease_until).hash(hasher);
        for place in 0..held.rows.len() {
            let memory = match held.rows[self.naming.row(place)] {
                Row::NotOurs => (0, 0, false, None),
                Row::Waiting(last) => (1, last, false, None),
                Row::Begun(attempt, at) => (2, attempt, at == now, None),
                Row::Report(it) => (3, 0, false, Some(report(&it))),
                Row::Again(last) => (4, last, false, None),
            };
            memory.hash(hasher);
        }
        let said = |Said { reports, leave }: &Said| {
            (self.naming.place(reports.iter().map(|(row, it)| (*row, report(it)))), *leave)
        };
        held.settling.as_ref().map(said).hash(hasher);
    }

    fn late(&self, command: &Command) -> u64 {
        let mut hasher = Ink::default();
        let fence = |fence: &u64| rank(self.fences, *fence);
        match command {
            Command::Claim { courier, life, number, begin } => {
                let place = self.naming.couriers.iter().position(|at| at == courier);
                let it = &self.state.couriers[*courier];
                let alive = place.filter(|_| it.life == *life);
                let known = self.explorer.names.request(&self.state.world, it.channel, *courier, *life);
                // Of a process not known yet every number is new.
                let order = known.map_or(Ordering::Less, |(last, ..)| last.cmp(number));
                (0, alive, order, alive.map(|_| number.cmp(&it.number)), begin).hash(&mut hasher);
            }
            Command::Begin { parcel, fence: f, rows } => {
                (1, parcel, fence(f), self.naming.place(rows.iter().copied())).hash(&mut hasher);
            }
            Command::Settle { parcel, fence: f, leave, reports } => {
                let reports = self.naming.place(reports.iter().map(|(row, it)| (*row, report(it))));
                (2, parcel, fence(f), leave, reports).hash(&mut hasher);
            }
            Command::Release { parcel, fence: f } => (3, parcel, fence(f)).hash(&mut hasher),
            Command::Renew { parcel, fence: f } => (4, parcel, fence(f)).hash(&mut hasher),
            Command::Resolve { parcel, decisions } => {
                let decisions = decisions.iter().map(|(row, attempt, it)| (*row, (*attempt, decision(it))));
                (5, parcel, self.naming.place(decisions)).hash(&mut hasher);
            }
            Command::Move { order, due, revision } => {
                let known = self.explorer.names.revision(&self.state.world, *order);
                (6, order, left(self.state.view.now, *due), known.cmp(revision)).hash(&mut hasher);
            }
            other => (7, format!("{other:?}")).hash(&mut hasher),
        }
        hasher.finish()
    }
}
