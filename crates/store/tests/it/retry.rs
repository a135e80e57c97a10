//! A new order from chosen rows of an old one.

use posthaste_model::{Reason, State, Verdict};
use posthaste_store::{AcceptError, ParcelRef, Report, RetryAsk, Settlement, Store};

use crate::house::*;

fn ask(n: u64) -> RetryAsk {
    RetryAsk { suffix: suffix(n), due: None, digest: [1; 12] }
}

/// Begins and settles row 0 of the first parcel as failed.
async fn fail_first_row(store: &Store) {
    let (taken, fence) = posthaste_rig::eventually_async("there is a parcel", async || {
        match claim(store, u64::from(rand_number()), 0).await.unwrap() {
            (taken, fence) if !taken.parcels.is_empty() => Ok((taken, fence)),
            (taken, _) => Err(format!("{taken:?}")),
        }
    })
    .await;
    let parcel = taken.parcels.iter().find(|parcel| parcel.member.number == 0).unwrap();
    let parcel = ParcelRef { member: parcel.member.clone(), fence };
    let window = std::time::Duration::from_secs(60);
    store.begin(0, &email(), window, 0, &[(parcel.clone(), vec![(0, 1)])]).await.unwrap();
    let report = Report { row: 0, attempt: 1, verdict: Verdict::Failed, reason: Reason::Rejected, value: 0 };
    store.settle(0, &email(), &[Settlement { parcel, leave: true, reports: vec![report] }]).await.unwrap();
}

/// Numbers of claims grow.
fn rand_number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test]
async fn rows_of_a_small_order_are_taken_over() {
    let server = server();
    let store = tool(&server).await;
    let old = order(suffix(1), 3);
    store.accept(&old).await.unwrap();
    fail_first_row(&store).await;
    let accepted =
        store.retry_order(&suffix(1), &ask(2), |_, _, outcome| outcome.state == State::Failed).await.unwrap();
    assert_eq!(accepted.channels[0].rows, 1);
    let view = store.load_order(0, &suffix(2)).await.unwrap().unwrap();
    let (inline, _) = view.inline.unwrap();
    assert_eq!(inline.rows, [row(0)]);
    assert_eq!(inline.content.retry_of, suffix(1).to_string());
    assert_eq!(inline.content.text, old.head.content.text);
    let again =
        store.retry_order(&suffix(1), &ask(2), |_, _, outcome| outcome.state == State::Failed).await.unwrap();
    assert!(again.again);
}

#[tokio::test]
async fn rows_of_a_big_order_are_taken_over_parcel_by_parcel() {
    let server = server();
    let store = tool(&server).await;
    let mut old = order(suffix(1), 5_200);
    old.rows.extend((0..3).map(|index| (sms(), row(index))));
    store.accept(&old).await.unwrap();
    fail_first_row(&store).await;
    let accepted = store
        .retry_order(&suffix(1), &ask(2), |_, _, outcome| outcome.state == State::Pending)
        .await
        .unwrap();
    assert_eq!(accepted.channels.iter().map(|c| c.rows).collect::<Vec<_>>(), [5_199, 3]);
    let content = store.load_content(0, &suffix(2)).await.unwrap();
    assert_eq!(content.retry_of, suffix(1).to_string());
}

#[tokio::test]
async fn nothing_chosen_and_nothing_to_choose_from_are_told() {
    let server = server();
    let store = tool(&server).await;
    let told = store.retry_order(&suffix(1), &ask(2), |_, _, _| true).await;
    assert!(matches!(told, Err(AcceptError::NoSource)), "{told:?}");
    store.accept(&order(suffix(1), 1)).await.unwrap();
    let told = store.retry_order(&suffix(1), &ask(2), |_, _, _| false).await;
    assert!(matches!(told, Err(AcceptError::Empty)), "{told:?}");
}
