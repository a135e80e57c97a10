//! A courier on a cluster: trouble with one server affects only its own partitions, and every message is sent once.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::{Batching, Capabilities, Courier, Outcome, Settings};
use posthaste_model::{
    Address, Clock, Content, Delivery, Durability, OnUnknown, OrderId, Priority, State, SystemClock, Text,
    UnixMs,
};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::shutdown::{self, Shutdown};
use posthaste_rig::servers::Cluster;
use posthaste_store::{NewOrder, NewOrderHead, RepairedIndexes, Role, Store};
use tokio::time::Instant;

use super::house::{brisk, email, eventually_async};
use super::script::{Answer, Script};

pub(super) const PARTITIONS: u16 = 8;
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than before a healthy partition may be silent.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// Only one of these tests at a time: they measure times, and each has up to six servers.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A cluster, and a connection to inspect it.
pub(super) struct Town {
    pub(super) cluster: Cluster,
    pub(super) store: Store,
    orders: AtomicU64,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

async fn connect(cluster: &Cluster, role: Role, durability: Durability) -> Store {
    let url = cluster.url().into();
    let confirm_timeout = Duration::from_millis(500);
    let settings = posthaste_store::Settings {
        url,
        partitions: PARTITIONS,
        durability,
        confirm_timeout,
        ..Default::default()
    };
    Store::connect(settings, role).await.unwrap().0
}

impl Town {
    pub(super) async fn open(primaries: usize, replicas: usize) -> Self {
        let alone = ONE.lock().await;
        let start = move || Cluster::start(primaries, replicas, NODE_TIMEOUT);
        let cluster = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
        // With everysec, WAITAOF would take a second each time, longer than these tests wait.
        cluster.write_always().unwrap();
        let store = connect(&cluster, Role::Tool, Durability::Fast).await;
        Self { cluster, store, orders: AtomicU64::new(0), _alone: alone }
    }

    pub(super) fn slot(&self, p: u16) -> u16 {
        self.cluster.slot(&format!("epoch:{{{p}}}")).unwrap()
    }

    /// The partitions whose slots a server holds, and the other partitions.
    pub(super) fn partitions_at(&self, at: usize) -> (Vec<u16>, Vec<u16>) {
        (0..PARTITIONS).partition(|p| self.store.node_of(*p) == Some(self.cluster.address(at)))
    }

    /// Submits an order of one delivery in a partition, until it is accepted.
    pub(super) async fn tell(&self, p: u16, due_in: Option<Duration>) -> OrderId {
        let order_id = loop {
            let number = self.orders.fetch_add(1, Ordering::SeqCst);
            let order_id = OrderId::new(&"u1".parse().unwrap(), SystemClock.now_ns() + number);
            if self.store.partition_of(&order_id) == p {
                break order_id;
            }
        };
        let due = due_in.map(|wait| UnixMs(SystemClock.now().0).after(wait));
        let head = NewOrderHead {
            order_id: order_id.clone(),
            due,
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Default,
            not_after: None,
            span: Duration::from_secs(72 * 3600),
            content: Content { text: Text::new("Hello"), ..Content::default() },
        };
        let address = Address::new(format!("{}@example.org", order_id.as_str().replace(':', ".")));
        let delivery = Delivery { index: 0, recipient: "r0".to_owned(), name: String::new(), address };
        let order =
            NewOrder { head, digest: [7; 12], deliveries: vec![(email(), delivery)], no_contact: Vec::new() };
        eventually_async("the order is accepted", async || {
            Box::pin(self.store.accept(&order)).await.map_err(|error| format!("{error:?}"))
        })
        .await;
        order_id
    }

    /// Submits orders in these partitions, one after the other in each, until `stop` is set; returns them.
    async fn load(&self, partitions: &[u16], stop: &AtomicBool) -> Vec<OrderId> {
        let of_one = async |p: u16| {
            let mut placed = Vec::new();
            let mut ticks = tokio::time::interval(Duration::from_millis(40));
            while !stop.load(Ordering::SeqCst) {
                ticks.tick().await;
                placed.push(self.tell(p, None).await);
            }
            placed
        };
        futures::future::join_all(partitions.iter().map(|p| of_one(*p))).await.concat()
    }

    pub(super) async fn all_sent_once(&self, script: &Script, placed: &[OrderId]) {
        eventually_async("every order is sent", async || {
            let mut open = 0;
            for order_id in placed {
                let order = self.store.load_order(self.store.partition_of(order_id), order_id).await;
                let order = order.map_err(|error| error.to_string())?.ok_or("an order is gone")?;
                open += u32::from(order.counters[0].1[State::Sent] != 1);
            }
            if open == 0 { Ok(()) } else { Err(format!("{open} of {} open", placed.len())) }
        })
        .await;
        let times = script.times();
        let wrong: Vec<_> =
            placed.iter().filter(|order_id| times.get(&((*order_id).clone(), 0)) != Some(&1)).collect();
        assert!(wrong.is_empty(), "not sent exactly once: {wrong:?}");
        assert_eq!(times.len(), placed.len(), "sent, but never submitted");
        for order_id in placed {
            let p = self.store.partition_of(order_id);
            match self.store.repair_indexes(p, &email(), order_id, 0).await.unwrap().reply {
                RepairedIndexes::Ok { mended: 0, .. } => {}
                other => panic!("the index check of {order_id} found {other:?}"),
            }
        }
    }

    /// The longest silence of each partition within a time span.
    fn silences(
        &self,
        script: &Script,
        partitions: &[u16],
        from: Instant,
        to: Instant,
    ) -> BTreeMap<u16, Duration> {
        let seen = script.seen();
        let of_one = |p: &u16| {
            let mut last = from;
            let mut longest = Duration::ZERO;
            let mine = seen.iter().filter(|seen| self.store.partition_of(&seen.order_id) == *p);
            for at in mine.map(|seen| seen.at).filter(|at| (from..to).contains(at)).chain([to]) {
                longest = longest.max(at.saturating_duration_since(last));
                last = at;
            }
            (*p, longest)
        };
        partitions.iter().map(of_one).collect()
    }
}

/// A running courier.
pub(super) struct AtWork {
    stop: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl AtWork {
    pub(super) async fn start(
        cluster: &Cluster,
        script: &Arc<Script>,
        durability: Durability,
        settings: Settings,
    ) -> Self {
        let store = connect(cluster, Role::Courier(email()), durability).await;
        let stop = Shutdown::manual(&shutdown::Settings {
            drain_for: HumanDuration::from_millis(30_000),
            hand_back_for: HumanDuration::from_millis(5_000),
        });
        let transport = Arc::clone(script) as Arc<dyn posthaste_courier::Transport>;
        let courier = "c1".parse().unwrap();
        let (progress, provider) = (None, None);
        let courier =
            Courier { store, transport, settings, courier, progress, probe: Arc::new(()), provider };
        let until = stop.clone();
        let task = tokio::spawn(async move { courier.run(until).await.unwrap() });
        Self { stop, task }
    }

    pub(super) async fn stopped(self) {
        self.stop.soft.cancel();
        tokio::time::timeout(posthaste_rig::patience(), self.task).await.unwrap().unwrap();
    }
}

pub(super) fn few_calls() -> Arc<Script> {
    Script::accepting(Capabilities {
        batching: Batching::Single,
        concurrency: 4,
        max_concurrency: 4,
        ..Capabilities::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_silences_only_its_own_partitions() {
    let town = Town::open(3, 1).await;
    let script = few_calls();
    let courier = AtWork::start(&town.cluster, &script, Durability::Fast, brisk()).await;
    // Not the server with the first partition, which holds the shared keys.
    let victim =
        (0..3).find(|at| !town.partitions_at(*at).0.contains(&0) && !town.partitions_at(*at).0.is_empty());
    let victim = victim.unwrap();
    let (dead, well) = town.partitions_at(victim);
    let mut placed = Vec::new();
    for _ in 0..5 {
        for p in &dead {
            placed.push(town.tell(*p, Some(3 * NODE_TIMEOUT)).await);
        }
    }
    // The replica has everything: losses by a failover are tested elsewhere.
    town.cluster.node(victim).wait_for_replicas(1).unwrap();
    let stop = AtomicBool::new(false);
    let kill = async {
        let begun = Instant::now();
        // As long as a failover takes, so that both spans are equally affected by a slow machine.
        eventually_async("some time without trouble", async || {
            if begun.elapsed() >= 2 * NODE_TIMEOUT { Ok(()) } else { Err("not yet") }
        })
        .await;
        let killed = Instant::now();
        town.cluster.node(victim).kill_at_once().unwrap();
        eventually_async("the replica takes over", async || {
            let away = town.store.partitions_away();
            if killed.elapsed() > NODE_TIMEOUT && away.is_empty() { Ok(()) } else { Err(format!("{away:?}")) }
        })
        .await;
        stop.store(true, Ordering::SeqCst);
        (begun, killed, Instant::now())
    };
    let (more, (begun, killed, over)) = tokio::join!(town.load(&well, &stop), kill);
    placed.extend(more);
    let before = town.silences(&script, &well, begun, killed);
    let during = town.silences(&script, &well, killed, over);
    let usual = before.values().max().unwrap();
    assert!(during.values().all(|silence| *silence < *usual + SILENCE), "{before:?} {during:?}");
    town.all_sent_once(&script, &placed).await;
    courier.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_replica_is_dead_does_not_stop_the_others() {
    let mut town = Town::open(2, 1).await;
    let script = few_calls();
    let lease = Duration::from_secs(4);
    let settings = Settings { lease, renew_every: Duration::from_secs(1), ..brisk() };
    let courier = AtWork::start(&town.cluster, &script, Durability::Replicated, settings).await;
    let (bare, well) = town.partitions_at(0);
    town.cluster.node_mut(2).kill9().unwrap();
    let begun = Instant::now();
    let mut placed = Vec::new();
    // More orders than concurrent calls, so that they could keep all calls busy.
    for _ in 0..10 {
        for p in &bare {
            placed.push(town.tell(*p, None).await);
        }
    }
    let mut healthy = Vec::new();
    for _ in 0..30 {
        for p in &well {
            healthy.push(town.tell(*p, None).await);
        }
    }
    eventually_async("the others are delivered", async || {
        let times = script.times();
        let open = healthy.iter().filter(|order_id| !times.contains_key(&((*order_id).clone(), 0))).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} open after {:?}", begun.elapsed())) }
    })
    .await;
    // Long enough for leases to end and be reclaimed: what is begun and not confirmed stays with its courier.
    eventually_async("leases had time to end", async || {
        if begun.elapsed() > 2 * lease { Ok(()) } else { Err("not yet") }
    })
    .await;
    // Nothing was sent that could be lost with its server.
    let seen = script.times();
    assert!(
        placed.iter().all(|order_id| !seen.contains_key(&(order_id.clone(), 0))),
        "sent without a confirmation"
    );
    town.cluster.node_mut(2).restart().unwrap();
    town.cluster.write_always().unwrap();
    placed.extend(healthy);
    town.all_sent_once(&script, &placed).await;
    courier.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_many_keys_moves_under_load_and_nothing_is_half_written() {
    let mut town = Town::open(2, 0).await;
    let script = Script::new(
        Capabilities {
            batching: Batching::Single,
            concurrency: 8,
            max_concurrency: 8,
            ..Capabilities::default()
        },
        |_| Answer::Say(Outcome::Sent),
    );
    let courier = AtWork::start(&town.cluster, &script, Durability::Fast, brisk()).await;
    let p = town.partitions_at(0).0[0];
    let populate = ["DEBUG", "POPULATE", "100000", &format!("ballast:{{{p}}}"), "8"];
    assert!(town.cluster.node(0).command(&populate).unwrap().error().is_none());
    // The slot moves to a new, empty server.
    let added = town.cluster.add_primary().unwrap();
    let stop = AtomicBool::new(false);
    let slot = town.slot(p);
    let all: Vec<u16> = (0..PARTITIONS).collect();
    let cluster = &town.cluster;
    let moving = async || {
        eventually_async("there is a load", async || {
            let seen = script.seen().len();
            if seen > 50 { Ok(()) } else { Err(seen.to_string()) }
        })
        .await;
        let seen_before = script.seen().len();
        cluster.move_slot(slot, 0, added).unwrap();
        let meanwhile = script.seen().split_off(seen_before);
        eventually_async("the partition goes on at its new server", async || {
            let seen = script.seen().split_off(seen_before + meanwhile.len());
            let here = seen.iter().filter(|seen| town.store.partition_of(&seen.order_id) == p).count();
            if here > 20 { Ok(()) } else { Err(here.to_string()) }
        })
        .await;
        meanwhile.len()
    };
    let runtime = tokio::runtime::Handle::current();
    // The move blocks a separate thread, so that the load goes on meanwhile.
    let (placed, meanwhile) = tokio::task::block_in_place(|| {
        std::thread::scope(|threads| {
            let moving = threads.spawn(|| {
                let moved = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(moving())));
                // Also if the move failed: otherwise the load would never end.
                stop.store(true, Ordering::SeqCst);
                moved
            });
            let placed = runtime.block_on(town.load(&all, &stop));
            (placed, moving.join().unwrap().unwrap())
        })
    });
    assert!(meanwhile > 0, "the other partitions stood still");
    assert_eq!(town.store.node_of(p), Some(town.cluster.address(added)));
    town.all_sent_once(&script, &placed).await;
    // An idle courier is woken by the new server's bell, not by the poll.
    let due = town.tell(p, Some(Duration::from_millis(1_500))).await;
    let seen = script.eventually(placed.len() + 1).await;
    assert!(seen.iter().any(|seen| seen.order_id == due));
    courier.stopped().await;
}
