//! A new order from chosen deliveries of an old one.

use std::cell::RefCell;

use posthaste_model::{OutcomeKind, Reason, State};
use posthaste_store::{
    AcceptError, AttemptReport, ConsentNotice, ParcelRef, RetryRequest, Settlement, Store, Suppress,
    SuppressionSource,
};
use tokio::time::Instant;

use crate::house::*;

fn ask(n: u64) -> RetryRequest {
    RetryRequest { order_id: order_id(n), due: None, digest: [1; 12] }
}

/// Begins and settles delivery 0 of the first parcel as failed.
async fn fail_first_delivery(store: &Store) {
    let (taken, fence) = posthaste_rig::eventually_async("there is a parcel", async || {
        match claim(store, u64::from(rand_number()), 0).await.unwrap() {
            (taken, fence) if !taken.parcels.is_empty() => Ok((taken, fence)),
            (taken, _) => Err(format!("{taken:?}")),
        }
    })
    .await;
    let parcel = taken.parcels.iter().find(|parcel| parcel.parcel_id.number == 0).unwrap();
    let parcel = ParcelRef { parcel_id: parcel.parcel_id.clone(), fence };
    let window = std::time::Duration::from_secs(60);
    store.begin(0, &email(), window, 0, &[(parcel.clone(), vec![(0, 1)])]).await.unwrap();
    let report = AttemptReport {
        delivery: 0,
        attempt: 1,
        outcome: OutcomeKind::Failed,
        reason: Reason::Rejected,
        value: 0,
    };
    store.settle(0, &email(), &[Settlement { parcel, leave: true, reports: vec![report] }]).await.unwrap();
}

/// The numbers of claims grow.
fn rand_number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test]
async fn deliveries_of_a_small_order_can_be_retried() {
    let server = server();
    let store = tool(&server).await;
    let old = order(order_id(1), 3);
    store.accept(&old).await.unwrap();
    fail_first_delivery(&store).await;
    let accepted = store
        .retry_order(&order_id(1), &ask(2), |_, _, outcome| outcome.state == State::Failed, |_, _| {})
        .await
        .unwrap()
        .accepted;
    assert_eq!(accepted.channels[0].deliveries, 1);
    let view = store.load_order(0, &order_id(2)).await.unwrap().unwrap();
    let (inline, _) = view.inline.unwrap();
    assert_eq!(inline.deliveries, [delivery(0)]);
    assert_eq!(inline.content.retry_of, order_id(1).to_string());
    assert_eq!(inline.content.text, old.head.content.text);
    let again = store
        .retry_order(&order_id(1), &ask(2), |_, _, outcome| outcome.state == State::Failed, |_, _| {})
        .await
        .unwrap();
    assert!(again.accepted.already_done);
}

#[tokio::test]
async fn deliveries_of_a_big_order_can_be_retried_parcel_by_parcel() {
    let server = server();
    let store = tool(&server).await;
    let mut old = order(order_id(1), 5_200);
    old.deliveries.extend((0..3).map(|index| (sms(), delivery(index))));
    store.accept(&old).await.unwrap();
    fail_first_delivery(&store).await;
    let accepted = store
        .retry_order(&order_id(1), &ask(2), |_, _, outcome| outcome.state == State::Pending, |_, _| {})
        .await
        .unwrap()
        .accepted;
    assert_eq!(accepted.channels.iter().map(|c| c.deliveries).collect::<Vec<_>>(), [5_199, 3]);
    let content = store.load_content(0, &order_id(2)).await.unwrap();
    assert_eq!(content.retry_of, order_id(1).to_string());
}

#[tokio::test]
async fn an_empty_choice_and_a_missing_order_are_reported() {
    let server = server();
    let store = tool(&server).await;
    let reported = store.retry_order(&order_id(1), &ask(2), |_, _, _| true, |_, _| {}).await;
    assert!(matches!(reported, Err(AcceptError::NoSource)), "{reported:?}");
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let reported = store.retry_order(&order_id(1), &ask(2), |_, _, _| false, |_, _| {}).await;
    assert!(matches!(reported, Err(AcceptError::Empty)), "{reported:?}");
}

#[tokio::test]
async fn addresses_on_a_suppression_list_are_left_out_and_counted() {
    let server = server();
    let store = tool(&server).await;
    for (n, deliveries) in [(1, 3), (2, 700)] {
        store.accept(&order(order_id(n), deliveries)).await.unwrap();
    }
    let listed = |index| Suppress {
        sender: None,
        address: delivery(index).address,
        reason: Reason::Blocked,
        source: SuppressionSource::Provider,
        after: 1,
        notice: ConsentNotice::received(Instant::now()),
    };
    store.suppress(&email(), &[listed(0), listed(2)]).await.unwrap();
    for (old, new, deliveries) in [(1, 11, 1), (2, 12, 698)] {
        let taken = RefCell::new(Vec::new());
        let take = |_: &_, delivery: &posthaste_model::Delivery| taken.borrow_mut().push(delivery.index);
        let retried = store.retry_order(&order_id(old), &ask(new), |_, _, _| true, take).await.unwrap();
        assert_eq!((retried.accepted.channels[0].deliveries, retried.suppressed), (deliveries, 2));
        let taken = taken.into_inner();
        assert_eq!(taken.len(), deliveries as usize);
        assert!(!taken.contains(&0) && !taken.contains(&2) && taken.contains(&1), "what is sent is counted");
    }
    let listed = |_: &_, delivery: &posthaste_model::Delivery, _: &_| delivery.index.is_multiple_of(2);
    let nothing = store.retry_order(&order_id(1), &ask(13), listed, |_, _| {}).await;
    assert!(matches!(nothing, Err(AcceptError::AllSuppressed(2))), "{nothing:?}");
    assert!(nothing.unwrap_err().nothing_stored().is_some());
    assert!(store.load_order(0, &order_id(13)).await.unwrap().is_none());
}
