//! Bells are received, gaps are reported.

use std::time::Duration;

use posthaste_rig::patience;
use posthaste_store::{Role, Settings, Store, WakeupEvent, WakeupListener};

use crate::house::*;

async fn next(listener: &mut WakeupListener) -> WakeupEvent {
    tokio::time::timeout(patience(), listener.wait()).await.expect("an event")
}

/// A listener that has returned its first gap.
async fn listening(store: &Store) -> WakeupListener {
    let mut listener = store.wakeup_listener();
    assert_eq!(next(&mut listener).await, WakeupEvent::Gap);
    assert!(listener.listening());
    listener
}

#[tokio::test]
async fn an_order_due_now_rings_a_bell() {
    let server = server();
    let store = tool(&server).await;
    let mut listener = listening(&store).await;
    assert_eq!((listener.bells(), listener.last_bell()), (0, None));
    store.accept(&order(order_id(1), 1)).await.unwrap();
    assert_eq!(next(&mut listener).await, WakeupEvent::Bell);
    assert_eq!(listener.bells(), 1);
    assert!(listener.last_bell().is_some());
}

#[tokio::test]
async fn the_own_bell_is_received_once_and_leaves_no_key() {
    let server = server();
    let store = tool(&server).await;
    let mut listener = listening(&store).await;
    let before = keys(&server);
    for n in 1..=3 {
        store.ring_own_bell(0).await.unwrap();
        assert_eq!(next(&mut listener).await, WakeupEvent::Bell);
        assert_eq!(listener.bells(), n);
    }
    assert_eq!(keys(&server), before);
}

#[tokio::test]
async fn other_events_are_not_bells() {
    let server = server();
    let store = tool(&server).await;
    let mut listener = listening(&store).await;
    for (name, args) in [("SET", vec!["other", "0", "PXAT", "1"]), ("EXISTS", vec!["other"])] {
        let words: Vec<&str> = std::iter::once(name).chain(args).collect();
        server.command(&words).unwrap();
    }
    store.ring_own_bell(0).await.unwrap();
    assert_eq!(next(&mut listener).await, WakeupEvent::Bell);
    assert_eq!(listener.bells(), 1);
}

#[tokio::test]
async fn a_cut_connection_is_a_gap_and_then_bells_are_received_again() {
    let server = server();
    let store = tool(&server).await;
    let mut listener = listening(&store).await;
    for _ in 0..2 {
        assert_eq!(int(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap()), 1);
        assert_eq!(next(&mut listener).await, WakeupEvent::Gap);
        assert!(listener.listening());
        store.ring_own_bell(0).await.unwrap();
        assert_eq!(next(&mut listener).await, WakeupEvent::Bell);
    }
    assert_eq!(listener.gaps(), 3);
}

#[tokio::test]
async fn all_listeners_receive_bells() {
    let server = server();
    let store = tool(&server).await;
    let mut first = listening(&store).await;
    let mut second = store.wakeup_listener();
    let mut third = first.clone();
    store.ring_own_bell(0).await.unwrap();
    for listener in [&mut first, &mut second, &mut third] {
        assert_eq!(next(listener).await, WakeupEvent::Bell);
    }
    // A flag, not a queue.
    for _ in 0..5 {
        store.ring_own_bell(0).await.unwrap();
    }
    eventually("all are counted", || if first.bells() == 6 { Ok(()) } else { Err(first.bells()) }).await;
    assert_eq!(next(&mut first).await, WakeupEvent::Bell);
    assert!(tokio::time::timeout(Duration::ZERO, first.wait()).await.is_err());
}

#[tokio::test]
async fn only_bells_of_the_own_database_number_are_received() {
    let server = server();
    let url = format!("{}?db=3", server.url());
    let (store, _) = Store::connect(settings(&url), Role::Tool).await.unwrap();
    let mut listener = listening(&store).await;
    tool(&server).await.ring_own_bell(0).await.unwrap();
    store.ring_own_bell(0).await.unwrap();
    assert_eq!(next(&mut listener).await, WakeupEvent::Bell);
    assert_eq!(listener.bells(), 1);
}

#[tokio::test]
async fn a_restart_of_the_server_is_a_gap() {
    let mut server = server();
    let quick = Settings { call_timeout: patience(), ..settings(&server.url()) };
    let (store, _) = Store::connect(quick, Role::Tool).await.unwrap();
    let mut listener = listening(&store).await;
    server.kill9().unwrap();
    server.restart().unwrap();
    assert_eq!(next(&mut listener).await, WakeupEvent::Gap);
    store.ring_own_bell(0).await.unwrap();
    assert_eq!(next(&mut listener).await, WakeupEvent::Bell);
}
