//! A database that lost its last changes is detected by its marks, halts all processes, and goes on as the operator
//! decides.

use std::path::{Path, PathBuf};
use std::time::Duration;

use posthaste_model::{Durability, OutcomeKind, Reason, State};
use posthaste_rig::patience;
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{
    AcceptError, Assume, AttemptReport, CallError, ClaimRequest, FatalReason, HaltCause, HaltState, InDoubt,
    ParcelRef, Reported, Role, Settings, Settlement, Store,
};

use crate::house::*;

fn halted(store: &Store) -> Result<HaltState, String> {
    match store.stopped() {
        Some(FatalReason::Halted(halt)) => Ok(*halt),
        other => Err(format!("{other:?}")),
    }
}

async fn goes_on(store: &Store) {
    eventually("it goes on", || match store.stopped() {
        None => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn inspector(server: &PrivateServer) -> Store {
    Store::connect(settings(&server.url()), Role::Inspector).await.unwrap().0
}

/// A server that has written everything it answered to disk.
fn careful() -> PrivateServer {
    builder().fsync(Fsync::Always).start().unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// An older copy of a server's files.
struct Copy {
    files: PathBuf,
    kept: PathBuf,
}

impl Copy {
    fn of(server: &PrivateServer) -> Self {
        let (files, kept) = (server.dir().join("appendonlydir"), server.dir().join("kept"));
        copy(&files, &kept);
        Self { files, kept }
    }

    /// The server returns with the copy.
    fn put_back(&self, server: &mut PrivateServer) {
        server.kill9().unwrap();
        std::fs::remove_dir_all(&self.files).unwrap();
        copy(&self.kept, &self.files);
        server.restart().unwrap();
    }
}

#[tokio::test]
async fn a_mark_that_went_back_stops_all_calls_except_reports() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 1).await.unwrap();
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    assert!(matches!(store.promote_due(0).await, Err(CallError::Fatal(FatalReason::Halted(_)))));
    assert!(matches!(claim(&store, 2, 0).await, Err(CallError::Fatal(_))));
    assert!(matches!(
        store.accept(&order(order_id(2), 1)).await,
        Err(AcceptError::Refused(CallError::Fatal(_)))
    ));

    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let report =
        AttemptReport { delivery: 0, attempt: 1, outcome: OutcomeKind::Sent, reason: Reason::None, value: 0 };
    let settlement = Settlement { parcel, leave: true, reports: vec![report] };
    let settled = store.settle(0, &email(), &[settlement]).await.unwrap().reply;
    assert_eq!(settled.parcels[0].1, [Reported::Applied]);

    // The halt is recorded, so that processes that start later know it.
    eventually("the halt is stored", || match server.command(&["GET", "epoch:{0}"]).unwrap().text() {
        Some(epoch) if epoch.starts_with('!') => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let recovery = inspector(&server).await.recover(Assume::Unsent, None, |_| {}).await.unwrap();
    assert_eq!(
        (recovery.halt.and_then(|halt| halt.cause), recovery.partitions),
        (Some(HaltCause::WentBack), 1)
    );
    goes_on(&store).await;
    store.accept(&order(order_id(2), 1)).await.unwrap();
    let (_, fence) = claim(&store, 2, 0).await.unwrap();
    assert!(fence > 1_000_000, "{fence}");
    // A second time it finds nothing to do.
    let again = inspector(&server).await.recover(Assume::Unsent, None, |_| {}).await.unwrap();
    assert_eq!((again.halt, again.partitions), (None, 0));
}

/// The answer that shows the roll-back is that of an order that was stored.
#[tokio::test]
async fn an_order_whose_answer_shows_the_roll_back_may_be_stored() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    claim(&store, 1, 1).await.unwrap();
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    let reported = store.accept(&order(order_id(2), 1)).await.unwrap_err();
    assert!(
        matches!(reported, AcceptError::Unknown(CallError::Fatal(FatalReason::Halted(_)))),
        "{reported:?}"
    );
    let never = store.accept(&order(order_id(3), 1)).await.unwrap_err();
    assert!(matches!(never, AcceptError::Refused(CallError::Fatal(_))), "{never:?}");
    let histories = keys(&server).into_iter().filter(|key| key.starts_with("history:")).count();
    assert_eq!(histories, 2);
}

#[tokio::test]
async fn a_repeated_claim_answer_is_not_a_roll_back() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let (_, first) = claim(&store, 1, 0).await.unwrap();
    store.accept(&order(order_id(2), 1)).await.unwrap();
    let (channel, other) = (email(), "c2".parse().unwrap());
    let ask = ClaimRequest {
        channel: &channel,
        courier: &other,
        number: 1,
        lease: Duration::from_secs(10),
        limit: 10,
        bulk_limit: 10,
        begin: 0,
        send_window: Duration::from_secs(60),
        empty_handed: false,
    };
    assert!(store.claim(0, &ask).await.unwrap().fence > first);
    let (taken, fence) = claim(&store, 1, 0).await.unwrap();
    assert!(taken.already_done);
    assert_eq!(fence, first);
    store.promote_due(0).await.unwrap();
    assert_eq!(store.stopped(), None);
}

#[tokio::test]
async fn a_restart_that_lost_nothing_goes_on_under_a_raised_fence() {
    let mut server = careful();
    let store = tool(&server).await;
    let now = store.accept(&order(order_id(1), 1)).await.unwrap().accepted;
    server.kill9().unwrap();
    server.restart().unwrap();
    let (_, fence) = posthaste_rig::eventually_async("it is back", async || {
        claim(&store, 1, 0).await.map_err(|error| error.to_string())
    })
    .await;
    assert!(fence > now.0 * 1_000, "{fence} is above all that may have been given out before {}", now.0);
    assert_eq!(store.stopped(), None);
}

#[tokio::test]
async fn lost_orders_are_listed_by_an_idle_process_and_after_a_restart() {
    let mut server = careful();
    let store = tool(&server).await;
    let kept = store.accept(&order(order_id(1), 1)).await.unwrap();
    let older = Copy::of(&server);
    let mut lost = Vec::new();
    for n in 2..=4 {
        let mut later = order(order_id(n), 1);
        later.head.due = Some(in_an_hour(kept.accepted));
        lost.push((order_id(n), store.accept(&later).await.unwrap().accepted));
    }
    older.put_back(&mut server);
    let halt = eventually("it is noticed without a call", || halted(&store)).await;
    assert_eq!((halt.lost, halt.ends.clone()), (3, Some([lost[0].clone(), lost[2].clone()])));
    let words = halt.to_string();
    assert!(words.contains("the database went back by about 1 s"), "{words}");
    assert!(words.contains("3 accepted orders are lost, from u1.2 (20"), "{words}");
    assert!(words.contains("sending is stopped; to go on, run `posthaste recover --assume sent`"), "{words}");

    // A process that starts now halts too, and knows the same.
    let late = tool(&server).await;
    let reported = eventually("it knows as well", || {
        halted(&late).and_then(|halt| match halt.lost {
            3 => Ok(halt),
            _ => Err(halt.to_string()),
        })
    })
    .await;
    assert_eq!((reported.ends, reported.since), (halt.ends, halt.since));
    assert!(matches!(late.promote_due(0).await, Err(CallError::Fatal(FatalReason::Halted(_)))));

    let recovery = inspector(&server).await.recover(Assume::Sent, None, |_| {}).await.unwrap();
    assert_eq!(recovery.lost, lost);
    for store in [&store, &late] {
        goes_on(store).await;
        store.promote_due(0).await.unwrap();
    }
    store.accept(&order(order_id(2), 1)).await.unwrap();
}

/// An order that was begun, but is missing from the database.
async fn begun_and_lost() -> (PrivateServer, Store, ParcelRef) {
    let mut server = careful();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let older = Copy::of(&server);
    let (taken, fence) = claim(&store, 1, 1).await.unwrap();
    older.put_back(&mut server);
    eventually("it is noticed", || halted(&store)).await;
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    (server, store, parcel)
}

#[tokio::test]
async fn what_may_have_been_sent_is_unknown_and_never_sent_again() {
    let (server, store, parcel) = begun_and_lost().await;
    let mut doubts = Vec::new();
    let inspector = inspector(&server).await;
    inspector.recover(Assume::Sent, None, |found| doubts.push(found)).await.unwrap();
    assert_eq!(doubts, [InDoubt { order: order_id(1), channel: email(), deliveries: 1 }]);
    goes_on(&store).await;
    let delivery = async || {
        store.load_order(0, &order_id(1)).await.unwrap().unwrap().inline.unwrap().1.delivery(0).unwrap()
    };
    assert_eq!((delivery().await.state, delivery().await.reason), (State::Unknown, Reason::DatabaseWentBack));
    assert!(claim(&store, 2, 1).await.unwrap().0.parcels.is_empty());
    // The outcome of the lost attempt is still accepted.
    let report =
        AttemptReport { delivery: 0, attempt: 1, outcome: OutcomeKind::Sent, reason: Reason::None, value: 0 };
    let settlement = Settlement { parcel, leave: true, reports: vec![report] };
    store.settle(0, &email(), &[settlement]).await.unwrap();
    assert_eq!(delivery().await.state, State::Sent);
}

#[tokio::test]
async fn deliveries_assumed_unsent_are_sent() {
    let (server, store, _) = begun_and_lost().await;
    let mut doubts = Vec::new();
    let inspector = inspector(&server).await;
    inspector.recover(Assume::Unsent, None, |found| doubts.push(found)).await.unwrap();
    assert_eq!(doubts.len(), 1);
    goes_on(&store).await;
    assert_eq!(claim(&store, 2, 1).await.unwrap().0.parcels.len(), 1);
}

#[tokio::test]
async fn an_unnoticed_older_copy_is_recovered_by_its_time() {
    let mut server = careful();
    let store = tool(&server).await;
    let accepted = store.accept(&order(order_id(1), 1)).await.unwrap().accepted;
    store.disconnect().await;
    server.kill9().unwrap();
    server.restart().unwrap();
    let inspector = inspector(&server).await;
    let mut deliveries = 0;
    let recovery = inspector.recover(Assume::Sent, None, |_| {}).await.unwrap();
    assert_eq!((recovery.halt, recovery.partitions), (None, 0), "nothing is halted");
    let recovery = inspector
        .recover(Assume::Sent, Some(accepted), |found| deliveries += found.deliveries)
        .await
        .unwrap();
    assert_eq!((recovery.partitions, deliveries), (1, 1));
    assert!(claim(&tool(&server).await, 1, 1).await.unwrap().0.parcels.is_empty());
}

#[tokio::test]
async fn a_roll_back_while_away_is_noticed_before_any_call() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    claim(&store, 1, 0).await.unwrap();
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    eventually("it is noticed", || halted(&store)).await;
}

#[tokio::test]
async fn work_goes_on_by_itself_if_nothing_confirmed_was_lost() {
    let mut server = builder().tcp().fsync(Fsync::Always).start().unwrap();
    let replica = PrivateServer::start().unwrap();
    let port = server.tcp_addr().unwrap().port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let patient = |confirm_timeout| Settings {
        durability: Durability::Replicated,
        confirm_timeout,
        ..settings(&server.url())
    };
    let (store, _) = Store::connect(patient(patience()), Role::Tool).await.unwrap();
    let (brief, _) = Store::connect(patient(Duration::from_millis(50)), Role::Tool).await.unwrap();
    posthaste_rig::eventually_async("the replica has it", async || {
        store.accept(&order(order_id(1), 1)).await.map_err(|error| error.to_string())
    })
    .await;
    let older = Copy::of(&server);
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let reported = brief.accept(&order(order_id(2), 1)).await;
    assert!(matches!(reported, Err(AcceptError::Unknown(CallError::NotDurable))), "{reported:?}");
    older.put_back(&mut server);
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    // Everything it had acknowledged is there.
    let (_, fence) = posthaste_rig::eventually_async("it goes on", async || {
        claim(&brief, 1, 0).await.map_err(|error| error.to_string())
    })
    .await;
    assert!(fence > 1_000_000, "{fence}");
    assert_eq!((store.stopped(), brief.stopped()), (None, None));
    assert!(brief.load_order(0, &order_id(2)).await.unwrap().is_none());
    // It is recorded for later queries.
    let inspector = inspector(&server).await;
    let reported =
        posthaste_rig::eventually_async("it is recorded", async || match inspector.rollbacks().await {
            Ok(reported) if reported.len() == 1 => Ok(reported),
            other => Err(format!("{other:?}")),
        })
        .await;
    let words = reported[0].to_string();
    assert!(
        words.starts_with("went back by about 1 s at 20") && words.contains("work went on by itself"),
        "{words}"
    );
}
