//! The verbs of a courier, once through.

use std::time::Duration;

use posthaste_model::{Reason, State, Verdict};
use posthaste_store::{
    Decision, Index, ParcelCode, ParcelRef, Renewed, Report, Reported, Resolved, RowBegun, Settlement, Word,
};

use crate::house::*;

#[tokio::test]
async fn a_row_goes_from_pending_to_delivered() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 2)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 1).await.unwrap();
    let parcel = ParcelRef { member: taken.parcels[0].member.clone(), fence };
    let states: Vec<_> = taken.parcels[0].outcomes.as_ref().unwrap().rows().map(|row| row.state).collect();
    assert_eq!(states, [State::Sending, State::Pending]);

    let begun = store
        .begin(0, &email(), Duration::from_secs(60), 1, &[(parcel.clone(), vec![(1, 1)])])
        .await
        .unwrap();
    let (code, rows) = &begun.reply[0];
    assert_eq!((*code, begun.reply.len()), (ParcelCode::Ok, 1));
    // The first token of a channel comes from the clock, in milliseconds.
    assert!(matches!(rows[..], [RowBegun::Begun { token: 1..=0x7fff_ffff }]), "{rows:?}");
    let renewed =
        store.renew(0, &email(), Duration::from_secs(10), std::slice::from_ref(&parcel)).await.unwrap();
    assert_eq!(renewed.reply, [Renewed::Renewed]);

    let report = |row, verdict| Report { row, attempt: 1, verdict, reason: Reason::None, value: 0 };
    let settlement = Settlement {
        parcel: parcel.clone(),
        leave: true,
        reports: vec![report(0, Verdict::Sent), report(1, Verdict::Unknown)],
    };
    let settled = store.settle(0, &email(), std::slice::from_ref(&settlement)).await.unwrap().reply;
    assert_eq!(settled.parcels, [(ParcelCode::Left, vec![Reported::Applied, Reported::Applied])]);
    let repeated = store.settle(0, &email(), &[settlement]).await.unwrap().reply;
    assert!(repeated.parcels[0].1.iter().all(|reported| *reported == Reported::Known), "{repeated:?}");

    let resolved =
        store.resolve(0, &email(), &parcel.member, &[(1, 1, Decision::Hold(Reason::Held))]).await.unwrap();
    assert!(matches!(resolved.reply, Resolved::Ok { ended: 1, .. }), "{resolved:?}");
    let word = store.receipt(0, &email(), &parcel.member, 0, 1, Word::Delivered, Reason::None).await.unwrap();
    assert_eq!(word.reply, Some(Reported::Applied));
    let view = store.load_order(0, &suffix(1)).await.unwrap().unwrap();
    assert!(view.finished.is_some());
    let (_, counters) = view.counters[0];
    assert_eq!((counters[State::Delivered], counters[State::Unknown], counters.accepted()), (1, 1, 2));
}

#[tokio::test]
async fn a_lease_can_be_handed_back_and_the_sweepers_verbs_answer() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 1)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 0).await.unwrap();
    let parcel = ParcelRef { member: taken.parcels[0].member.clone(), fence };
    let released = store.release(0, &email(), Duration::ZERO, &[parcel]).await.unwrap();
    assert_eq!(released.reply, [ParcelCode::Ready]);
    assert_eq!(claim(&store, 2, 0).await.unwrap().0.parcels.len(), 1);

    let swept = store.sweep(0, &email(), 200, true, None).await.unwrap().reply;
    assert_eq!((swept.parcels, swept.next.is_some()), (0, true));
    let inquiry = store.inquire(0, &email(), 10, Duration::from_secs(1)).await.unwrap().reply;
    assert_eq!(inquiry.members, []);
    let closed = store.close(0, &email(), Index::Unresolved, 0, 10).await.unwrap().reply;
    assert_eq!((closed.next, closed.closed), (None, 0));
    let audited = store.audit(0, &email(), &suffix(1), 0).await.unwrap().reply;
    assert_eq!(audited, posthaste_store::Audited::Ok { next: None, mended: 0 });
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_a_fault() {
    let server = server();
    let store = tool(&server).await;
    assert!(matches!(store.ring(1).await, Err(posthaste_store::CallError::Fault(_))));
}
