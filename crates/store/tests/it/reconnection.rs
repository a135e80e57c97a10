//! Scripts are loaded again, and connections re-established.

use std::time::Duration;

use posthaste_rig::{PrivateServer, patience};
use posthaste_store::{CallError, ConnectError, NoReplyCause, Role, Settings, Store};

use crate::house::*;

#[tokio::test]
async fn scripts_are_loaded_again_after_a_flush() {
    let server = server();
    let store = tool(&server).await;
    for n in 1..=3 {
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
        let accepted = store.accept(&order(order_id(n), 1)).await.unwrap();
        assert!(!accepted.already_done);
    }
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(claim(&store, 1, 0).await.unwrap().0.parcels.len(), 3);
}

#[tokio::test]
async fn killed_connections_come_back() {
    let server = server();
    let store = tool(&server).await;
    let mut link = store.connection();
    let before = link.borrow_and_update().clone();
    assert!(before.up && before.losses == 0);
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    let after = tokio::time::timeout(patience(), link.wait_for(|link| link.up && link.losses == 1)).await;
    let after = after.unwrap().unwrap().clone();
    assert_eq!((after.run_id, after.restarts), (before.run_id, 0));
    assert!(after.since > before.since);
    store.accept(&order(order_id(1), 1)).await.unwrap();
}

#[tokio::test]
async fn losing_one_of_several_connections_stops_nothing() {
    let server = server();
    let store = tool(&server).await;
    let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).unwrap().text().unwrap().to_owned();
    let ours = clients.lines().find(|line| line.contains("cmd=evalsha")).unwrap();
    let id = ours.split_whitespace().next().unwrap().trim_start_matches("id=").to_owned();
    server.command(&["CLIENT", "KILL", "ID", &id]).unwrap();
    let mut answered = 0;
    while answered < 20 {
        match store.promote_due(0).await {
            Ok(_) => answered += 1,
            // The call in flight on that connection.
            Err(CallError::NoReply(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(store.connection().borrow().losses, 0);
}

#[tokio::test]
async fn a_restarted_server_is_reported_and_used_again() {
    let mut server = server();
    let patient = Settings { call_timeout: patience(), ..settings(&server.url()) };
    let (store, _) = Store::connect(patient, Role::Tool).await.unwrap();
    let (epoch, run_id) = (store.epoch(), store.connection().borrow().run_id.clone());
    assert_eq!(epoch.len(), 32);
    store.accept(&order(order_id(1), 1)).await.unwrap();
    server.stop().unwrap();
    let mut link = store.connection();
    tokio::time::timeout(patience(), link.wait_for(|link| !link.up)).await.unwrap().unwrap();
    server.restart().unwrap();
    tokio::time::timeout(patience(), link.wait_for(|link| link.up)).await.unwrap().unwrap();
    let now = link.borrow().clone();
    assert_eq!((now.losses, now.restarts), (1, 1));
    assert_ne!(now.run_id, run_id);
    assert_eq!(claim(&store, 1, 0).await.unwrap().0.parcels.len(), 1);
    assert_eq!(store.epoch(), epoch);
}

#[tokio::test]
async fn without_a_server_calls_fail_after_their_time_limit() {
    let mut server = server();
    let quick = Settings { call_timeout: Duration::from_secs(2), ..settings(&server.url()) };
    let (store, _) = Store::connect(quick, Role::Tool).await.unwrap();
    server.kill9().unwrap();
    let mut link = store.connection();
    tokio::time::timeout(patience(), link.wait_for(|link| !link.up)).await.unwrap().unwrap();
    assert!(matches!(store.promote_due(0).await, Err(CallError::NoReply(NoReplyCause::NotConnected))));
    assert!(matches!(
        store.load_order(0, &order_id(1)).await,
        Err(CallError::NoReply(NoReplyCause::NotConnected))
    ));
}

#[tokio::test]
async fn a_frozen_server_is_away_until_it_resumes() {
    let server = server();
    let quick = Settings { call_timeout: Duration::from_secs(2), ..settings(&server.url()) };
    let (store, _) = Store::connect(quick, Role::Tool).await.unwrap();
    server.freeze().unwrap();
    assert!(matches!(store.promote_due(0).await, Err(CallError::NoReply(_))));
    server.thaw().unwrap();
    posthaste_rig::eventually_async("calls are answered", async || {
        store.promote_due(0).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn without_a_server_connecting_fails() {
    let mut server = PrivateServer::start().unwrap();
    server.kill9().unwrap();
    let reported = Store::connect(settings(&server.url()), Role::Tool).await;
    assert!(matches!(reported, Err(ConnectError::Unreachable(_))), "{reported:?}");
}

#[tokio::test]
async fn a_store_leaves_no_connection_behind() {
    let server = server();
    let count = || {
        let clients = server.command(&["CLIENT", "LIST"]).unwrap();
        clients.text().unwrap().lines().count()
    };
    let store = tool(&server).await;
    let listener = store.wakeup_listener();
    eventually("it listens", || if listener.listening() { Ok(()) } else { Err("not listening") }).await;
    assert_eq!(count(), 4);
    drop(store);
    eventually("dropped, all are closed", || if count() == 1 { Ok(()) } else { Err(count()) }).await;
    let store = tool(&server).await;
    store.disconnect().await;
    eventually("disconnected, all are closed", || if count() == 1 { Ok(()) } else { Err(count()) }).await;
    assert!(matches!(store.clone().promote_due(0).await, Err(CallError::NoReply(_))));
}
