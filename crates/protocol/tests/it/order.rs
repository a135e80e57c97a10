//! Orders and couriers for tests: they reach every state through the scripts themselves.

use std::cell::Cell;
use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, CourierId, Delivery, OnUnknown, OrderId, OutcomeKind, ParcelId, Priority,
    Reason, Text, UnixMs,
};
use posthaste_protocol::record::{
    DeliveryRecord, DeliveryRecords, Head, Inline, encode_content, encode_parcel,
};
use posthaste_protocol::scripts::begin::{Begin, DeliveryBegun};
use posthaste_protocol::scripts::claim::{Claim, ClaimReply, ClaimedParcels};
use posthaste_protocol::scripts::enqueue::{Enqueue, Enqueued};
use posthaste_protocol::scripts::reclaim_leases::{ReclaimLeases, ReclaimedLeases};
use posthaste_protocol::scripts::settle::{AttemptReport, Reported, Settle, Settlement};
use posthaste_protocol::scripts::stage_parcels::{StageParcels, Staged};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::{Db, channel};

/// The upload that stages parcels.
pub(crate) const UPLOAD: &str = "up";
/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// How long an order lives by default.
pub(crate) const SPAN: Duration = Duration::from_secs(72 * 3600);
/// How long a lease lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How long a send may take.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

/// An order to accept.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) order_id: OrderId,
    pub(crate) channels: Vec<(Channel, u32)>,
    pub(crate) no_contact: Vec<u32>,
    pub(crate) priority: Priority,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) due: Option<UnixMs>,
    pub(crate) not_after: Option<UnixMs>,
    pub(crate) span: Duration,
    pub(crate) digest: u8,
    pub(crate) big: bool,
}

impl Order {
    /// A bulk order due now with one delivery on `email`, stored inline.
    pub(crate) fn inline(order_id: &str) -> Self {
        Self {
            order_id: order_id.parse().expect("an order id"),
            channels: vec![(channel("email"), 1)],
            no_contact: vec![],
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Default,
            due: None,
            not_after: None,
            span: SPAN,
            digest: 7,
            big: false,
        }
    }

    /// The same, stored with parcels.
    pub(crate) fn big(order_id: &str) -> Self {
        Self { big: true, ..Self::inline(order_id) }
    }

    /// With one of the two layouts.
    pub(crate) fn of_layout(big: bool, order_id: &str) -> Self {
        Self { big, ..Self::inline(order_id) }
    }

    pub(crate) fn deliveries(mut self, deliveries: u32) -> Self {
        self.channels = vec![(channel("email"), deliveries)];
        self
    }

    pub(crate) fn channels(mut self, channels: &[(&str, u32)]) -> Self {
        self.channels = channels.iter().map(|(name, deliveries)| (channel(name), *deliveries)).collect();
        self
    }

    pub(crate) fn urgent(mut self) -> Self {
        self.priority = Priority::Urgent;
        self
    }

    pub(crate) fn due(mut self, due: UnixMs) -> Self {
        self.due = Some(due);
        self
    }

    pub(crate) fn due_in(self, db: &Db, span: Duration) -> Self {
        let due = db.now().after(span);
        self.due(due)
    }

    /// Its parcel `n`.
    pub(crate) fn parcel_id(&self, n: u32) -> ParcelId {
        ParcelId { order_id: self.order_id.clone(), number: n }
    }

    pub(crate) fn pieces(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let deliveries = self.channels.iter().map(|(_, deliveries)| *deliveries).sum();
        (!self.big)
            .then(|| Inline::encode(&content(), &some_deliveries(0, deliveries)).expect("a small order"))
    }

    /// The call that accepts it.
    pub(crate) fn call<'a>(&'a self, db: &'a Db, pieces: Option<&'a [(String, Vec<u8>)]>) -> Enqueue<'a> {
        Enqueue {
            keys: &db.keys,
            order_id: &self.order_id,
            due: self.due,
            priority: self.priority,
            on_unknown: self.on_unknown,
            not_after: self.not_after,
            span: self.span,
            digest: [self.digest; 12],
            channels: &self.channels,
            no_contact: &self.no_contact,
            inline: pieces,
            upload: if pieces.is_some() { "" } else { UPLOAD },
        }
    }

    /// Accepts it; if it is big, its parcels must already be staged.
    pub(crate) fn enqueue(&self, db: &Db) -> Enqueued {
        let pieces = self.pieces();
        db.reply(&self.call(db, pieces.as_deref()))
    }

    /// Stages its parcels, 100 per call; with as few bytes per parcel as possible when there are many.
    pub(crate) fn stage(&self, db: &Db) {
        let mut parcels = Vec::new();
        for (name, deliveries) in &self.channels {
            for n in 0..deliveries.div_ceil(500) {
                let deliveries = if *deliveries > 5_000 { 0 } else { (deliveries - n * 500).min(500) };
                parcels.push((name.clone(), n, encode_parcel(&some_deliveries(n * 500, deliveries))));
            }
        }
        let open = encode_content(&content());
        for (at, parcels) in parcels.chunks(100).enumerate() {
            let open = (at == 0).then_some(open.as_slice());
            assert_eq!(
                db.reply(&StageParcels {
                    keys: &db.keys,
                    order_id: &self.order_id,
                    upload: UPLOAD,
                    open,
                    parcels
                }),
                Staged::Ok
            );
        }
    }

    /// Its revision now.
    pub(crate) fn revision(&self, db: &Db) -> u64 {
        let revision = db.raw(&["HGET", &db.keys.history(&self.order_id), "v"]);
        revision.text().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Stages it if necessary, and accepts it.
    #[track_caller]
    pub(crate) fn accept(&self, db: &Db) -> &Self {
        if self.big {
            self.stage(db);
        }
        let reply = self.enqueue(db);
        assert!(matches!(reply, Enqueued::Accepted { already_done: false, .. }), "{reply:?}");
        if self.big && self.due.is_none() {
            // A big order due now goes through `due`, and an entry is due only when its time has passed.
            let Enqueued::Accepted { due, .. } = reply else { return self };
            db.pass(due);
        }
        self
    }

    /// The current head of its history.
    pub(crate) fn head(&self, db: &Db) -> Head {
        let head = db.raw(&["HGET", &db.keys.history(&self.order_id), "h"]);
        Head::decode(head.bytes().expect("a head")).expect("a head")
    }

    /// The outcomes of its parcel `n` on its first channel, if it has deliveries.
    pub(crate) fn try_outcomes(&self, db: &Db, n: u32) -> Option<DeliveryRecords> {
        let (name, head) = (&self.channels[0].0, self.head(db));
        let record = if head.inline {
            db.raw(&["HGET", &db.keys.history(&self.order_id), "o"])
        } else {
            db.raw(&["GET", &db.keys.outcome(&self.order_id, name, n)])
        };
        let deliveries = head.parcel_deliveries(name, n);
        (deliveries > 0)
            .then(|| DeliveryRecords::decode(record.bytes(), deliveries, head.due).expect("outcomes"))
    }

    /// Turns delivery `i` of its parcel `n` on its first channel into one of a later version.
    pub(crate) fn age_delivery(&self, db: &Db, n: u32, i: usize) {
        let (history, big) = (db.keys.history(&self.order_id), !self.head(db).inline);
        let outcome = db.keys.outcome(&self.order_id, &self.channels[0].0, n);
        let record = if big { db.raw(&["GET", &outcome]) } else { db.raw(&["HGET", &history, "o"]) };
        let mut record = record.bytes().expect("outcomes").to_vec();
        record[6 + 12 * i] += 16;
        if big {
            db.raw(&[b"SET".as_slice(), outcome.as_bytes(), &record]);
        } else {
            db.raw(&[b"HSET".as_slice(), history.as_bytes(), b"o", &record]);
        }
    }

    /// The delivery `i` of its first parcel.
    pub(crate) fn delivery(&self, db: &Db, i: usize) -> DeliveryRecord {
        self.try_outcomes(db, 0).expect("deliveries").delivery(i).expect("a delivery")
    }
}

/// The content of all test orders.
pub(crate) fn content() -> Content {
    Content { text: Text::new("hello"), ..Content::default() }
}

fn some_deliveries(first: u32, count: u32) -> Vec<Delivery> {
    (first..first + count)
        .map(|index| Delivery {
            index,
            recipient: format!("r{index}"),
            name: String::new(),
            address: Address::new(format!("a{index}@b.c")),
        })
        .collect()
}

/// A courier whose calls are made by hand.
pub(crate) struct Courier<'a> {
    db: &'a Db,
    /// Its channel.
    pub(crate) channel: Channel,
    /// Its id.
    pub(crate) id: CourierId,
    /// The number of its last claim.
    pub(crate) number: Cell<u64>,
}

impl<'a> Courier<'a> {
    pub(crate) fn new(db: &'a Db, id: &str) -> Self {
        Self::on(db, id, "email")
    }

    pub(crate) fn on(db: &'a Db, id: &str, name: &str) -> Self {
        Self { db, channel: channel(name), id: id.parse().expect("an id"), number: Cell::new(0) }
    }

    /// The next claim: 200 parcels, nothing begun.
    pub(crate) fn next(&self) -> Claim<'_> {
        self.number.set(self.number.get() + 1);
        self.same()
    }

    /// The last claim again.
    pub(crate) fn same(&self) -> Claim<'_> {
        Claim {
            keys: &self.db.keys,
            channel: &self.channel,
            courier: &self.id,
            number: self.number.get(),
            lease: LEASE,
            limit: 200,
            bulk_limit: 200,
            begin: 0,
            send_window: WINDOW,
            empty_handed: true,
        }
    }

    /// Makes a claim that must succeed.
    #[track_caller]
    pub(crate) fn take(&self, claim: &Claim<'_>) -> (ClaimedParcels, Vec<ParcelRef>) {
        let answer = self.db.answer(claim);
        let ClaimReply::Claimed(taken) = answer.reply else { panic!("{:?}", answer.reply) };
        let fence = answer.fence;
        let parcels =
            taken.parcels.iter().map(|p| ParcelRef { parcel_id: p.parcel_id.clone(), fence }).collect();
        (taken, parcels)
    }

    /// Claims everything that is ready.
    #[track_caller]
    pub(crate) fn claim(&self) -> Vec<ParcelRef> {
        self.take(&self.next()).1
    }

    /// Claims exactly one parcel.
    #[track_caller]
    pub(crate) fn claim_one(&self) -> ParcelRef {
        let mut parcels = self.claim();
        assert_eq!(parcels.len(), 1, "{parcels:?}");
        parcels.remove(0)
    }

    /// The call that begins deliveries of one parcel.
    #[track_caller]
    pub(crate) fn begin(
        &self,
        parcel: &ParcelRef,
        deliveries: &[(u16, u8)],
    ) -> (ParcelCode, Vec<DeliveryBegun>) {
        self.begin_with(parcel, deliveries, 0)
    }

    /// Begins deliveries, with tokens if requested.
    #[track_caller]
    pub(crate) fn begin_with(
        &self,
        parcel: &ParcelRef,
        deliveries: &[(u16, u8)],
        deliveries_a_token: u16,
    ) -> (ParcelCode, Vec<DeliveryBegun>) {
        let parcels = [(parcel.clone(), deliveries.to_vec())];
        let begin = Begin {
            keys: &self.db.keys,
            channel: &self.channel,
            send_window: WINDOW,
            deliveries_a_token,
            partitions: 1,
            parcels: &parcels,
        };
        self.db.reply(&begin).remove(0)
    }

    /// Begins deliveries, which must succeed.
    #[track_caller]
    pub(crate) fn begun(&self, parcel: &ParcelRef, deliveries: &[(u16, u8)]) {
        let (code, letters) = self.begin(parcel, deliveries);
        assert_eq!(code, ParcelCode::Ok);
        assert!(letters.iter().all(|l| matches!(l, DeliveryBegun::Begun { .. })), "{letters:?}");
    }

    /// Reports on one parcel.
    #[track_caller]
    pub(crate) fn settle(
        &self,
        parcel: &ParcelRef,
        leave: bool,
        reports: &[AttemptReport],
    ) -> (ParcelCode, Vec<Reported>) {
        let settlements = [Settlement { parcel: parcel.clone(), leave, reports: reports.to_vec() }];
        let mut settled =
            self.db.reply(&Settle { keys: &self.db.keys, channel: &self.channel, settlements: &settlements });
        settled.parcels.remove(0)
    }

    /// The call that takes back the expired leases of its channel.
    pub(crate) fn sweeping(&self) -> ReclaimLeases<'_> {
        ReclaimLeases {
            keys: &self.db.keys,
            channel: &self.channel,
            limit: 200,
            blame: true,
            forget_after: DAY,
        }
    }

    /// Lets all leases expire, and takes them back.
    #[track_caller]
    pub(crate) fn crash(&self) -> ReclaimedLeases {
        self.db.later(LEASE);
        self.db.reply(&self.sweeping())
    }
}

/// A report without reason and value.
pub(crate) fn report(delivery: u16, attempt: u8, outcome: OutcomeKind) -> AttemptReport {
    AttemptReport { delivery, attempt, outcome, reason: Reason::None, value: 0 }
}
