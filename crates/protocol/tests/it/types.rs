//! Keys of a wrong type: a script that stops at one has written nothing.

use std::cell::RefCell;
use std::time::Duration;

use posthaste_model::{Lane, Reason, Verdict};
use posthaste_protocol::Script;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::settle::{Settle, Settlement};
use posthaste_protocol::scripts::stage::Stage;
use posthaste_protocol::scripts::unstage::Unstage;

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN, UPLOAD, WINDOW, report};

/// Spoils one key of a call after the other, and demands of each refused call that nothing changed. `run` sets the stage,
/// has the key spoiled by its second argument, and says whether the call was answered. Answers how many were refused.
fn each_key(run: impl Fn(&Db, &dyn Fn(&[String])) -> bool) -> usize {
    let mut refused = 0;
    let db = Db::start();
    for at in 2.. {
        db.reset();
        let before = RefCell::new(None);
        let spoil = |keys: &[String]| {
            // The keys of a call, and one it finds by its members.
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

fn call<S: Script>(db: &Db, spoil: &dyn Fn(&[String]), script: &S) -> bool {
    spoil(&script.keys());
    db.call(script).is_ok()
}

/// A claimed order of four rows: one sending, one unresolved, two pending.
fn claimed<'a>(db: &'a Db, big: bool) -> (Order, Courier<'a>, ParcelRef) {
    let order = Order::of_layout(big, "u1:5").rows(4).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1), (1, 1)]);
    courier.settle(&parcel, false, &[report(1, 1, Verdict::Unknown)]);
    db.raw(&["HSET", "crashes:{0}:email", "u1:5:0", &format!("1 {}", db.now().0)]);
    (order, courier, parcel)
}

#[test]
fn scripts_of_a_courier() {
    for big in [false, true] {
        let begin = |rows_a_token| {
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
                        rows_a_token,
                        partitions: 1,
                        parcels: &parcels,
                    },
                )
            })
        };
        assert_eq!((begin(0), begin(1)), (2, 3));
        for verdict in [Verdict::Sent, Verdict::Unknown, Verdict::Retry] {
            let refused = each_key(|db, spoil| {
                let (_, courier, parcel) = claimed(db, big);
                let settlements = [Settlement { parcel, leave: true, reports: vec![report(0, 1, verdict)] }];
                call(
                    db,
                    spoil,
                    &Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements },
                )
            });
            assert_eq!(refused, 5, "{verdict:?}");
        }
        let refused = each_key(|db, spoil| {
            let (_, courier, parcel) = claimed(db, big);
            courier.settle(&parcel, false, &[report(0, 1, Verdict::Retry)]);
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
            courier.settle(&parcel, true, &[report(0, 1, Verdict::Retry)]);
            let (keys, channel, member) = (&db.keys, &courier.channel, &order.member(0));
            let (word, reason) = (Word::Delivered, Reason::None);
            call(db, spoil, &Receipt { keys, channel, member, row: 0, attempt: 1, word, reason })
        });
        assert_eq!(refused, 3);
    }
}

#[test]
fn scripts_of_sweepers_and_resolvers() {
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
            let (keys, channel, member) = (&db.keys, &courier.channel, &order.member(0));
            call(db, spoil, &Resolve { keys, channel, member, decisions: &[(1, 1, Decision::Retry)] })
        });
        assert_eq!(refused, 4);
        for index in [Index::Ready(Lane::Bulk), Index::Unresolved] {
            let refused = each_key(|db, spoil| {
                let (_, courier, _) = claimed(db, big);
                courier.crash();
                db.later(SPAN);
                call(
                    db,
                    spoil,
                    &Close { keys: &db.keys, channel: &courier.channel, index, from: 0, limit: 9 },
                )
            });
            assert!(refused >= 4, "{index:?}: {refused}");
        }
    }
    let refused = each_key(|db, spoil| {
        let (_, courier, _) = claimed(db, false);
        courier.crash();
        db.later(SPAN);
        call(db, spoil, &Inquire { keys: &db.keys, channel: &courier.channel, limit: 9, put_off: WINDOW })
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
            call(db, spoil, &Cancel { keys: &db.keys, suffix: &order.suffix })
        });
        // A history of a wrong type is an answer.
        assert_eq!(refused, 1);
        let refused = each_key(|db, spoil| {
            let order = waiting(db);
            let due = db.now().after(WINDOW * 2);
            call(
                db,
                spoil,
                &Reschedule { keys: &db.keys, suffix: &order.suffix, due, not_after: None, revision: 0 },
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
            &Stage { keys: &db.keys, suffix: &order.suffix, upload: UPLOAD, open: None, parcels: &parcels },
        )
    });
    assert_eq!(refused, 1);
    let refused = each_key(|db, spoil| {
        staged(db);
        call(db, spoil, &Unstage { keys: &db.keys, suffix: Some(&order.suffix), upload: None })
    });
    assert_eq!(refused, 1);
}
