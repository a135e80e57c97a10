//! What preflight refuses, corrects, warns of, and reports as unseen.

use std::time::Duration;

use posthaste_rig::servers::Fsync;
use posthaste_rig::{PrivateServer, patience};
use posthaste_store::preflight::{PreflightReport, Severity};
use posthaste_store::{CallError, ConnectError, Role, Settings, Store};

use crate::house::*;

async fn report(server: &PrivateServer) -> PreflightReport {
    Store::connect(settings(&server.url()), Role::Tool).await.unwrap().1
}

async fn refused(server: &PrivateServer) -> PreflightReport {
    match Store::connect(settings(&server.url()), Role::Tool).await {
        Err(ConnectError::Refused(report)) => report,
        other => panic!("{other:?}"),
    }
}

fn flags(server: &PrivateServer) -> String {
    let reply = server.command(&["CONFIG", "GET", "notify-keyspace-events"]).unwrap();
    let mut flags: Vec<char> = reply.items()[1].text().unwrap().chars().collect();
    flags.sort_unstable();
    flags.into_iter().collect()
}

#[tokio::test]
async fn a_good_server_has_no_findings() {
    let report = report(&server()).await;
    assert_eq!(report.worst(), Severity::Ok, "{report}");
    assert!(report.lines.len() >= 7, "{report}");
}

#[tokio::test]
async fn a_policy_that_deletes_messages_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        let server = builder().line(&format!("maxmemory-policy {policy}")).start().unwrap();
        let report = refused(&server).await;
        assert_eq!(report.level_of("maxmemory-policy"), Some(Severity::Refuse));
        assert!(report.to_string().contains(policy), "{report}");
        assert!(keys(&server).is_empty());
    }
}

#[tokio::test]
async fn missing_flags_are_set_and_others_kept() {
    let quiet = builder().events("").start().unwrap();
    report(&quiet).await;
    assert_eq!(flags(&quiet), "EKhx");
    let other = builder().events("E$").start().unwrap();
    report(&other).await;
    assert_eq!(flags(&other), "$EKhx");
}

#[tokio::test]
async fn settings_this_user_may_not_read_are_reported() {
    let server = builder().events("").start().unwrap();
    server.command(&["ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all", "-config"]).unwrap();
    let as_ann = Settings {
        username: Some("ann".into()),
        password: Some("secret".to_owned().into()),
        ..settings(&server.url())
    };
    let (store, report) = Store::connect(as_ann, Role::Tool).await.unwrap();
    assert_eq!(report.level_of("notify-keyspace-events"), Some(Severity::Unseen), "{report}");
    assert_eq!(report.level_of("appendfsync"), Some(Severity::Unseen), "{report}");
    // INFO reports these as well.
    assert_eq!(report.level_of("maxmemory-policy"), Some(Severity::Ok), "{report}");
    assert_eq!(report.level_of("appendonly"), Some(Severity::Ok), "{report}");
    assert_eq!(flags(&server), "");
    store.accept(&order(order_id(1), 1)).await.unwrap();
}

#[tokio::test]
async fn a_warning_shows_flags_that_may_be_read_but_not_set() {
    let server = builder().events("").start().unwrap();
    server.command(&["ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all", "-config|set"]).unwrap();
    let as_ann = Settings {
        username: Some("ann".into()),
        password: Some("secret".to_owned().into()),
        ..settings(&server.url())
    };
    let (_, report) = Store::connect(as_ann, Role::Tool).await.unwrap();
    assert_eq!(report.level_of("notify-keyspace-events"), Some(Severity::Warn), "{report}");
}

#[tokio::test]
async fn less_safe_settings_are_warned_of() {
    let server = PrivateServer::builder().fsync(Fsync::Off).start().unwrap();
    let found = report(&server).await;
    assert_eq!(found.level_of("appendonly"), Some(Severity::Warn), "{found}");
    assert_eq!(found.level_of("maxmemory"), Some(Severity::Warn), "{found}");
    let server = builder().line("no-appendfsync-on-rewrite yes").line("appendfsync no").start().unwrap();
    let found = report(&server).await;
    assert_eq!(found.level_of("no-appendfsync-on-rewrite"), Some(Severity::Warn), "{found}");
    assert_eq!(found.level_of("appendfsync"), Some(Severity::Warn), "{found}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let primary = builder().tcp().start().unwrap();
    let replica = server();
    let port = primary.tcp_addr().unwrap().port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    assert_eq!(refused(&replica).await.level_of("role"), Some(Severity::Refuse));
}

#[tokio::test]
async fn a_changed_policy_is_noticed_at_the_next_connection() {
    let server = server();
    let quick = Settings { call_timeout: Duration::from_secs(2), ..settings(&server.url()) };
    let (store, _) = Store::connect(quick, Role::Tool).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    server.command(&["CONFIG", "SET", "notify-keyspace-events", ""]).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    eventually("it is reported", || match store.report().level_of("maxmemory-policy") {
        Some(Severity::Refuse) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(matches!(store.promote_due(0).await, Err(CallError::NoReply(_))));
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    let mut link = store.connection();
    tokio::time::timeout(patience(), link.wait_for(|link| link.up)).await.unwrap().unwrap();
    store.promote_due(0).await.unwrap();
    assert_eq!(flags(&server), "EKhx");
}
