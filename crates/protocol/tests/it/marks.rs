//! Marks of operator actions: if a rollback loses an action, the mark shows it.

use posthaste_protocol::scripts::fail_order::{FailOrder, FailedOrder};
use posthaste_protocol::scripts::fail_parcel::FailedParcel;
use posthaste_protocol::scripts::release_parked::ReleaseParked;

use crate::db::Db;
use crate::order::Order;
use crate::parked::{fail_order, fail_parcel, parked};
use crate::rollback::{fence, runs};

#[test]
fn operator_actions_on_parked_records_leave_a_mark_and_repeats_none() {
    type Word = (&'static str, fn(&Db, &Order));
    let words: [Word; 4] = [
        ("release of a parcel", |db, order| {
            let (channel, names) = (Some(&order.channels[0].0), [order.parcel_id(0).to_string()]);
            assert_eq!(db.reply(&ReleaseParked { keys: &db.keys, channel, names: &names }), 1);
        }),
        ("release of an order", |db, order| {
            db.raw(&["ZADD", "parked:{0}", "1", order.order_id.as_str()]);
            let names = [order.order_id.to_string()];
            assert_eq!(db.reply(&ReleaseParked { keys: &db.keys, channel: None, names: &names }), 1);
        }),
        ("end of a parcel", |db, order| assert_eq!(fail_parcel(db, order, 0), FailedParcel::Ended(2))),
        ("end of an order", |db, order| assert_eq!(fail_order(db, order, true), FailedOrder::Ended)),
    ];
    for big in [false, true] {
        for (what, say) in words {
            let db = Db::start();
            let order = parked(&db, big);
            let before = fence(&db);
            say(&db, &order);
            let at = db.sent() - 1;
            assert_eq!(fence(&db), before + 1, "{what}");
            db.harmless(at);
            assert_eq!(fence(&db), before + 1, "{what}, repeated");
            // The state that a server finds that takes over without it.
            db.raw(&["SET", "fence:{0}", &before.to_string()]);
            db.raw(&["RPUSH", "runs:{0}", "other 0 0 5"]);
            assert!(runs(&db).last().is_some_and(|run| run.lost(before + 1)), "{what}");
        }
    }
}

/// If deliveries can't be read, all of them end as unknown.
#[test]
fn the_end_of_deliveries_that_cannot_be_read_leaves_a_mark() {
    for big in [false, true] {
        let db = Db::start();
        let order = parked(&db, big);
        match big {
            true => db.raw(&["SET", &db.keys.outcome(&order.order_id, &order.channels[0].0, 0), "rubbish"]),
            false => db.raw(&["HSET", &db.keys.history(&order.order_id), "o", "rubbish"]),
        };
        let before = fence(&db);
        assert_eq!(fail_parcel(&db, &order, 1), FailedParcel::NotParked);
        assert_eq!(fence(&db), before, "a parcel that is not parked is not ended");
        assert_eq!(fail_parcel(&db, &order, 0), FailedParcel::Ended(3));
        assert_eq!(fence(&db), before + 1);
    }
}

/// If an order has more parcels than one step removes, only the last step reports that it ended.
#[test]
fn the_steps_of_an_end_leave_one_mark() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(130_000).accept(&db).clone();
    let (keys, order_id, mut from) = (&db.keys, &order.order_id, None);
    let before = fence(&db);
    loop {
        let step = from.as_ref().map(|(channel, n): &(String, u64)| (channel.as_str(), *n));
        match db.reply(&FailOrder { keys, order_id, from: step, forced: true }) {
            FailedOrder::More(channel, n) => {
                assert_eq!(fence(&db), before);
                from = Some((channel, n));
            }
            ended => break assert_eq!(ended, FailedOrder::Ended),
        }
    }
    assert!(from.is_some(), "it took one step");
    assert_eq!(fence(&db), before + 1);
}
