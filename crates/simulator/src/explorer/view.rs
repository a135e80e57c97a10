//! The content of the database, decoded: everything that properties and couriers' choices need.

use posthaste_model::{State as DeliveryState, UnixMs};
use posthaste_protocol::record::{DeliveryRecord, DeliveryRecords, Head, decode_counters};

use super::scenario::Scenario;
use crate::FakeRedis;

/// The database at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseView {
    /// The server's time in ms, as scripts read it.
    pub now: i64,
    /// How far it runs ahead of the clock by which keys expire.
    pub lead: i64,
    /// Every order of the scenario.
    pub orders: Vec<ModelOrder>,
    /// Every parcel of the scenario.
    pub parcels: Vec<ParcelView>,
    /// Entries that belong to no order.
    pub strays: Option<String>,
}

/// An order's record and index entries.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOrder {
    /// Its head; `None` if there is no readable record.
    pub head: Option<Head>,
    /// It was cancelled.
    pub cancelled: bool,
    /// Every delivery is final.
    pub ended: bool,
    /// Open deliveries, for an order in parcels.
    pub open: Option<u64>,
    /// Parcels promoted so far, while it is being promoted.
    pub promoted: Option<u64>,
    /// Its score in the index of due orders.
    pub due: Option<i64>,
    /// How often it is queued for purging.
    pub retirements: usize,
    /// Its bell exists.
    pub bell: bool,
    /// The counters of each channel of the scenario, for an order in parcels.
    pub counters: Vec<Option<posthaste_model::Counters>>,
}

/// A parcel's record and index entries.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ParcelView {
    /// Its deliveries; empty if there is no order, or no readable record.
    pub deliveries: Vec<DeliveryRecord>,
    /// Whether it was ever begun, so that it has a record.
    pub has_record: bool,
    /// The stored counts of pending, sending and unresolved deliveries.
    pub counts: (u16, u16, u16),
    /// Its score in the ready index of its priority.
    pub ready: Option<i64>,
    /// It is in the ready index of the other priority.
    pub wrong_priority: bool,
    /// The end of its lease.
    pub leased: Option<i64>,
    /// The record of its lease.
    pub lease: Option<LeaseView>,
    /// Its score in the index of unresolved parcels.
    pub unresolved: Option<i64>,
    /// Deaths without progress: upon being taken, and alone on the wire.
    pub crashes: Option<(u64, u64)>,
    /// It was parked as unreadable.
    pub parked: bool,
}

/// The record of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Its fence.
    pub fence: u64,
    /// Something was begun under it.
    pub begun: bool,
    /// Only its parcel can be what its courier dies of.
    pub alone: bool,
    /// Its courier claimed nothing since; false where deaths are not blamed.
    pub last: bool,
    /// When the last send begun under it must have ended.
    pub send_by: i64,
}

/// Key names of a scenario, made once.
#[derive(Clone, Debug)]
pub struct Names {
    history: Vec<Vec<u8>>,
    bells: Vec<Vec<u8>>,
    due: Vec<Vec<u8>>,
    outcome: Vec<Vec<u8>>,
    ready: Vec<[Vec<u8>; 2]>,
    leased: Vec<Vec<u8>>,
    lease: Vec<Vec<u8>>,
    unresolved: Vec<Vec<u8>>,
    crashes: Vec<Vec<u8>>,
    parked: Vec<Vec<u8>>,
    requests: Vec<Vec<u8>>,
    counters: Vec<Vec<u8>>,
}

impl Names {
    /// How often the record of an order was written, as reported to its readers.
    #[must_use]
    pub fn revision(&self, world: &FakeRedis, order: usize) -> u64 {
        digits(world.hash_at(&self.history[order]).and_then(|fields| fields.get(b"v"))).unwrap_or(0)
    }

    /// The names of the keys a scenario can touch.
    #[must_use]
    pub fn new(s: &Scenario) -> Self {
        use posthaste_model::Priority::{Bulk, Urgent};
        let k = &s.keys;
        let orders = |name: &dyn Fn(&super::scenario::OrderSpec) -> String| {
            s.orders.iter().map(|order| name(order).into_bytes()).collect()
        };
        let channels = |name: &dyn Fn(&posthaste_model::Channel) -> String| {
            s.channels.iter().map(|channel| name(channel).into_bytes()).collect()
        };
        Self {
            history: orders(&|order| k.history(&order.order_id)),
            bells: orders(&|order| k.bell_of(&order.order_id)),
            due: orders(&|order| k.due(order.priority)),
            outcome: (s.parcels.iter())
                .map(|p| {
                    k.outcome(&p.parcel_id.order_id, &s.channels[p.channel], p.parcel_id.number).into_bytes()
                })
                .collect(),
            ready: (s.parcels.iter())
                .map(|p| {
                    let priority = s.orders[p.order].priority;
                    let other = if priority == Urgent { Bulk } else { Urgent };
                    [priority, other].map(|priority| k.ready(&s.channels[p.channel], priority).into_bytes())
                })
                .collect(),
            leased: channels(&|c| k.leased(c)),
            lease: channels(&|c| k.lease(c)),
            unresolved: channels(&|c| k.unresolved(c)),
            crashes: channels(&|c| k.crashes(c)),
            parked: channels(&|c| k.parked(c)),
            requests: channels(&|c| k.request(c)),
            counters: channels(&|c| format!("c:{c}")),
        }
    }

    /// The key whose expiry announces an order.
    #[must_use]
    pub fn bell_of(&self, order: usize) -> &[u8] {
        &self.bells[order]
    }

    /// The last remembered claim of a courier's process: its number, fence and parcels.
    #[must_use]
    pub fn request(
        &self,
        world: &FakeRedis,
        channel: usize,
        courier: usize,
        life: u16,
    ) -> Option<(u64, u64, String)> {
        let record = world.hash_at(&self.requests[channel])?.get(format!("c{courier}-{life}").as_bytes())?;
        let text = std::str::from_utf8(record).ok()?;
        let mut words = text.splitn(3, ' ');
        let number = words.next()?.parse().ok()?;
        Some((number, words.next()?.parse().ok()?, words.next().unwrap_or("").to_owned()))
    }
}

fn digits(bytes: Option<&crate::fake_redis::Str>) -> Option<u64> {
    std::str::from_utf8(bytes?).ok()?.parse().ok()
}

#[expect(clippy::cast_possible_truncation, reason = "scores are whole milliseconds")]
fn score(world: &FakeRedis, key: &[u8], parcel_id: &[u8]) -> Option<i64> {
    world.sorted_at(key)?.score(parcel_id).map(|score| score as i64)
}

impl DatabaseView {
    /// Decodes a world.
    #[must_use]
    pub fn read(s: &Scenario, names: &Names, world: &FakeRedis) -> Self {
        let retired: Vec<&[u8]> = (world.entries())
            .filter(|(key, _)| key.starts_with(b"retire:"))
            .filter_map(|(key, _)| world.list_at(key))
            .flat_map(|list| list.iter().map(|order_id| &**order_id))
            .collect();
        let orders: Vec<ModelOrder> =
            (0..s.orders.len()).map(|order| read_order(s, names, world, order, &retired)).collect();
        let parcels =
            (0..s.parcels.len()).map(|parcel| read_parcel(s, names, world, parcel, &orders)).collect();
        let strays = strays(s, names, world);
        Self { now: world.clock().running_ms(), lead: world.clock().lead_ms(), orders, parcels, strays }
    }

    /// Whether every delivery of every accepted order is final.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.parcels.iter().all(|parcel| parcel.deliveries.iter().all(|delivery| !delivery.state.is_open()))
    }

    /// Whether a parcel is no longer in any index.
    #[must_use]
    pub fn is_still(&self) -> bool {
        let still = |p: &ParcelView| {
            p.ready.is_none() && p.leased.is_none() && p.lease.is_none() && p.unresolved.is_none()
        };
        self.parcels.iter().all(still)
    }

    /// The next moment at which time alone can change something.
    #[must_use]
    pub fn next_instant(&self) -> Option<i64> {
        let later = |at: &i64| *at > self.now;
        let parcels = self.parcels.iter().flat_map(|p| [p.ready, p.leased, p.unresolved]).flatten();
        let orders = self
            .orders
            .iter()
            .filter_map(|order| order.due)
            .flat_map(|due| [due, due + 1, due + 1 + self.lead]);
        parcels.chain(orders).filter(later).min()
    }
}

fn read_order(s: &Scenario, names: &Names, world: &FakeRedis, order: usize, retired: &[&[u8]]) -> ModelOrder {
    let order_id = s.orders[order].order_id.as_str().as_bytes();
    let fields = world.hash_at(&names.history[order]);
    let field = |name: &[u8]| fields.and_then(|fields| fields.get(name));
    ModelOrder {
        head: field(b"h").and_then(|head| Head::decode(head).ok()),
        cancelled: field(b"x").is_some(),
        ended: field(b"f").is_some(),
        open: digits(field(b"l")),
        promoted: digits(field(b"g")),
        due: score(world, &names.due[order], order_id),
        retirements: retired.iter().filter(|entry| **entry == order_id).count(),
        bell: world.entry(&names.bells[order]).is_some(),
        counters: names.counters.iter().map(|name| decode_counters(field(name)?).ok()).collect(),
    }
}

fn read_parcel(
    s: &Scenario,
    names: &Names,
    world: &FakeRedis,
    parcel: usize,
    orders: &[ModelOrder],
) -> ParcelView {
    let spec = &s.parcels[parcel];
    let (parcel_id, channel) = (&spec.member_key[..], spec.channel);
    let order = &orders[spec.order];
    let lease = world.hash_at(&names.lease[channel]).and_then(|leases| leases.get(parcel_id));
    let crash = world.hash_at(&names.crashes[channel]).and_then(|marks| marks.get(parcel_id));
    let mut view = ParcelView {
        ready: score(world, &names.ready[parcel][0], parcel_id),
        wrong_priority: score(world, &names.ready[parcel][1], parcel_id).is_some(),
        leased: score(world, &names.leased[channel], parcel_id),
        lease: lease.and_then(|record| read_lease(record)),
        unresolved: score(world, &names.unresolved[channel], parcel_id),
        crashes: crash.and_then(|mark| read_mark(mark)),
        parked: score(world, &names.parked[channel], parcel_id).is_some(),
        ..ParcelView::default()
    };
    if let (true, Some(record), Some(lease)) = (s.blame, lease, &mut view.lease) {
        let requests = world.hash_at(&names.requests[channel]);
        lease.last = is_last_taken(record, parcel_id, |courier| Some(requests?.get(courier)?.to_vec()));
    }
    let Some(head) = &order.head else { return view };
    let record = if head.inline {
        world
            .hash_at(&names.history[spec.order])
            .and_then(|fields| fields.get(b"o"))
            .map(|record| &record[..])
    } else {
        world.text(&names.outcome[parcel])
    };
    view.has_record = record.is_some();
    let outcomes = if record.is_none() && !head.inline && order.cancelled && order.ended {
        DeliveryRecords::all_cancelled(spec.deliveries, head.due)
    } else {
        DeliveryRecords::decode(record, spec.deliveries, head.due)
    };
    if let Ok(outcomes) = outcomes {
        view.counts = outcomes.counts();
        view.deliveries = outcomes.deliveries().collect();
    }
    view
}

fn read_lease(record: &[u8]) -> Option<LeaseView> {
    let text = std::str::from_utf8(record).ok()?;
    let mut words = text.split(' ');
    Some(LeaseView {
        fence: words.next()?.parse().ok()?,
        begun: words.next()? == "1",
        alone: words.next()? == "1",
        send_by: words.next()?.parse().ok()?,
        last: false,
    })
}

fn read_mark(mark: &[u8]) -> Option<(u64, u64)> {
    let mut words = std::str::from_utf8(mark).ok()?.split(' ');
    let taken = words.next()?.parse().ok()?;
    Some((taken, words.nth(1).map_or(Some(0), |wire| wire.parse().ok())?))
}

/// Whether a parcel was the only one in its courier's last claim.
fn is_last_taken(lease: &[u8], parcel_id: &[u8], request: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    let mut words = lease.splitn(5, |byte| *byte == b' ');
    let (Some(fence), Some(courier)) = (words.next(), words.nth(3)) else { return false };
    let taken = [fence, b" ", parcel_id].concat();
    request(courier).is_some_and(|last| last.splitn(2, |byte| *byte == b' ').nth(1) == Some(&taken[..]))
}

/// Members of indexes that are not parcels of the scenario.
fn strays(s: &Scenario, names: &Names, world: &FakeRedis) -> Option<String> {
    for channel in 0..s.channels.len() {
        let known =
            |parcel_id: &[u8]| s.parcels.iter().any(|p| p.channel == channel && p.member_key == parcel_id);
        for key in [&names.leased[channel], &names.unresolved[channel]] {
            let parcel_ids = world.sorted_at(key).into_iter().flat_map(|set| set.iter());
            for (parcel_id, _) in parcel_ids {
                if !known(parcel_id) {
                    return Some(format!("{} names {}", key.escape_ascii(), parcel_id.escape_ascii()));
                }
            }
        }
    }
    None
}

/// A time of the model as ms.
#[must_use]
pub fn at(moment: UnixMs) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}

/// Whether a delivery waits to be begun, and may be begun now.
#[must_use]
pub fn is_ripe(delivery: &DeliveryRecord, now: i64) -> bool {
    delivery.state == DeliveryState::Pending && delivery.not_before.is_none_or(|moment| at(moment) <= now)
}
