//! Big orders stream in and are there whole, or not at all.

use posthaste_store::{AcceptError, Unstaged};

use crate::house::*;

#[tokio::test]
async fn a_big_order_is_rung_claimed_and_loaded_parcel_by_parcel() {
    let server = server();
    let store = tool(&server).await;
    let mut order = order(suffix(1), 6_000);
    order.rows.extend((0..1_200).map(|index| (sms(), row(index))));
    let accepted = store.accept(&order).await.unwrap();
    assert_eq!(accepted.channels.iter().map(|c| c.rows).collect::<Vec<_>>(), [6_000, 1_200]);
    let view = store.load_order(0, &suffix(1)).await.unwrap().unwrap();
    assert_eq!(view.counters.iter().map(|(_, c)| c.accepted()).collect::<Vec<_>>(), [6_000, 1_200]);
    assert_eq!(view.waits_until, Some(accepted.due));
    let rung = posthaste_rig::eventually_async("all parcels rung", async || {
        let rung = store.ring(0).await.unwrap().reply;
        if rung.parcels == 15 { Ok(rung) } else { Err(format!("{rung:?}")) }
    })
    .await;
    assert_eq!(rung.next, None);
    let (taken, _) = claim(&store, 1, 0).await.unwrap();
    assert_eq!(taken.parcels.len(), 12);
    let mut rows = Vec::new();
    for parcel in &taken.parcels {
        let loaded = store.load(0, &email(), &parcel.member, &parcel.head).await.unwrap();
        assert_eq!(loaded.outcomes.len(), 500);
        assert_eq!(*loaded.content, order.head.content);
        rows.extend(loaded.rows);
    }
    rows.sort_by_key(|row| row.index);
    assert_eq!(rows, (0..6_000).map(row).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_of_a_half_streamed_order_is_an_order_and_the_sweep_removes_it() {
    let server = server();
    let store = tool(&server).await;
    let empty = keys(&server);
    let mut writer = store.open_order(head(suffix(1))).unwrap();
    for index in 0..9_000 {
        writer.push(&email(), row(index)).await.unwrap();
    }
    // The sender went away.
    drop(writer);
    eventually("the last call is over", || {
        let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:")).count();
        if parcels == 16 { Ok(()) } else { Err(parcels) }
    })
    .await;
    assert!(store.load_order(0, &suffix(1)).await.unwrap().is_none());
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
async fn giving_up_removes_what_was_streamed() {
    let server = server();
    let store = tool(&server).await;
    let before = keys(&server);
    let mut writer = store.open_order(head(suffix(1))).unwrap();
    for index in 0..8_000 {
        writer.push(&email(), row(index)).await.unwrap();
    }
    writer.abort().await.unwrap();
    assert_eq!(keys(&server), before);
}

#[tokio::test]
async fn a_big_order_given_again_is_known_and_not_stored_twice() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 5_000)).await.unwrap();
    let before = keys(&server);
    let again = store.accept(&order(suffix(1), 5_000)).await.unwrap();
    assert!(again.again);
    let mut other = order(suffix(1), 5_001);
    other.digest = [9; 12];
    assert!(matches!(store.accept(&other).await, Err(AcceptError::Conflict)));
    assert_eq!(keys(&server), before);
}

#[tokio::test]
async fn what_went_silent_for_too_long_is_given_again_from_the_start() {
    let server = server();
    let store = tool(&server).await;
    let mut writer = store.open_order(head(suffix(1))).unwrap();
    for index in 0..4_500 {
        writer.push(&email(), row(index)).await.unwrap();
    }
    eventually("the first call is answered", || {
        let staging = int(server.command(&["ZCARD", "staging:{0}"]).unwrap());
        if staging == 1 { Ok(()) } else { Err(staging) }
    })
    .await;
    server.command(&["ZADD", "staging:{0}", "1", "u1:1"]).unwrap();
    assert!(matches!(writer.finish([7; 12], &[]).await, Err(AcceptError::Gone)));
    assert!(store.load_order(0, &suffix(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn leftovers_of_another_body_are_removed_and_told() {
    let server = server();
    let store = tool(&server).await;
    let mut writer = store.open_order(head(suffix(1))).unwrap();
    for index in 0..6_000 {
        writer.push(&email(), row(index)).await.unwrap();
    }
    drop(writer);
    eventually("the last call is over", || {
        let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:")).count();
        if parcels == 8 { Ok(()) } else { Err(parcels) }
    })
    .await;
    // A shorter body under the same suffix.
    assert!(matches!(store.accept(&order(suffix(1), 1_000)).await, Err(AcceptError::Gone)));
    let accepted = store.accept(&order(suffix(1), 1_000)).await.unwrap();
    assert!(!accepted.again);
    let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:")).count();
    assert_eq!(parcels, 2);
}
