//! The environment of the second half: a store, couriers in this process, orders, and waiting for conditions.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{
    Channel, Clock, CourierId, Delivery, OnUnknown, OrderId, ParcelId, Priority, SenderId, State,
    SystemClock, UnixMs,
};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::shutdown::{self, Shutdown};
use posthaste_store::{DeliveryRecord, NewOrder, NewOrderHead, OrderRecord, Role, Store};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::recording_transport::{Gate, RecordingTransport};
use crate::conformance::bench::{Behaviour, Bench, Shown, Toward};
use crate::conformance::report::{ConformanceFailure, ConformanceReport};
use crate::run::{Courier, RunError};
use crate::settings::Settings;
use crate::transport::{Capabilities, Transport};

/// Concurrent calls of these couriers.
const CALLS: usize = 4;
/// An order expires this long after it is due.
const SPAN: Duration = Duration::from_secs(3600);

/// The environment of the second half.
pub(super) struct Harness<'a> {
    pub(super) bench: &'a dyn Bench,
    pub(super) report: ConformanceReport,
    pub(super) channel: Channel,
    pub(super) store: Store,
    url: String,
    sender: SenderId,
    next_delivery: u32,
    next_courier: u32,
}

/// A running courier.
pub(super) struct Running {
    pub(super) recorder: Arc<RecordingTransport>,
    stop: Shutdown,
    task: JoinHandle<Result<(), RunError>>,
    patience: Duration,
}

/// How a courier drives its transport, where it differs from the transport's capabilities.
pub(super) struct Drive {
    /// Maximum concurrent calls.
    pub(super) calls: usize,
    /// Maximum duration of a call; `None`: as the transport says.
    pub(super) send_window: Option<Duration>,
    pub(super) gate: Gate,
}

impl Default for Drive {
    fn default() -> Self {
        Self { calls: CALLS, send_window: None, gate: Gate::Open }
    }
}

/// An accepted order and its deliveries.
#[derive(Debug, Clone)]
pub(super) struct TestOrder {
    pub(super) order_id: OrderId,
    pub(super) deliveries: Vec<Delivery>,
}

impl<'a> Harness<'a> {
    pub(super) async fn open(bench: &'a dyn Bench, url: &str) -> Result<Self, ConformanceFailure> {
        let sender = "conformance".parse().map_err(|_| ConformanceFailure::Bench("no sender".to_owned()))?;
        let channel = bench.transport().await.channel();
        let store = connect(url, Role::Tool).await?;
        let url = url.to_owned();
        // Use other addresses than the first half, which ran on the same bench.
        let (next_delivery, next_courier) = (1_000_000, 0);
        Ok(Self {
            bench,
            report: ConformanceReport::default(),
            channel,
            store,
            url,
            sender,
            next_delivery,
            next_courier,
        })
    }

    pub(super) async fn close(self) -> ConformanceReport {
        self.store.disconnect().await;
        self.report
    }

    /// Starts a courier with a new transport.
    pub(super) async fn courier(&mut self, drive: Drive) -> Result<Running, ConformanceFailure> {
        let transport = self.bench.transport().await;
        self.courier_with(transport, drive).await
    }

    /// The same with this transport.
    pub(super) async fn courier_with(
        &mut self,
        transport: Arc<dyn Transport>,
        drive: Drive,
    ) -> Result<Running, ConformanceFailure> {
        let theirs = transport.capabilities();
        let calls = drive.calls.min(theirs.max_concurrency);
        let send_window = drive.send_window.map_or(theirs.send_window, |most| most.min(theirs.send_window));
        let capabilities = Capabilities { send_window, concurrency: calls, max_concurrency: calls, ..theirs };
        let store = connect(&self.url, Role::Courier(self.channel.clone())).await?;
        let recorder = Arc::new(RecordingTransport::new(transport, store.clone(), capabilities, drive.gate));
        self.next_courier += 1;
        let name = format!("conformance-{}-{}", SystemClock.now_ns(), self.next_courier);
        let courier: CourierId =
            name.parse().map_err(|_| ConformanceFailure::Bench("no courier id".to_owned()))?;
        let settings = Settings {
            poll: Duration::from_millis(100),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(1),
            sweep_every: Duration::from_millis(500),
            check_every: Duration::from_millis(200),
            // Nothing here is urgent, so bulk may use all calls.
            urgent_reserve: 0,
            ..Settings::default()
        };
        let stop = Shutdown::manual(&shutdown::Settings {
            drain_for: HumanDuration::from_millis(30_000),
            hand_back_for: HumanDuration::from_millis(5_000),
        });
        let transport = Arc::clone(&recorder) as _;
        let (progress, provider) = (None, None);
        let courier =
            Courier { store, transport, settings, courier, progress, probe: Arc::new(()), provider };
        let task = tokio::spawn(courier.run(stop.clone()));
        Ok(Running { recorder, stop, task, patience: self.bench.patience() })
    }

    /// Starts a courier with a few concurrent calls.
    pub(super) async fn usual_courier(&mut self) -> Result<Running, ConformanceFailure> {
        self.courier(Drive::default()).await
    }

    /// Accepts an order of this many deliveries.
    pub(super) async fn tell(
        &mut self,
        deliveries: u32,
        due_in: Option<Duration>,
        on_unknown: OnUnknown,
    ) -> Result<TestOrder, ConformanceFailure> {
        let order_id = OrderId::new(&self.sender, SystemClock.now_ns() + u64::from(self.next_delivery));
        let sample = (self.next_delivery..self.next_delivery + deliveries).zip(0..);
        let deliveries: Vec<Delivery> =
            sample.map(|(n, index)| Delivery { index, ..self.bench.delivery(n) }).collect();
        let mark = format!("mark{}x", self.next_delivery);
        self.next_delivery += u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        let due = match due_in {
            Some(wait) => Some(self.store.server_time().await?.after(wait)),
            None => None,
        };
        let head = NewOrderHead {
            order_id: order_id.clone(),
            due,
            priority: Priority::Bulk,
            on_unknown,
            not_after: None::<UnixMs>,
            span: SPAN,
            content: self.bench.content(&mark),
        };
        let named = deliveries.iter().map(|delivery| (self.channel.clone(), delivery.clone())).collect();
        self.store
            .accept(&NewOrder { head, digest: [0; 12], deliveries: named, no_contact: Vec::new() })
            .await?;
        Ok(TestOrder { order_id, deliveries })
    }

    pub(super) async fn order(&self, order_id: &OrderId) -> Result<OrderRecord, ConformanceFailure> {
        let order = self.store.load_order(self.store.partition_of(order_id), order_id).await?;
        order.ok_or_else(|| ConformanceFailure::broken("history", "an order has no history"))
    }

    /// The deliveries of an order according to its history.
    pub(super) async fn deliveries(
        &self,
        placed: &TestOrder,
    ) -> Result<Vec<DeliveryRecord>, ConformanceFailure> {
        let order = self.order(&placed.order_id).await?;
        if let Some((_, outcomes)) = &order.inline {
            return Ok(outcomes.deliveries().collect());
        }
        let p = self.store.partition_of(&placed.order_id);
        let mut deliveries = Vec::new();
        for number in 0..order.head.parcels(&self.channel) {
            let parcel_id = ParcelId { order_id: placed.order_id.clone(), number };
            let of = self.store.load_outcomes(p, &self.channel, &parcel_id, &order.head, false).await?;
            deliveries.extend(of.deliveries());
        }
        Ok(deliveries)
    }

    /// How many copies of the first part the provider accepted for each delivery.
    pub(super) async fn copies(&self, placed: &TestOrder) -> Vec<usize> {
        let taken = self.bench.taken().await;
        let of =
            |delivery: &Delivery| taken.iter().filter(|m| m.part == 0 && m.to == delivery.address).count();
        placed.deliveries.iter().map(of).collect()
    }

    /// Waits until an order has ended.
    pub(super) async fn ended(&self, check: &str, placed: &TestOrder) -> Result<(), ConformanceFailure> {
        self.until(check, "an order has not ended", async || {
            Ok(self.order(&placed.order_id).await?.finished.is_some())
        })
        .await
    }

    /// Checks that every delivery was sent and accepted exactly once.
    pub(super) async fn all_sent_once(
        &self,
        check: &str,
        placed: &TestOrder,
    ) -> Result<(), ConformanceFailure> {
        for (at, delivery) in self.deliveries(placed).await?.iter().enumerate() {
            if !matches!(delivery.state, State::Sent | State::Delivered) {
                let what =
                    format!("delivery {at} ended as {} ({})", delivery.state.word(), delivery.reason.word());
                return Err(ConformanceFailure::broken(check, what));
            }
        }
        match self.copies(placed).await.iter().enumerate().find(|(_, copies)| **copies != 1) {
            Some((at, copies)) => {
                let what = format!("delivery {at} is sent, but the provider accepted it {copies} times");
                Err(ConformanceFailure::broken(check, what))
            }
            None => Ok(()),
        }
    }

    pub(super) async fn accept_again(&self) -> Result<(), ConformanceFailure> {
        match self.bench.behave(Behaviour::Accept, Toward::Everyone).await {
            Shown::Yes => Ok(()),
            Shown::No(why) => Err(ConformanceFailure::Bench(format!("it cannot accept: {why}"))),
        }
    }

    /// Waits for a condition.
    pub(super) async fn until(
        &self,
        check: &str,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<bool, ConformanceFailure>,
    ) -> Result<(), ConformanceFailure> {
        let until = Instant::now() + self.bench.patience();
        while !probe().await? {
            if Instant::now() >= until {
                return Err(ConformanceFailure::broken(
                    check,
                    format!("after {:?}, {what}", self.bench.patience()),
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Running {
    /// Requests the soft stage of a stop.
    pub(super) fn ask_to_stop(&self) {
        self.stop.request();
    }

    /// Stops, and checks what the recorder recorded.
    pub(super) async fn stopped(self, check: &str) -> Result<(), ConformanceFailure> {
        self.stop.soft.cancel();
        match tokio::time::timeout(self.patience, self.task).await {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return Err(ConformanceFailure::broken(check, "the courier panicked")),
            Err(_) => return Err(ConformanceFailure::broken(check, "the courier did not stop")),
        }
        match self.recorder.faults().into_iter().next() {
            Some(fault) => Err(ConformanceFailure::broken(check, fault)),
            None => Ok(()),
        }
    }
}

async fn connect(url: &str, role: Role) -> Result<Store, ConformanceFailure> {
    let settings = posthaste_store::Settings { url: url.to_owned().into(), ..Default::default() };
    Ok(Store::connect(settings, role).await?.0)
}
