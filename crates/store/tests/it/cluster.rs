//! A cluster: every partition is served where its slot is, whatever happens to the others.

use std::time::{Duration, Instant};

use posthaste_model::{Durability, OrderId};
use posthaste_protocol::PartitionKeys;
use posthaste_protocol::keys::crc16;
use posthaste_rig::RespReply;
use posthaste_rig::servers::Cluster;
use posthaste_store::{
    AcceptError, CallError, ClaimReply, ClaimRequest, NoReplyCause, Retryable, Role, Settings, Store,
    WakeupEvent,
};

use crate::house::*;

pub(crate) const PARTITIONS: u16 = 16;
const NODE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn cluster(primaries: usize, replicas: usize) -> Cluster {
    tokio::task::spawn_blocking(move || Cluster::start(primaries, replicas, NODE_TIMEOUT))
        .await
        .unwrap()
        .unwrap()
}

pub(crate) async fn store_with(cluster: &Cluster, settings: Settings) -> Store {
    let url = cluster.url().into();
    Store::connect(Settings { url, partitions: PARTITIONS, ..settings }, Role::Tool).await.unwrap().0
}

pub(crate) async fn store(cluster: &Cluster) -> Store {
    store_with(cluster, Settings::default()).await
}

pub(crate) fn slot(p: u16) -> u16 {
    crc16(p.to_string().as_bytes()) % 16_384
}

/// The id of an order in a partition.
pub(crate) fn order_id_in(store: &Store, p: u16, n: u64) -> OrderId {
    let found = (n * 1_000..).map(order_id).find(|order_id| store.partition_of(order_id) == p);
    found.unwrap()
}

/// Partitions whose slots a server holds.
pub(crate) fn partitions_at(cluster: &Cluster, at: usize) -> Vec<u16> {
    (0..PARTITIONS).filter(|p| cluster.holder(slot(*p)).unwrap() == at).collect()
}

pub(crate) async fn accept(store: &Store, p: u16, n: u64) -> Result<(), String> {
    store.accept(&order(order_id_in(store, p, n), 1)).await.map(drop).map_err(|error| format!("{error:?}"))
}

pub(crate) async fn accepted(what: &str, store: &Store, p: u16, n: u64) {
    posthaste_rig::eventually_async(what, async || accept(store, p, n).await).await;
}

#[tokio::test]
async fn every_partition_is_served_where_its_slot_is() {
    let cluster = cluster(3, 0).await;
    let store = store(&cluster).await;
    assert_eq!(store.partitions_away(), Vec::<u16>::new());
    for p in 0..PARTITIONS {
        accept(&store, p, 1).await.unwrap();
        let holder = cluster.holder(slot(p)).unwrap();
        assert_eq!(store.node_of(p), Some(cluster.address(holder)));
        let key = PartitionKeys::of_partition(p).history(&order_id_in(&store, p, 1));
        assert_eq!(cluster.node(holder).command(&["EXISTS", &key]).unwrap().int(), Some(1), "{p}");
    }
    let page = store.list_orders(&Default::default(), None, 100, |_, _| true).await.unwrap().unwrap();
    assert_eq!(page.orders.len(), usize::from(PARTITIONS));
    let report = store.report();
    assert_eq!(report.lines.iter().filter(|line| line.topic == "cluster-require-full-coverage").count(), 3);
    assert!(
        report.level_of("cluster-require-full-coverage") == Some(posthaste_store::preflight::Severity::Ok)
    );
    cluster.node(0).command(&["CONFIG", "SET", "cluster-require-full-coverage", "yes"]).unwrap();
    let (_, report) = Store::connect(
        Settings { url: cluster.url().into(), partitions: PARTITIONS, ..Settings::default() },
        Role::Tool,
    )
    .await
    .unwrap();
    assert!(
        report.level_of("cluster-require-full-coverage") == Some(posthaste_store::preflight::Severity::Warn)
    );
}

#[tokio::test]
async fn a_moved_slot_is_followed_and_registered_with_again() {
    let cluster = cluster(3, 0).await;
    let store = store(&cluster).await;
    let mut listener = store.wakeup_listener();
    let p = partitions_at(&cluster, 0)[0];
    eventually("all servers are listened to", || {
        if listener.listening() { Ok(()) } else { Err("not listening") }
    })
    .await;
    let mut watch = store.watch_history(&order_id_in(&store, p, 2));
    accept(&store, p, 1).await.unwrap();
    cluster.move_slot(slot(p), 0, 1).unwrap();
    // At once: the map is older than the move, or says that it is still going on.
    accepted("it is accepted where it is now", &store, p, 2).await;
    assert_eq!(store.node_of(p), Some(cluster.address(1)));
    let moved = store.load_order(p, &order_id_in(&store, p, 1)).await.unwrap();
    assert!(moved.is_some());
    // Watchers are subscribed at the new server, and bells come from there.
    eventually("it is watched there", || if watch.listening() { Ok(()) } else { Err("not yet") }).await;
    watch.changed().await;
    while tokio::time::timeout(Duration::ZERO, listener.wait()).await.is_ok() {}
    let before = listener.bells_of(p);
    store.ring_own_bell(p).await.unwrap();
    while listener.wait().await != WakeupEvent::Bell {}
    assert_eq!(listener.bells_of(p), before + 1);
    // A database that was wiped in another process's absence would be detected: the partition is registered with
    // before the first call.
    let other = partitions_at(&cluster, 0).into_iter().find(|other| *other != p).unwrap();
    cluster.move_slot(slot(other), 0, 2).unwrap();
    let epoch = PartitionKeys::of_partition(other).epoch();
    cluster.node(2).command(&["SET", &epoch, "another"]).unwrap();
    posthaste_rig::eventually_async("another epoch is noticed", async || {
        match store.accept(&order(order_id_in(&store, other, 1), 1)).await {
            Err(AcceptError::Refused(CallError::Fatal(why))) => {
                assert!(why.to_string().contains("epoch"));
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// How often a server received a command, by its own count.
fn requested(cluster: &Cluster, at: usize, command: &str) -> u64 {
    let stats = cluster.node(at).info("commandstats").unwrap();
    let calls = stats.get(&format!("cmdstat_{command}")).and_then(|text| text.split(['=', ',']).nth(1));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_slot_being_moved_is_held_and_ask_is_never_followed() {
    let cluster = cluster(2, 0).await;
    let store = store(&cluster).await;
    let p = partitions_at(&cluster, 0)[0];
    let other = partitions_at(&cluster, 0)[1];
    for n in 1..=150 {
        accept(&store, p, n).await.unwrap();
    }
    let keys = |at: usize| cluster.node(at).command(&["CLUSTER", "COUNTKEYSINSLOT", &slot(p).to_string()]);
    let all = keys(0).unwrap().int().unwrap();
    cluster.begin_move(slot(p), 0, 1).unwrap();
    let moved = cluster.move_keys(slot(p), 0, 1).unwrap();
    assert!(moved > 0 && i64::try_from(moved).unwrap() < all, "{moved} of {all}");
    for n in 151..=190 {
        match store.accept(&order(order_id_in(&store, p, n), 1)).await {
            Err(
                AcceptError::Refused(CallError::Retryable { why: Retryable::Moving })
                | AcceptError::Unknown(CallError::NoReply(NoReplyCause::OnTheMove)),
            ) => {}
            other => panic!("{other:?}"),
        }
        // Other slots on the same server are not affected.
        accept(&store, other, n).await.unwrap();
    }
    match store.load_order(p, &order_id_in(&store, p, 1)).await {
        Err(CallError::Retryable { why: Retryable::Moving }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(store.partitions_away(), [p]);
    // Nothing was written by the refused calls, and no server was ever asked to answer for a slot it does not hold
    // yet.
    assert_eq!(keys(0).unwrap().int().unwrap() + keys(1).unwrap().int().unwrap(), all);
    assert_eq!((requested(&cluster, 0, "asking"), requested(&cluster, 1, "asking")), (0, 0));
    while cluster.move_keys(slot(p), 0, 1).unwrap() > 0 {}
    cluster.end_move(slot(p), 0, 1).unwrap();
    accepted("it goes on where it is now", &store, p, 191).await;
    for n in 1..=150 {
        assert!(store.load_order(p, &order_id_in(&store, p, n)).await.unwrap().is_some(), "{n}");
    }
    assert_eq!(requested(&cluster, 1, "asking"), 0);
}

#[tokio::test]
async fn a_dead_primary_affects_only_its_own_partitions() {
    let mut cluster = cluster(3, 1).await;
    let store = store(&cluster).await;
    let listener = store.wakeup_listener();
    eventually("all servers are listened to", || {
        if listener.listening() { Ok(()) } else { Err("not listening") }
    })
    .await;
    let victim = cluster.holder(slot(1)).unwrap();
    let (dead, well): (Vec<u16>, Vec<u16>) =
        (0..PARTITIONS).partition(|p| cluster.holder(slot(*p)).unwrap() == victim);
    // What the replica lacks would be lost, and told.
    cluster.node(victim).wait_for_replicas(1).unwrap();
    cluster.node_mut(victim).kill9().unwrap();
    let killed = Instant::now();
    let mut n = 0;
    let mut longest = Duration::ZERO;
    // The others answer at once, the whole time until the replica has taken over.
    posthaste_rig::eventually_async("the replica takes over", async || {
        n += 1;
        for p in &well {
            let begun = Instant::now();
            accept(&store, *p, n).await.unwrap();
            longest = longest.max(begun.elapsed());
        }
        let begun = Instant::now();
        let answer = accept(&store, dead[0], n).await;
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        answer
    })
    .await;
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(killed.elapsed() >= NODE_TIMEOUT / 2, "there was nothing to wait for");
    for p in dead {
        accepted("all go on", &store, p, 1).await;
    }
    eventually("the new primary is listened to", || {
        if listener.listening() { Ok(()) } else { Err("not listening") }
    })
    .await;
    // The old primary returns as a replica, and is no longer used.
    cluster.node_mut(victim).restart().unwrap();
    eventually("nothing is away", || match store.partitions_away() {
        away if away.is_empty() => Ok(()),
        away => Err(format!("{away:?}")),
    })
    .await;
}

#[tokio::test]
async fn an_added_primary_is_listened_to_before_it_holds_anything() {
    let mut cluster = cluster(2, 0).await;
    let store = store(&cluster).await;
    let mut listener = store.wakeup_listener();
    eventually("all servers are listened to", || {
        if listener.listening() { Ok(()) } else { Err("not listening") }
    })
    .await;
    let added = cluster.add_primary().unwrap();
    let address = cluster.address(added);
    eventually("a subscription is there", || {
        match cluster.node(added).command(&["PUBSUB", "NUMSUB", "__keyevent@0__:expired"]).unwrap() {
            RespReply::Array(reply) if reply.get(1).and_then(RespReply::int) == Some(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let p = partitions_at(&cluster, 0)[0];
    cluster.move_slot(slot(p), 0, added).unwrap();
    accepted("it goes on", &store, p, 1).await;
    assert_eq!(store.node_of(p), Some(address));
    let before = listener.bells_of(p);
    store.ring_own_bell(p).await.unwrap();
    eventually(
        "its bell is received",
        || if listener.bells_of(p) > before { Ok(()) } else { Err("not yet") },
    )
    .await;
    assert_eq!(listener.wait().await, WakeupEvent::Gap);
}

#[tokio::test]
async fn a_shard_without_a_replica_confirms_nothing_and_the_others_do() {
    let mut cluster = cluster(2, 1).await;
    let settings = Settings {
        durability: Durability::Replicated,
        confirm_timeout: Duration::from_secs(5),
        ..Settings::default()
    };
    let store = store_with(&cluster, settings).await;
    let (bare, well) = (partitions_at(&cluster, 0)[0], partitions_at(&cluster, 1)[0]);
    accept(&store, bare, 1).await.unwrap();
    cluster.node_mut(2).kill9().unwrap();
    let refused = tokio::spawn({
        let store = store.clone();
        async move { store.accept(&order(order_id_in(&store, bare, 2), 1)).await }
    });
    for n in 1..=20 {
        let begun = Instant::now();
        accept(&store, well, n).await.unwrap();
        // Far from the time the other one needs, and from what a busy disk may need.
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    match refused.await.unwrap() {
        Err(AcceptError::Unknown(CallError::NotDurable)) => {}
        other => panic!("{other:?}"),
    }
    cluster.node_mut(2).restart().unwrap();
    accepted("the replica is back", &store, bare, 2).await;
}

#[tokio::test]
async fn deliveries_begun_by_a_claim_are_never_returned_unconfirmed_and_never_lost() {
    const LEASE: Duration = Duration::from_secs(2);
    let mut cluster = cluster(2, 1).await;
    // With everysec, WAITAOF would take a second each time, longer than this test waits.
    cluster.write_always().unwrap();
    let settings = Settings {
        durability: Durability::Replicated,
        confirm_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let store = store_with(&cluster, settings).await;
    let p = partitions_at(&cluster, 0)[0];
    accepted("its replica has it", &store, p, 1).await;
    cluster.node_mut(2).kill9().unwrap();
    let (channel, courier) = (email(), courier_id());
    let ask = |begin| ClaimRequest {
        channel: &channel,
        courier: &courier,
        number: 1,
        lease: LEASE,
        limit: 50,
        bulk_limit: 50,
        begin,
        send_window: Duration::from_secs(60),
        empty_handed: false,
    };
    let undurable = |answer| match answer {
        Err(CallError::NotDurable) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    posthaste_rig::eventually_async("its delivery is begun, and not confirmed", async || {
        match store.claim(p, &ask(4)).await {
            Ok(answer) => match answer.reply {
                ClaimReply::Claimed(taken) => panic!("handed out: {taken:?}"),
                ClaimReply::Outdated => panic!("an old number"),
            },
            answer => undurable(answer),
        }
    })
    .await;
    // Repeated by a courier whose calls were all busy meanwhile, for longer than the lease.
    let begun = Instant::now();
    posthaste_rig::eventually_async("the lease had time to end", async || {
        undurable(store.claim(p, &ask(0)).await).unwrap();
        store.reclaim_leases(p, &channel, 100, false, None).await.unwrap();
        if begun.elapsed() > 2 * LEASE { Ok(()) } else { Err("not yet") }
    })
    .await;
    cluster.node_mut(2).restart().unwrap();
    cluster.write_always().unwrap();
    let taken =
        posthaste_rig::eventually_async("it is confirmed", async || match store.claim(p, &ask(0)).await {
            Ok(answer) => Ok(answer.reply),
            Err(error) => Err(format!("{error:?}")),
        })
        .await;
    match taken {
        ClaimReply::Claimed(taken) => assert!(taken.already_done && taken.parcels.len() == 1, "{taken:?}"),
        ClaimReply::Outdated => panic!("an old number"),
    }
}
