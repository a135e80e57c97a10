//! Small orders are stored in one call, inside their history.

use posthaste_model::{State, Text};
use posthaste_store::AcceptError;

use crate::house::*;

#[tokio::test]
async fn a_small_order_is_ready_at_once_as_a_whole() {
    let server = server();
    let store = tool(&server).await;
    let mut order = order(order_id(1), 2);
    order.no_contact = vec![(sms(), 3), (email(), 1)];
    let accepted = store.accept(&order).await.unwrap();
    assert!(accepted.due_now && !accepted.already_done);
    assert_eq!(accepted.accepted, accepted.due);
    let reported: Vec<_> = accepted
        .channels
        .iter()
        .map(|c| (c.channel.as_str(), c.deliveries, c.merged, c.no_contact))
        .collect();
    assert_eq!(reported, [("email", 2, 0, 1), ("sms", 0, 0, 3)]);

    let view = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert!(view.head.inline && view.waits_until.is_none() && view.cancelled.is_none());
    let (inline, outcomes) = view.inline.unwrap();
    assert_eq!(inline.content, order.head.content);
    assert_eq!(inline.deliveries, [delivery(0), delivery(1)]);
    assert_eq!(outcomes.counters()[State::Pending], 2);
    let counters: Vec<_> = view.counters.iter().map(|(_, c)| (c.accepted(), c.no_contact)).collect();
    assert_eq!(counters, [(2, 1), (0, 3)]);

    let (taken, _) = claim(&store, 1, 0).await.unwrap();
    assert_eq!(taken.parcels.len(), 1);
    assert_eq!(taken.parcels[0].inline.as_ref().unwrap().deliveries, [delivery(0), delivery(1)]);
}

#[tokio::test]
async fn a_repeated_order_is_recognised_and_another_body_refused() {
    let server = server();
    let store = tool(&server).await;
    let first = store.accept(&order(order_id(1), 1)).await.unwrap();
    let keys_before = keys(&server);
    let again = store.accept(&order(order_id(1), 1)).await.unwrap();
    assert!(again.already_done && again.due_now);
    assert_eq!((again.accepted, again.due), (first.accepted, first.due));
    let mut other = order(order_id(1), 1);
    other.digest = [8; 12];
    assert!(matches!(store.accept(&other).await, Err(AcceptError::Conflict)));
    assert_eq!(keys(&server), keys_before);
}

#[tokio::test]
async fn equal_addresses_are_merged_per_channel() {
    let server = server();
    let store = tool(&server).await;
    let mut order = order(order_id(1), 3);
    let mut twin = delivery(9);
    twin.address = delivery(0).address;
    order.deliveries.push((email(), twin.clone()));
    order.deliveries.push((sms(), twin));
    let accepted = store.accept(&order).await.unwrap();
    let reported: Vec<_> =
        accepted.channels.iter().map(|c| (c.channel.as_str(), c.deliveries, c.merged)).collect();
    assert_eq!(reported, [("email", 3, 1), ("sms", 1, 0)]);
}

#[tokio::test]
async fn an_order_for_later_waits_and_one_that_ends_before_is_refused() {
    let server = server();
    let store = tool(&server).await;
    let now = store.server_time().await.unwrap();
    let mut order = order(order_id(1), 1);
    order.head.due = Some(in_an_hour(now));
    let accepted = store.accept(&order).await.unwrap();
    assert!(!accepted.due_now);
    assert_eq!(accepted.due, in_an_hour(now));
    let view = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert_eq!(view.waits_until, Some(in_an_hour(now)));

    order.head.order_id = order_id(2);
    order.head.not_after = Some(now);
    assert!(matches!(store.accept(&order).await, Err(AcceptError::ExpiresBeforeDue)));
    assert!(store.load_order(0, &order_id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn an_order_too_big_for_its_history_goes_into_parcels() {
    let server = server();
    let store = tool(&server).await;
    let mut order = order(order_id(1), 1);
    order.head.content.text = Text::new("x".repeat(3_000));
    store.accept(&order).await.unwrap();
    let view = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert!(!view.head.inline && view.inline.is_none());
    let (taken, _) = claim(&store, 1, 10).await.unwrap();
    let parcel = &taken.parcels[0];
    assert!(parcel.inline.is_none());
    for _ in 0..2 {
        let loaded = store.load(0, &email(), &parcel.parcel_id, &parcel.head).await.unwrap();
        assert_eq!(
            (&*loaded.content, loaded.deliveries, loaded.outcomes.len()),
            (&order.head.content, vec![delivery(0)], 1)
        );
    }
}

#[tokio::test]
async fn an_order_without_deliveries_is_refused() {
    let server = server();
    let store = tool(&server).await;
    let mut order = order(order_id(1), 0);
    assert!(matches!(store.accept(&order).await, Err(AcceptError::Empty)));
    order.no_contact = vec![(email(), 4)];
    assert!(matches!(store.accept(&order).await, Err(AcceptError::Empty)));
}
