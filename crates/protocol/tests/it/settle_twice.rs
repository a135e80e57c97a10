//! `settle`: one call that names the same parcel twice.

use posthaste_model::{OutcomeKind, State};
use posthaste_protocol::scripts::settle::{AttemptReport, Settle, Settlement};

use crate::db::Db;
use crate::order::{Courier, Order, report};

#[test]
fn a_parcel_named_twice_stays_in_the_unresolved_index() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1), (1, 1)]);
        courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Unknown)]);
        let reports = |reports: &[AttemptReport]| Settlement {
            parcel: parcel.clone(),
            leave: false,
            reports: reports.to_vec(),
        };
        // The first resolves its last unresolved delivery, the second makes one unresolved again.
        let settlements =
            [reports(&[report(0, 1, OutcomeKind::Sent)]), reports(&[report(1, 1, OutcomeKind::Unknown)])];
        db.reply(&Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements });
        assert_eq!(
            (order.delivery(&db, 0).state, order.delivery(&db, 1).state),
            (State::Sent, State::Unresolved)
        );
        assert!(db.snapshot().sorted("unresolved:{0}:email").contains_key("u1:5:0"));
        db.check_invariants();
        // And the other way round it leaves the index.
        let settlements = [reports(&[report(1, 1, OutcomeKind::Sent)])];
        db.reply(&Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements });
        assert!(db.snapshot().get("unresolved:{0}:email").is_none());
        db.check_invariants();
    }
}
