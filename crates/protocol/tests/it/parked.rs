//! Parked records, released or ended by an operator.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason, State};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::enqueue::Enqueued;
use posthaste_protocol::scripts::fail_order::{FailOrder, FailedOrder};
use posthaste_protocol::scripts::fail_parcel::{FailParcel, FailedParcel};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::{PurgeOrders, PurgedOrders};
use posthaste_protocol::scripts::release_parked::ReleaseParked;
use posthaste_protocol::scripts::repair_indexes::{RepairIndexes, RepairedIndexes};
use posthaste_protocol::scripts::scan_orders::ScanOrders;

use crate::db::Db;
use crate::order::{Courier, Order, report};

pub(crate) fn fail_parcel(db: &Db, order: &Order, n: u32) -> FailedParcel {
    let (channel, parcel_id) = (&order.channels[0].0, order.parcel_id(n));
    db.reply(&FailParcel { keys: &db.keys, channel, parcel_id: &parcel_id })
}

pub(crate) fn fail_order(db: &Db, order: &Order, forced: bool) -> FailedOrder {
    db.reply(&FailOrder { keys: &db.keys, order_id: &order.order_id, from: None, forced })
}

/// A claimed order of three deliveries, one sent and one on the wire, parked by its holder.
pub(crate) fn parked(db: &Db, big: bool) -> Order {
    let order = Order::of_layout(big, "u1:5").deliveries(3).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent)]);
    let to_park = |fence| [ToPark { parcel_id: parcel.parcel_id.clone(), fence, why: "content" }];
    let (keys, channel) = (&db.keys, &courier.channel);
    // Neither an earlier holder nor a caller without a lease can park a leased parcel.
    for fence in [Some(parcel.fence + 1), None] {
        assert_eq!(db.unchanged(&Park { keys, channel, parcels: &to_park(fence) }), [false]);
    }
    assert_eq!(db.reply(&Park { keys, channel, parcels: &to_park(Some(parcel.fence)) }), [true]);
    order
}

#[test]
pub(crate) fn a_holder_parks_what_it_cannot_read() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let all = db.snapshot();
        assert!(all.sorted("parked:{0}:email").contains_key("u1:5:0"));
        assert_eq!(db.raw(&["HGET", "parked_why:{0}", "email:u1:5:0"]).text(), Some("content"));
        assert!(all.sorted("leased:{0}:email").is_empty() && all.sorted("ready:{0}:email:bulk").is_empty());
        // The delivery that was begun and never sent is pending, and no try is spent.
        let delivery = order.delivery(&db, 1);
        assert_eq!((delivery.state, delivery.tries), (State::Pending, 0));
        // It is not claimed, and no walk treats it as lost.
        assert!(Courier::new(&db, "c2").claim().is_empty());
        let named = db.unchanged(&ScanOrders { keys: &db.keys, from: 0, limit: 500 }).named;
        assert_eq!(named.is_empty(), !big);
        let (keys, channel) = (&db.keys, &order.channels[0].0);
        let audit = RepairIndexes { keys, channel, order_id: &order.order_id, from: 0 };
        assert_eq!(db.unchanged(&audit), RepairedIndexes::Ok { next: None, mended: 0 });
    }
}

#[test]
pub(crate) fn released_records_are_put_back_by_repair() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let (keys, channel) = (&db.keys, Some(&order.channels[0].0));
        let names = [order.parcel_id(0).to_string()];
        assert_eq!(db.reply(&ReleaseParked { keys, channel, names: &names }), 1);
        assert_eq!(db.unchanged(&ReleaseParked { keys, channel, names: &names }), 0);
        assert!(
            db.snapshot().get("parked_why:{0}").is_none() && db.snapshot().get("parked:{0}:email").is_none()
        );
        let audit = RepairIndexes { keys, channel: &order.channels[0].0, order_id: &order.order_id, from: 0 };
        assert_eq!(db.reply(&audit), RepairedIndexes::Ok { next: None, mended: 1 });
        assert_eq!(Courier::new(&db, "c2").claim().len(), 1);
    }
}

#[test]
pub(crate) fn deliveries_that_can_be_read_fail_and_the_order_ends() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        assert_eq!(fail_parcel(&db, &order, 1), FailedParcel::NotParked);
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(2));
        let deliveries: Vec<_> = order
            .try_outcomes(&db, 0)
            .expect("outcomes")
            .deliveries()
            .map(|delivery| (delivery.state, delivery.reason))
            .collect();
        let failed = (State::Failed, Reason::RecordUnreadable);
        assert_eq!(deliveries, [(State::Sent, Reason::None), failed, failed]);
        assert!(db.raw(&["HGET", &db.keys.history(&order.order_id), "f"]).text().is_some(), "it is final");
        assert!(
            db.snapshot().get("parked:{0}:email").is_none() && db.snapshot().get("parked_why:{0}").is_none()
        );
        assert_eq!(
            db.unchanged(&FailParcel {
                keys: &db.keys,
                channel: &order.channels[0].0,
                parcel_id: &order.parcel_id(0)
            }),
            FailedParcel::NotParked
        );
        db.check_invariants();
    }
}

#[test]
pub(crate) fn unreadable_deliveries_become_unknown_and_the_counters_agree() {
    for big in [false, true] {
        let db = Db::start();
        let deliveries = if big { 1_200 } else { 3 };
        let order = Order::of_layout(big, "u1:5").deliveries(deliveries).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcels = courier.claim();
        if big {
            courier.begun(&parcels[0], &[(0, 1), (1, 1)]);
            courier.settle(
                &parcels[0],
                true,
                &[report(0, 1, OutcomeKind::Sent), report(1, 1, OutcomeKind::Failed)],
            );
            db.raw(&["SET", &db.keys.outcome(&order.order_id, &order.channels[0].0, 1), "rubbish"]);
        } else {
            db.raw(&["HSET", &db.keys.history(&order.order_id), "o", "rubbish"]);
        }
        let n = u32::from(big);
        courier.crash();
        assert!(db.snapshot().sorted("parked:{0}:email").contains_key(&order.parcel_id(n).to_string()));
        let ended = if big { 500 } else { 3 };
        assert_eq!(fail_parcel(&db, &order, n), FailedParcel::Ended(ended));
        let all = order.try_outcomes(&db, n).expect("outcomes");
        assert!(
            all.deliveries()
                .all(|delivery| delivery.state == State::Unknown
                    && delivery.reason == Reason::RecordUnreadable)
        );
        db.check_invariants();
        assert_eq!(db.raw(&["HGET", &db.keys.history(&order.order_id), "f"]).text().is_some(), !big);
    }
}

#[test]
pub(crate) fn an_order_whose_head_cannot_be_read_is_ended_as_a_whole() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(3).accept(&db).clone();
        assert_eq!(fail_order(&db, &order, false), FailedOrder::Readable);
        db.reply(&PromoteDue { keys: &db.keys });
        db.raw(&["HSET", &db.keys.history(&order.order_id), "h", "\u{1}rubbish"]);
        db.reply(&ScanOrders { keys: &db.keys, from: 0, limit: 500 });
        assert_eq!(fail_order(&db, &order, false), FailedOrder::Ended);
        let before = db.snapshot();
        assert_eq!(fail_order(&db, &order, false), FailedOrder::AlreadyDone);
        assert!(db.snapshot() == before);
        let all = db.snapshot();
        assert!(all.get("parked:{0}").is_none() && all.get("parked_why:{0}").is_none());
        let left: Vec<_> = all.names().filter(|name| name.contains("u1:5")).collect();
        assert_eq!(left, ["history:{0}:u1:5"], "only a note remains");
        assert!(db.raw(&["HGET", "history:{0}:u1:5", "t"]).text().expect("a note").starts_with("head "));
        // The same order, enqueued again, is not sent after all.
        if !big {
            assert_eq!(order.enqueue(&db), Enqueued::Conflict);
        }
        // No script treats the note as an order, and it is removed after the retention.
        let courier = Courier::new(&db, "c1");
        assert!(courier.take(&Claim { begin: 9, ..courier.next() }).0.parcels.is_empty());
        db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
        db.unchanged(&ScanOrders { keys: &db.keys, from: 0, limit: 500 });
        let day = db.age_final().expect("a note");
        assert_eq!(db.reply(&PurgeOrders { keys: &db.keys, day, retention_days: 90 }), PurgedOrders::Done(1));
        assert!(db.snapshot().get("history:{0}:u1:5").is_none());
    }
}

#[test]
pub(crate) fn a_record_of_a_later_version_is_not_ended() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    db.raw(&[b"HSET".as_slice(), b"history:{0}:u1:5", b"h", &[2; 60]]);
    for forced in [false, true] {
        let call = FailOrder { keys: &db.keys, order_id: &order.order_id, from: None, forced };
        assert_eq!(db.unchanged(&call), FailedOrder::NewerVersion);
    }
    db.raw(&["DEL", "history:{0}:u1:5"]);
    assert_eq!(fail_order(&db, &order, true), FailedOrder::NotFound);
}

#[test]
pub(crate) fn deliveries_of_a_later_version_are_not_ended() {
    for big in [false, true] {
        // A wrong version of the first delivery shows at once, of a later one when all are checked. The second case
        // changes the head.
        for delivery in 0..3 {
            let db = Db::start();
            let order = parked(&db, big);
            if delivery == 1 {
                crate::damage::head(&db, &order, |head| head[0] = 2);
            } else {
                order.age_delivery(&db, 0, delivery);
            }
            let (channel, parcel_id) = (&order.channels[0].0, order.parcel_id(0));
            let call = FailParcel { keys: &db.keys, channel, parcel_id: &parcel_id };
            assert_eq!(db.unchanged(&call), FailedParcel::NewerVersion, "delivery {delivery}, big: {big}");
        }
    }
    // Nor does it recount deliveries that only a newer program can count.
    for delivery in [0, 7] {
        let db = Db::start();
        let order = Order::of_layout(true, "u1:5").deliveries(1_200).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcels = courier.claim();
        courier.begun(&parcels[0], &[(0, 1), (1, 1)]);
        courier.settle(
            &parcels[0],
            true,
            &[report(0, 1, OutcomeKind::Sent), report(1, 1, OutcomeKind::Failed)],
        );
        order.age_delivery(&db, 0, delivery);
        db.raw(&["SET", &db.keys.outcome(&order.order_id, &order.channels[0].0, 1), "rubbish"]);
        courier.crash();
        let (channel, parcel_id) = (&order.channels[0].0, order.parcel_id(1));
        let call = FailParcel { keys: &db.keys, channel, parcel_id: &parcel_id };
        assert_eq!(db.unchanged(&call), FailedParcel::NewerVersion, "delivery {delivery}");
    }
}

#[test]
pub(crate) fn leased_and_sound_records_are_not_ended() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let (channel, parcel_id, other) = (&order.channels[0].0, order.parcel_id(0), order.parcel_id(7));
        let failed = |parcel_id| db.reply(&FailParcel { keys: &db.keys, channel, parcel_id });
        // It is leased according to the index or to the lease record; either may be damaged.
        for (place, left) in [
            (["ZADD", "leased:{0}:email", "1", "u1:5:0"].as_slice(), ["ZREM", "leased:{0}:email", "u1:5:0"]),
            (&["HSET", "lease:{0}:email", "u1:5:0", "x"], ["HDEL", "lease:{0}:email", "u1:5:0"]),
        ] {
            db.raw(place);
            assert_eq!(failed(&parcel_id), FailedParcel::Leased, "{place:?}");
            db.raw(&left);
        }
        // A foreign name: the order has no such parcel.
        db.raw(&["ZADD", "parked:{0}:email", "1", "u1:5:7"]);
        let before = db.snapshot();
        assert_eq!(failed(&other), FailedParcel::WholeOrderOnly);
        assert!(db.snapshot() == before);
        assert_eq!(failed(&parcel_id), FailedParcel::Ended(2));
    }
}

#[test]
pub(crate) fn deliveries_that_may_have_been_sent_end_as_unknown() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(3).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent)]);
        courier.crash();
        let (keys, channel, parcel_id) = (&db.keys, &courier.channel, order.parcel_id(0));
        assert_eq!(order.delivery(&db, 1).state, State::Unresolved);
        let parcels = [ToPark { parcel_id, fence: None, why: "deliveries" }];
        assert_eq!(db.reply(&Park { keys, channel, parcels: &parcels }), [true]);
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(2));
        let states: Vec<_> = order
            .try_outcomes(&db, 0)
            .expect("outcomes")
            .deliveries()
            .map(|delivery| delivery.state)
            .collect();
        assert_eq!(states, [State::Sent, State::Unknown, State::Failed]);
        db.check_invariants();
    }
}

#[test]
pub(crate) fn one_invalid_or_no_delivery_makes_the_whole_parcel_unknown() {
    for senseless in [true, false] {
        let db = Db::start();
        let order = Order::of_layout(!senseless, "u1:5").deliveries(3).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Sent)]);
        let (keys, channel) = (&db.keys, &courier.channel);
        let to_park =
            [ToPark { parcel_id: parcel.parcel_id.clone(), fence: Some(parcel.fence), why: "deliveries" }];
        assert_eq!(db.reply(&Park { keys, channel, parcels: &to_park }), [true]);
        if senseless {
            // The state of the second delivery, behind the head of the record and the first delivery.
            let history = keys.history(&order.order_id);
            let record = db.raw(&["HGET", &history, "o"]);
            let mut record = record.bytes().expect("a record").to_vec();
            record[6 + 12] += 9;
            db.raw(&[b"HSET".as_slice(), history.as_bytes(), b"o", &record]);
        } else {
            let outcome = keys.outcome(&order.order_id, channel, 0);
            db.raw(&["DEL", &outcome]);
            db.raw(&["RPUSH", &outcome, "of another type"]);
        }
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(3));
        let all = order.try_outcomes(&db, 0).expect("outcomes");
        assert!(
            all.deliveries()
                .all(|delivery| delivery.state == State::Unknown
                    && delivery.reason == Reason::RecordUnreadable)
        );
        db.check_invariants();
    }
}

#[test]
pub(crate) fn an_order_ended_before_its_time_is_never_promoted() {
    for urgent in [false, true] {
        let db = Db::start();
        let order = Order::inline("u1:5").due_in(&db, Duration::from_secs(60));
        let order = if urgent { order.urgent() } else { order };
        order.accept(&db);
        let due = format!("due:{{0}}:{}", if urgent { "urgent" } else { "bulk" });
        assert!(db.snapshot().sorted(&due).contains_key("u1:5"));
        assert_eq!(fail_order(&db, &order, true), FailedOrder::Ended);
        assert!(db.snapshot().get(&due).is_none());
    }
}
