//! A service that starts before its server waits for it and logs that; problems that waiting can't solve end it at
//! once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use posthaste_rig::servers::Fsync;
use posthaste_rig::{CapturedLogs, patience};
use posthaste_store::{ConnectError, RedisState, Role, ServerTroubles, Settings, Store};
use tokio::time::Instant;

use crate::house::*;

fn waiting(url: &str) -> Settings {
    Settings { wait_at_start: patience(), ..settings(url) }
}

async fn shows(troubles: &ServerTroubles, state: RedisState) {
    let lasting = troubles.watch();
    eventually("it is reported what is waited for", || {
        let lasting = lasting.borrow().clone();
        if lasting.iter().any(|one| one.state == state) { Ok(()) } else { Err(format!("{lasting:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_starts_later_is_waited_for() {
    let log = CapturedLogs::by_this_thread();
    let mut server = server();
    server.kill9().unwrap();
    let troubles = ServerTroubles::new();
    let connecting = Store::connect_when_ready(waiting(&server.url()), Role::Queue, troubles.clone());
    let connecting = tokio::spawn(connecting);
    shows(&troubles, RedisState::Away).await;
    let reported = eventually("the wait is reported", || {
        let text = log.text();
        text.lines().find(|line| line.contains("redis.waiting_at_start")).map(str::to_owned).ok_or(text)
    })
    .await;
    assert!(reported.contains(&server.socket().display().to_string()), "{reported}");
    server.restart().unwrap();
    let (store, _) = connecting.await.unwrap().unwrap();
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let lasting = store.troubles().watch();
    eventually("nothing is wrong", || if lasting.borrow().is_empty() { Ok(()) } else { Err("wrong") }).await;
    assert_eq!(log.text().matches("redis.waiting_at_start").count(), 1);
}

#[tokio::test]
async fn a_loading_server_is_waited_for_and_no_connection_is_left() {
    let slow = builder()
        .fsync(Fsync::Off)
        .line("key-load-delay 1000")
        .line("loading-process-events-interval-bytes 1024");
    let mut server = slow.start().unwrap();
    server.command(&["DEBUG", "POPULATE", "3000"]).unwrap();
    server.command(&["SAVE"]).unwrap();
    let url = server.url();
    server.kill9().unwrap();
    let restarting = tokio::task::spawn_blocking(move || server.restart().map(|()| server));
    let troubles = ServerTroubles::new();
    let connecting = tokio::spawn(Store::connect_when_ready(waiting(&url), Role::Queue, troubles.clone()));
    shows(&troubles, RedisState::Loading).await;
    let (store, _) = connecting.await.unwrap().unwrap();
    let server = restarting.await.unwrap().unwrap();
    let clients = || server.command(&["CLIENT", "LIST"]).unwrap().text().unwrap().lines().count();
    // Two for calls, and the one that runs this query.
    eventually("those of earlier tries are gone", || if clients() == 3 { Ok(()) } else { Err(clients()) })
        .await;
    drop(store);
}

#[tokio::test]
async fn a_server_that_temporarily_refuses_writes_is_waited_for() {
    let server = server();
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap();
    let troubles = ServerTroubles::new();
    let connecting =
        tokio::spawn(Store::connect_when_ready(waiting(&server.url()), Role::Queue, troubles.clone()));
    shows(&troubles, RedisState::NoReplicas).await;
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).unwrap();
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_wait_has_an_end() {
    let mut server = server();
    server.kill9().unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(700)] {
        let begun = Instant::now();
        let settings = Settings { wait_at_start: wait, ..settings(&server.url()) };
        let reported = Store::connect_when_ready(settings, Role::Queue, ServerTroubles::new()).await;
        assert!(matches!(reported, Err(ConnectError::Unreachable(_))), "{reported:?}");
        assert!(begun.elapsed() >= wait);
    }
}

#[tokio::test]
async fn problems_that_waiting_cannot_solve_end_it_at_once() {
    let server = builder().tcp().password("right").start().unwrap();
    let plain = server.tcp_url().unwrap();
    let address = plain.split('@').nth(1).unwrap().to_owned();
    let ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ca.pem").into());
    let web = speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    for (url, key, words) in [
        (format!("redis://:canary7361@{address}"), "password", "WRONGPASS"),
        (format!("redis://{address}"), "password", "NOAUTH"),
        (format!("rediss://{web}"), "url", "does not speak TLS"),
        (format!("redis://{web}"), "url", "does not speak the Redis protocol"),
        ("redis://h:1/canary7361".to_owned(), "url", ""),
    ] {
        let settings = Settings { ca_file: ca_file.clone(), ..waiting(&url) };
        let connecting = Store::connect_when_ready(settings, Role::Queue, ServerTroubles::new());
        let reported = tokio::time::timeout(patience() / 2, connecting).await.expect("no wait");
        let Err(ConnectError::Settings { key: reported, why }) = reported else {
            panic!("{url}: {reported:?}")
        };
        assert_eq!(reported, key, "{url}: {why}");
        assert!(why.contains(words), "{url}: {why}");
        assert!(!why.contains("canary7361"), "{why}");
    }
    let unfit = crate::house::server();
    unfit.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    let reported = Store::connect_when_ready(waiting(&unfit.url()), Role::Queue, ServerTroubles::new()).await;
    assert!(matches!(reported, Err(ConnectError::Refused(_))), "{reported:?}");
}

#[tokio::test]
async fn connection_errors_name_the_cause_and_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = taken.local_addr().unwrap();
    drop(taken);
    for (url, words, remedy) in [
        (format!("redis://{free}"), "connection refused", "Nothing listens"),
        ("redis+unix:///nowhere/redis.sock".to_owned(), "no such socket", "unixsocket"),
        ("redis://no-such-host.invalid:6379".to_owned(), "unknown host name", "Correct the host"),
    ] {
        let reported = Store::connect(settings(&url), Role::Tool).await.unwrap_err();
        let source = std::error::Error::source(&reported).unwrap().to_string();
        assert!(source.contains(words), "{url}: {source}");
        assert!(reported.remedy().unwrap().contains(remedy), "{url}: {:?}", reported.remedy());
    }
}

/// A server that gives every client this answer.
fn speaking(words: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut requested = [0; 512];
            let _ = stream.read(&mut requested);
            let _ = stream.write_all(words);
        }
    });
    address
}
