//! The test environment: a private server, orders on it, couriers in this process, and access to delivery states.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::{Courier, Probe, RunError, Settings, Transport};
use posthaste_model::{
    Address, Channel, Clock, Content, Counters, Delivery, OnUnknown, OrderId, ParcelId, Priority, State,
    SystemClock, Text,
};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::health::Progress;
use posthaste_ops::shutdown::{self, Shutdown};
use posthaste_rig::servers::Fsync;
use posthaste_rig::{PrivateServer, RespReply};
use posthaste_store::{DeliveryRecord, NewOrder, NewOrderHead, OrderRecord, Role, Store};
use tokio::task::JoinHandle;

/// A server and a connection to inspect it.
pub(crate) struct House {
    pub(crate) server: PrivateServer,
    pub(crate) store: Store,
    orders: AtomicU64,
}

/// Properties of a test order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) deliveries: u32,
    pub(crate) channel: Channel,
    pub(crate) priority: Priority,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) due_in: Option<Duration>,
    pub(crate) span: Duration,
    /// Whether its deliveries go to the addresses shared by all orders with this flag.
    pub(crate) same_people: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            deliveries: 1,
            channel: email(),
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Default,
            due_in: None,
            span: Duration::from_secs(72 * 3600),
            same_people: false,
        }
    }
}

/// Waits for a condition while the tasks of the test go on. Yields first: a probe that never waits could not be cut
/// off.
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

/// The address of a delivery of an order with `same_people`.
pub(crate) fn person(index: u32) -> Address {
    Address::new(format!("Person{index}@example.org"))
}

/// Settings that make a courier claim, sweep and resolve often.
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

/// The same with a short lease, for a courier that dies.
pub(crate) fn short_lease() -> Settings {
    Settings { lease: Duration::from_secs(2), renew_every: Duration::from_millis(500), ..brisk() }
}

/// Send window of a call that hangs: long enough that the crash of its courier ends it, not its deadline.
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

    /// Submits an order.
    pub(crate) async fn tell(&self, order: &Order) -> OrderId {
        let number = self.orders.fetch_add(1, Ordering::SeqCst);
        let order_id = OrderId::new(&"u1".parse().unwrap(), SystemClock.now_ns() + number);
        let due = match order.due_in {
            Some(wait) => Some(self.store.server_time().await.unwrap().after(wait)),
            None => None,
        };
        let head = NewOrderHead {
            order_id: order_id.clone(),
            due,
            priority: order.priority,
            on_unknown: order.on_unknown,
            not_after: None,
            span: order.span,
            content: Content { text: Text::new(format!("Order {number}")), ..Content::default() },
        };
        let delivery = |index| Delivery {
            index,
            recipient: format!("r{index}"),
            name: String::new(),
            address: match order.same_people {
                true => person(index),
                false => Address::new(format!("r{index}.{number}@example.org")),
            },
        };
        let deliveries =
            (0..order.deliveries).map(|index| (order.channel.clone(), delivery(index))).collect();
        self.store
            .accept(&NewOrder { head, digest: [7; 12], deliveries, no_contact: Vec::new() })
            .await
            .unwrap();
        order_id
    }

    /// Submits an order of this many deliveries, due now.
    pub(crate) async fn deliveries(&self, deliveries: u32) -> OrderId {
        self.tell(&Order { deliveries, ..Order::default() }).await
    }

    pub(crate) async fn view(&self, order_id: &OrderId) -> OrderRecord {
        self.store.load_order(self.store.partition_of(order_id), order_id).await.unwrap().unwrap()
    }

    /// The counters of the order's only channel.
    pub(crate) async fn counters(&self, order_id: &OrderId) -> Counters {
        self.view(order_id).await.counters[0].1
    }

    /// The deliveries of an order on its only channel.
    pub(crate) async fn outcomes(&self, order_id: &OrderId) -> Vec<DeliveryRecord> {
        let order = self.view(order_id).await;
        if let Some((_, outcomes)) = &order.inline {
            return outcomes.deliveries().collect();
        }
        let (channel, p) = (&order.head.channels[0].0, self.store.partition_of(order_id));
        let mut deliveries = Vec::new();
        for number in 0..order.head.parcels(channel) {
            let parcel_id = ParcelId { order_id: order_id.clone(), number };
            deliveries.extend(
                self.store
                    .load_outcomes(p, channel, &parcel_id, &order.head, false)
                    .await
                    .unwrap()
                    .deliveries(),
            );
        }
        deliveries
    }

    pub(crate) async fn outcome(&self, order_id: &OrderId) -> DeliveryRecord {
        self.outcomes(order_id).await[0]
    }

    /// Waits until this many deliveries are in a state.
    pub(crate) async fn eventually(&self, order_id: &OrderId, state: State, deliveries: u32) {
        eventually_async(&format!("{deliveries} deliveries {}", state.word()), async || {
            let counters = self.counters(order_id).await;
            if counters[state] == deliveries { Ok(()) } else { Err(format!("{counters:?}")) }
        })
        .await;
    }

    /// Waits until an order has ended.
    pub(crate) async fn ended(&self, order_id: &OrderId) {
        eventually_async("the end of an order", async || {
            let order = self.view(order_id).await;
            if order.finished.is_some() { Ok(()) } else { Err(format!("{:?}", order.counters)) }
        })
        .await;
    }

    pub(crate) fn command(&self, words: &[&str]) -> RespReply {
        self.server.command(words).unwrap()
    }

    /// The same with binary arguments.
    pub(crate) fn command_of_bytes(&self, words: &[&[u8]]) -> RespReply {
        self.server.connect().unwrap().command(words).unwrap()
    }

    /// Number of members of a sorted set.
    pub(crate) fn size(&self, key: &str) -> i64 {
        self.command(&["ZCARD", key]).int().unwrap()
    }

    /// Starts a courier.
    pub(crate) async fn courier(&self, transport: Arc<impl Transport>, settings: Settings) -> Running {
        self.courier_watched(transport, settings, Arc::new(()), None).await
    }

    /// Starts a courier with a probe and a progress check.
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

/// Starts a courier on the server at this URL.
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
    let stop = Shutdown::manual(&shutdown::Settings {
        drain_for: HumanDuration::from_millis(30_000),
        hand_back_for: HumanDuration::from_millis(5_000),
    });
    let courier = Courier { store, transport, settings, courier, progress, probe, provider: None };
    let task = tokio::spawn(courier.run(stop.clone()));
    Running { stop, task }
}

pub(crate) async fn connect(url: &str, role: Role, partitions: u16) -> Store {
    let settings = posthaste_store::Settings { url: url.to_owned().into(), partitions, ..Default::default() };
    Store::connect(settings, role).await.unwrap().0
}

/// A courier in its own runtime; a crash ends all its tasks at once, wherever they are.
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

/// A running courier.
pub(crate) struct Running {
    pub(crate) stop: Shutdown,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Waits until the courier ends.
    pub(crate) async fn end(mut self) -> Result<(), RunError> {
        let limit = posthaste_rig::patience();
        let ended = tokio::time::timeout(limit, &mut self.task).await;
        ended.expect("the courier ends").expect("the courier does not panic")
    }

    /// Requests the soft stage of a stop and waits for the end.
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
