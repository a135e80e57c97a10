//! Each state of a server is logged when it begins and when it ends, is known while there are no calls, and is
//! distinguished from the others by the work it prevents.

use std::time::Duration;

use posthaste_model::Durability;
use posthaste_rig::proxy::Traffic;
use posthaste_rig::servers::Fsync;
use posthaste_rig::{CapturedLogs, PrivateServer, Proxy, patience};
use posthaste_store::{RedisState, Role, ServerTrouble, Settings, Store, Work};

use crate::house::*;

/// Waits until a state lasts, and returns it.
async fn begins(store: &Store, state: RedisState) -> ServerTrouble {
    let troubles = store.troubles().watch();
    eventually(&format!("the state {state}"), || {
        let lasting = troubles.borrow().clone();
        lasting.iter().find(|one| one.state == state).cloned().ok_or(format!("{lasting:?}"))
    })
    .await
}

/// Waits until nothing is wrong.
async fn is_well(store: &Store) {
    let troubles = store.troubles().watch();
    eventually("nothing is wrong", || {
        let lasting = troubles.borrow().clone();
        if lasting.is_empty() { Ok(()) } else { Err(format!("{lasting:?}")) }
    })
    .await;
}

/// The log lines of a state in a phase.
fn lines(log: &CapturedLogs, state: RedisState, phase: &str) -> Vec<String> {
    let (event, phase) = (format!("event=\"{}\"", state.event()), format!("phase=\"{phase}\""));
    let text = log.text();
    text.lines().filter(|line| line.contains(&event) && line.contains(&phase)).map(str::to_owned).collect()
}

/// Waits for the log line about the end of a state, and checks that each of both was written once.
async fn reported_once(log: &CapturedLogs, state: RedisState, server: &str) {
    let ended =
        eventually("the end is logged", || lines(log, state, "ended").pop().ok_or_else(|| log_of(log))).await;
    assert!(ended.contains(" INFO ") && ended.contains(state.over()) && ended.contains(server), "{ended}");
    assert_eq!(lines(log, state, "ended").len(), 1);
    let began = lines(log, state, "began");
    assert_eq!(began.len(), 1, "{began:#?}");
    let line = &began[0];
    assert!(line.contains(" WARN ") && line.contains(&format!("Redis {}", state.is())), "{line}");
    assert!(line.contains(state.means()) && line.contains(state.remedy()), "{line}");
    assert!(line.contains("since=\"20") && line.contains(&format!("node=\"{server}\"")), "{line}");
}

/// Our own log lines.
fn log_of(log: &CapturedLogs) -> String {
    log.text().lines().filter(|line| line.contains("event=")).collect::<Vec<_>>().join("\n")
}

fn set(server: &PrivateServer, name: &str, value: &str) {
    let reply = server.command(&["CONFIG", "SET", name, value]).unwrap();
    assert!(reply.error().is_none(), "{reply:?}");
}

fn address(server: &PrivateServer) -> String {
    server.socket().display().to_string()
}

#[tokio::test]
async fn a_server_that_is_away_is_logged_once_and_calls_log_nothing() {
    let log = CapturedLogs::by_this_thread();
    let mut server = server();
    let quick = Settings { call_timeout: Duration::from_millis(200), ..settings(&server.url()) };
    let (store, _) = Store::connect(quick, Role::Tool).await.unwrap();
    is_well(&store).await;
    server.kill9().unwrap();
    let away = begins(&store, RedisState::Away).await;
    assert_eq!(*away.node, *address(&server));
    for _ in 0..10 {
        assert!(store.promote_due(0).await.is_err());
    }
    assert_eq!(store.troubles().preventing(Work::Deliver).map(|one| one.state), Some(RedisState::Away));
    server.restart().unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::Away, &address(&server)).await;
    let ended = lines(&log, RedisState::Away, "ended").pop().unwrap();
    assert!(ended.contains("refused_calls=10"), "{ended}");
}

#[tokio::test]
async fn full_memory_is_known_without_calls_and_stops_only_new_orders() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    set(&server, "maxmemory", "1");
    let full = begins(&store, RedisState::MemoryFull).await;
    assert!(full.detail.as_ref().unwrap().ends_with("used, maxmemory 1 bytes"), "{full:?}");
    assert_eq!(store.troubles().preventing(Work::Accept).map(|one| one.state), Some(RedisState::MemoryFull));
    assert_eq!(store.troubles().preventing(Work::Deliver), None);
    let used: u64 = server.info("memory").unwrap()["used_memory"].parse().unwrap();
    set(&server, "maxmemory", &(used * 105 / 100).to_string());
    begins(&store, RedisState::MemoryNearlyFull).await;
    assert!(store.troubles().preventing(Work::Accept).is_some());
    set(&server, "maxmemory", "4gb");
    is_well(&store).await;
    reported_once(&log, RedisState::MemoryFull, &address(&server)).await;
    reported_once(&log, RedisState::MemoryNearlyFull, &address(&server)).await;
}

#[tokio::test]
async fn a_replica_is_reported_with_its_primary() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let replica = begins(&store, RedisState::ReadOnly).await;
    assert!(replica.happened().contains("its primary is 127.0.0.1:1, link down"), "{replica:?}");
    assert!(store.troubles().preventing(Work::Deliver).is_some());
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::ReadOnly, &address(&server)).await;
}

#[tokio::test]
async fn a_full_disk_is_reported_as_such() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    set(&server, "save", "3600 1");
    // The user of this test may be allowed to write anywhere, but nobody can replace a folder that is not empty by a
    // file.
    let dump = server.dir().join("dump.rdb");
    std::fs::create_dir_all(dump.join("in the way")).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    let full = begins(&store, RedisState::Disk).await;
    assert_eq!(full.detail.as_deref(), Some("its last RDB save failed"));
    assert!(store.troubles().preventing(Work::Deliver).is_some());
    std::fs::remove_dir_all(dump).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::Disk, &address(&server)).await;
}

#[tokio::test]
async fn too_few_replicas_are_reported() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    set(&server, "min-replicas-to-write", "1");
    let few = begins(&store, RedisState::NoReplicas).await;
    assert_eq!(few.detail.as_deref(), Some("0 good replicas"));
    set(&server, "min-replicas-to-write", "0");
    is_well(&store).await;
    reported_once(&log, RedisState::NoReplicas, &address(&server)).await;
}

#[tokio::test]
async fn a_script_that_blocks_the_server_is_reported() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    set(&server, "busy-reply-threshold", "50");
    let mut blocker = server.connect().unwrap();
    let blocking = std::thread::spawn(move || blocker.command(&["EVAL", "while true do end", "0"]));
    begins(&store, RedisState::Busy).await;
    server.command(&["SCRIPT", "KILL"]).unwrap();
    blocking.join().unwrap().unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::Busy, &address(&server)).await;
}

#[tokio::test]
async fn a_loading_server_is_reported_with_its_progress() {
    let log = CapturedLogs::by_this_thread();
    let mut server = loads_slowly();
    let store = tool(&server).await;
    let node = address(&server);
    server.kill9().unwrap();
    // It waits until the server has loaded.
    let restarting = tokio::task::spawn_blocking(move || server.restart().map(|()| server));
    let loading = begins(&store, RedisState::Loading).await;
    assert!(loading.detail.as_ref().unwrap().contains("% loaded"), "{loading:?}");
    let _server = restarting.await.unwrap().unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::Loading, &node).await;
}

/// A server that takes some seconds to load, and answers meanwhile that it is loading.
fn loads_slowly() -> PrivateServer {
    let slow = builder()
        .fsync(Fsync::Off)
        .line("key-load-delay 1000")
        .line("loading-process-events-interval-bytes 1024");
    let server = slow.start().unwrap();
    server.command(&["DEBUG", "POPULATE", "3000"]).unwrap();
    server.command(&["SAVE"]).unwrap();
    server
}

#[tokio::test]
async fn answers_that_stay_slow_are_reported() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let proxy = Proxy::unix(server.endpoint(), Traffic::Resp).unwrap();
    let (store, _) = Store::connect(settings(&proxy.url()), Role::Tool).await.unwrap();
    proxy.set_latency(Duration::from_millis(400));
    let slow = begins(&store, RedisState::Slow).await;
    assert!(slow.detail.as_ref().unwrap().starts_with("an answer took "), "{slow:?}");
    assert_eq!(store.troubles().preventing(Work::Accept), None, "slowness prevents nothing");
    proxy.set_latency(Duration::ZERO);
    is_well(&store).await;
    reported_once(&log, RedisState::Slow, &slow.node).await;
}

#[tokio::test]
async fn a_missing_replica_is_reported_before_a_call_needs_it() {
    let log = CapturedLogs::by_this_thread();
    let server = builder().tcp().line("repl-diskless-sync-delay 0").start().unwrap();
    let replicated = Settings { durability: Durability::Replicated, ..settings(&server.url()) };
    let (store, _) = Store::connect(replicated, Role::Tool).await.unwrap();
    let alone = begins(&store, RedisState::Unconfirmed).await;
    assert_eq!(alone.detail.as_deref(), Some("no replica is connected"));
    let port = server.tcp_addr().unwrap().port();
    let _replica = builder().line(&format!("replicaof 127.0.0.1 {port}")).start().unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::Unconfirmed, &address(&server)).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_is_reported_as_such() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    let mut operator = server.connect().unwrap();
    operator.command(&["CONFIG", "SET", "requirepass", "another"]).unwrap();
    operator.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    let denied = begins(&store, RedisState::AccessDenied).await;
    assert!(denied.happened().contains("NOAUTH"), "{denied:?}");
    operator.command(&["CONFIG", "SET", "requirepass", ""]).unwrap();
    is_well(&store).await;
    reported_once(&log, RedisState::AccessDenied, &address(&server)).await;
}

#[tokio::test]
async fn unsuitable_settings_are_reported_when_a_server_returns_with_them() {
    let server = server();
    let store = tool(&server).await;
    set(&server, "maxmemory-policy", "allkeys-lru");
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    let unfit = begins(&store, RedisState::Unsuitable).await;
    assert!(unfit.detail.as_ref().unwrap().contains("noeviction"), "{unfit:?}");
    set(&server, "maxmemory-policy", "noeviction");
    is_well(&store).await;
}

#[tokio::test]
async fn a_lasting_state_is_logged_again() {
    let log = CapturedLogs::by_this_thread();
    let server = server();
    let store = tool(&server).await;
    set(&server, "min-replicas-to-write", "1");
    begins(&store, RedisState::NoReplicas).await;
    let waiting = tokio::time::timeout(posthaste_store::LOG_EVERY + patience(), async {
        loop {
            if let Some(line) = lines(&log, RedisState::NoReplicas, "continues").pop() {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let line = waiting.await.unwrap();
    assert!(line.contains("seconds=30") && line.contains(RedisState::NoReplicas.remedy()), "{line}");
    assert_eq!(lines(&log, RedisState::NoReplicas, "began").len(), 1);
}
