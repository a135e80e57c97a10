//! `settle` of many parcels, of big ones, and of what can't be read.

use posthaste_model::{OutcomeKind, State};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::settle::{Reported, Settle, Settlement};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::Db;
use crate::order::{Courier, Order, SPAN, report};
use crate::settle::{sending, settle};

#[test]
fn many_parcels_are_settled_in_one_call() {
    let db = Db::start();
    let big = Order::big("u2:1").deliveries(501).accept(&db).clone();
    for n in 1..=3 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    let parcels = courier.claim();
    parcels.iter().for_each(|parcel| courier.begun(parcel, &[(0, 1)]));
    db.raw(&["DEL", "history:{0}:u1:2"]);
    let settlement = |parcel: &ParcelRef| Settlement {
        parcel: parcel.clone(),
        leave: true,
        reports: vec![report(0, 1, OutcomeKind::Sent)],
    };
    let mut settlements: Vec<_> = parcels.iter().map(settlement).collect();
    // One of them twice.
    settlements.push(settlement(&parcels[0]));
    let call = Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements };
    let step = db.step(&call);
    let mut codes: Vec<_> = parcels
        .iter()
        .zip(&step.reply.parcels)
        .map(|(p, (code, _))| (p.parcel_id.to_string(), *code))
        .collect();
    codes.sort_by_key(|(name, _)| name.clone());
    let expected = [
        ("u1:1:0", ParcelCode::Settled),
        ("u1:2:0", ParcelCode::NotFound),
        ("u1:3:0", ParcelCode::Settled),
        ("u2:1:0", ParcelCode::Ready),
        ("u2:1:1", ParcelCode::Settled),
    ];
    assert_eq!(codes, expected.map(|(name, code)| (name.to_owned(), code)));
    assert_eq!(step.reply.ended, 2);
    assert_eq!(step.reply.parcels[5].1.len(), 1, "one letter per report");
    assert!(step.changes.contains(&"~ history:{0}:u2:1 v: 2 -> 3".to_owned()), "{:#?}", step.changes);
    assert_eq!(big.delivery(&db, 0).state, State::Sent);
    let nothing = Settle { settlements: &[], ..call };
    assert_eq!(db.unchanged(&nothing).parcels, []);
}

#[test]
fn scattered_deliveries_of_a_big_parcel_are_written_in_place() {
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(500).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    let every = |step: usize| (0..500).step_by(step).map(|i| (i, 1)).collect::<Vec<(u16, u8)>>();
    for deliveries in [every(50), every(7), vec![(1, 1), (2, 1), (3, 1), (499, 1)], every(3), every(1)] {
        courier.begin(&parcel, &deliveries);
        db.check_invariants();
        let reports: Vec<_> = deliveries.iter().map(|(i, k)| report(*i, *k, OutcomeKind::Sent)).collect();
        let (_, letters, _) = settle(&courier, &db, &parcel, false, &reports);
        assert!(letters.iter().all(|l| matches!(l, Reported::Applied | Reported::NothingNew)));
        db.check_invariants();
    }
    assert_eq!(order.try_outcomes(&db, 0).expect("outcomes").counters()[State::Sent], 500);
}

#[test]
fn unreadable_records_change_nothing() {
    let newer = [[2].as_slice(), &[0; 60]].concat();
    for (head, code) in [
        (newer, ParcelCode::NewerVersion),
        (vec![1; 9], ParcelCode::Unreadable),
        (vec![], ParcelCode::Unreadable),
    ] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, false, 1);
        db.raw(&[b"HSET", db.keys.history(&order.order_id).as_bytes(), b"h", &head]);
        let (found, letters, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
        assert_eq!((found, letters, step.changes), (code, vec![], vec![]));
    }
    for (field, value) in [("c:email", "short"), ("l", "x"), ("l", "")] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, true, 1);
        db.raw(&["HSET", &db.keys.history(&order.order_id), field, value]);
        let (found, letters, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
        assert_eq!((found, letters, step.changes), (ParcelCode::Unreadable, vec![], vec![]), "{field}");
    }
    // Cancelled before it was due: no delivery was ever begun.
    let db = Db::start();
    let order = Order::big("u1:5").due_in(&db, SPAN).accept(&db).clone();
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    let courier = Courier::new(&db, "c1");
    let parcel = ParcelRef { parcel_id: order.parcel_id(0), fence: 1 };
    let (code, _, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, OutcomeKind::Sent)]);
    assert_eq!((code, step.changes), (ParcelCode::CancelledBeforeDue, vec![]));
}
