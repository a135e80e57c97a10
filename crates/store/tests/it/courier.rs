//! All verbs of a courier, once each.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason, State};
use posthaste_store::{
    AttemptReport, Decision, DeliveryBegun, Index, ParcelCode, ParcelRef, ReceiptStatus, Renewed, Reported,
    Resolved, Settlement,
};

use crate::house::*;

#[tokio::test]
async fn a_delivery_goes_from_pending_to_delivered() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 2)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 1).await.unwrap();
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let states: Vec<_> =
        taken.parcels[0].outcomes.as_ref().unwrap().deliveries().map(|delivery| delivery.state).collect();
    assert_eq!(states, [State::Sending, State::Pending]);

    let begun = store
        .begin(0, &email(), Duration::from_secs(60), 1, &[(parcel.clone(), vec![(1, 1)])])
        .await
        .unwrap();
    let (code, deliveries) = &begun.reply[0];
    assert_eq!((*code, begun.reply.len()), (ParcelCode::Ok, 1));
    // The first token of a channel is the clock in milliseconds.
    assert!(matches!(deliveries[..], [DeliveryBegun::Begun { token: 1..=0x7fff_ffff }]), "{deliveries:?}");
    let renewed =
        store.renew(0, &email(), Duration::from_secs(10), std::slice::from_ref(&parcel)).await.unwrap();
    assert_eq!(renewed.reply, [Renewed::Renewed]);

    let report =
        |delivery, outcome| AttemptReport { delivery, attempt: 1, outcome, reason: Reason::None, value: 0 };
    let settlement = Settlement {
        parcel: parcel.clone(),
        leave: true,
        reports: vec![report(0, OutcomeKind::Sent), report(1, OutcomeKind::Unknown)],
    };
    let settled = store.settle(0, &email(), std::slice::from_ref(&settlement)).await.unwrap().reply;
    assert_eq!(settled.parcels, [(ParcelCode::Settled, vec![Reported::Applied, Reported::Applied])]);
    let repeated = store.settle(0, &email(), &[settlement]).await.unwrap().reply;
    assert!(repeated.parcels[0].1.iter().all(|reported| *reported == Reported::NothingNew), "{repeated:?}");

    let resolved = store
        .resolve(0, &email(), &parcel.parcel_id, &[(1, 1, Decision::Hold(Reason::NotRetried))])
        .await
        .unwrap();
    assert!(matches!(resolved.reply, Resolved::Ok { ended: 1, .. }), "{resolved:?}");
    let word = store
        .apply_receipt(0, &email(), &parcel.parcel_id, 0, 1, ReceiptStatus::Delivered, Reason::None)
        .await
        .unwrap();
    assert_eq!(word.reply, Some(Reported::Applied));
    let view = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert!(view.finished.is_some());
    let (_, counters) = view.counters[0];
    assert_eq!((counters[State::Delivered], counters[State::Unknown], counters.accepted()), (1, 1, 2));
}

#[tokio::test]
async fn a_lease_can_be_released_and_the_housekeeping_verbs_answer() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 0).await.unwrap();
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let released = store.release(0, &email(), Duration::ZERO, &[parcel]).await.unwrap();
    assert_eq!(released.reply, [ParcelCode::Ready]);
    assert_eq!(claim(&store, 2, 0).await.unwrap().0.parcels.len(), 1);

    let swept = store.reclaim_leases(0, &email(), 200, true, None).await.unwrap().reply;
    assert_eq!((swept.parcels, swept.next.is_some()), (0, true));
    let inquiry = store.claim_unresolved(0, &email(), 10, Duration::from_secs(1)).await.unwrap().reply;
    assert_eq!(inquiry.parcel_ids, []);
    let closed = store.expire_parcels(0, &email(), Index::Unresolved, 0, 10).await.unwrap().reply;
    assert_eq!((closed.next, closed.closed), (None, 0));
    let audited = store.repair_indexes(0, &email(), &order_id(1), 0).await.unwrap().reply;
    assert_eq!(audited, posthaste_store::RepairedIndexes::Ok { next: None, mended: 0 });
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_a_fault() {
    let server = server();
    let store = tool(&server).await;
    assert!(matches!(store.promote_due(1).await, Err(posthaste_store::CallError::InvalidReply(_))));
}
