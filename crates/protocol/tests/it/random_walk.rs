//! The steps of a random walk: any script, with arguments that are mostly valid.

use std::time::Duration;

use posthaste_model::{OnUnknown, OutcomeKind, ParcelId, Priority, Reason, UnixMs};
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::PurgeOrders;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::scan_orders::ScanOrders;
use posthaste_protocol::scripts::settle::{AttemptReport, Settle, Settlement};
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unstage_parcels::Unstage;
use posthaste_protocol::scripts::{ParcelRef, reclaim_leases::ReclaimLeases};

use crate::db::{Db, channel};
use crate::order::{Courier, LEASE, Order, WINDOW};
use crate::random_step::Act;

/// A database, three couriers (two for e-mail, one for SMS), and what they have seen.
pub(crate) struct Walk<'a> {
    pub(crate) db: &'a Db,
    pub(crate) orders: Vec<Order>,
    couriers: Vec<Courier<'a>>,
    held: Vec<Vec<ParcelRef>>,
    names: u32,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        db.reset();
        let couriers = vec![Courier::new(db, "c1"), Courier::new(db, "c2"), Courier::on(db, "c3", "sms")];
        Self { db, orders: vec![], couriers, held: vec![vec![]; 3], names: 0 }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("u{}:{}", self.names % 2, self.names)
    }

    /// A parcel from one of a courier's last claims, with the attempts recorded for its deliveries.
    fn parcel(&self, courier: usize, which: usize) -> Option<(ParcelRef, Vec<u8>)> {
        let held = &self.held[courier];
        let parcel = held.get(held.len().checked_sub(1 + which % held.len().max(1))?)?.clone();
        let attempts =
            self.attempts(courier, &parcel.parcel_id.order_id.to_string(), parcel.parcel_id.number);
        Some((parcel, attempts))
    }

    fn attempts(&self, courier: usize, order_id: &str, n: u32) -> Vec<u8> {
        let Some(order) = self.orders.iter().find(|order| order.order_id.as_str() == order_id) else {
            return vec![];
        };
        let history = self.db.keys.history(&order.order_id);
        if self.db.raw(&["EXISTS", &history]).int() == Some(0) {
            return vec![];
        }
        let order = Order { channels: vec![(self.couriers[courier].channel.clone(), 0)], ..order.clone() };
        order
            .try_outcomes(self.db, n)
            .map_or_else(Vec::new, |all| all.deliveries().map(|delivery| delivery.attempt).collect())
    }

    fn order(&self, which: usize) -> Option<&Order> {
        self.orders.get(self.orders.len().checked_sub(1 + which % self.orders.len().max(1))?)
    }

    /// Performs the step; returns the script time that may have begun deliveries.
    pub(crate) fn act(&mut self, act: &Act) {
        let db = self.db;
        let keys = &db.keys;
        match act {
            Act::Accept { big, deliveries, sms, urgent, due, policy } => {
                let name = self.name();
                let mut order = Order::of_layout(*big, &name).deliveries(if *big {
                    *deliveries
                } else {
                    *deliveries % 4 + 1
                });
                if *sms {
                    let deliveries = order.channels[0].1;
                    order = order.channels(if *big {
                        &[("email", 2), ("sms", 502)]
                    } else {
                        &[("email", 0), ("sms", 1)]
                    });
                    order.no_contact = vec![deliveries, 0];
                }
                order.priority = if *urgent { Priority::Urgent } else { Priority::Bulk };
                order.on_unknown =
                    [OnUnknown::Default, OnUnknown::Retry, OnUnknown::Hold][usize::from(*policy)];
                if *due > 0 {
                    order.due = Some(UnixMs(db.now().0 + due));
                }
                order.accept(db);
                self.orders.push(order);
            }
            Act::StageOnly => Order::big(&self.name()).deliveries(700).stage(db),
            Act::Unstage => drop(db.reply(&Unstage { keys, order_id: None, upload: None })),
            Act::Claim { courier, limit, begin } => {
                let claim = self.couriers[*courier].next();
                let claim =
                    posthaste_protocol::scripts::claim::Claim { limit: *limit, begin: *begin, ..claim };
                let (_, parcels) = self.couriers[*courier].take(&claim);
                self.held[*courier].extend(parcels);
            }
            Act::Again { courier } => drop(db.reply(&self.couriers[*courier].same())),
            Act::Begin { courier, parcel, deliveries, tokens, off } => {
                let Some((parcel, attempts)) = self.parcel(*courier, *parcel) else { return };
                let attempt = |delivery: u16| {
                    attempts.get(usize::from(delivery)).unwrap_or(&0).wrapping_add(1).wrapping_add(*off)
                };
                let deliveries = deliveries.iter().map(|delivery| (*delivery, attempt(*delivery))).collect();
                let channel = &self.couriers[*courier].channel;
                let parcels = [(parcel, deliveries)];
                db.reply(&Begin {
                    keys,
                    channel,
                    send_window: WINDOW,
                    deliveries_a_token: u16::from(*tokens),
                    partitions: 1,
                    parcels: &parcels,
                });
            }
            Act::Settle { courier, parcel, deliveries, outcome, off, leave, wait } => {
                let Some((parcel, attempts)) = self.parcel(*courier, *parcel) else { return };
                let report = |delivery: &u16| AttemptReport {
                    delivery: *delivery,
                    attempt: attempts.get(usize::from(*delivery)).unwrap_or(&0).wrapping_add(*off),
                    outcome: OutcomeKind::ALL[*outcome],
                    reason: Reason::Rejected,
                    value: *wait,
                };
                let reports = deliveries.iter().map(report).collect();
                let settlements = [Settlement { parcel, leave: *leave, reports }];
                db.reply(&Settle {
                    keys,
                    channel: &self.couriers[*courier].channel,
                    settlements: &settlements,
                });
            }
            Act::Renew { courier, parcel } => {
                let Some((parcel, _)) = self.parcel(*courier, *parcel) else { return };
                let channel = &self.couriers[*courier].channel;
                db.reply(&Renew { keys, channel, lease: LEASE, parcels: &[parcel] });
            }
            Act::Release { courier, parcel } => {
                let Some((parcel, _)) = self.parcel(*courier, *parcel) else { return };
                let channel = &self.couriers[*courier].channel;
                db.reply(&Release { keys, channel, wait: Duration::ZERO, parcels: &[parcel] });
            }
            Act::Sweep { courier, blame } => {
                let sweep = self.couriers[*courier].sweeping();
                db.reply(&ReclaimLeases { blame: *blame, ..sweep });
            }
            Act::Resolve { courier, order, deliveries, decision } => {
                let Some(order) = self.order(*order) else { return };
                let attempts = self.attempts(*courier, order.order_id.as_str(), 0);
                let decision = match decision {
                    0 => Decision::Retry,
                    1 => Decision::Repeat,
                    2 => Decision::Hold(Reason::NotRetried),
                    3 => Decision::Found(OutcomeKind::Delivered, Reason::None.into()),
                    4 => Decision::Found(OutcomeKind::Failed, Reason::Rejected.into()),
                    _ => Decision::Found(OutcomeKind::Sent, Reason::None.into()),
                };
                let deliveries = deliveries.iter().filter_map(|delivery| {
                    Some((*delivery, *attempts.get(usize::from(*delivery))?, decision))
                });
                let decisions: Vec<_> = deliveries.collect();
                let (channel, parcel_id) = (&self.couriers[*courier].channel, &order.parcel_id(0));
                db.reply(&Resolve { keys, channel, parcel_id, decisions: &decisions });
            }
            Act::Receipt { courier, order, delivery, off, word } => {
                let Some(order) = self.order(*order) else { return };
                let attempts = self.attempts(*courier, order.order_id.as_str(), 0);
                let attempt = attempts.get(usize::from(*delivery)).unwrap_or(&0).wrapping_add(*off);
                let word = [ReceiptStatus::Sent, ReceiptStatus::Delivered, ReceiptStatus::Failed]
                    [usize::from(*word)];
                let (channel, parcel_id) = (&self.couriers[*courier].channel, &order.parcel_id(0));
                db.reply(&ApplyReceipt {
                    keys,
                    channel,
                    parcel_id,
                    delivery: *delivery,
                    attempt,
                    status: word,
                    reason: Reason::None.into(),
                });
            }
            Act::Cancel { order } => {
                let Some(order) = self.order(*order) else { return };
                db.reply(&Cancel { keys, order_id: &order.order_id });
            }
            Act::Move { order, due } => {
                let Some(order) = self.order(*order) else { return };
                let due = UnixMs(db.now().0 + due);
                let revision = order.revision(db);
                db.reply(&Reschedule { keys, order_id: &order.order_id, due, not_after: None, revision });
            }
            Act::Ring => drop(db.reply(&PromoteDue { keys })),
            Act::Close { courier, which } => {
                let index = match which {
                    0 => Index::Ready(Priority::Urgent),
                    1 => Index::Ready(Priority::Bulk),
                    _ => Index::Unresolved,
                };
                db.reply(&ExpireParcels {
                    keys,
                    channel: &self.couriers[*courier].channel,
                    index,
                    from: 0,
                    limit: 200,
                });
            }
            Act::Audit { courier, order } => {
                let Some(order) = self.order(*order) else { return };
                let channel = &self.couriers[*courier].channel;
                // In a sound database `repair_indexes` has nothing to do.
                db.unchanged(&RepairIndexes { keys, channel, order_id: &order.order_id, from: 0 });
            }
            Act::ClaimUnresolved { courier } => {
                let channel = &self.couriers[*courier].channel;
                db.reply(&ClaimUnresolved { keys, channel, limit: 10, put_off: WINDOW });
            }
            Act::ScanOrders => self.scan_orders(),
            Act::Retire => self.retire(),
            Act::Key { n, what } => {
                let key = crate::api_keys::key(*n, "ci");
                match what {
                    0 => drop(db.reply(&CreateKey { keys, key: &key })),
                    1 => drop(db.reply(&RevokeKey { keys, id: &key.id })),
                    _ => drop(db.reply(&TouchKey { keys, id: &key.id })),
                }
            }
            Act::Suppress { n, what } => crate::suppressions::step(db, *n, *what),
            Act::Later { ms } => db.later(Duration::from_millis(*ms)),
            Act::LateCopy { of } if db.sent() > 0 => db.late_copy(*of % db.sent()),
            Act::LateCopy { .. } => {}
        }
    }

    /// In a sound database `scan_orders` lists only big orders in progress.
    fn scan_orders(&self) {
        let scanned = self.db.unchanged(&ScanOrders { keys: &self.db.keys, from: 0, limit: 500 });
        for order_id in scanned.named {
            let order = self.orders.iter().find(|order| order.order_id == order_id);
            assert!(order.is_some_and(|order| order.big), "{order_id} is listed");
        }
    }

    /// Removes all final orders, as if 91 days had passed for them alone.
    fn retire(&mut self) {
        let keys = &self.db.keys;
        let leases = [&self.couriers[0], &self.couriers[2]].map(|courier| keys.leased(&courier.channel));
        if leases.iter().any(|key| self.db.raw(&["EXISTS", key]).int() == Some(1)) {
            return;
        }
        let Some(day) = self.db.age_final() else { return };
        self.db.reply(&PurgeOrders { keys, day, retention_days: 90 });
        let all = self.db.snapshot();
        self.orders.retain(|order| all.get(&keys.history(&order.order_id)).is_some());
        // No copy arrives 90 days late.
        self.db.forget_sent();
    }

    /// Works until nothing is left to do and everything accepted has ended.
    pub(crate) fn drain(&mut self) {
        for round in 0_u8.. {
            assert!(round < 40, "deliveries that never end");
            self.db.later(Duration::from_secs(61));
            for courier in 0..self.couriers.len() {
                self.act(&Act::Sweep { courier, blame: false });
                self.act(&Act::Claim { courier, limit: 200, begin: 0 });
                for parcel in std::mem::take(&mut self.held[courier]) {
                    let (n, order_id) = (parcel.parcel_id.number, parcel.parcel_id.order_id.to_string());
                    let attempts = self.attempts(courier, &order_id, n);
                    let deliveries =
                        attempts.iter().enumerate().map(|(i, k)| (u16::try_from(i).expect("a delivery"), *k));
                    let deliveries: Vec<_> = deliveries.collect();
                    let next = deliveries.iter().map(|(i, k)| (*i, k.wrapping_add(1))).collect::<Vec<_>>();
                    self.couriers[courier].begin(&parcel, &next);
                    let reports: Vec<_> =
                        next.iter().map(|(i, k)| crate::order::report(*i, *k, OutcomeKind::Sent)).collect();
                    self.couriers[courier].settle(&parcel, true, &reports);
                }
            }
            for courier in [0, 2] {
                self.hold_unresolved(courier);
            }
            self.db.check_invariants();
            let all = self.db.snapshot();
            let open = |order: &Order| !all.hash(&self.db.keys.history(&order.order_id)).contains_key("f");
            if !self.orders.iter().any(open) {
                return;
            }
        }
    }

    /// Leaves every unresolved delivery of a courier's channel unknown.
    fn hold_unresolved(&self, courier: usize) {
        let (db, channel) = (self.db, &self.couriers[courier].channel);
        for parcel_id in db.snapshot().sorted(&db.keys.unresolved(channel)).keys() {
            let parcel_id: ParcelId = parcel_id.parse().expect("a parcel");
            let attempts = self.attempts(courier, &parcel_id.order_id.to_string(), parcel_id.number);
            let deliveries =
                attempts.iter().enumerate().map(|(i, k)| (u16::try_from(i).expect("a delivery"), *k));
            let decisions: Vec<_> =
                deliveries.map(|(i, k)| (i, k, Decision::Hold(Reason::NotRetried))).collect();
            db.reply(&Resolve { keys: &db.keys, channel, parcel_id: &parcel_id, decisions: &decisions });
        }
    }

    /// The channels of the couriers.
    pub(crate) fn channels() -> [posthaste_model::Channel; 2] {
        [channel("email"), channel("sms")]
    }
}
