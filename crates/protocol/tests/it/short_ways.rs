//! Claim and settle have a fast path for orders of one delivery (`lua/lib/single_delivery.lua`). It leaves the same
//! database as the general path.

use posthaste_model::OutcomeKind;
use posthaste_protocol::scripts::claim::Claim;

use crate::db::Db;
use crate::mutant::Mutant;
use crate::order::{Courier, Order, report};

/// The scripts without their fast paths.
const GENERAL: [Mutant; 2] = [
    Mutant { script: Some("claim"), guard: "if not plain_head(head) or not", instead: "if true or not" },
    Mutant { script: Some("settle"), guard: "if not to or #reports", instead: "if true or #reports" },
];

/// Begins and settles the order's delivery, retries it if it is pending again, and repeats the last report. Returns
/// all replies and what the database holds then.
fn sent(db: &Db, order: &Order, outcome: OutcomeKind) -> Vec<String> {
    db.reset();
    order.accept(db);
    let courier = Courier::new(db, "c1");
    let mut seen = Vec::new();
    // The moments in outcomes, in seconds since the due time, depend on the clock.
    let outcomes = || {
        let o = db.raw(&["HGET", &db.keys.history(&order.order_id), "o"]).bytes().map(<[u8]>::to_vec);
        o.map(|o| if o.len() == 18 { [&o[..11], &o[14..]].concat() } else { o })
    };
    for attempt in 1..=2 {
        let (taken, parcels) = courier.take(&Claim { begin: 9, ..courier.next() });
        seen.push(format!("{} {:?}", taken.parcels.len(), outcomes()));
        let Some(parcel) = parcels.first() else { break };
        let reports = [report(0, attempt, outcome)];
        for _ in 0..2 {
            seen.push(format!("{:?} {:?}", courier.settle(parcel, true, &reports), outcomes()));
        }
    }
    let all = db.snapshot();
    let history = all.hash(&db.keys.history(&order.order_id));
    seen.push(format!("{} {:?}", history.contains_key("f"), history["v"]));
    seen.push(format!("{:?}", all.names().collect::<Vec<_>>()));
    for list in ["ready:{0}:email:bulk", "leased:{0}:email", "unresolved:{0}:email"] {
        seen.push(format!("{:?}", all.sorted(list).into_keys().collect::<Vec<_>>()));
    }
    seen
}

#[test]
fn an_order_of_one_delivery_is_sent_like_any_other() {
    let db = Db::start();
    let order = Order::inline("u1:1");
    for outcome in OutcomeKind::ALL {
        let fast = sent(&db, &order, outcome);
        for without in GENERAL {
            let general = without.under(|| sent(&db, &order, outcome));
            assert_eq!(fast, general, "{outcome:?}, {without:?}");
        }
    }
}
