//! Another database than before stops everything.

use posthaste_rig::patience;
use posthaste_rig::servers::Fsync;
use posthaste_store::{Assume, CallError, ConnectError, HaltCause, Role, Settings, StopWhy, Store};

use crate::house::*;

fn wiped(store: &Store) -> Result<(), String> {
    match store.stopped() {
        Some(StopWhy::Halted(halt)) if halt.cause == HaltCause::Wiped => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn a_wiped_database_stops_all_calls_and_all_who_come_later() {
    let server = server();
    let store = tool(&server).await;
    let accepted = store.accept(&order(suffix(1), 1)).await.unwrap();
    let epoch = store.epoch();
    server.command(&["FLUSHALL"]).unwrap();
    assert!(matches!(store.ring(0).await, Err(CallError::Stop(StopWhy::Halted(_)))));
    wiped(&store).unwrap();
    assert!(matches!(store.load_order(0, &suffix(1)).await, Err(CallError::Stop(_))));
    assert!(store.open_order(head(suffix(1))).is_err());
    // Nothing is written but that it is stopped, and what is known to be lost.
    eventually("it is written down", || match keys(&server) {
        keys if keys == ["epoch:{0}", "halted:{0}", "lost:{0}"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let (late, _) = Store::connect(settings(&server.url()), Role::Queue).await.unwrap();
    eventually("a process that starts now knows", || wiped(&late)).await;
    let words = late.stopped().unwrap().to_string();
    assert!(words.starts_with("the database was wiped") && words.contains("posthaste recover"), "{words}");

    let (inspector, _) = Store::connect(settings(&server.url()), Role::Inspector).await.unwrap();
    let recovery = inspector.recover(Assume::Sent, None, |_| {}).await.unwrap();
    assert_eq!(recovery.lost, [(suffix(1), accepted.accepted)]);
    for store in [&store, &late] {
        eventually("it goes on", || store.stopped().map_or(Ok(()), |why| Err(why.to_string()))).await;
        assert_eq!(store.epoch(), format!("{epoch}+1"));
    }
    store.accept(&order(suffix(1), 1)).await.unwrap();
    let (_, fence) = claim(&late, 1, 0).await.unwrap();
    assert!(fence > 1_000_000, "{fence}");
}

#[tokio::test]
async fn who_only_looks_leaves_an_empty_database_empty() {
    let server = server();
    let (inspector, _) = Store::connect(settings(&server.url()), Role::Inspector).await.unwrap();
    assert_eq!((inspector.epoch(), inspector.stopped()), (String::new(), None));
    let recovery = inspector.recover(Assume::Sent, None, |_| {}).await.unwrap();
    assert_eq!(recovery.partitions, 0);
    assert!(keys(&server).is_empty());
}

#[tokio::test]
async fn a_database_set_up_anew_is_another_one() {
    let server = server();
    let store = tool(&server).await;
    server.command(&["SET", "epoch:{0}", "somebody-elses"]).unwrap();
    let why = StopWhy::Epoch { partition: 0, found: "somebody-elses".to_owned() };
    assert!(matches!(store.ring(0).await, Err(CallError::Stop(told)) if told == why));
    assert_eq!(store.stopped(), Some(why));
    assert_eq!(server.command(&["GET", "epoch:{0}"]).unwrap().text(), Some("somebody-elses"));
}

#[tokio::test]
async fn a_server_that_came_back_empty_is_noticed_before_any_call() {
    let mut server = builder().fsync(Fsync::Off).start().unwrap();
    let store = tool(&server).await;
    server.kill9().unwrap();
    server.restart().unwrap();
    eventually("it is noticed", || wiped(&store)).await;
    eventually("it is written down", || match keys(&server) {
        keys if keys == ["epoch:{0}", "halted:{0}"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
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
