//! Which states are equal: states that no script and no courier can tell apart have the same fingerprint.
//!
//! - Times count by their distance from now, and everything past is equal; the time when a delivery changed is for
//!   people only.
//! - Fences are only compared for equality, so they count by their rank.
//! - The number of a claim counts by what the database remembers of it.
//! - Couriers of one channel are interchangeable, and so are the deliveries of a parcel: the smallest of all namings
//!   counts.
//!
//! A test takes pairs of states with the same fingerprint and checks that the same steps can follow.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use posthaste_protocol::record::DeliveryRecord;
use posthaste_protocol::scripts::resolve::Decision;

use super::Explorer;
use super::command::ScriptRequest;
use super::scenario::UNIT_MS;
use super::state::{
    CourierDelivery, ExplorerState, HeldParcel, ModelCourier, PendingReport, SentSettle, Truth,
};
use super::view::{DatabaseView, at};

/// Events in between are never that far ahead.
const NEAR_MS: i64 = 100 * UNIT_MS;

/// One way to name deliveries and couriers: index in the fingerprint → index in the state, and back for deliveries.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    deliveries: Vec<usize>,
    places: Vec<usize>,
    couriers: Vec<usize>,
}

impl Naming {
    /// All namings that make no difference.
    pub(super) fn all(deliveries: Option<usize>, couriers: &[usize]) -> Vec<Self> {
        let alike = couriers.len() == 2 && couriers[0] == couriers[1];
        let swap = |times: usize, swapped: bool| {
            if swapped { (0..times).rev().collect() } else { (0..times).collect::<Vec<_>>() }
        };
        let mut namings = Vec::new();
        for deliveries_swapped in [false, true] {
            for couriers_swapped in [false, true] {
                if (deliveries_swapped && deliveries != Some(2)) || (couriers_swapped && !alike) {
                    continue;
                }
                let deliveries = swap(deliveries.unwrap_or(0), deliveries_swapped);
                namings.push(Self {
                    places: deliveries.clone(),
                    deliveries,
                    couriers: swap(couriers.len(), couriers_swapped),
                });
            }
        }
        namings
    }

    fn delivery(&self, place: usize) -> usize {
        self.deliveries.get(place).copied().unwrap_or(place)
    }

    fn place<T: Ord>(&self, deliveries: impl Iterator<Item = (u16, T)>) -> Vec<(usize, T)> {
        let place =
            |delivery: u16| self.places.get(usize::from(delivery)).copied().unwrap_or(usize::from(delivery));
        let mut placed: Vec<_> = deliveries.map(|(delivery, rest)| (place(delivery), rest)).collect();
        placed.sort_unstable();
        placed
    }
}

/// What is recorded of a state, to be hashed in one go.
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
    state: &'a ExplorerState,
    naming: &'a Naming,
    fences: &'a [u64],
}

/// The fingerprint of a state.
pub(super) fn fingerprint(explorer: &Explorer, state: &ExplorerState) -> u64 {
    let fences = fences(explorer, state);
    let written = explorer.namings.iter().map(|naming| {
        let mut ink = Ink::default();
        Writer { explorer, state, naming, fences: &fences }.write(&mut ink);
        ink.0
    });
    Ink(written.min().unwrap_or_default()).finish()
}

/// The fingerprint of a database alone, as seen by a new process.
pub(super) fn fingerprint_of_world(view: &DatabaseView) -> u64 {
    let mut hasher = Ink::default();
    let mut fences: Vec<u64> =
        view.parcels.iter().filter_map(|p| p.lease.as_ref()).map(|lease| lease.fence).collect();
    fences.sort_unstable();
    fences.dedup();
    write_orders(view, &mut hasher);
    for parcel in &view.parcels {
        write_places(view, parcel, &fences, &mut hasher);
        for delivery in &parcel.deliveries {
            write_delivery(view.now, delivery, &mut hasher);
        }
    }
    hasher.finish()
}

/// Every fence that may still be named, lowest first.
fn fences(explorer: &Explorer, state: &ExplorerState) -> Vec<u64> {
    let leases = state.view.parcels.iter().filter_map(|p| p.lease.as_ref()).map(|lease| lease.fence);
    let held = state.couriers.iter().flat_map(|courier| &courier.held).map(|held| held.fence);
    let late = state.late.iter().filter_map(|command| match command {
        ScriptRequest::Begin { fence, .. }
        | ScriptRequest::Settle { fence, .. }
        | ScriptRequest::Release { fence, .. }
        | ScriptRequest::Renew { fence, .. } => Some(*fence),
        _ => None,
    });
    let requested = (0..state.couriers.len()).filter_map(|at| Some(remembered(explorer, state, at)?.1));
    let mut fences: Vec<u64> = leases.chain(held).chain(late).chain(requested).collect();
    fences.sort_unstable();
    fences.dedup();
    fences
}

/// What the database would return to a courier that repeats its claim.
fn remembered(explorer: &Explorer, state: &ExplorerState, at: usize) -> Option<(u64, u64, String)> {
    let courier = &state.couriers[at];
    courier.asking?;
    let request = explorer.names.request(&state.world, courier.channel, at, courier.life)?;
    (request.0 == courier.number).then_some(request)
}

/// Time left until a moment; everything past is equal.
fn left(now: i64, moment: i64) -> i64 {
    (moment - now).max(0)
}

fn rank(fences: &[u64], fence: u64) -> usize {
    fences.binary_search(&fence).unwrap_or(usize::MAX)
}

fn write_orders(view: &DatabaseView, hasher: &mut Ink) {
    for order in &view.orders {
        let over = order.head.as_ref().map(|head| view.now >= at(head.not_after));
        let due = order.due.map(|due| (due - view.now).max(-1 - view.lead));
        (over, order.cancelled, order.ended, order.promoted, due, order.bell).hash(hasher);
        // Far in the future all moments are equal.
        let span = order.head.as_ref().map(|head| left(view.now, at(head.not_after)));
        span.filter(|span| *span < NEAR_MS).hash(hasher);
    }
}

fn write_places(view: &DatabaseView, it: &super::view::ParcelView, fences: &[u64], hasher: &mut Ink) {
    let until = |moment: Option<i64>| moment.map(|moment| left(view.now, moment));
    (until(it.ready), until(it.leased), until(it.unresolved), it.crashes, it.parked).hash(hasher);
    let lease = it.lease.as_ref();
    lease.map(|l| (rank(fences, l.fence), l.begun, l.alone, l.last, left(view.now, l.send_by))).hash(hasher);
}

fn write_delivery(now: i64, delivery: &DeliveryRecord, hasher: &mut Ink) {
    let wait = delivery.not_before.map(|moment| left(now, at(moment)));
    (delivery.state, delivery.attempt, delivery.tries, delivery.repeated).hash(hasher);
    (delivery.reason.code(), delivery.token.is_some(), wait.unwrap_or(0)).hash(hasher);
}

fn report(report: &PendingReport) -> (u8, u8, bool, u32) {
    (report.attempt, report.outcome.letter(), report.again, report.value)
}

fn decision(decision: &Decision) -> (u8, u16) {
    match decision {
        Decision::Retry => (0, 0),
        Decision::Repeat => (1, 0),
        Decision::Hold(reason) => (2, reason.code()),
        Decision::Found(outcome, reason) => (3 + outcome.letter(), reason.reason.code()),
    }
}

impl Writer<'_> {
    fn write(&self, hasher: &mut Ink) {
        let view = &self.state.view;
        write_orders(view, hasher);
        for (parcel, it) in view.parcels.iter().enumerate() {
            write_places(view, it, self.fences, hasher);
            for place in 0..it.deliveries.len() {
                let delivery = self.naming.delivery(place);
                write_delivery(view.now, &it.deliveries[delivery], hasher);
                let Truth { taken, reported_unknown, send_by, sleeps } = &self.state.truth[parcel][delivery];
                (taken, reported_unknown, left(view.now, *send_by), sleeps).hash(hasher);
            }
        }
        for at in &self.naming.couriers {
            self.courier(*at, &self.state.couriers[*at], hasher);
        }
        for resolving in &self.state.resolvers {
            let reported = resolving.as_ref().map(|resolving| {
                let decisions = resolving.decisions.iter();
                let decisions =
                    decisions.map(|(delivery, attempt, it)| (*delivery, (*attempt, decision(it))));
                (resolving.parcel, self.naming.place(decisions))
            });
            reported.hash(hasher);
        }
        let mut late: Vec<u64> = self.state.late.iter().map(|command| self.late(command)).collect();
        late.sort_unstable();
        late.hash(hasher);
        self.state.left.hash(hasher);
        self.state.fault.as_ref().map(|fault| fault.property).hash(hasher);
    }

    fn courier(&self, at: usize, courier: &ModelCourier, hasher: &mut Ink) {
        (courier.channel, courier.asking, courier.stopping, courier.held.len()).hash(hasher);
        let remembered = remembered(self.explorer, self.state, at);
        remembered.map(|(_, fence, parcel_ids)| (rank(self.fences, fence), parcel_ids)).hash(hasher);
        for held in &courier.held {
            self.held(held, hasher);
        }
    }

    fn held(&self, held: &HeldParcel, hasher: &mut Ink) {
        let now = self.state.view.now;
        (held.parcel, rank(self.fences, held.fence), held.loaded, held.closed, held.lost).hash(hasher);
        left(now, held.lease_until).hash(hasher);
        for place in 0..held.deliveries.len() {
            let memory = match held.deliveries[self.naming.delivery(place)] {
                CourierDelivery::NotOurs => (0, 0, false, None),
                CourierDelivery::Waiting(last) => (1, last, false, None),
                CourierDelivery::Begun(attempt, at) => (2, attempt, at == now, None),
                CourierDelivery::Report(it) => (3, 0, false, Some(report(&it))),
                CourierDelivery::Again(last) => (4, last, false, None),
            };
            memory.hash(hasher);
        }
        let said = |SentSettle { reports, leave }: &SentSettle| {
            (self.naming.place(reports.iter().map(|(delivery, it)| (*delivery, report(it)))), *leave)
        };
        held.settling.as_ref().map(said).hash(hasher);
    }

    fn late(&self, command: &ScriptRequest) -> u64 {
        let mut hasher = Ink::default();
        let fence = |fence: &u64| rank(self.fences, *fence);
        match command {
            ScriptRequest::Claim { courier, life, number, begin } => {
                let place = self.naming.couriers.iter().position(|at| at == courier);
                let it = &self.state.couriers[*courier];
                let alive = place.filter(|_| it.life == *life);
                let known = self.explorer.names.request(&self.state.world, it.channel, *courier, *life);
                // For a process not known yet every number is new.
                let order = known.map_or(Ordering::Less, |(last, ..)| last.cmp(number));
                (0, alive, order, alive.map(|_| number.cmp(&it.number)), begin).hash(&mut hasher);
            }
            ScriptRequest::Begin { parcel, fence: f, deliveries } => {
                (1, parcel, fence(f), self.naming.place(deliveries.iter().copied())).hash(&mut hasher);
            }
            ScriptRequest::Settle { parcel, fence: f, leave, reports } => {
                let reports = self.naming.place(reports.iter().map(|(delivery, it)| (*delivery, report(it))));
                (2, parcel, fence(f), leave, reports).hash(&mut hasher);
            }
            ScriptRequest::Release { parcel, fence: f } => (3, parcel, fence(f)).hash(&mut hasher),
            ScriptRequest::Renew { parcel, fence: f } => (4, parcel, fence(f)).hash(&mut hasher),
            ScriptRequest::Resolve { parcel, decisions } => {
                let decisions =
                    decisions.iter().map(|(delivery, attempt, it)| (*delivery, (*attempt, decision(it))));
                (5, parcel, self.naming.place(decisions)).hash(&mut hasher);
            }
            ScriptRequest::Reschedule { order, due, revision } => {
                let known = self.explorer.names.revision(&self.state.world, *order);
                (6, order, left(self.state.view.now, *due), known.cmp(revision)).hash(&mut hasher);
            }
            other => (7, format!("{other:?}")).hash(&mut hasher),
        }
        hasher.finish()
    }
}
