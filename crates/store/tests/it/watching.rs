//! Watching histories: changes and gaps are reported, and only watched histories cause events.

use std::time::Duration;

use posthaste_model::OrderId;
use posthaste_rig::{PrivateServer, patience};
use posthaste_store::{OrderWatch, Role, Settings, Store};

use crate::house::*;

async fn reported(watch: &mut OrderWatch) {
    tokio::time::timeout(patience(), watch.changed()).await.expect("a change");
}

/// Whether no change is left to report.
async fn quiet(watch: &mut OrderWatch) -> bool {
    tokio::time::timeout(Duration::ZERO, watch.changed()).await.is_err()
}

/// A watch whose subscription is active.
async fn watching(store: &Store, order_id: &OrderId) -> OrderWatch {
    let mut watch = store.watch_history(order_id);
    reported(&mut watch).await;
    assert!(watch.listening());
    watch
}

/// Changes a history as scripts do.
fn change(server: &PrivateServer, n: u64) {
    server.command(&["HINCRBY", &format!("history:{{0}}:u1:{n}"), "v", "1"]).unwrap();
}

fn subscriptions(server: &PrivateServer) -> usize {
    server.command(&["PUBSUB", "CHANNELS"]).unwrap().items().len()
}

async fn left(server: &PrivateServer, expected: usize) {
    eventually("the subscriptions match the wanted ones", || match subscriptions(server) {
        count if count == expected => Ok(()),
        count => Err(count),
    })
    .await;
}

#[tokio::test]
async fn changes_of_an_order_in_progress_are_seen() {
    let server = server();
    let store = tool(&server).await;
    let mut watch = watching(&store, &order_id(1)).await;
    assert!(quiet(&mut watch).await);
    store.accept(&order(order_id(1), 2)).await.unwrap();
    reported(&mut watch).await;
    let before = store.order_summary(&order_id(1), None).await.unwrap().unwrap();
    claim(&store, 1, 1).await.unwrap();
    reported(&mut watch).await;
    let after = store.order_summary(&order_id(1), Some(&before)).await.unwrap().unwrap();
    assert!(after.revision > before.revision);
}

#[tokio::test]
async fn only_watched_changes_are_reported_and_many_are_merged() {
    let server = server();
    let store = tool(&server).await;
    let mut first = watching(&store, &order_id(1)).await;
    let mut second = watching(&store, &order_id(2)).await;
    for _ in 0..20 {
        change(&server, 1);
        change(&server, 3);
    }
    change(&server, 2);
    // Events arrive in the order of the changes: when the last one has arrived, so have all before it.
    reported(&mut second).await;
    reported(&mut first).await;
    assert!(quiet(&mut first).await && quiet(&mut second).await);
}

#[tokio::test]
async fn all_watchers_of_one_history_share_a_subscription() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!((store.watched(), subscriptions(&server)), (0, 0));
    let mut first = watching(&store, &order_id(1)).await;
    // A later watcher learns at once that the subscription is active.
    let mut second = watching(&store, &order_id(1)).await;
    let other = watching(&store, &order_id(2)).await;
    assert_eq!((store.watched(), subscriptions(&server)), (2, 2));
    change(&server, 1);
    reported(&mut first).await;
    reported(&mut second).await;
    drop(first);
    drop(other);
    left(&server, 1).await;
    change(&server, 1);
    reported(&mut second).await;
    drop(second);
    left(&server, 0).await;
    assert_eq!(store.watched(), 0);
    // After the last watcher has gone, another may come.
    let mut again = watching(&store, &order_id(1)).await;
    change(&server, 1);
    reported(&mut again).await;
}

#[tokio::test]
async fn five_thousand_histories_are_watched() {
    let server = server();
    let store = tool(&server).await;
    let mut watches: Vec<_> = (0..5_000).map(|n| store.watch_history(&order_id(n))).collect();
    for watch in &mut watches {
        reported(watch).await;
    }
    assert_eq!((store.watched(), subscriptions(&server)), (5_000, 5_000));
    let clients = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).unwrap();
    assert_eq!(clients.text().map(|text| text.trim().lines().count()), Some(1));
    let script = "for n = 0, 4999 do redis.call('HINCRBY', 'history:{0}:u1:' .. n, 'v', 1) end";
    server.command(&["EVAL", script, "0"]).unwrap();
    for watch in &mut watches {
        reported(watch).await;
    }
    // Half of them leave, and the rest still receive changes.
    let mut stay: Vec<_> = watches.into_iter().step_by(2).collect();
    left(&server, 2_500).await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    for watch in &mut stay {
        reported(watch).await;
    }
    left(&server, 2_500).await;
    drop(stay);
    left(&server, 0).await;
}

#[tokio::test]
async fn changes_are_reported_while_other_watchers_come_and_go() {
    let server = server();
    let store = tool(&server).await;
    let mut watch = watching(&store, &order_id(0)).await;
    for round in 1..=50 {
        let others: Vec<_> = (1..20).map(|n| store.watch_history(&order_id(round * 100 + n))).collect();
        change(&server, 0);
        reported(&mut watch).await;
        drop(others);
    }
    left(&server, 1).await;
}

#[tokio::test]
async fn a_cut_connection_triggers_a_look() {
    let server = server();
    let store = tool(&server).await;
    let mut watch = watching(&store, &order_id(1)).await;
    for _ in 0..2 {
        assert_eq!(int(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap()), 1);
        reported(&mut watch).await;
        assert!(watch.listening());
        change(&server, 1);
        reported(&mut watch).await;
    }
}

#[tokio::test]
async fn a_restart_of_the_server_triggers_a_look() {
    let mut server = server();
    let quick = Settings { call_timeout: patience(), ..settings(&server.url()) };
    let (store, _) = Store::connect(quick, Role::Queue).await.unwrap();
    let mut watch = watching(&store, &order_id(1)).await;
    server.kill9().unwrap();
    eventually("it is noticed", || if watch.listening() { Err("listening") } else { Ok(()) }).await;
    // A watcher that comes meanwhile is served later.
    let mut other = store.watch_history(&order_id(2));
    server.restart().unwrap();
    reported(&mut watch).await;
    reported(&mut other).await;
    change(&server, 2);
    reported(&mut other).await;
}

#[tokio::test]
async fn the_own_database_number_is_watched() {
    let server = server();
    let (store, _) = Store::connect(settings(&format!("{}?db=3", server.url())), Role::Queue).await.unwrap();
    let mut watch = watching(&store, &order_id(1)).await;
    change(&server, 1);
    store.accept(&order(order_id(1), 1)).await.unwrap();
    reported(&mut watch).await;
    assert!(quiet(&mut watch).await);
}

#[tokio::test]
async fn a_watch_outlives_its_store_without_events() {
    let server = server();
    let store = tool(&server).await;
    let mut watch = watching(&store, &order_id(1)).await;
    store.disconnect().await;
    drop(store);
    eventually("it is noticed", || if watch.listening() { Err("listening") } else { Ok(()) }).await;
    assert!(quiet(&mut watch).await);
}
