//! What is parked is put back, or ended, by an operator's word.

use std::time::Duration;

use posthaste_model::{Reason, State, Verdict};
use posthaste_protocol::scripts::audit::{Audit, Audited};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::enqueue::Enqueued;
use posthaste_protocol::scripts::fail_order::{FailOrder, FailedOrder};
use posthaste_protocol::scripts::fail_parcel::{FailParcel, FailedParcel};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::patrol::Patrol;
use posthaste_protocol::scripts::retire::{Retire, Retired};
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::unpark::Unpark;

use crate::db::Db;
use crate::order::{Courier, Order, report};

pub(crate) fn fail_parcel(db: &Db, order: &Order, n: u32) -> FailedParcel {
    let (channel, member) = (&order.channels[0].0, order.member(n));
    db.reply(&FailParcel { keys: &db.keys, channel, member: &member })
}

pub(crate) fn fail_order(db: &Db, order: &Order, forced: bool) -> FailedOrder {
    db.reply(&FailOrder { keys: &db.keys, suffix: &order.suffix, from: None, forced })
}

/// A claimed order of three rows of which one is sent and one is out, parked by its holder.
pub(crate) fn parked(db: &Db, big: bool) -> Order {
    let order = Order::of_layout(big, "u1:5").rows(3).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    courier.settle(&parcel, false, &[report(0, 1, Verdict::Sent)]);
    let to_park = |fence| [ToPark { member: parcel.member.clone(), fence, why: "content" }];
    let (keys, channel) = (&db.keys, &courier.channel);
    // Neither an earlier holder nor nobody parks what is held.
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
        // What was begun and never left is pending, and no try is spent.
        let row = order.row(&db, 1);
        assert_eq!((row.state, row.tries), (State::Pending, 0));
        // Nobody claims it, and no walk takes it for lost.
        assert!(Courier::new(&db, "c2").claim().is_empty());
        let named = db.unchanged(&Patrol { keys: &db.keys, from: 0, limit: 500 }).named;
        assert_eq!(named.is_empty(), !big);
        let (keys, channel) = (&db.keys, &order.channels[0].0);
        let audit = Audit { keys, channel, suffix: &order.suffix, from: 0 };
        assert_eq!(db.unchanged(&audit), Audited::Ok { next: None, mended: 0 });
    }
}

#[test]
pub(crate) fn what_is_released_is_put_back_by_audit() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let (keys, channel) = (&db.keys, Some(&order.channels[0].0));
        let names = [order.member(0).to_string()];
        assert_eq!(db.reply(&Unpark { keys, channel, names: &names }), 1);
        assert_eq!(db.unchanged(&Unpark { keys, channel, names: &names }), 0);
        assert!(
            db.snapshot().get("parked_why:{0}").is_none() && db.snapshot().get("parked:{0}:email").is_none()
        );
        let audit = Audit { keys, channel: &order.channels[0].0, suffix: &order.suffix, from: 0 };
        assert_eq!(db.reply(&audit), Audited::Ok { next: None, mended: 1 });
        assert_eq!(Courier::new(&db, "c2").claim().len(), 1);
    }
}

#[test]
pub(crate) fn rows_that_can_be_read_fail_and_the_order_ends() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        assert_eq!(fail_parcel(&db, &order, 1), FailedParcel::Absent);
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(2));
        let rows: Vec<_> =
            order.try_outcomes(&db, 0).expect("outcomes").rows().map(|row| (row.state, row.reason)).collect();
        let failed = (State::Failed, Reason::Unreadable);
        assert_eq!(rows, [(State::Sent, Reason::None), failed, failed]);
        assert!(db.raw(&["HGET", &db.keys.history(&order.suffix), "f"]).text().is_some(), "it is final");
        assert!(
            db.snapshot().get("parked:{0}:email").is_none() && db.snapshot().get("parked_why:{0}").is_none()
        );
        assert_eq!(
            db.unchanged(&FailParcel {
                keys: &db.keys,
                channel: &order.channels[0].0,
                member: &order.member(0)
            }),
            FailedParcel::Absent
        );
        db.sound();
    }
}

#[test]
pub(crate) fn of_rows_that_cannot_be_read_all_are_unknown_and_the_counters_agree() {
    for big in [false, true] {
        let db = Db::start();
        let rows = if big { 1_200 } else { 3 };
        let order = Order::of_layout(big, "u1:5").rows(rows).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcels = courier.claim();
        if big {
            courier.begun(&parcels[0], &[(0, 1), (1, 1)]);
            courier.settle(&parcels[0], true, &[report(0, 1, Verdict::Sent), report(1, 1, Verdict::Failed)]);
            db.raw(&["SET", &db.keys.outcome(&order.suffix, &order.channels[0].0, 1), "rubbish"]);
        } else {
            db.raw(&["HSET", &db.keys.history(&order.suffix), "o", "rubbish"]);
        }
        let n = u32::from(big);
        courier.crash();
        assert!(db.snapshot().sorted("parked:{0}:email").contains_key(&order.member(n).to_string()));
        let ended = if big { 500 } else { 3 };
        assert_eq!(fail_parcel(&db, &order, n), FailedParcel::Ended(ended));
        let all = order.try_outcomes(&db, n).expect("outcomes");
        assert!(all.rows().all(|row| row.state == State::Unknown && row.reason == Reason::Unreadable));
        db.sound();
        assert_eq!(db.raw(&["HGET", &db.keys.history(&order.suffix), "f"]).text().is_some(), !big);
    }
}

#[test]
pub(crate) fn an_order_whose_head_cannot_be_read_is_ended_as_a_whole() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").rows(3).accept(&db).clone();
        assert_eq!(fail_order(&db, &order, false), FailedOrder::Readable);
        db.reply(&Ring { keys: &db.keys });
        db.raw(&["HSET", &db.keys.history(&order.suffix), "h", "\u{1}rubbish"]);
        db.reply(&Patrol { keys: &db.keys, from: 0, limit: 500 });
        assert_eq!(fail_order(&db, &order, false), FailedOrder::Ended);
        let before = db.snapshot();
        assert_eq!(fail_order(&db, &order, false), FailedOrder::Again);
        assert!(db.snapshot() == before);
        let all = db.snapshot();
        assert!(all.get("parked:{0}").is_none() && all.get("parked_why:{0}").is_none());
        let left: Vec<_> = all.names().filter(|name| name.contains("u1:5")).collect();
        assert_eq!(left, ["history:{0}:u1:5"], "only a note is left of it");
        assert!(db.raw(&["HGET", "history:{0}:u1:5", "t"]).text().expect("a note").starts_with("head "));
        // The same order, told again, is not sent after all.
        if !big {
            assert_eq!(order.enqueue(&db), Enqueued::Conflict);
        }
        // Nobody takes the note for an order, and it goes when its time is over.
        let courier = Courier::new(&db, "c1");
        assert!(courier.take(&Claim { begin: 9, ..courier.next() }).0.parcels.is_empty());
        db.reply(&Cancel { keys: &db.keys, suffix: &order.suffix });
        db.unchanged(&Patrol { keys: &db.keys, from: 0, limit: 500 });
        let day = db.age_final().expect("a note");
        assert_eq!(db.reply(&Retire { keys: &db.keys, day, retention_days: 90 }), Retired::Done(1));
        assert!(db.snapshot().get("history:{0}:u1:5").is_none());
    }
}

#[test]
pub(crate) fn a_record_of_a_later_version_is_not_ended() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    db.raw(&[b"HSET".as_slice(), b"history:{0}:u1:5", b"h", &[2; 60]]);
    for forced in [false, true] {
        let call = FailOrder { keys: &db.keys, suffix: &order.suffix, from: None, forced };
        assert_eq!(db.unchanged(&call), FailedOrder::Newer);
    }
    db.raw(&["DEL", "history:{0}:u1:5"]);
    assert_eq!(fail_order(&db, &order, true), FailedOrder::Gone);
}

#[test]
pub(crate) fn rows_of_a_later_version_are_not_ended() {
    for big in [false, true] {
        // The first row tells it at once, a later one when all of them are looked at. In place of the second one, the head.
        for row in 0..3 {
            let db = Db::start();
            let order = parked(&db, big);
            if row == 1 {
                crate::damage::head(&db, &order, |head| head[0] = 2);
            } else {
                order.age_row(&db, 0, row);
            }
            let (channel, member) = (&order.channels[0].0, order.member(0));
            let call = FailParcel { keys: &db.keys, channel, member: &member };
            assert_eq!(db.unchanged(&call), FailedParcel::Newer, "row {row}, big: {big}");
        }
    }
    // Nor is anything counted that only a newer program can count.
    for row in [0, 7] {
        let db = Db::start();
        let order = Order::of_layout(true, "u1:5").rows(1_200).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcels = courier.claim();
        courier.begun(&parcels[0], &[(0, 1), (1, 1)]);
        courier.settle(&parcels[0], true, &[report(0, 1, Verdict::Sent), report(1, 1, Verdict::Failed)]);
        order.age_row(&db, 0, row);
        db.raw(&["SET", &db.keys.outcome(&order.suffix, &order.channels[0].0, 1), "rubbish"]);
        courier.crash();
        let (channel, member) = (&order.channels[0].0, order.member(1));
        let call = FailParcel { keys: &db.keys, channel, member: &member };
        assert_eq!(db.unchanged(&call), FailedParcel::Newer, "row {row}");
    }
}

#[test]
pub(crate) fn what_is_held_or_whole_is_not_ended() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        let (channel, member, other) = (&order.channels[0].0, order.member(0), order.member(7));
        let failed = |member| db.reply(&FailParcel { keys: &db.keys, channel, member });
        // Somebody has it, by the list of leases or by their records, of which one may be damaged.
        for (place, left) in [
            (["ZADD", "leased:{0}:email", "1", "u1:5:0"].as_slice(), ["ZREM", "leased:{0}:email", "u1:5:0"]),
            (&["HSET", "lease:{0}:email", "u1:5:0", "x"], ["HDEL", "lease:{0}:email", "u1:5:0"]),
        ] {
            db.raw(place);
            assert_eq!(failed(&member), FailedParcel::Leased, "{place:?}");
            db.raw(&left);
        }
        // A name that was put there by hand: the order has no such parcel.
        db.raw(&["ZADD", "parked:{0}:email", "1", "u1:5:7"]);
        let before = db.snapshot();
        assert_eq!(failed(&other), FailedParcel::Broken);
        assert!(db.snapshot() == before);
        assert_eq!(failed(&member), FailedParcel::Ended(2));
    }
}

#[test]
pub(crate) fn what_may_have_left_is_unknown_when_it_is_ended() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").rows(3).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        courier.settle(&parcel, false, &[report(0, 1, Verdict::Sent)]);
        courier.crash();
        let (keys, channel, member) = (&db.keys, &courier.channel, order.member(0));
        assert_eq!(order.row(&db, 1).state, State::Unresolved);
        let parcels = [ToPark { member, fence: None, why: "rows" }];
        assert_eq!(db.reply(&Park { keys, channel, parcels: &parcels }), [true]);
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(2));
        let states: Vec<_> =
            order.try_outcomes(&db, 0).expect("outcomes").rows().map(|row| row.state).collect();
        assert_eq!(states, [State::Sent, State::Unknown, State::Failed]);
        db.sound();
    }
}

#[test]
pub(crate) fn of_a_parcel_with_one_senseless_row_or_none_at_all_all_are_unknown() {
    for senseless in [true, false] {
        let db = Db::start();
        let order = Order::of_layout(!senseless, "u1:5").rows(3).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        courier.settle(&parcel, false, &[report(0, 1, Verdict::Sent)]);
        let (keys, channel) = (&db.keys, &courier.channel);
        let to_park = [ToPark { member: parcel.member.clone(), fence: Some(parcel.fence), why: "rows" }];
        assert_eq!(db.reply(&Park { keys, channel, parcels: &to_park }), [true]);
        if senseless {
            // The state of the second row, behind the head of the record and the first row.
            let history = keys.history(&order.suffix);
            let record = db.raw(&["HGET", &history, "o"]);
            let mut record = record.bytes().expect("a record").to_vec();
            record[6 + 12] += 9;
            db.raw(&[b"HSET".as_slice(), history.as_bytes(), b"o", &record]);
        } else {
            let outcome = keys.outcome(&order.suffix, channel, 0);
            db.raw(&["DEL", &outcome]);
            db.raw(&["RPUSH", &outcome, "of another type"]);
        }
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(3));
        let all = order.try_outcomes(&db, 0).expect("outcomes");
        assert!(all.rows().all(|row| row.state == State::Unknown && row.reason == Reason::Unreadable));
        db.sound();
    }
}

#[test]
pub(crate) fn an_order_that_is_ended_before_its_time_is_never_rung() {
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
