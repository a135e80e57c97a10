//! A courier on a cluster: what happens to one server is felt by its own partitions alone, and every message goes out once.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::{Abilities, Batching, Courier, Outcome, Settings};
use posthaste_model::{
    Address, Clock, Content, Durability, Lane, OnUnknown, Row, State, Suffix, SystemClock, Text, UnixMs,
};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::stop::{self, Stop};
use posthaste_rig::servers::Cluster;
use posthaste_store::{Audited, NewOrder, NewOrderHead, Role, Store};
use tokio::time::Instant;

use super::house::{brisk, email, eventually_async};
use super::script::{Answer, Script};

pub(super) const PARTITIONS: u16 = 8;
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// What a healthy partition may be silent beyond what it was before.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// One of these tests at a time: they measure, and each has up to six servers.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A cluster, and a connection to look at it.
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

    /// Partitions whose slots a server holds, and the others.
    pub(super) fn partitions_at(&self, at: usize) -> (Vec<u16>, Vec<u16>) {
        (0..PARTITIONS).partition(|p| self.store.node_of(*p) == Some(self.cluster.address(at)))
    }

    /// An order of one row in a partition, told until it is accepted.
    pub(super) async fn tell(&self, p: u16, due_in: Option<Duration>) -> Suffix {
        let suffix = loop {
            let number = self.orders.fetch_add(1, Ordering::SeqCst);
            let suffix = Suffix::new(&"u1".parse().unwrap(), SystemClock.now_ns() + number);
            if self.store.partition_of(&suffix) == p {
                break suffix;
            }
        };
        let due = due_in.map(|wait| UnixMs(SystemClock.now().0).after(wait));
        let head = NewOrderHead {
            suffix: suffix.clone(),
            due,
            lane: Lane::Bulk,
            on_unknown: OnUnknown::Default,
            not_after: None,
            span: Duration::from_secs(72 * 3600),
            content: Content { text: Text::new("Hello"), ..Content::default() },
        };
        let address = Address::new(format!("{}@example.org", suffix.as_str().replace(':', ".")));
        let row = Row { index: 0, recipient: "r0".to_owned(), name: String::new(), address };
        let order = NewOrder { head, digest: [7; 12], rows: vec![(email(), row)], no_contact: Vec::new() };
        eventually_async("it is accepted", async || {
            Box::pin(self.store.accept(&order)).await.map_err(|error| format!("{error:?}"))
        })
        .await;
        suffix
    }

    /// Tells orders in these partitions, one after the other in each, until told to stop; answers all.
    async fn load(&self, partitions: &[u16], stop: &AtomicBool) -> Vec<Suffix> {
        let of_one = async |p: u16| {
            let mut told = Vec::new();
            let mut ticks = tokio::time::interval(Duration::from_millis(40));
            while !stop.load(Ordering::SeqCst) {
                ticks.tick().await;
                told.push(self.tell(p, None).await);
            }
            told
        };
        futures::future::join_all(partitions.iter().map(|p| of_one(*p))).await.concat()
    }

    pub(super) async fn all_sent_once(&self, script: &Script, told: &[Suffix]) {
        eventually_async("every order is sent", async || {
            let mut open = 0;
            for suffix in told {
                let order = self.store.load_order(self.store.partition_of(suffix), suffix).await;
                let order = order.map_err(|error| error.to_string())?.ok_or("an order is gone")?;
                open += u32::from(order.counters[0].1[State::Sent] != 1);
            }
            if open == 0 { Ok(()) } else { Err(format!("{open} of {} open", told.len())) }
        })
        .await;
        let times = script.times();
        let wrong: Vec<_> =
            told.iter().filter(|suffix| times.get(&((*suffix).clone(), 0)) != Some(&1)).collect();
        assert!(wrong.is_empty(), "not sent exactly once: {wrong:?}");
        assert_eq!(times.len(), told.len(), "sent, but never told");
        for suffix in told {
            let p = self.store.partition_of(suffix);
            match self.store.audit(p, &email(), suffix, 0).await.unwrap().reply {
                Audited::Ok { mended: 0, .. } => {}
                other => panic!("the audit of {suffix} found {other:?}"),
            }
        }
    }

    /// The longest silences of partitions in a span.
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
            let mine = seen.iter().filter(|seen| self.store.partition_of(&seen.suffix) == *p);
            for at in mine.map(|seen| seen.at).filter(|at| (from..to).contains(at)).chain([to]) {
                longest = longest.max(at.saturating_duration_since(last));
                last = at;
            }
            (*p, longest)
        };
        partitions.iter().map(of_one).collect()
    }
}

/// A courier at work.
pub(super) struct AtWork {
    stop: Stop,
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
        let stop = Stop::manual(&stop::Settings {
            drain_for: HumanDuration::from_millis(30_000),
            hand_back_for: HumanDuration::from_millis(5_000),
        });
        let transport = Arc::clone(script) as Arc<dyn posthaste_courier::Transport>;
        let courier = "c1".parse().unwrap();
        let courier = Courier { store, transport, settings, courier, progress: None, probe: Arc::new(()) };
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
    Script::accepting(Abilities {
        batching: Batching::Single,
        concurrency: 4,
        max_concurrency: 4,
        ..Abilities::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_silences_its_own_partitions_alone() {
    let town = Town::open(3, 1).await;
    let script = few_calls();
    let courier = AtWork::start(&town.cluster, &script, Durability::Fast, brisk()).await;
    // Not the one with the first partition: what all share is there.
    let victim =
        (0..3).find(|at| !town.partitions_at(*at).0.contains(&0) && !town.partitions_at(*at).0.is_empty());
    let victim = victim.unwrap();
    let (dead, well) = town.partitions_at(victim);
    let mut told = Vec::new();
    for _ in 0..5 {
        for p in &dead {
            told.push(town.tell(*p, Some(3 * NODE_TIMEOUT)).await);
        }
    }
    // The replica has it all: what is lost by a failover is another matter.
    town.cluster.node(victim).wait_for_replicas(1).unwrap();
    let stop = AtomicBool::new(false);
    let kill = async {
        let begun = Instant::now();
        // As long as a failover takes: a slow machine is as slow before as after.
        eventually_async("some time of health", async || {
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
    told.extend(more);
    let before = town.silences(&script, &well, begun, killed);
    let during = town.silences(&script, &well, killed, over);
    let usual = before.values().max().unwrap();
    assert!(during.values().all(|silence| *silence < *usual + SILENCE), "{before:?} {during:?}");
    town.all_sent_once(&script, &told).await;
    courier.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_replica_is_dead_stops_no_other() {
    let mut town = Town::open(2, 1).await;
    let script = few_calls();
    let lease = Duration::from_secs(4);
    let settings = Settings { lease, renew_every: Duration::from_secs(1), ..brisk() };
    let courier = AtWork::start(&town.cluster, &script, Durability::Replicated, settings).await;
    let (bare, well) = town.partitions_at(0);
    town.cluster.node_mut(2).kill9().unwrap();
    let begun = Instant::now();
    let mut told = Vec::new();
    // More than there are calls, so that they would keep all of them busy.
    for _ in 0..10 {
        for p in &bare {
            told.push(town.tell(*p, None).await);
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
        let open = healthy.iter().filter(|suffix| !times.contains_key(&((*suffix).clone(), 0))).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} open after {:?}", begun.elapsed())) }
    })
    .await;
    // Long enough for leases to end, and for those who look after them: what is begun and not confirmed stays with its courier.
    eventually_async("leases had time to end", async || {
        if begun.elapsed() > 2 * lease { Ok(()) } else { Err("not yet") }
    })
    .await;
    // Nothing is on its way that could be lost with its server.
    let seen = script.times();
    assert!(
        told.iter().all(|suffix| !seen.contains_key(&(suffix.clone(), 0))),
        "sent without a confirmation"
    );
    town.cluster.node_mut(2).restart().unwrap();
    town.cluster.write_always().unwrap();
    told.extend(healthy);
    town.all_sent_once(&script, &told).await;
    courier.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_many_keys_moves_under_load_and_nothing_is_half_written() {
    let mut town = Town::open(2, 0).await;
    let script = Script::new(
        Abilities { batching: Batching::Single, concurrency: 8, max_concurrency: 8, ..Abilities::default() },
        |_| Answer::Say(Outcome::Accepted),
    );
    let courier = AtWork::start(&town.cluster, &script, Durability::Fast, brisk()).await;
    let p = town.partitions_at(0).0[0];
    let populate = ["DEBUG", "POPULATE", "100000", &format!("ballast:{{{p}}}"), "8"];
    assert!(town.cluster.node(0).command(&populate).unwrap().error().is_none());
    // One more server, so that what holds nothing yet is moved to.
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
        eventually_async("it goes on where it is now", async || {
            let seen = script.seen().split_off(seen_before + meanwhile.len());
            let here = seen.iter().filter(|seen| town.store.partition_of(&seen.suffix) == p).count();
            if here > 20 { Ok(()) } else { Err(here.to_string()) }
        })
        .await;
        meanwhile.len()
    };
    let runtime = tokio::runtime::Handle::current();
    // The move holds up a thread of its own, so that the load goes on all the while.
    let (told, meanwhile) = tokio::task::block_in_place(|| {
        std::thread::scope(|threads| {
            let moving = threads.spawn(|| {
                let moved = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(moving())));
                // Also when it failed: the load would have no end.
                stop.store(true, Ordering::SeqCst);
                moved
            });
            let told = runtime.block_on(town.load(&all, &stop));
            (told, moving.join().unwrap().unwrap())
        })
    });
    assert!(meanwhile > 0, "the others stood still");
    assert_eq!(town.store.node_of(p), Some(town.cluster.address(added)));
    town.all_sent_once(&script, &told).await;
    // What is idle is woken by the new server's bell, not by the poll.
    let due = town.tell(p, Some(Duration::from_millis(1_500))).await;
    let seen = script.eventually(told.len() + 1).await;
    assert!(seen.iter().any(|seen| seen.suffix == due));
    courier.stopped().await;
}
