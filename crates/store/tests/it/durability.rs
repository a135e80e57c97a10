//! The promised durability of "accepted" is kept, or the call says that it is not confirmed yet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_model::Durability;
use posthaste_rig::proxy::{ProxiedCommand, Proxy, Traffic};
use posthaste_rig::servers::Fsync;
use posthaste_rig::{PrivateServer, ServerKind, patience};
use posthaste_store::preflight::Severity;
use posthaste_store::{AcceptError, CallError, ConnectError, ParcelCode, ParcelRef, Role, Settings, Store};

use crate::house::*;

fn wanting(durability: Durability, server: &PrivateServer) -> Settings {
    let confirm_timeout = Duration::from_millis(200);
    Settings { durability, confirm_timeout, ..settings(&server.url()) }
}

#[tokio::test]
async fn strict_is_kept_by_a_server_that_writes_before_it_answers() {
    let mut server = builder().fsync(Fsync::Always).start().unwrap();
    let (store, report) = Store::connect(wanting(Durability::Strict, &server), Role::Tool).await.unwrap();
    assert_eq!(report.level_of("durability"), Some(Severity::Ok));
    let accepted = store.accept(&order(order_id(1), 1)).await.unwrap();
    assert_eq!(accepted.durability, Durability::Strict);
    server.kill9().unwrap();
    server.restart().unwrap();
    assert!(tool(&server).await.load_order(0, &order_id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn strict_without_a_file_is_refused() {
    let server = builder().fsync(Fsync::Off).start().unwrap();
    match Store::connect(wanting(Durability::Strict, &server), Role::Tool).await {
        Err(ConnectError::Refused(report)) => {
            assert_eq!(report.level_of("durability"), Some(Severity::Refuse))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn strict_with_everysec_needs_a_server_with_waitaof() {
    let server = server();
    let settings = Settings { confirm_timeout: patience(), ..wanting(Durability::Strict, &server) };
    let connected = Store::connect(settings, Role::Tool).await;
    if server.kind() == ServerKind::Redis70 {
        assert!(matches!(connected, Err(ConnectError::Refused(_))));
        return;
    }
    let (store, _) = connected.unwrap();
    // Many calls at the same time wait together, not one after another.
    let orders: Vec<_> = (0..50).map(|n| order(order_id(n), 1)).collect();
    let accepted = futures::future::join_all(orders.iter().map(|order| store.accept(order))).await;
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
}

#[tokio::test]
async fn replicated_without_a_replica_is_unknown_until_there_is_one() {
    let server = builder().tcp().line("repl-diskless-sync-delay 0").start().unwrap();
    let (store, report) = Store::connect(wanting(Durability::Replicated, &server), Role::Tool).await.unwrap();
    assert_eq!(report.level_of("durability"), Some(Severity::Warn));
    for _ in 0..2 {
        let reported = store.accept(&order(order_id(1), 1)).await;
        assert!(matches!(reported, Err(AcceptError::Unknown(CallError::NotDurable))), "{reported:?}");
    }
    let (taken, fence) = claim(&store, 1, 0).await.unwrap();
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let requested = [(parcel, vec![(0, 1)])];
    let begun = store.begin(0, &email(), Duration::from_secs(60), 0, &requested).await;
    assert!(matches!(begun, Err(CallError::NotDurable)), "{begun:?}");

    let replica = PrivateServer::start().unwrap();
    let port = server.tcp_addr().unwrap().port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    // Both may need a second to write.
    let patient = Settings { confirm_timeout: patience(), ..wanting(Durability::Replicated, &server) };
    let (store, _) = Store::connect(patient, Role::Tool).await.unwrap();
    let accepted = posthaste_rig::eventually_async("the replica has it", async || {
        store.accept(&order(order_id(1), 1)).await.map_err(|error| error.to_string())
    })
    .await;
    assert!(accepted.already_done);
    assert_eq!(accepted.durability, Durability::Replicated);
    let begun = store.begin(0, &email(), Duration::from_secs(60), 0, &requested).await.unwrap();
    assert_eq!(begun.reply[0].0, ParcelCode::Ok);
    // Calls that drain the queue are confirmed also when memory is full.
    server.command(&["CONFIG", "SET", "maxmemory", "100kb"]).unwrap();
    let begun = store.begin(0, &email(), Duration::from_secs(60), 0, &requested).await.unwrap();
    assert_eq!(begun.reply[0].0, ParcelCode::Ok);
    // What was confirmed is stored.
    assert_eq!(int(replica.command(&["EXISTS", "history:{0}:u1:1"]).unwrap()), 1);
}

#[tokio::test]
async fn a_claim_that_begins_is_confirmed_too() {
    let server = server();
    let (store, _) = Store::connect(wanting(Durability::Replicated, &server), Role::Tool).await.unwrap();
    tool(&server).await.accept(&order(order_id(1), 1)).await.unwrap();
    assert!(matches!(claim(&store, 1, 10).await, Err(CallError::NotDurable)));
    // Repeated, it returns the same parcels, and is no safer than before, even if it is to begin nothing this time.
    for begin in [10, 0] {
        assert!(matches!(claim(&store, 1, begin).await, Err(CallError::NotDurable)));
    }
    // A claim that begins nothing needs no confirmation.
    tool(&server).await.accept(&order(order_id(2), 1)).await.unwrap();
    assert_eq!(claim(&store, 2, 0).await.unwrap().0.parcels.len(), 1);
}

/// The database is wiped between an answer and its confirmation.
#[tokio::test]
async fn a_wiped_database_confirms_nothing_and_stays_empty() {
    let server = Arc::new(builder().tcp().line("repl-diskless-sync-delay 0").start().unwrap());
    let replica = PrivateServer::start().unwrap();
    let port = server.tcp_addr().unwrap().port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let proxy = Proxy::unix(server.endpoint(), Traffic::Resp).unwrap();
    let patient = Settings {
        url: proxy.url().into(),
        confirm_timeout: patience(),
        ..wanting(Durability::Replicated, &server)
    };
    let (store, _) = Store::connect(patient, Role::Tool).await.unwrap();
    posthaste_rig::eventually_async("the replica has it", async || {
        store.accept(&order(order_id(1), 1)).await.map_err(|error| error.to_string())
    })
    .await;
    let keys_at_confirmation = Arc::new(Mutex::new(Vec::new()));
    let (wiped, seen) = (Arc::clone(&server), Arc::clone(&keys_at_confirmation));
    let at_confirmation = move |command: &ProxiedCommand| {
        if command.is("EVAL") && command.contains("INCRBY") {
            seen.lock().unwrap().push(keys(&wiped));
            wiped.command(&["FLUSHALL"]).unwrap();
        }
        false
    };
    proxy.drop_requests_of(1, at_confirmation);
    let reported = store.accept(&order(order_id(2), 1)).await;
    assert!(reported.is_err(), "{reported:?}");
    let at = keys_at_confirmation.lock().unwrap().clone();
    assert!(at.iter().flatten().any(|key| key == "history:{0}:u1:2"), "it was stored before: {at:?}");
    eventually("only the halt is written", || match keys(&server) {
        keys if keys == ["epoch:{0}", "halted:{0}", "lost:{0}"] || keys == ["epoch:{0}", "halted:{0}"] => {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
}
