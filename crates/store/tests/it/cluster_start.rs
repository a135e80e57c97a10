//! A store is opened while a primary of its cluster is dead and no replica takes over.

use std::time::{Duration, Instant};

use posthaste_model::{Address, Reason};
use posthaste_protocol::PartitionKeys;
use posthaste_rig::eventually_async;
use posthaste_rig::servers::Cluster;
use posthaste_store::{
    AcceptError, CallError, ConnectError, ConsentNotice, FatalReason, NoReplyCause, NoticeMoment, RedisState,
    Role, ServerTroubles, Settings, Store, Suppress, SuppressionSource,
};

use crate::cluster::*;
use crate::house::*;

/// No replica takes over while a test runs.
const NEVER: Duration = Duration::from_secs(300);

async fn quiet_cluster(primaries: usize, replicas: usize) -> Cluster {
    let start = move || Cluster::start(primaries, replicas, NEVER);
    tokio::task::spawn_blocking(start).await.unwrap().unwrap()
}

fn settings_of(cluster: &Cluster) -> Settings {
    Settings { url: cluster.url().into(), partitions: PARTITIONS, ..Settings::default() }
}

/// The server with the first partition, and one without it.
fn servers(cluster: &Cluster) -> (usize, usize) {
    let first = cluster.holder(slot(0)).unwrap();
    (first, (0..3).find(|at| *at != first && !partitions_at(cluster, *at).is_empty()).unwrap())
}

fn run_id(cluster: &Cluster, at: usize) -> String {
    cluster.node(at).info("server").unwrap()["run_id"].clone()
}

/// Opens, uses and closes a store while a primary is dead, and again once it has returned. `noticed`: the other
/// primaries already consider it down.
async fn start_without(mut cluster: Cluster, noticed: bool) {
    let before = store(&cluster).await;
    for p in 0..PARTITIONS {
        accept(&before, p, 1).await.unwrap();
    }
    before.disconnect().await;
    let (first, victim) = servers(&cluster);
    let (dead, well): (Vec<u16>, Vec<u16>) =
        (0..PARTITIONS).partition(|p| cluster.holder(slot(*p)).unwrap() == victim);
    let address = cluster.address(victim);
    // Shut down cleanly, so that it has everything it acknowledged when it returns; a killed server is another test.
    cluster.node_mut(victim).stop().unwrap();
    if noticed {
        eventually_async("the others consider it down", async || {
            let nodes = cluster.node(first).command(&["CLUSTER", "NODES"]).unwrap();
            let nodes = nodes.text().unwrap_or_default().to_owned();
            if nodes.contains("master,fail ") { Ok(()) } else { Err(nodes) }
        })
        .await;
    }
    let (store, report) = Store::connect(settings_of(&cluster), Role::Courier(email())).await.unwrap();
    assert!(report.worst() < posthaste_store::preflight::Severity::Refuse, "{report}");
    assert_eq!(store.partitions_away(), dead);
    let missing = store.missing();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].node.as_deref(), &missing[0].partitions), (Some(address.as_str()), &dead));
    let words = store.missing_words().unwrap();
    assert!(words.contains(&address) && words.contains("does not answer"), "{words}");
    for p in &well {
        let begun = Instant::now();
        accept(&store, *p, 2).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    // Reported at once, and refused as a whole.
    match store.accept(&order(order_id_in(&store, dead[0], 2), 1)).await {
        Err(AcceptError::Refused(CallError::NoReply(NoReplyCause::NotConnected))) => {}
        other => panic!("{other:?}"),
    }
    let reported = eventually_async("the trouble names the partitions", async || {
        let troubles = store.troubles().watch().borrow().clone();
        let of_it = troubles.iter().find(|trouble| *trouble.node == *address);
        of_it.map(|trouble| trouble.text()).filter(|text| text.contains("it holds partition")).ok_or("none")
    })
    .await;
    assert!(reported.contains(&dead[0].to_string()), "{reported}");
    cluster.node_mut(victim).restart().unwrap();
    eventually_async("all is there", async || match store.missing_words() {
        None => Ok(()),
        Some(missing) => Err(missing),
    })
    .await;
    for p in &dead {
        accept(&store, *p, 2).await.unwrap();
        assert!(store.load_order(*p, &order_id_in(&store, *p, 1)).await.unwrap().is_some(), "{p}");
        // As at a start: this process is registered there, and the start of the server's run is recorded.
        let keys = PartitionKeys::of_partition(*p);
        let seen = cluster.node(victim).command(&["HEXISTS", &keys.channels(), "email"]).unwrap();
        assert_eq!(seen.int(), Some(1), "{p}: not registered");
        let runs = cluster.node(victim).command(&["LRANGE", &keys.runs(), "0", "-1"]).unwrap();
        let run = run_id(&cluster, victim);
        assert!(runs.items().iter().any(|one| one.text().is_some_and(|one| one.contains(&run))), "{runs:?}");
    }
    // Its epoch is known: another database in its place would be detected.
    cluster.node(victim).command(&["SET", &PartitionKeys::of_partition(dead[0]).epoch(), "another"]).unwrap();
    eventually_async("another epoch is noticed", async || {
        match store.accept(&order(order_id_in(&store, dead[0], 3), 1)).await {
            Err(AcceptError::Refused(CallError::Fatal(FatalReason::Epoch { .. }))) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_store_starts_without_a_primary_that_just_died_and_uses_it_when_it_returns() {
    start_without(quiet_cluster(3, 0).await, false).await;
}

#[tokio::test]
async fn a_store_starts_without_a_primary_the_others_consider_down() {
    start_without(cluster(3, 0).await, true).await;
}

#[tokio::test]
async fn a_store_waits_for_the_primary_of_the_first_partition_and_names_it() {
    let mut cluster = quiet_cluster(3, 0).await;
    store(&cluster).await.disconnect().await;
    let (first, _) = servers(&cluster);
    let address = cluster.address(first);
    cluster.node_mut(first).stop().unwrap();
    match Store::connect(settings_of(&cluster), Role::Courier(email())).await {
        Err(error @ ConnectError::FirstPartition { .. }) => {
            assert!(
                error.to_string().contains(&format!("partition 0 can't be reached at {address}")),
                "{error}"
            );
            assert!(error.remedy().is_some());
        }
        other => panic!("{other:?}"),
    }
    let troubles = ServerTroubles::new();
    let settings = Settings { wait_at_start: posthaste_rig::patience() * 4, ..settings_of(&cluster) };
    let waiting = tokio::spawn(Store::connect_when_ready(settings, Role::Courier(email()), troubles.clone()));
    let text = eventually_async("it is reported what is waited for", async || {
        let shown = troubles.watch().borrow().clone();
        let of_it = shown.iter().find(|one| *one.node == *address && one.state == RedisState::Away);
        of_it.map(|trouble| trouble.text()).ok_or("nothing is reported yet")
    })
    .await;
    assert!(text.contains("it holds partition 0"), "{text}");
    assert!(!waiting.is_finished());
    cluster.node_mut(first).restart().unwrap();
    let (store, _) = waiting.await.unwrap().unwrap();
    accepted("it is served", &store, 0, 1).await;
}

#[tokio::test]
async fn a_store_starts_with_the_replica_of_the_first_partition() {
    let mut cluster = quiet_cluster(3, 1).await;
    let before = store(&cluster).await;
    let address = Address::new("barred@example.org".to_owned());
    let entry = Suppress {
        sender: None,
        address: address.clone(),
        reason: Reason::Manual,
        source: SuppressionSource::Operator,
        after: 1,
        notice: ConsentNotice::named("n1", NoticeMoment::Unknown),
    };
    before.suppress(&email(), std::slice::from_ref(&entry)).await.unwrap();
    let epoch = before.epoch();
    before.disconnect().await;
    let (first, _) = servers(&cluster);
    cluster.node(first).wait_for_replicas(1).unwrap();
    let well: Vec<u16> = (0..PARTITIONS).filter(|p| cluster.holder(slot(*p)).unwrap() != first).collect();
    cluster.node_mut(first).stop().unwrap();
    let (store, _) = Store::connect(settings_of(&cluster), Role::Courier(email())).await.unwrap();
    // Suppressed addresses are known.
    let free = Address::new("free@example.org".to_owned());
    let requested = [("u1", &address), ("u1", &free)];
    assert_eq!(store.suppressed(&email(), &requested).await.unwrap(), [Some(Reason::Manual), None]);
    assert_eq!(store.epoch(), epoch);
    for p in &well {
        accept(&store, *p, 1).await.unwrap();
    }
    assert!(store.partitions_away().contains(&0));
    // With an address key in the settings that cannot be compared, the start waits.
    let other = Settings { address_key: Some("k".repeat(40).into()), ..settings_of(&cluster) };
    match Store::connect(other, Role::Courier(email())).await {
        Err(ConnectError::FirstPartition { .. }) => {}
        other => panic!("{other:?}"),
    }
    cluster.node_mut(first).restart().unwrap();
    accepted("all goes on", &store, 0, 1).await;
    store.suppress(&email(), &[entry]).await.unwrap();
}
