//! A database that lost its last changes is noticed by its fence.

use posthaste_model::{Reason, Verdict};
use posthaste_store::{AcceptError, CallError, ClaimAsk, ParcelRef, Report, Reported, Settlement, StopWhy};

use crate::house::*;

#[tokio::test]
async fn a_fence_that_went_back_stops_all_but_reports() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 1)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 1).await.unwrap();
    assert_eq!(fence, 1);
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    let why = StopWhy::RolledBack { partition: 0, known: 1, found: 0 };
    assert!(matches!(store.ring(0).await, Err(CallError::Stop(told)) if told == why));
    assert_eq!(store.stopped(), Some(why));
    assert!(matches!(claim(&store, 2, 0).await, Err(CallError::Stop(_))));

    let parcel = ParcelRef { member: taken.parcels[0].member.clone(), fence };
    let report = Report { row: 0, attempt: 1, verdict: Verdict::Sent, reason: Reason::None, value: 0 };
    let settlement = Settlement { parcel, leave: true, reports: vec![report] };
    let settled = store.settle(0, &email(), &[settlement]).await.unwrap().reply;
    assert_eq!(settled.parcels[0].1, [Reported::Applied]);

    store.go_on_after_rollback().await.unwrap();
    assert_eq!(store.stopped(), None);
    store.accept(&order(suffix(2), 1)).await.unwrap();
    let (_, fence) = claim(&store, 2, 0).await.unwrap();
    assert!(fence > 1_000_000, "{fence}");
}

/// The answer that shows the roll-back is that of an order which was stored.
#[tokio::test]
async fn an_order_whose_answer_shows_the_roll_back_may_be_stored() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 1)).await.unwrap();
    claim(&store, 1, 1).await.unwrap();
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    let told = store.accept(&order(suffix(2), 1)).await.unwrap_err();
    assert!(matches!(told, AcceptError::Unknown(CallError::Stop(StopWhy::RolledBack { .. }))), "{told:?}");
    let never = store.accept(&order(suffix(3), 1)).await.unwrap_err();
    assert!(matches!(never, AcceptError::Refused(CallError::Stop(_))), "{never:?}");
    let histories = keys(&server).into_iter().filter(|key| key.starts_with("history:")).count();
    assert_eq!(histories, 2);
}

#[tokio::test]
async fn a_claim_told_again_is_no_roll_back() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 1)).await.unwrap();
    claim(&store, 1, 0).await.unwrap();
    store.accept(&order(suffix(2), 1)).await.unwrap();
    let (channel, other) = (email(), "c2".parse().unwrap());
    let ask = ClaimAsk {
        channel: &channel,
        courier: &other,
        number: 1,
        lease: std::time::Duration::from_secs(10),
        limit: 10,
        bulk_limit: 10,
        begin: 0,
        send_window: std::time::Duration::from_secs(60),
        empty_handed: false,
    };
    assert_eq!(store.claim(0, &ask).await.unwrap().fence, 2);
    let (taken, fence) = claim(&store, 1, 0).await.unwrap();
    assert!(taken.again);
    assert_eq!(fence, 1);
    store.ring(0).await.unwrap();
    assert_eq!(store.stopped(), None);
}

#[tokio::test]
async fn a_roll_back_while_away_is_noticed_before_any_call() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 1)).await.unwrap();
    claim(&store, 1, 0).await.unwrap();
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    eventually("it is noticed", || match store.stopped() {
        Some(StopWhy::RolledBack { .. }) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
