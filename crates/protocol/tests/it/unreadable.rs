//! Every kind of damage to a record, against every script that reads it: the others continue, and the unreadable
//! record is parked or left to a newer program. Nothing of it is begun.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason, State};
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::{PurgeOrders, PurgedOrders};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::scan_orders::ScanOrders;
use posthaste_protocol::scripts::settle::{Settle, Settlement};

use crate::claim::parcel_ids;
use crate::damage::{DAMAGES, Damage, Kind, Where, head, piece};
use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN, WINDOW, report};

/// A bad order and a sound one, and the damage to do to the first.
fn each(test: impl Fn(&Db, &Damage, &Order, &Order)) {
    let db = Db::start();
    for damage in DAMAGES {
        for big in [false, true] {
            if damage.big.is_some_and(|only| only != big) {
                continue;
            }
            db.reset();
            let (bad, sound) = (Order::of_layout(big, "u1:1"), Order::of_layout(big, "u1:2"));
            test(&db, damage, &bad, &sound);
        }
    }
}

fn why(db: &Db, name: &str) -> Option<String> {
    db.raw(&["HGET", "parked_why:{0}", name]).text().map(str::to_owned)
}

/// Requires that it was set aside: parked with its reason, or to be tried again in ten seconds.
#[track_caller]
fn put_aside(db: &Db, damage: &Damage, index: &str, now: u64) {
    let all = db.snapshot();
    match damage.kind {
        Kind::Bad(reason) => {
            assert!(all.sorted("parked:{0}:email").contains_key("u1:1:0"), "{}", damage.name);
            assert_eq!(why(db, "email:u1:1:0").as_deref(), Some(reason), "{}", damage.name);
            assert!(!all.sorted(index).contains_key("u1:1:0"), "{}", damage.name);
        }
        Kind::Newer => {
            assert_eq!(all.sorted(index).get("u1:1:0"), Some(&(now + 10_000)), "{}", damage.name);
            assert!(all.sorted("parked:{0}:email").is_empty() && why(db, "email:u1:1:0").is_none());
        }
    }
}

#[test]
pub(crate) fn promote_due_moves_the_others() {
    each(|db, damage, bad, sound| {
        for order in [bad, sound] {
            order.clone().due_in(db, Duration::from_secs(60)).accept(db);
        }
        db.later(Duration::from_secs(120));
        (damage.spoil)(db, bad);
        let answer = db.answer(&PromoteDue { keys: &db.keys });
        let all = db.snapshot();
        assert!(all.sorted("ready:{0}:email:bulk").contains_key("u1:2:0"), "{}", damage.name);
        let due = all.sorted("due:{0}:bulk");
        match (damage.at, damage.kind) {
            (Where::Head, Kind::Newer) => assert_eq!(due["u1:1"], answer.now.0 + 10_000, "{}", damage.name),
            (Where::Head, Kind::Bad(reason)) => {
                assert!(due.is_empty(), "{}", damage.name);
                assert!(all.sorted("parked:{0}").contains_key("u1:1"), "{}", damage.name);
                assert_eq!(why(db, "u1:1").as_deref(), Some(reason), "{}", damage.name);
                assert_eq!(answer.reply.lost, 0, "nothing was dropped");
            }
            _ => assert!(due.is_empty(), "{}", damage.name),
        }
    });
}

#[test]
pub(crate) fn claim_takes_the_others_and_begins_nothing_of_it() {
    each(|db, damage, bad, sound| {
        for order in [bad, sound] {
            order.accept(db);
        }
        db.reply(&PromoteDue { keys: &db.keys });
        (damage.spoil)(db, bad);
        let before = (damage.at != Where::Head).then(|| db.raw(&["HGET", "history:{0}:u1:1", "o"]));
        let courier = Courier::new(db, "c1");
        let answer = db.answer(&Claim { begin: 9, ..courier.next() });
        let posthaste_protocol::scripts::claim::ClaimReply::Claimed(taken) = answer.reply else {
            panic!("taken")
        };
        // Damage that only deliveries or text of a big order show is found when they are fetched.
        let taken_too =
            bad.big && damage.at == Where::Deliveries && !matches!(damage.kind, Kind::Bad("counters"));
        let expected: &[&str] = if taken_too { &["u1:1:0", "u1:2:0"] } else { &["u1:2:0"] };
        assert_eq!(parcel_ids(&taken), expected, "{}", damage.name);
        if !taken_too {
            put_aside(db, damage, "ready:{0}:email:bulk", answer.now.0);
            assert_eq!(taken.newer, u64::from(damage.kind == Kind::Newer), "{}", damage.name);
            if let Some(before) = before {
                assert_eq!(
                    db.raw(&["HGET", "history:{0}:u1:1", "o"]),
                    before,
                    "nothing was begun: {}",
                    damage.name
                );
            }
        }
    });
}

#[test]
pub(crate) fn settle_reclaim_and_release_continue_with_the_others() {
    each(|db, damage, bad, sound| {
        for order in [bad, sound] {
            order.accept(db);
        }
        let courier = Courier::new(db, "c1");
        let parcels = courier.claim();
        assert_eq!(parcels.len(), 2);
        (damage.spoil)(db, bad);
        let (keys, channel) = (&db.keys, &courier.channel);
        let begun = [(parcels[0].clone(), vec![(0, 1)]), (parcels[1].clone(), vec![(0, 1)])];
        let begin = Begin {
            keys,
            channel,
            send_window: WINDOW,
            deliveries_a_token: 0,
            partitions: 1,
            parcels: &begun,
        };
        let begun = db.reply(&begin);
        assert_eq!(begun[1].0, ParcelCode::Ok, "{}", damage.name);
        let settlement = |parcel: usize| Settlement {
            parcel: parcels[parcel].clone(),
            leave: true,
            reports: vec![report(0, 1, OutcomeKind::Sent)],
        };
        let settled = db.reply(&Settle { keys, channel, settlements: &[settlement(0), settlement(1)] });
        assert_eq!(settled.parcels[1].0, ParcelCode::Settled, "{}", damage.name);
        db.reply(&Release { keys, channel, wait: Duration::ZERO, parcels: &parcels });
        let parcel_id = bad.parcel_id(0);
        db.reply(&Resolve { keys, channel, parcel_id: &parcel_id, decisions: &[(0, 1, Decision::Retry)] });
        let receipt = ApplyReceipt {
            keys,
            channel,
            parcel_id: &parcel_id,
            delivery: 0,
            attempt: 1,
            status: ReceiptStatus::Sent,
            reason: Reason::None.into(),
        };
        db.reply(&receipt);
        db.later(LEASE);
        let answer = db.answer(&courier.sweeping());
        if damage.at != Where::Text && db.snapshot().sorted("leased:{0}:email").contains_key("u1:1:0") {
            put_aside(db, damage, "leased:{0}:email", answer.now.0);
        }
        assert!(
            damage.kind == Kind::Newer || db.snapshot().sorted("leased:{0}:email").is_empty(),
            "reclaimed again forever: {}",
            damage.name
        );
    });
}

#[test]
pub(crate) fn housekeeping_continues_and_parks_unreadable_records() {
    each(|db, damage, bad, sound| {
        for order in [bad, sound] {
            order.accept(db);
        }
        db.reply(&PromoteDue { keys: &db.keys });
        // Both are lost from their index.
        db.raw(&["DEL", "ready:{0}:email:bulk"]);
        (damage.spoil)(db, bad);
        let named = db.reply(&ScanOrders { keys: &db.keys, from: 0, limit: 500 }).named;
        assert!(named.contains(&sound.order_id), "{}", damage.name);
        for order in [bad, sound] {
            let channel = &order.channels[0].0;
            db.reply(&RepairIndexes { keys: &db.keys, channel, order_id: &order.order_id, from: 0 });
        }
        let all = db.snapshot();
        assert!(all.sorted("ready:{0}:email:bulk").contains_key("u1:2:0"), "{}", damage.name);
        if let (Where::Head, Kind::Bad(reason)) = (damage.at, damage.kind) {
            assert_eq!(why(db, "u1:1").as_deref(), Some(reason), "{}", damage.name);
        }
        // They are parked once: a second walk changes nothing.
        db.unchanged(&ScanOrders { keys: &db.keys, from: 0, limit: 500 });
        for index in [Index::Ready(posthaste_model::Priority::Bulk), Index::Unresolved] {
            db.reply(&ExpireParcels {
                keys: &db.keys,
                channel: &sound.channels[0].0,
                index,
                from: 0,
                limit: 200,
            });
        }
    });
}

#[test]
pub(crate) fn expired_orders_end_beside_unreadable_ones() {
    each(|db, damage, bad, sound| {
        for by_claim in [false, true] {
            db.reset();
            for order in [bad, sound] {
                order.accept(db);
            }
            db.reply(&PromoteDue { keys: &db.keys });
            (damage.spoil)(db, bad);
            db.later(SPAN);
            if by_claim {
                Courier::new(db, "c1").claim();
            } else {
                let (channel, index) = (&sound.channels[0].0, Index::Ready(posthaste_model::Priority::Bulk));
                db.reply(&ExpireParcels { keys: &db.keys, channel, index, from: 0, limit: 200 });
            }
            assert_eq!(
                sound.delivery(db, 0).state,
                State::Expired,
                "{}, by a claim: {by_claim}",
                damage.name
            );
        }
    });
}

#[test]
pub(crate) fn an_unreadable_order_keeps_no_other_from_retirement() {
    each(|db, damage, bad, sound| {
        for order in [bad, sound] {
            order.accept(db);
        }
        let courier = Courier::new(db, "c1");
        for parcel in courier.claim() {
            courier.begun(&parcel, &[(0, 1)]);
            courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
        }
        let day = db.age_final().expect("final orders");
        (damage.spoil)(db, bad);
        let retired = db.reply(&PurgeOrders { keys: &db.keys, day, retention_days: 90 });
        // Damage that only deliveries or text show does not keep an order from being removed.
        let removed = if damage.at == Where::Head { 1 } else { 2 };
        assert_eq!(retired, PurgedOrders::Done(removed), "{}", damage.name);
        assert!(db.snapshot().get("history:{0}:u1:2").is_none(), "{}", damage.name);
        assert!(db.snapshot().get(&db.keys.retire(day)).is_none(), "{}", damage.name);
        if let (Where::Head, Kind::Bad(reason)) = (damage.at, damage.kind) {
            assert_eq!(why(db, "u1:1").as_deref(), Some(reason), "{}", damage.name);
        }
    });
}

#[test]
pub(crate) fn a_sender_gets_a_reply() {
    each(|db, damage, bad, sound| {
        for order in [bad, sound] {
            order.clone().due_in(db, Duration::from_secs(60)).accept(db);
        }
        (damage.spoil)(db, bad);
        let (keys, due) = (&db.keys, db.now().after(Duration::from_secs(90)));
        for order in [bad, sound] {
            let order_id = &order.order_id;
            db.reply(&Reschedule { keys, order_id, due, not_after: None, revision: 0 });
            db.reply(&Cancel { keys, order_id });
        }
        assert!(db.raw(&["HGET", "history:{0}:u1:2", "x"]).text().is_some(), "{}", damage.name);
    });
}

/// A simulated newer version beside this one: it handles what this one leaves and what this one wrote; this one
/// continues with its own.
#[test]
pub(crate) fn a_newer_version_handles_what_this_one_leaves() {
    let next = |body: &str| {
        let changed = body
            .replace(
                "HEAD_OLDEST, HEAD_VERSION, PARCEL_DELIVERIES, MOST_DELIVERIES = 1, 1,",
                "HEAD_OLDEST, HEAD_VERSION, PARCEL_DELIVERIES, MOST_DELIVERIES = 1, 2,",
            )
            .replace(
                "local LAST_FIELD, TEXT_OF_CHANNEL = 11, 16",
                "local LAST_FIELD, TEXT_OF_CHANNEL = 12, 16",
            );
        assert_ne!(changed.len(), 0);
        assert!(changed.contains("MOST_DELIVERIES = 1, 2,") && changed.contains("TEXT_OF_CHANNEL = 12, 16"));
        changed
    };
    let db = Db::start();
    for order_id in ["u1:1", "u1:2", "u1:3"] {
        Order::inline(order_id).accept(&db);
    }
    head(&db, &Order::inline("u1:1"), |head| head[0] = 2);
    piece(&db, &Order::inline("u1:2"), |piece| piece[2] = 12);
    let old = Courier::new(&db, "old");
    let (taken, _) = old.take(&Claim { begin: 9, limit: 200, ..old.next() });
    assert_eq!(parcel_ids(&taken), ["u1:3:0"]);
    assert_eq!((taken.newer, taken.newer_order_id.is_some()), (2, true));
    db.later(Duration::from_secs(10));
    Order::inline("u1:4").accept(&db);
    // The newer version's claim returns both, begun, and the one of this version.
    let new = Courier::new(&db, "new");
    let call =
        posthaste_protocol::ScriptCall::invoke(&Claim { begin: 9, ..new.next() }, "r", crate::db::EPOCH);
    let mut words: Vec<Vec<u8>> = vec![b"EVAL".to_vec(), next(&call.script.body).into_bytes()];
    words.push(call.keys.len().to_string().into_bytes());
    words.extend(call.keys.iter().map(|key| key.clone().into_bytes()));
    words.extend(call.args.iter().map(|arg| arg.to_vec()));
    let reply = db.raw(&words);
    let claimed: Vec<_> = reply.items()[12]
        .items()
        .iter()
        .map(|entry| entry.items()[0].text().expect("a member").to_owned())
        .collect();
    assert_eq!(claimed, ["u1:1:0", "u1:2:0", "u1:4:0"]);
    for order_id in ["u1:1", "u1:2", "u1:4"] {
        let record = db.raw(&["HGET", &format!("history:{{0}}:{order_id}"), "o"]);
        assert_eq!(record.bytes().expect("outcomes")[6], 16 + 1, "{order_id} is being sent");
    }
    // Records of a later version must not be settled or damaged by this one.
    let settled = db.reply(&Settle {
        keys: &db.keys,
        channel: &old.channel,
        settlements: &[Settlement {
            parcel: posthaste_protocol::scripts::ParcelRef {
                parcel_id: Order::inline("u1:1").parcel_id(0),
                fence: 2,
            },
            leave: true,
            reports: vec![report(0, 1, OutcomeKind::Sent)],
        }],
    });
    assert_eq!(settled.parcels[0].0, ParcelCode::NewerVersion);
}
