//! Another database than before stops everything.

use posthaste_rig::patience;
use posthaste_rig::servers::Fsync;
use posthaste_store::{CallError, ConnectError, Role, Settings, StopWhy, Store};

use crate::house::*;

#[tokio::test]
async fn a_wiped_database_stops_all_calls() {
    let server = server();
    let store = tool(&server).await;
    server.command(&["FLUSHALL"]).unwrap();
    let why = StopWhy::Epoch { partition: 0, found: String::new() };
    assert!(matches!(store.ring(0).await, Err(CallError::Stop(told)) if told == why));
    assert!(matches!(store.load_order(0, &suffix(1)).await, Err(CallError::Stop(_))));
    assert!(store.open_order(head(suffix(1))).is_err());
    // Even when it looks right again.
    server.command(&["SET", "epoch:{0}", &store.epoch()]).unwrap();
    assert!(matches!(store.ring(0).await, Err(CallError::Stop(_))));
    store.go_on_after_rollback().await.unwrap_err();
    assert_eq!(keys(&server), ["epoch:{0}"]);
}

#[tokio::test]
async fn a_server_that_came_back_empty_is_noticed_before_any_call() {
    let mut server = builder().fsync(Fsync::Off).start().unwrap();
    let store = tool(&server).await;
    server.kill9().unwrap();
    server.restart().unwrap();
    eventually("it is noticed", || match store.stopped() {
        Some(StopWhy::Epoch { .. }) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(keys(&server).is_empty());
}

#[tokio::test]
async fn a_database_that_lost_its_epoch_is_foreign() {
    let server = server();
    tool(&server).await.accept(&order(suffix(1), 1)).await.unwrap();
    server.command(&["DEL", "epoch:{0}"]).unwrap();
    let told = Store::connect(settings(&server.url()), Role::Queue).await;
    assert!(matches!(told, Err(ConnectError::Stop(StopWhy::Foreign { partition: 0 }))), "{told:?}");
}

#[tokio::test]
async fn another_number_of_partitions_is_foreign() {
    let server = server();
    let many = Settings { partitions: 4, call_timeout: patience(), ..settings(&server.url()) };
    let (store, _) = Store::connect(many.clone(), Role::Tool).await.unwrap();
    assert_eq!(store.partitions(), 4);
    let p = store.partition_of(&suffix(1));
    assert!(p < 4);
    store.accept(&order(suffix(1), 1)).await.unwrap();
    assert!(store.load_order(p, &suffix(1)).await.unwrap().is_some());
    let told = Store::connect(settings(&server.url()), Role::Tool).await;
    assert!(matches!(told, Err(ConnectError::Stop(StopWhy::Foreign { partition: 0 }))), "{told:?}");
    // All who come later find what the first one set up.
    assert_eq!(Store::connect(many, Role::Tool).await.unwrap().0.epoch(), store.epoch());
}

#[tokio::test]
async fn a_database_for_newer_programs_is_left_alone() {
    let server = server();
    tool(&server).await;
    server.command(&["SET", "schema:{0}", "9 9 1"]).unwrap();
    let told = Store::connect(settings(&server.url()), Role::Tool).await;
    assert!(matches!(told, Err(ConnectError::Stop(StopWhy::TooOld { partition: 0 }))), "{told:?}");
}
