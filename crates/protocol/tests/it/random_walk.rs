//! One step of a random walk: any script, with arguments that are mostly right.

use std::time::Duration;

use posthaste_model::{Lane, Member, OnUnknown, Reason, UnixMs, Verdict};
use posthaste_protocol::scripts::audit::Audit;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::patrol::Patrol;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::retire::Retire;
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::settle::{Report, Settle, Settlement};
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unstage::Unstage;
use posthaste_protocol::scripts::{ParcelRef, sweep::Sweep};
use proptest::prelude::*;

use crate::db::{Db, channel};
use crate::order::{Courier, LEASE, Order, WINDOW};

/// One step. Numbers choose among what is there.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Accept { big: bool, rows: u32, sms: bool, urgent: bool, due: u64, policy: u8 },
    StageOnly,
    Unstage,
    Claim { courier: usize, limit: u32, begin: u32 },
    Again { courier: usize },
    Begin { courier: usize, parcel: usize, rows: Vec<u16>, tokens: bool, off: u8 },
    Settle { courier: usize, parcel: usize, rows: Vec<u16>, verdict: usize, off: u8, leave: bool, wait: u32 },
    Renew { courier: usize, parcel: usize },
    Release { courier: usize, parcel: usize },
    Sweep { courier: usize, blame: bool },
    Resolve { courier: usize, order: usize, rows: Vec<u16>, decision: u8 },
    Receipt { courier: usize, order: usize, row: u16, off: u8, word: u8 },
    Cancel { order: usize },
    Move { order: usize, due: u64 },
    Ring,
    Close { courier: usize, which: u8 },
    Audit { courier: usize, order: usize },
    Inquire { courier: usize },
    Patrol,
    Retire,
    Key { n: u32, what: u8 },
    Suppress { n: u32, what: u8 },
    Later { ms: u64 },
    LateCopy { of: usize },
}

/// Any step.
pub(crate) fn any_act() -> impl Strategy<Value = Act> {
    let rows =
        || prop::collection::btree_set(0_u16..4, 1..4).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let (who, which) = (|| 0_usize..3, || 0_usize..8);
    let off = || prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(255)];
    prop_oneof![
        6 => (any::<bool>(), prop_oneof![4 => 1_u32..4, 1 => Just(502)], any::<bool>(), any::<bool>(),
              prop_oneof![3 => Just(0), 1 => Just(5_000), 1 => Just(60_000)], 0_u8..3)
            .prop_map(|(big, rows, sms, urgent, due, policy)| Act::Accept { big, rows, sms, urgent, due, policy }),
        1 => Just(Act::StageOnly),
        1 => Just(Act::Unstage),
        8 => (who(), 1_u32..6, 0_u32..3).prop_map(|(courier, limit, begin)| Act::Claim { courier, limit, begin }),
        1 => who().prop_map(|courier| Act::Again { courier }),
        10 => (who(), which(), rows(), any::<bool>(), off())
            .prop_map(|(courier, parcel, rows, tokens, off)| Act::Begin { courier, parcel, rows, tokens, off }),
        14 => (who(), which(), rows(), 0_usize..8, off(), any::<bool>(), 0_u32..3_000)
            .prop_map(|(courier, parcel, rows, verdict, off, leave, wait)|
                Act::Settle { courier, parcel, rows, verdict, off, leave, wait }),
        1 => (who(), which()).prop_map(|(courier, parcel)| Act::Renew { courier, parcel }),
        2 => (who(), which()).prop_map(|(courier, parcel)| Act::Release { courier, parcel }),
        4 => (who(), any::<bool>()).prop_map(|(courier, blame)| Act::Sweep { courier, blame }),
        4 => (who(), which(), rows(), 0_u8..6)
            .prop_map(|(courier, order, rows, decision)| Act::Resolve { courier, order, rows, decision }),
        3 => (who(), which(), 0_u16..4, off(), 0_u8..3)
            .prop_map(|(courier, order, row, off, word)| Act::Receipt { courier, order, row, off, word }),
        1 => which().prop_map(|order| Act::Cancel { order }),
        1 => (which(), 0_u64..30_000).prop_map(|(order, due)| Act::Move { order, due }),
        1 => Just(Act::Ring),
        2 => (who(), 0_u8..3).prop_map(|(courier, which)| Act::Close { courier, which }),
        1 => (who(), which()).prop_map(|(courier, order)| Act::Audit { courier, order }),
        1 => who().prop_map(|courier| Act::Inquire { courier }),
        1 => Just(Act::Patrol),
        1 => Just(Act::Retire),
        2 => (0_u32..4, 0_u8..3).prop_map(|(n, what)| Act::Key { n, what }),
        2 => (0_u32..4, 0_u8..5).prop_map(|(n, what)| Act::Suppress { n, what }),
        4 => prop_oneof![4 => Just(1_000), 4 => Just(11_000), 1 => Just(90_000), 1 => Just(260_000_000)]
            .prop_map(|ms| Act::Later { ms }),
        6 => any::<usize>().prop_map(|of| Act::LateCopy { of }),
    ]
}

/// A database, three couriers (two of e-mail, one of SMS), and what they have seen.
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

    /// The parcel one of the last claims of a courier brought, with the attempts recorded for its rows.
    fn parcel(&self, courier: usize, which: usize) -> Option<(ParcelRef, Vec<u8>)> {
        let held = &self.held[courier];
        let parcel = held.get(held.len().checked_sub(1 + which % held.len().max(1))?)?.clone();
        let attempts = self.attempts(courier, &parcel.member.suffix.to_string(), parcel.member.number);
        Some((parcel, attempts))
    }

    fn attempts(&self, courier: usize, suffix: &str, n: u32) -> Vec<u8> {
        let Some(order) = self.orders.iter().find(|order| order.suffix.as_str() == suffix) else {
            return vec![];
        };
        let history = self.db.keys.history(&order.suffix);
        if self.db.raw(&["EXISTS", &history]).int() == Some(0) {
            return vec![];
        }
        let order = Order { channels: vec![(self.couriers[courier].channel.clone(), 0)], ..order.clone() };
        order
            .try_outcomes(self.db, n)
            .map_or_else(Vec::new, |all| all.rows().map(|row| row.attempt).collect())
    }

    fn order(&self, which: usize) -> Option<&Order> {
        self.orders.get(self.orders.len().checked_sub(1 + which % self.orders.len().max(1))?)
    }

    /// Does it; the time in the script that may have begun rows.
    pub(crate) fn act(&mut self, act: &Act) {
        let db = self.db;
        let keys = &db.keys;
        match act {
            Act::Accept { big, rows, sms, urgent, due, policy } => {
                let name = self.name();
                let mut order = Order::of_layout(*big, &name).rows(if *big { *rows } else { *rows % 4 + 1 });
                if *sms {
                    let rows = order.channels[0].1;
                    order = order.channels(if *big {
                        &[("email", 2), ("sms", 502)]
                    } else {
                        &[("email", 0), ("sms", 1)]
                    });
                    order.no_contact = vec![rows, 0];
                }
                order.lane = if *urgent { Lane::Urgent } else { Lane::Bulk };
                order.on_unknown =
                    [OnUnknown::Default, OnUnknown::Retry, OnUnknown::Hold][usize::from(*policy)];
                if *due > 0 {
                    order.due = Some(UnixMs(db.now().0 + due));
                }
                order.accept(db);
                self.orders.push(order);
            }
            Act::StageOnly => Order::big(&self.name()).rows(700).stage(db),
            Act::Unstage => drop(db.reply(&Unstage { keys, suffix: None, upload: None })),
            Act::Claim { courier, limit, begin } => {
                let claim = self.couriers[*courier].next();
                let claim =
                    posthaste_protocol::scripts::claim::Claim { limit: *limit, begin: *begin, ..claim };
                let (_, parcels) = self.couriers[*courier].take(&claim);
                self.held[*courier].extend(parcels);
            }
            Act::Again { courier } => drop(db.reply(&self.couriers[*courier].same())),
            Act::Begin { courier, parcel, rows, tokens, off } => {
                let Some((parcel, attempts)) = self.parcel(*courier, *parcel) else { return };
                let attempt = |row: u16| {
                    attempts.get(usize::from(row)).unwrap_or(&0).wrapping_add(1).wrapping_add(*off)
                };
                let rows = rows.iter().map(|row| (*row, attempt(*row))).collect();
                let channel = &self.couriers[*courier].channel;
                let parcels = [(parcel, rows)];
                db.reply(&Begin {
                    keys,
                    channel,
                    send_window: WINDOW,
                    rows_a_token: u16::from(*tokens),
                    partitions: 1,
                    parcels: &parcels,
                });
            }
            Act::Settle { courier, parcel, rows, verdict, off, leave, wait } => {
                let Some((parcel, attempts)) = self.parcel(*courier, *parcel) else { return };
                let report = |row: &u16| Report {
                    row: *row,
                    attempt: attempts.get(usize::from(*row)).unwrap_or(&0).wrapping_add(*off),
                    verdict: Verdict::ALL[*verdict],
                    reason: Reason::Rejected,
                    value: *wait,
                };
                let reports = rows.iter().map(report).collect();
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
                db.reply(&Sweep { blame: *blame, ..sweep });
            }
            Act::Resolve { courier, order, rows, decision } => {
                let Some(order) = self.order(*order) else { return };
                let attempts = self.attempts(*courier, order.suffix.as_str(), 0);
                let decision = match decision {
                    0 => Decision::Retry,
                    1 => Decision::Repeat,
                    2 => Decision::Hold(Reason::Held),
                    3 => Decision::Found(Verdict::Delivered, Reason::None),
                    4 => Decision::Found(Verdict::Failed, Reason::Rejected),
                    _ => Decision::Found(Verdict::Sent, Reason::None),
                };
                let rows =
                    rows.iter().filter_map(|row| Some((*row, *attempts.get(usize::from(*row))?, decision)));
                let decisions: Vec<_> = rows.collect();
                let (channel, member) = (&self.couriers[*courier].channel, &order.member(0));
                db.reply(&Resolve { keys, channel, member, decisions: &decisions });
            }
            Act::Receipt { courier, order, row, off, word } => {
                let Some(order) = self.order(*order) else { return };
                let attempts = self.attempts(*courier, order.suffix.as_str(), 0);
                let attempt = attempts.get(usize::from(*row)).unwrap_or(&0).wrapping_add(*off);
                let word = [Word::Sent, Word::Delivered, Word::Failed][usize::from(*word)];
                let (channel, member) = (&self.couriers[*courier].channel, &order.member(0));
                db.reply(&Receipt { keys, channel, member, row: *row, attempt, word, reason: Reason::None });
            }
            Act::Cancel { order } => {
                let Some(order) = self.order(*order) else { return };
                db.reply(&Cancel { keys, suffix: &order.suffix });
            }
            Act::Move { order, due } => {
                let Some(order) = self.order(*order) else { return };
                let due = UnixMs(db.now().0 + due);
                let revision = order.revision(db);
                db.reply(&Reschedule { keys, suffix: &order.suffix, due, not_after: None, revision });
            }
            Act::Ring => drop(db.reply(&Ring { keys })),
            Act::Close { courier, which } => {
                let index = match which {
                    0 => Index::Ready(Lane::Urgent),
                    1 => Index::Ready(Lane::Bulk),
                    _ => Index::Unresolved,
                };
                db.reply(&Close {
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
                // In a sound database an audit has nothing to do.
                db.unchanged(&Audit { keys, channel, suffix: &order.suffix, from: 0 });
            }
            Act::Inquire { courier } => {
                let channel = &self.couriers[*courier].channel;
                db.reply(&Inquire { keys, channel, limit: 10, put_off: WINDOW });
            }
            Act::Patrol => self.patrol(),
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

    /// In a sound database a patrol names big orders on their way and no other.
    fn patrol(&self) {
        let patrolled = self.db.unchanged(&Patrol { keys: &self.db.keys, from: 0, limit: 500 });
        for suffix in patrolled.named {
            let order = self.orders.iter().find(|order| order.suffix == suffix);
            assert!(order.is_some_and(|order| order.big), "{suffix} is named");
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
        self.db.reply(&Retire { keys, day, retention_days: 90 });
        let all = self.db.snapshot();
        self.orders.retain(|order| all.get(&keys.history(&order.suffix)).is_some());
        // Copies do not live for 90 days.
        self.db.forget_sent();
    }

    /// Works until nothing is left to do: everything that was accepted comes to its end.
    pub(crate) fn drain(&mut self) {
        for round in 0_u8.. {
            assert!(round < 40, "rows that never end");
            self.db.later(Duration::from_secs(61));
            for courier in 0..self.couriers.len() {
                self.act(&Act::Sweep { courier, blame: false });
                self.act(&Act::Claim { courier, limit: 200, begin: 0 });
                for parcel in std::mem::take(&mut self.held[courier]) {
                    let (n, suffix) = (parcel.member.number, parcel.member.suffix.to_string());
                    let attempts = self.attempts(courier, &suffix, n);
                    let rows =
                        attempts.iter().enumerate().map(|(i, k)| (u16::try_from(i).expect("a row"), *k));
                    let rows: Vec<_> = rows.collect();
                    let next = rows.iter().map(|(i, k)| (*i, k.wrapping_add(1))).collect::<Vec<_>>();
                    self.couriers[courier].begin(&parcel, &next);
                    let reports: Vec<_> =
                        next.iter().map(|(i, k)| crate::order::report(*i, *k, Verdict::Sent)).collect();
                    self.couriers[courier].settle(&parcel, true, &reports);
                }
            }
            for courier in [0, 2] {
                self.hold_unresolved(courier);
            }
            self.db.sound();
            let all = self.db.snapshot();
            let open = |order: &Order| !all.hash(&self.db.keys.history(&order.suffix)).contains_key("f");
            if !self.orders.iter().any(open) {
                return;
            }
        }
    }

    /// Leaves every unresolved row of a courier's channel unknown.
    fn hold_unresolved(&self, courier: usize) {
        let (db, channel) = (self.db, &self.couriers[courier].channel);
        for member in db.snapshot().sorted(&db.keys.unresolved(channel)).keys() {
            let member: Member = member.parse().expect("a parcel");
            let attempts = self.attempts(courier, &member.suffix.to_string(), member.number);
            let rows = attempts.iter().enumerate().map(|(i, k)| (u16::try_from(i).expect("a row"), *k));
            let decisions: Vec<_> = rows.map(|(i, k)| (i, k, Decision::Hold(Reason::Held))).collect();
            db.reply(&Resolve { keys: &db.keys, channel, member: &member, decisions: &decisions });
        }
    }

    /// The channels of the couriers.
    pub(crate) fn channels() -> [posthaste_model::Channel; 2] {
        [channel("email"), channel("sms")]
    }
}
