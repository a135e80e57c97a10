//! Keys of a wrong type: a script that stops at one has written nothing.

use std::cell::RefCell;
use std::time::Duration;

use posthaste_model::{OutcomeKind, Priority, Reason};
use posthaste_protocol::ScriptCall;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::settle::{Settle, Settlement};
use posthaste_protocol::scripts::stage_parcels::StageParcels;
use posthaste_protocol::scripts::unstage_parcels::Unstage;

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN, UPLOAD, WINDOW, report};

/// Spoils one key of a call after the other, and requires that each refused call changed nothing. `run` sets up the
/// case, has the key spoiled by its second argument, and returns whether the call succeeded. Returns how many calls
/// were refused.
fn each_key(run: impl Fn(&Db, &dyn Fn(&[String])) -> bool) -> usize {
    let mut refused = 0;
    let db = Db::start();
    for at in 2.. {
        db.reset();
        let before = RefCell::new(None);
        let spoil = |keys: &[String]| {
            // The keys of a call, and one it builds from its members.
            let ready = "ready:{0}:email:bulk".to_owned();
            if let Some(key) = keys.iter().chain([&ready]).nth(at) {
                db.raw(&["DEL", key]);
                db.raw(&["SADD", key, "x"]);
                before.replace(Some((key.clone(), db.snapshot())));
            }
        };
        let answered = run(&db, &spoil);
        let Some((key, before)) = before.into_inner() else { return refused };
        if !answered {
            refused += 1;
            let changes = db.snapshot().since(&before, &[]);
            assert!(changes.is_empty(), "{key}: {changes:#?}");
        }
    }
    refused
}

fn call<S: ScriptCall>(db: &Db, spoil: &dyn Fn(&[String]), script: &S) -> bool {
    spoil(&script.keys());
    db.call(script).is_ok()
}

/// A claimed order of four deliveries: one sending, one unresolved, two pending.
fn claimed<'a>(db: &'a Db, big: bool) -> (Order, Courier<'a>, ParcelRef) {
    let order = Order::of_layout(big, "u1:5").deliveries(4).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    courier.settle(&parcel, false, &[report(1, 1, OutcomeKind::Unknown)]);
    db.raw(&["HSET", "crashes:{0}:email", "u1:5:0", &format!("1 {}", db.now().0)]);
    (order, courier, parcel)
}

#[test]
fn scripts_of_a_courier() {
    for big in [false, true] {
        let begin = |deliveries_a_token| {
            each_key(|db, spoil| {
                let (_, courier, parcel) = claimed(db, big);
                let (keys, channel, parcels) = (&db.keys, &courier.channel, [(parcel, vec![(2, 1)])]);
                call(
                    db,
                    spoil,
                    &Begin {
                        keys,
                        channel,
                        send_window: WINDOW,
                        deliveries_a_token,
                        partitions: 1,
                        parcels: &parcels,
                    },
                )
            })
        };
        assert_eq!((begin(0), begin(1)), (2, 3));
        for outcome in [OutcomeKind::Sent, OutcomeKind::Unknown, OutcomeKind::Retry] {
            let refused = each_key(|db, spoil| {
                let (_, courier, parcel) = claimed(db, big);
                let settlements = [Settlement { parcel, leave: true, reports: vec![report(0, 1, outcome)] }];
                call(
                    db,
                    spoil,
                    &Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements },
                )
            });
            assert_eq!(refused, 5, "{outcome:?}");
        }
        let refused = each_key(|db, spoil| {
            let (_, courier, parcel) = claimed(db, big);
            courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Retry)]);
            let (keys, channel, parcels) = (&db.keys, &courier.channel, &[parcel]);
            call(db, spoil, &Release { keys, channel, wait: Duration::ZERO, parcels })
        });
        assert_eq!(refused, 5);
    }
    let refused = each_key(|db, spoil| {
        let (_, courier, parcel) = claimed(db, false);
        call(
            db,
            spoil,
            &Renew { keys: &db.keys, channel: &courier.channel, lease: LEASE, parcels: &[parcel] },
        )
    });
    assert_eq!(refused, 2);
}

#[test]
fn late_evidence() {
    for big in [false, true] {
        let refused = each_key(|db, spoil| {
            let order = Order::of_layout(big, "u1:5").accept(db).clone();
            let courier = Courier::new(db, "c1");
            let parcel = courier.claim_one();
            courier.begun(&parcel, &[(0, 1)]);
            courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Retry)]);
            let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
            let (word, reason) = (ReceiptStatus::Delivered, Reason::None);
            call(
                db,
                spoil,
                &ApplyReceipt {
                    keys,
                    channel,
                    parcel_id,
                    delivery: 0,
                    attempt: 1,
                    status: word,
                    reason: reason.into(),
                },
            )
        });
        assert_eq!(refused, 3);
    }
}

#[test]
fn scripts_of_housekeeping_and_resolvers() {
    for big in [false, true] {
        let refused = each_key(|db, spoil| {
            let (_, courier, _) = claimed(db, big);
            db.later(LEASE);
            call(db, spoil, &courier.sweeping())
        });
        assert_eq!(refused, 8);
        let refused = each_key(|db, spoil| {
            let (order, courier, _) = claimed(db, big);
            courier.crash();
            let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
            call(db, spoil, &Resolve { keys, channel, parcel_id, decisions: &[(1, 1, Decision::Retry)] })
        });
        assert_eq!(refused, 4);
        for index in [Index::Ready(Priority::Bulk), Index::Unresolved] {
            let refused = each_key(|db, spoil| {
                let (_, courier, _) = claimed(db, big);
                courier.crash();
                db.later(SPAN);
                call(
                    db,
                    spoil,
                    &ExpireParcels { keys: &db.keys, channel: &courier.channel, index, from: 0, limit: 9 },
                )
            });
            assert!(refused >= 4, "{index:?}: {refused}");
        }
    }
    let refused = each_key(|db, spoil| {
        let (_, courier, _) = claimed(db, false);
        courier.crash();
        db.later(SPAN);
        call(
            db,
            spoil,
            &ClaimUnresolved { keys: &db.keys, channel: &courier.channel, limit: 9, put_off: WINDOW },
        )
    });
    assert_eq!(refused, 1);
}

#[test]
fn scripts_of_senders() {
    for big in [false, true] {
        let order = Order::of_layout(big, "u1:5");
        let waiting = |db: &Db| order.clone().due_in(db, WINDOW).accept(db).clone();
        let refused = each_key(|db, spoil| {
            let order = waiting(db);
            call(db, spoil, &Cancel { keys: &db.keys, order_id: &order.order_id })
        });
        // A history of a wrong type gets a normal reply.
        assert_eq!(refused, 1);
        let refused = each_key(|db, spoil| {
            let order = waiting(db);
            let due = db.now().after(WINDOW * 2);
            call(
                db,
                spoil,
                &Reschedule { keys: &db.keys, order_id: &order.order_id, due, not_after: None, revision: 0 },
            )
        });
        assert_eq!(refused, 1);
    }
    let order = Order::big("u1:5");
    let staged = |db: &Db| order.stage(db);
    let refused = each_key(|db, spoil| {
        staged(db);
        let parcels = [(order.channels[0].0.clone(), 0, vec![1])];
        call(
            db,
            spoil,
            &StageParcels {
                keys: &db.keys,
                order_id: &order.order_id,
                upload: UPLOAD,
                open: None,
                parcels: &parcels,
            },
        )
    });
    assert_eq!(refused, 1);
    let refused = each_key(|db, spoil| {
        staged(db);
        call(db, spoil, &Unstage { keys: &db.keys, order_id: Some(&order.order_id), upload: None })
    });
    assert_eq!(refused, 1);
}
