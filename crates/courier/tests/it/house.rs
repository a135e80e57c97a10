//! A private server, orders on it, couriers in this process, and looks at what became of rows.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::{Courier, Probe, RunError, Settings, Transport};
use posthaste_model::{
    Address, Channel, Clock, Content, Counters, Lane, Member, OnUnknown, Row, State, Suffix, SystemClock,
    Text,
};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::health::Progress;
use posthaste_ops::stop::{self, Stop};
use posthaste_rig::servers::Fsync;
use posthaste_rig::{PrivateServer, Reply};
use posthaste_store::{NewOrder, NewOrderHead, OrderView, Role, RowOutcome, Store};
use tokio::task::JoinHandle;

/// A server and a connection to look at it.
pub(crate) struct House {
    pub(crate) server: PrivateServer,
    pub(crate) store: Store,
    orders: AtomicU64,
}

/// What an order of these tests says.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) rows: u32,
    pub(crate) channel: Channel,
    pub(crate) lane: Lane,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) due_in: Option<Duration>,
    pub(crate) span: Duration,
    /// Whether its rows go to the same addresses as those of all orders with this.
    pub(crate) same_people: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            rows: 1,
            channel: email(),
            lane: Lane::Bulk,
            on_unknown: OnUnknown::Default,
            due_in: None,
            span: Duration::from_secs(72 * 3600),
            same_people: false,
        }
    }
}

/// Waits for a fact; the tasks of the test go on meanwhile. A probe that is ready at once would never be cut off.
pub(crate) async fn eventually_async<T, E: std::fmt::Display>(
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    posthaste_rig::eventually_async(what, async || {
        tokio::task::yield_now().await;
        probe().await
    })
    .await
}

pub(crate) fn email() -> Channel {
    "email".parse().unwrap()
}

/// The address of a row of orders to the same people.
pub(crate) fn person(index: u32) -> Address {
    Address::new(format!("Person{index}@example.org"))
}

/// Settings that make a courier look, sweep and resolve often.
pub(crate) fn brisk() -> Settings {
    Settings {
        poll: Duration::from_millis(50),
        sweep_every: Duration::from_millis(100),
        backoff_base: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(200),
        check_every: Duration::from_millis(50),
        ..Settings::default()
    }
}

/// The same with a lease that is soon over, for a courier that dies.
pub(crate) fn short_lease() -> Settings {
    Settings { lease: Duration::from_secs(2), renew_every: Duration::from_millis(500), ..brisk() }
}

/// How long a call hangs that is to be cut off by the crash of its courier, and not by its deadline.
pub(crate) const HANGS: Duration = Duration::from_secs(3);

impl House {
    pub(crate) async fn open() -> Self {
        Self::with_partitions(1).await
    }

    pub(crate) async fn with_partitions(partitions: u16) -> Self {
        let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
        let store = connect(&server.url(), Role::Tool, partitions).await;
        Self { server, store, orders: AtomicU64::new(0) }
    }

    /// Tells an order.
    pub(crate) async fn tell(&self, order: &Order) -> Suffix {
        let number = self.orders.fetch_add(1, Ordering::SeqCst);
        let suffix = Suffix::new(&"u1".parse().unwrap(), SystemClock.now_ns() + number);
        let due = match order.due_in {
            Some(wait) => Some(self.store.server_time().await.unwrap().after(wait)),
            None => None,
        };
        let head = NewOrderHead {
            suffix: suffix.clone(),
            due,
            lane: order.lane,
            on_unknown: order.on_unknown,
            not_after: None,
            span: order.span,
            content: Content { text: Text::new(format!("Order {number}")), ..Content::default() },
        };
        let row = |index| Row {
            index,
            recipient: format!("r{index}"),
            name: String::new(),
            address: match order.same_people {
                true => person(index),
                false => Address::new(format!("r{index}.{number}@example.org")),
            },
        };
        let rows = (0..order.rows).map(|index| (order.channel.clone(), row(index))).collect();
        self.store.accept(&NewOrder { head, digest: [7; 12], rows, no_contact: Vec::new() }).await.unwrap();
        suffix
    }

    /// Tells an order of so many rows, for now.
    pub(crate) async fn rows(&self, rows: u32) -> Suffix {
        self.tell(&Order { rows, ..Order::default() }).await
    }

    pub(crate) async fn view(&self, suffix: &Suffix) -> OrderView {
        self.store.load_order(self.store.partition_of(suffix), suffix).await.unwrap().unwrap()
    }

    /// Counters of the order's only channel.
    pub(crate) async fn counters(&self, suffix: &Suffix) -> Counters {
        self.view(suffix).await.counters[0].1
    }

    /// The rows of an order on its only channel.
    pub(crate) async fn outcomes(&self, suffix: &Suffix) -> Vec<RowOutcome> {
        let order = self.view(suffix).await;
        if let Some((_, outcomes)) = &order.inline {
            return outcomes.rows().collect();
        }
        let (channel, p) = (&order.head.channels[0].0, self.store.partition_of(suffix));
        let mut rows = Vec::new();
        for number in 0..order.head.parcels(channel) {
            let member = Member { suffix: suffix.clone(), number };
            rows.extend(
                self.store.load_outcomes(p, channel, &member, &order.head, false).await.unwrap().rows(),
            );
        }
        rows
    }

    pub(crate) async fn outcome(&self, suffix: &Suffix) -> RowOutcome {
        self.outcomes(suffix).await[0]
    }

    /// Waits until so many rows are in a state.
    pub(crate) async fn eventually(&self, suffix: &Suffix, state: State, rows: u32) {
        eventually_async(&format!("{rows} rows {}", state.word()), async || {
            let counters = self.counters(suffix).await;
            if counters[state] == rows { Ok(()) } else { Err(format!("{counters:?}")) }
        })
        .await;
    }

    /// Waits until an order has ended.
    pub(crate) async fn ended(&self, suffix: &Suffix) {
        eventually_async("the end of an order", async || {
            let order = self.view(suffix).await;
            if order.finished.is_some() { Ok(()) } else { Err(format!("{:?}", order.counters)) }
        })
        .await;
    }

    pub(crate) fn command(&self, words: &[&str]) -> Reply {
        self.server.command(words).unwrap()
    }

    /// The same with words that are no text.
    pub(crate) fn command_of_bytes(&self, words: &[&[u8]]) -> Reply {
        self.server.connect().unwrap().command(words).unwrap()
    }

    /// Members of a sorted set.
    pub(crate) fn size(&self, key: &str) -> i64 {
        self.command(&["ZCARD", key]).int().unwrap()
    }

    /// Starts a courier.
    pub(crate) async fn courier(&self, transport: Arc<impl Transport>, settings: Settings) -> Running {
        self.courier_watched(transport, settings, Arc::new(()), None).await
    }

    /// Starts a courier whose steps and progress are watched.
    pub(crate) async fn courier_watched(
        &self,
        transport: Arc<impl Transport>,
        settings: Settings,
        probe: Arc<dyn Probe>,
        progress: Option<Progress>,
    ) -> Running {
        let url = self.server.url();
        start(&url, self.store.partitions(), transport, settings, probe, progress).await
    }
}

/// Starts a courier on the server of this URL.
pub(crate) async fn start(
    url: &str,
    partitions: u16,
    transport: Arc<impl Transport>,
    settings: Settings,
    probe: Arc<dyn Probe>,
    progress: Option<Progress>,
) -> Running {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let store = connect(url, Role::Courier(transport.channel()), partitions).await;
    let courier = format!("c{}", NUMBER.fetch_add(1, Ordering::SeqCst)).parse().unwrap();
    let stop = Stop::manual(&stop::Settings {
        drain_for: HumanDuration::from_millis(30_000),
        hand_back_for: HumanDuration::from_millis(5_000),
    });
    let courier = Courier { store, transport, settings, courier, progress, probe };
    let task = tokio::spawn(courier.run(stop.clone()));
    Running { stop, task }
}

pub(crate) async fn connect(url: &str, role: Role, partitions: u16) -> Store {
    let settings = posthaste_store::Settings { url: url.to_owned().into(), partitions, ..Default::default() };
    Store::connect(settings, role).await.unwrap().0
}

/// A courier in a runtime of its own, which a crash ends with all its tasks, wherever they are.
pub(crate) struct Doomed(Option<tokio::runtime::Runtime>);

impl Doomed {
    pub(crate) async fn start(house: &House, transport: Arc<impl Transport>, settings: Settings) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (url, partitions) = (house.server.url(), house.store.partitions());
        let started = runtime.spawn(async move {
            let running = start(&url, partitions, transport, settings, Arc::new(()), None).await;
            tokio::spawn(running.end());
        });
        started.await.unwrap();
        Self(Some(runtime))
    }

    pub(crate) fn crash(mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A courier at work.
pub(crate) struct Running {
    pub(crate) stop: Stop,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Waits for the end of the courier.
    pub(crate) async fn end(mut self) -> Result<(), RunError> {
        let limit = posthaste_rig::patience();
        let ended = tokio::time::timeout(limit, &mut self.task).await;
        ended.expect("the courier ends").expect("the courier does not panic")
    }

    /// Asks for the soft stage of a stop and waits for the end.
    pub(crate) async fn stopped(self) {
        self.stop.soft.cancel();
        self.end().await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
