//! Big orders are streamed in, and are stored as a whole or not at all.

use posthaste_store::{AcceptError, Unstaged};

use crate::house::*;

#[tokio::test]
async fn a_big_order_is_promoted_claimed_and_loaded_parcel_by_parcel() {
    let server = server();
    let store = tool(&server).await;
    let mut order = order(order_id(1), 6_000);
    order.deliveries.extend((0..1_200).map(|index| (sms(), delivery(index))));
    let accepted = store.accept(&order).await.unwrap();
    assert_eq!(accepted.channels.iter().map(|c| c.deliveries).collect::<Vec<_>>(), [6_000, 1_200]);
    let view = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert_eq!(view.counters.iter().map(|(_, c)| c.accepted()).collect::<Vec<_>>(), [6_000, 1_200]);
    assert_eq!(view.waits_until, Some(accepted.due));
    let promoted = posthaste_rig::eventually_async("all parcels promoted", async || {
        let promoted = store.promote_due(0).await.unwrap().reply;
        if promoted.parcels == 15 { Ok(promoted) } else { Err(format!("{promoted:?}")) }
    })
    .await;
    assert_eq!(promoted.next, None);
    let (taken, _) = claim(&store, 1, 0).await.unwrap();
    assert_eq!(taken.parcels.len(), 12);
    let mut deliveries = Vec::new();
    for parcel in &taken.parcels {
        let loaded = store.load(0, &email(), &parcel.parcel_id, &parcel.head).await.unwrap();
        assert_eq!(loaded.outcomes.len(), 500);
        assert_eq!(*loaded.content, order.head.content);
        deliveries.extend(loaded.deliveries);
    }
    deliveries.sort_by_key(|delivery| delivery.index);
    assert_eq!(deliveries, (0..6_000).map(delivery).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_half_streamed_order_is_not_an_order_and_its_staged_data_is_removed() {
    let server = server();
    let store = tool(&server).await;
    let empty = keys(&server);
    let mut writer = store.open_order(head(order_id(1))).unwrap();
    for index in 0..9_000 {
        writer.push(&email(), delivery(index)).await.unwrap();
    }
    // The sender stopped.
    drop(writer);
    eventually("the last call is over", || {
        let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:")).count();
        if parcels == 16 { Ok(()) } else { Err(parcels) }
    })
    .await;
    assert!(store.load_order(0, &order_id(1)).await.unwrap().is_none());
    assert_eq!(claim(&store, 1, 0).await.unwrap().0.parcels.len(), 0);
    assert_eq!(store.unstage(0, None).await.unwrap().reply, Unstaged::Done(None));

    server.command(&["ZADD", "staging:{0}", "1", "u1:1"]).unwrap();
    while let Unstaged::More(_) = store.unstage(0, None).await.unwrap().reply {}
    let left: Vec<_> =
        keys(&server).into_iter().filter(|key| key.contains("u1") || key.contains("stag")).collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(empty.iter().all(|key| keys(&server).contains(key)));
}

#[tokio::test]
async fn aborting_removes_the_staged_data() {
    let server = server();
    let store = tool(&server).await;
    let before = keys(&server);
    let mut writer = store.open_order(head(order_id(1))).unwrap();
    for index in 0..8_000 {
        writer.push(&email(), delivery(index)).await.unwrap();
    }
    writer.abort().await.unwrap();
    assert_eq!(keys(&server), before);
}

#[tokio::test]
async fn a_repeated_big_order_is_recognised_and_not_stored_twice() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 5_000)).await.unwrap();
    let before = keys(&server);
    let again = store.accept(&order(order_id(1), 5_000)).await.unwrap();
    assert!(again.already_done);
    let mut other = order(order_id(1), 5_001);
    other.digest = [9; 12];
    assert!(matches!(store.accept(&other).await, Err(AcceptError::Conflict)));
    assert_eq!(keys(&server), before);
}

#[tokio::test]
async fn an_upload_that_was_idle_for_too_long_must_start_again() {
    let server = server();
    let store = tool(&server).await;
    let mut writer = store.open_order(head(order_id(1))).unwrap();
    for index in 0..4_500 {
        writer.push(&email(), delivery(index)).await.unwrap();
    }
    eventually("the first call is answered", || {
        let staging = int(server.command(&["ZCARD", "staging:{0}"]).unwrap());
        if staging == 1 { Ok(()) } else { Err(staging) }
    })
    .await;
    server.command(&["ZADD", "staging:{0}", "1", "u1:1"]).unwrap();
    assert!(matches!(writer.finish([7; 12], &[]).await, Err(AcceptError::Gone)));
    assert!(store.load_order(0, &order_id(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn leftovers_of_another_body_are_removed_and_reported() {
    let server = server();
    let store = tool(&server).await;
    let mut writer = store.open_order(head(order_id(1))).unwrap();
    for index in 0..6_000 {
        writer.push(&email(), delivery(index)).await.unwrap();
    }
    drop(writer);
    eventually("the last call is over", || {
        let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:")).count();
        if parcels == 8 { Ok(()) } else { Err(parcels) }
    })
    .await;
    // A shorter body under the same order id.
    assert!(matches!(store.accept(&order(order_id(1), 1_000)).await, Err(AcceptError::Gone)));
    let accepted = store.accept(&order(order_id(1), 1_000)).await.unwrap();
    assert!(!accepted.already_done);
    let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:")).count();
    assert_eq!(parcels, 2);
}
