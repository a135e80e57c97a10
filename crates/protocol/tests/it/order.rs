//! Orders and couriers to test with: they reach every state through the scripts themselves.

use std::cell::Cell;
use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, CourierId, Lane, Member, OnUnknown, Reason, Row, Suffix, Text, UnixMs, Verdict,
};
use posthaste_protocol::record::{Head, Inline, Outcomes, RowOutcome, encode_content, encode_parcel};
use posthaste_protocol::scripts::begin::{Begin, RowBegun};
use posthaste_protocol::scripts::claim::{Claim, Reply, Taken};
use posthaste_protocol::scripts::enqueue::{Enqueue, Enqueued};
use posthaste_protocol::scripts::settle::{Report, Reported, Settle, Settlement};
use posthaste_protocol::scripts::stage::{Stage, Staged};
use posthaste_protocol::scripts::sweep::{Sweep, Swept};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::{Db, channel};

/// The upload that stages parcels.
pub(crate) const UPLOAD: &str = "up";
/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// How long an order lives when it says nothing.
pub(crate) const SPAN: Duration = Duration::from_secs(72 * 3600);
/// How long a lease lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How long a send may take.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

/// An order to be accepted.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) suffix: Suffix,
    pub(crate) channels: Vec<(Channel, u32)>,
    pub(crate) no_contact: Vec<u32>,
    pub(crate) lane: Lane,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) due: Option<UnixMs>,
    pub(crate) not_after: Option<UnixMs>,
    pub(crate) span: Duration,
    pub(crate) digest: u8,
    pub(crate) big: bool,
}

impl Order {
    /// A bulk order for now with one row on `email`, inside its history.
    pub(crate) fn inline(suffix: &str) -> Self {
        Self {
            suffix: suffix.parse().expect("a suffix"),
            channels: vec![(channel("email"), 1)],
            no_contact: vec![],
            lane: Lane::Bulk,
            on_unknown: OnUnknown::Default,
            due: None,
            not_after: None,
            span: SPAN,
            digest: 7,
            big: false,
        }
    }

    /// The same with parcels of its own.
    pub(crate) fn big(suffix: &str) -> Self {
        Self { big: true, ..Self::inline(suffix) }
    }

    /// In one of the two layouts.
    pub(crate) fn of_layout(big: bool, suffix: &str) -> Self {
        Self { big, ..Self::inline(suffix) }
    }

    pub(crate) fn rows(mut self, rows: u32) -> Self {
        self.channels = vec![(channel("email"), rows)];
        self
    }

    pub(crate) fn channels(mut self, channels: &[(&str, u32)]) -> Self {
        self.channels = channels.iter().map(|(name, rows)| (channel(name), *rows)).collect();
        self
    }

    pub(crate) fn urgent(mut self) -> Self {
        self.lane = Lane::Urgent;
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
    pub(crate) fn member(&self, n: u32) -> Member {
        Member { suffix: self.suffix.clone(), number: n }
    }

    pub(crate) fn pieces(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let rows = self.channels.iter().map(|(_, rows)| *rows).sum();
        (!self.big).then(|| Inline::encode(&content(), &some_rows(0, rows)).expect("a small order"))
    }

    /// The call that accepts it.
    pub(crate) fn call<'a>(&'a self, db: &'a Db, pieces: Option<&'a [(String, Vec<u8>)]>) -> Enqueue<'a> {
        Enqueue {
            keys: &db.keys,
            suffix: &self.suffix,
            due: self.due,
            lane: self.lane,
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

    /// Accepts it; its parcels are staged already if it is a big one.
    pub(crate) fn enqueue(&self, db: &Db) -> Enqueued {
        let pieces = self.pieces();
        db.reply(&self.call(db, pieces.as_deref()))
    }

    /// Stages its parcels, 100 a call, with as few bytes as parcels can have when there are many.
    pub(crate) fn stage(&self, db: &Db) {
        let mut parcels = Vec::new();
        for (name, rows) in &self.channels {
            for n in 0..rows.div_ceil(500) {
                let rows = if *rows > 5_000 { 0 } else { (rows - n * 500).min(500) };
                parcels.push((name.clone(), n, encode_parcel(&some_rows(n * 500, rows))));
            }
        }
        let open = encode_content(&content());
        for (at, parcels) in parcels.chunks(100).enumerate() {
            let open = (at == 0).then_some(open.as_slice());
            assert_eq!(
                db.reply(&Stage { keys: &db.keys, suffix: &self.suffix, upload: UPLOAD, open, parcels }),
                Staged::Ok
            );
        }
    }

    /// Its revision now.
    pub(crate) fn revision(&self, db: &Db) -> u64 {
        let revision = db.raw(&["HGET", &db.keys.history(&self.suffix), "v"]);
        revision.text().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Stages it if need be, and accepts it.
    #[track_caller]
    pub(crate) fn accept(&self, db: &Db) -> &Self {
        if self.big {
            self.stage(db);
        }
        let reply = self.enqueue(db);
        assert!(matches!(reply, Enqueued::Accepted { again: false, .. }), "{reply:?}");
        if self.big && self.due.is_none() {
            // A big order for now goes through `due`, and an entry counts only when its moment has passed.
            let Enqueued::Accepted { due, .. } = reply else { return self };
            db.pass(due);
        }
        self
    }

    /// The head of its history as it is now.
    pub(crate) fn head(&self, db: &Db) -> Head {
        let head = db.raw(&["HGET", &db.keys.history(&self.suffix), "h"]);
        Head::decode(head.bytes().expect("a head")).expect("a head")
    }

    /// The outcomes of its parcel `n` on its first channel, if it has rows.
    pub(crate) fn try_outcomes(&self, db: &Db, n: u32) -> Option<Outcomes> {
        let (name, head) = (&self.channels[0].0, self.head(db));
        let record = if head.inline {
            db.raw(&["HGET", &db.keys.history(&self.suffix), "o"])
        } else {
            db.raw(&["GET", &db.keys.outcome(&self.suffix, name, n)])
        };
        let rows = head.parcel_rows(name, n);
        (rows > 0).then(|| Outcomes::decode(record.bytes(), rows, head.due).expect("outcomes"))
    }

    /// Makes the row `i` of its parcel `n` on its first channel one of a later version.
    pub(crate) fn age_row(&self, db: &Db, n: u32, i: usize) {
        let (history, big) = (db.keys.history(&self.suffix), !self.head(db).inline);
        let outcome = db.keys.outcome(&self.suffix, &self.channels[0].0, n);
        let record = if big { db.raw(&["GET", &outcome]) } else { db.raw(&["HGET", &history, "o"]) };
        let mut record = record.bytes().expect("outcomes").to_vec();
        record[6 + 12 * i] += 16;
        if big {
            db.raw(&[b"SET".as_slice(), outcome.as_bytes(), &record]);
        } else {
            db.raw(&[b"HSET".as_slice(), history.as_bytes(), b"o", &record]);
        }
    }

    /// The row `i` of its first parcel.
    pub(crate) fn row(&self, db: &Db, i: usize) -> RowOutcome {
        self.try_outcomes(db, 0).expect("rows").row(i).expect("a row")
    }
}

/// What the orders say.
pub(crate) fn content() -> Content {
    Content { text: Text::new("hello"), ..Content::default() }
}

fn some_rows(first: u32, count: u32) -> Vec<Row> {
    (first..first + count)
        .map(|index| Row {
            index,
            recipient: format!("r{index}"),
            name: String::new(),
            address: Address::new(format!("a{index}@b.c")),
        })
        .collect()
}

/// A courier that talks to a database by hand.
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

    /// The last claim once more.
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

    /// Makes a claim that is to be answered with parcels.
    #[track_caller]
    pub(crate) fn take(&self, claim: &Claim<'_>) -> (Taken, Vec<ParcelRef>) {
        let answer = self.db.answer(claim);
        let Reply::Taken(taken) = answer.reply else { panic!("{:?}", answer.reply) };
        let fence = answer.fence;
        let parcels = taken.parcels.iter().map(|p| ParcelRef { member: p.member.clone(), fence }).collect();
        (taken, parcels)
    }

    /// Claims whatever is ready.
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

    /// The call that begins rows of one parcel.
    #[track_caller]
    pub(crate) fn begin(&self, parcel: &ParcelRef, rows: &[(u16, u8)]) -> (ParcelCode, Vec<RowBegun>) {
        self.begin_with(parcel, rows, 0)
    }

    /// Begins rows, with tokens if asked to.
    #[track_caller]
    pub(crate) fn begin_with(
        &self,
        parcel: &ParcelRef,
        rows: &[(u16, u8)],
        rows_a_token: u16,
    ) -> (ParcelCode, Vec<RowBegun>) {
        let parcels = [(parcel.clone(), rows.to_vec())];
        let begin = Begin {
            keys: &self.db.keys,
            channel: &self.channel,
            send_window: WINDOW,
            rows_a_token,
            partitions: 1,
            parcels: &parcels,
        };
        self.db.reply(&begin).remove(0)
    }

    /// Begins rows that are to be begun.
    #[track_caller]
    pub(crate) fn begun(&self, parcel: &ParcelRef, rows: &[(u16, u8)]) {
        let (code, letters) = self.begin(parcel, rows);
        assert_eq!(code, ParcelCode::Ok);
        assert!(letters.iter().all(|l| matches!(l, RowBegun::Begun { .. })), "{letters:?}");
    }

    /// Reports on one parcel.
    #[track_caller]
    pub(crate) fn settle(
        &self,
        parcel: &ParcelRef,
        leave: bool,
        reports: &[Report],
    ) -> (ParcelCode, Vec<Reported>) {
        let settlements = [Settlement { parcel: parcel.clone(), leave, reports: reports.to_vec() }];
        let mut settled =
            self.db.reply(&Settle { keys: &self.db.keys, channel: &self.channel, settlements: &settlements });
        settled.parcels.remove(0)
    }

    /// The call that sweeps its channel.
    pub(crate) fn sweeping(&self) -> Sweep<'_> {
        Sweep { keys: &self.db.keys, channel: &self.channel, limit: 200, blame: true, forget_after: DAY }
    }

    /// Lets all leases end, and sweeps.
    #[track_caller]
    pub(crate) fn crash(&self) -> Swept {
        self.db.later(LEASE);
        self.db.reply(&self.sweeping())
    }
}

/// A report without reason and value.
pub(crate) fn report(row: u16, attempt: u8, verdict: Verdict) -> Report {
    Report { row, attempt, verdict, reason: Reason::None, value: 0 }
}
