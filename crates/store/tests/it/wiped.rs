//! A database other than before stops everything.

use posthaste_model::Durability;
use posthaste_rig::patience;
use posthaste_rig::servers::Fsync;
use posthaste_store::preflight::Severity;
use posthaste_store::{Assume, CallError, ConnectError, FatalReason, HaltCause, Role, Settings, Store};

use crate::house::*;

fn wiped(store: &Store) -> Result<(), String> {
    match store.stopped() {
        Some(FatalReason::Halted(halt)) if halt.cause == Some(HaltCause::Wiped) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn a_wiped_database_stops_all_calls_and_later_processes() {
    let server = server();
    let store = tool(&server).await;
    let accepted = store.accept(&order(order_id(1), 1)).await.unwrap();
    let epoch = store.epoch();
    server.command(&["FLUSHALL"]).unwrap();
    assert!(matches!(store.promote_due(0).await, Err(CallError::Fatal(FatalReason::Halted(_)))));
    wiped(&store).unwrap();
    assert!(matches!(store.load_order(0, &order_id(1)).await, Err(CallError::Fatal(_))));
    assert!(store.open_order(head(order_id(1))).is_err());
    // Only the halt is written, and what is known to be lost.
    eventually("it is recorded", || match keys(&server) {
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
    assert_eq!(recovery.lost, [(order_id(1), accepted.accepted)]);
    for store in [&store, &late] {
        eventually("it goes on", || store.stopped().map_or(Ok(()), |why| Err(why.to_string()))).await;
        assert_eq!(store.epoch(), format!("{epoch}+1"));
    }
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let (_, fence) = claim(&late, 1, 0).await.unwrap();
    assert!(fence > 1_000_000, "{fence}");
}

/// Two processes know what is lost; the second makes its call when the first has halted the database, and has not
/// read anything of the halt yet.
#[tokio::test]
async fn the_first_refusal_after_a_foreign_halt_is_correct_and_both_list_what_is_lost() {
    for (cause, word) in [
        (HaltCause::Wiped, "the database was wiped"),
        (HaltCause::WentBack, "the database went back by about 1 s"),
    ] {
        let server = server();
        let store = tool(&server).await;
        let accepted = store.accept(&order(order_id(1), 1)).await.unwrap();
        let epoch = store.epoch();
        match cause {
            HaltCause::Wiped => drop(server.command(&["FLUSHALL"]).unwrap()),
            HaltCause::WentBack => {
                server.command(&["SET", "fence:{0}", "0"]).unwrap();
                server.command(&["RPUSH", "runs:{0}", "other 0 1000000 5"]).unwrap();
            }
        }
        // As the other process writes it, from its own knowledge: nothing about this order.
        let halt = [
            "HSET",
            "halted:{0}",
            "cause",
            cause.word(),
            "noticed",
            "5",
            "known",
            "0",
            "since",
            "0",
            "last",
            "0",
        ];
        let transaction = [&["MULTI"][..], &["SET", "epoch:{0}", &format!("!{epoch}")], &halt, &["EXEC"]];
        let mut connection = server.connect().unwrap();
        for command in transaction {
            connection.command(command).unwrap();
        }
        let Err(CallError::Fatal(reported)) = store.promote_due(0).await else { panic!("it is stopped") };
        let reported = reported.to_string();
        let (both, plain) = (
            "the database went back or was wiped; sending is stopped; to go on, run `posthaste recover",
            word,
        );
        assert!(reported.starts_with(both) || reported.starts_with(plain), "{reported}");
        eventually("the cause and the loss are reported", || {
            let words = store.stopped().map_or_else(String::new, |why| why.to_string());
            if words.starts_with(word) && words.contains("1 accepted orders are lost") {
                Ok(())
            } else {
                Err(words)
            }
        })
        .await;
        let (inspector, _) = Store::connect(settings(&server.url()), Role::Inspector).await.unwrap();
        let recovery = inspector.recover(Assume::Sent, None, |_| {}).await.unwrap();
        assert_eq!(recovery.lost, [(order_id(1), accepted.accepted)]);
    }
}

/// Whatever it requests: the settings of the server are unchanged too, and no confirmation is written.
#[tokio::test]
async fn an_inspector_changes_nothing() {
    let server = builder().events("").start().unwrap();
    let written = || server.info("persistence").unwrap()["rdb_changes_since_last_save"].clone();
    let events = || server.command(&["CONFIG", "GET", "notify-keyspace-events"]).unwrap();
    let (before, flags) = (written(), events());
    for durability in [Durability::Fast, Durability::Replicated] {
        let requested = Settings { durability, ..settings(&server.url()) };
        let (inspector, report) = Store::connect(requested, Role::Inspector).await.unwrap();
        assert_eq!(report.level_of("notify-keyspace-events"), Some(Severity::Warn), "{report}");
        assert!(inspector.load_order(0, &order_id(1)).await.unwrap().is_none());
        // A script finds nothing, and sets nothing up.
        assert_eq!(inspector.promote_due(0).await.unwrap().reply.parcels, 0);
        inspector.disconnect().await;
    }
    assert!(keys(&server).is_empty(), "{:?}", keys(&server));
    assert_eq!((written(), events()), (before, flags.clone()));
    tool(&server).await;
    assert_ne!(events(), flags, "a working process sets them");
}

#[tokio::test]
async fn an_inspector_leaves_an_empty_database_empty() {
    let server = server();
    let (inspector, _) = Store::connect(settings(&server.url()), Role::Inspector).await.unwrap();
    assert_eq!((inspector.epoch(), inspector.stopped()), (String::new(), None));
    let recovery = inspector.recover(Assume::Sent, None, |_| {}).await.unwrap();
    assert_eq!(recovery.partitions, 0);
    assert!(keys(&server).is_empty());
}

#[tokio::test]
async fn a_newly_set_up_database_is_another_one() {
    let server = server();
    let store = tool(&server).await;
    server.command(&["SET", "epoch:{0}", "somebody-elses"]).unwrap();
    let why = FatalReason::Epoch { partition: 0, found: "somebody-elses".to_owned() };
    assert!(matches!(store.promote_due(0).await, Err(CallError::Fatal(reported)) if reported == why));
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
    eventually("it is recorded", || match keys(&server) {
        keys if keys == ["epoch:{0}", "halted:{0}"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_database_that_lost_its_epoch_is_foreign() {
    let server = server();
    tool(&server).await.accept(&order(order_id(1), 1)).await.unwrap();
    server.command(&["DEL", "epoch:{0}"]).unwrap();
    let reported = Store::connect(settings(&server.url()), Role::Queue).await;
    assert!(
        matches!(reported, Err(ConnectError::Stop(FatalReason::Foreign { partition: 0 }))),
        "{reported:?}"
    );
}

#[tokio::test]
async fn another_number_of_partitions_is_foreign() {
    let server = server();
    let many = Settings { partitions: 4, call_timeout: patience(), ..settings(&server.url()) };
    let (store, _) = Store::connect(many.clone(), Role::Tool).await.unwrap();
    assert_eq!(store.partitions(), 4);
    let p = store.partition_of(&order_id(1));
    assert!(p < 4);
    store.accept(&order(order_id(1), 1)).await.unwrap();
    assert!(store.load_order(p, &order_id(1)).await.unwrap().is_some());
    let reported = Store::connect(settings(&server.url()), Role::Tool).await;
    assert!(
        matches!(reported, Err(ConnectError::Stop(FatalReason::Foreign { partition: 0 }))),
        "{reported:?}"
    );
    // All later processes find what the first one set up.
    assert_eq!(Store::connect(many, Role::Tool).await.unwrap().0.epoch(), store.epoch());
}

#[tokio::test]
async fn a_database_for_newer_programs_is_left_alone() {
    let server = server();
    tool(&server).await;
    server.command(&["SET", "schema:{0}", "9 9 1"]).unwrap();
    let reported = Store::connect(settings(&server.url()), Role::Tool).await;
    assert!(
        matches!(reported, Err(ConnectError::Stop(FatalReason::TooOld { partition: 0 }))),
        "{reported:?}"
    );
}
