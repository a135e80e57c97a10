//! Where the second half works: a store, couriers in this process, orders, and waiting for facts.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{
    Channel, Clock, CourierId, Lane, Member, OnUnknown, Row, SenderId, State, Suffix, SystemClock, UnixMs,
};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::stop::{self, Stop};
use posthaste_store::{NewOrder, NewOrderHead, OrderView, Role, RowOutcome, Store};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::witness::{Gate, Witness};
use crate::conformance::bench::{Behaviour, Bench, Shown, Toward};
use crate::conformance::report::{Failure, Report};
use crate::run::{Courier, RunError};
use crate::settings::Settings;
use crate::transport::{Abilities, Transport};

/// Calls at once of the couriers here.
const CALLS: usize = 4;
/// An order ends so long after it is due.
const SPAN: Duration = Duration::from_secs(3600);

/// The place of the second half.
pub(super) struct Yard<'a> {
    pub(super) bench: &'a dyn Bench,
    pub(super) report: Report,
    pub(super) channel: Channel,
    pub(super) store: Store,
    url: String,
    sender: SenderId,
    next_row: u32,
    next_courier: u32,
}

/// A courier at work.
pub(super) struct Running {
    pub(super) witness: Arc<Witness>,
    stop: Stop,
    task: JoinHandle<Result<(), RunError>>,
    patience: Duration,
}

/// How a courier drives its transport, where that is not the transport's word.
pub(super) struct Drive {
    /// Calls at once at most.
    pub(super) calls: usize,
    /// How long a call may take; `None`: as long as the transport says.
    pub(super) send_window: Option<Duration>,
    pub(super) gate: Gate,
}

impl Default for Drive {
    fn default() -> Self {
        Self { calls: CALLS, send_window: None, gate: Gate::Open }
    }
}

/// An order told, and its rows.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) suffix: Suffix,
    pub(super) rows: Vec<Row>,
}

impl<'a> Yard<'a> {
    pub(super) async fn open(bench: &'a dyn Bench, url: &str) -> Result<Self, Failure> {
        let sender = "conformance".parse().map_err(|_| Failure::Bench("no sender".to_owned()))?;
        let channel = bench.transport().await.channel();
        let store = connect(url, Role::Tool).await?;
        let url = url.to_owned();
        // Rows of the first half, on the same bench, keep their addresses for themselves.
        let (next_row, next_courier) = (1_000_000, 0);
        Ok(Self { bench, report: Report::default(), channel, store, url, sender, next_row, next_courier })
    }

    pub(super) async fn close(self) -> Report {
        self.store.disconnect().await;
        self.report
    }

    /// Starts a courier with a transport of its own.
    pub(super) async fn courier(&mut self, drive: Drive) -> Result<Running, Failure> {
        let transport = self.bench.transport().await;
        self.courier_with(transport, drive).await
    }

    /// The same with this transport.
    pub(super) async fn courier_with(
        &mut self,
        transport: Arc<dyn Transport>,
        drive: Drive,
    ) -> Result<Running, Failure> {
        let theirs = transport.abilities();
        let calls = drive.calls.min(theirs.max_concurrency);
        let send_window = drive.send_window.map_or(theirs.send_window, |most| most.min(theirs.send_window));
        let abilities = Abilities { send_window, concurrency: calls, max_concurrency: calls, ..theirs };
        let store = connect(&self.url, Role::Courier(self.channel.clone())).await?;
        let witness = Arc::new(Witness::new(transport, store.clone(), abilities, drive.gate));
        self.next_courier += 1;
        let name = format!("conformance-{}-{}", SystemClock.now_ns(), self.next_courier);
        let courier: CourierId = name.parse().map_err(|_| Failure::Bench("no courier id".to_owned()))?;
        let settings = Settings {
            poll: Duration::from_millis(100),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(1),
            sweep_every: Duration::from_millis(500),
            check_every: Duration::from_millis(200),
            // Nothing here is urgent: all calls there are may be under way.
            urgent_reserve: 0,
            ..Settings::default()
        };
        let stop = Stop::manual(&stop::Settings {
            drain_for: HumanDuration::from_millis(30_000),
            hand_back_for: HumanDuration::from_millis(5_000),
        });
        let transport = Arc::clone(&witness) as _;
        let courier = Courier { store, transport, settings, courier, progress: None, probe: Arc::new(()) };
        let task = tokio::spawn(courier.run(stop.clone()));
        Ok(Running { witness, stop, task, patience: self.bench.patience() })
    }

    /// A courier with some calls at once.
    pub(super) async fn usual_courier(&mut self) -> Result<Running, Failure> {
        self.courier(Drive::default()).await
    }

    /// Tells an order of so many rows.
    pub(super) async fn tell(
        &mut self,
        rows: u32,
        due_in: Option<Duration>,
        on_unknown: OnUnknown,
    ) -> Result<Told, Failure> {
        let suffix = Suffix::new(&self.sender, SystemClock.now_ns() + u64::from(self.next_row));
        let sample = (self.next_row..self.next_row + rows).zip(0..);
        let rows: Vec<Row> = sample.map(|(n, index)| Row { index, ..self.bench.row(n) }).collect();
        let mark = format!("mark{}x", self.next_row);
        self.next_row += u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let due = match due_in {
            Some(wait) => Some(self.store.server_time().await?.after(wait)),
            None => None,
        };
        let head = NewOrderHead {
            suffix: suffix.clone(),
            due,
            lane: Lane::Bulk,
            on_unknown,
            not_after: None::<UnixMs>,
            span: SPAN,
            content: self.bench.content(&mark),
        };
        let named = rows.iter().map(|row| (self.channel.clone(), row.clone())).collect();
        self.store.accept(&NewOrder { head, digest: [0; 12], rows: named, no_contact: Vec::new() }).await?;
        Ok(Told { suffix, rows })
    }

    pub(super) async fn order(&self, suffix: &Suffix) -> Result<OrderView, Failure> {
        let order = self.store.load_order(self.store.partition_of(suffix), suffix).await?;
        order.ok_or_else(|| Failure::broken("history", "an order has no history"))
    }

    /// The rows of an order as its history has them.
    pub(super) async fn rows(&self, told: &Told) -> Result<Vec<RowOutcome>, Failure> {
        let order = self.order(&told.suffix).await?;
        if let Some((_, outcomes)) = &order.inline {
            return Ok(outcomes.rows().collect());
        }
        let p = self.store.partition_of(&told.suffix);
        let mut rows = Vec::new();
        for number in 0..order.head.parcels(&self.channel) {
            let member = Member { suffix: told.suffix.clone(), number };
            let of = self.store.load_outcomes(p, &self.channel, &member, &order.head, false).await?;
            rows.extend(of.rows());
        }
        Ok(rows)
    }

    /// Copies of the first part the provider took for each row.
    pub(super) async fn copies(&self, told: &Told) -> Vec<usize> {
        let taken = self.bench.taken().await;
        let of = |row: &Row| taken.iter().filter(|m| m.part == 0 && m.to == row.address).count();
        told.rows.iter().map(of).collect()
    }

    /// Waits until an order has ended.
    pub(super) async fn ended(&self, check: &str, told: &Told) -> Result<(), Failure> {
        self.until(check, "an order has not ended", async || {
            Ok(self.order(&told.suffix).await?.finished.is_some())
        })
        .await
    }

    /// Whether every row was sent, and taken exactly once.
    pub(super) async fn all_sent_once(&self, check: &str, told: &Told) -> Result<(), Failure> {
        for (at, row) in self.rows(told).await?.iter().enumerate() {
            if !matches!(row.state, State::Sent | State::Delivered) {
                let what = format!("row {at} ended as {} ({})", row.state.word(), row.reason.word());
                return Err(Failure::broken(check, what));
            }
        }
        match self.copies(told).await.iter().enumerate().find(|(_, copies)| **copies != 1) {
            Some((at, copies)) => {
                let what = format!("row {at} was told as sent, and the provider took it {copies} times");
                Err(Failure::broken(check, what))
            }
            None => Ok(()),
        }
    }

    pub(super) async fn accept_again(&self) -> Result<(), Failure> {
        match self.bench.behave(Behaviour::Accept, Toward::Everyone).await {
            Shown::Yes => Ok(()),
            Shown::No(why) => Err(Failure::Bench(format!("it can't accept: {why}"))),
        }
    }

    /// Waits for a fact.
    pub(super) async fn until(
        &self,
        check: &str,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let until = Instant::now() + self.bench.patience();
        while !probe().await? {
            if Instant::now() >= until {
                return Err(Failure::broken(check, format!("after {:?} {what}", self.bench.patience())));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Running {
    /// Asks for the soft stage of a stop.
    pub(super) fn ask_to_stop(&self) {
        self.stop.request();
    }

    /// Stops, and looks at what the witness saw.
    pub(super) async fn stopped(self, check: &str) -> Result<(), Failure> {
        self.stop.soft.cancel();
        match tokio::time::timeout(self.patience, self.task).await {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return Err(Failure::broken(check, "the courier panicked")),
            Err(_) => return Err(Failure::broken(check, "the courier did not stop")),
        }
        match self.witness.faults().into_iter().next() {
            Some(fault) => Err(Failure::broken(check, fault)),
            None => Ok(()),
        }
    }
}

async fn connect(url: &str, role: Role) -> Result<Store, Failure> {
    let settings = posthaste_store::Settings { url: url.to_owned().into(), ..Default::default() };
    Ok(Store::connect(settings, role).await?.0)
}
