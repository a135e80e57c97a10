//! Channels, idempotency keys, the daily limit, days to purge.

use std::time::Duration;

use posthaste_model::{SenderId, UnixMs};
use posthaste_store::{
    BoundIdempotencyKey, DailyPlace, DailyPlaces, NothingStored, PurgedOrders, Role, Store,
};

use crate::house::*;

#[tokio::test]
async fn couriers_register_their_channel() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.channels(0).await.unwrap(), []);
    let accepted = store.accept(&order(order_id(1), 1)).await.unwrap();
    assert_eq!(accepted.channels[0].courier_seen, None);
    assert_eq!(store.receipts().await.unwrap(), [].into());
    let role = Role::CourierWith { channel: email(), receipts: true };
    let _courier = Store::connect(settings(&server.url()), role).await.unwrap();
    assert_eq!(store.receipts().await.unwrap(), [(email(), true)].into());
    let channels = store.channels(0).await.unwrap();
    assert_eq!(channels.len(), 1);
    assert_eq!(channels[0].0, email());
    let accepted = store.accept(&order(order_id(2), 1)).await.unwrap();
    assert_eq!(accepted.channels[0].courier_seen, Some(channels[0].1));
}

#[tokio::test]
async fn keys_are_bound_once_and_places_taken_once() {
    let server = server();
    let store = tool(&server).await;
    let sender: SenderId = "u1".parse().unwrap();
    let ttl = Duration::from_secs(60);
    let bind = async |n, digest| {
        store.bind_idempotency_key(&sender, "abc", &order_id(n), [digest; 12], ttl).await.unwrap()
    };
    assert_eq!(bind(1, 1).await, BoundIdempotencyKey::Bound);
    assert_eq!(bind(2, 1).await, BoundIdempotencyKey::AlreadyDone(order_id(1)));
    assert_eq!(bind(2, 2).await, BoundIdempotencyKey::Conflict);

    let reserve = async |n| store.take_daily_places(&sender, &order_id(n), 1, UnixMs(0)).await.unwrap();
    let DailyPlaces::Ok { used: 1, already_done: false, taken } = reserve(1).await else {
        panic!("no place")
    };
    assert_eq!(reserve(1).await, DailyPlaces::Ok { used: 1, already_done: true, taken });
    assert!(matches!(reserve(2).await, DailyPlaces::LimitReached { used: 1, .. }));
    let (place, proof) = (DailyPlace { order_id: order_id(1), taken }, NothingStored::never_tried());
    assert!(store.return_daily_places(&sender, &place, &proof).await.unwrap());
    assert!(!store.return_daily_places(&sender, &place, &proof).await.unwrap());
    assert!(matches!(reserve(2).await, DailyPlaces::Ok { used: 1, already_done: false, .. }));
}

#[tokio::test]
async fn days_to_purge_are_found_from_the_oldest_order_on() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.days_to_retire(0, 90).await.unwrap(), Vec::<u64>::new());
    let accepted = store.accept(&order(order_id(1), 1)).await.unwrap();
    let today = accepted.accepted.0 / 86_400_000;
    assert_eq!(store.days_to_retire(0, 0).await.unwrap(), Vec::<u64>::new());
    // As if it had been accepted and finished long ago.
    let old = (today - 40) * 86_400_000;
    let head = server.command(&["HGET", "history:{0}:u1:1", "h"]).unwrap();
    let mut head = head.bytes().unwrap().to_vec();
    head[4..10].copy_from_slice(&old.to_be_bytes()[2..]);
    server.command(&[b"HSET".as_slice(), b"history:{0}:u1:1", b"h", &head, b"f", b"1"]).unwrap();
    for day in [today - 35, today - 30, today - 1, today] {
        server.command(&["RPUSH".to_owned(), format!("retire:{{0}}:{day}"), "u1:1".into()]).unwrap();
    }
    assert_eq!(store.days_to_retire(0, 10).await.unwrap(), [today - 35, today - 30]);
    assert_eq!(store.days_to_retire(0, 0).await.unwrap(), [today - 35, today - 30, today - 1]);
    assert_eq!(store.purge_orders(0, today - 35, 10).await.unwrap().reply, PurgedOrders::Done(1));
    assert_eq!(store.purge_orders(0, today, 10).await.unwrap().reply, PurgedOrders::TooEarly);
    assert!(store.load_order(0, &order_id(1)).await.unwrap().is_none());
}
