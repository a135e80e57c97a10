//! Runs a courier until it is stopped: the engine, the lease watcher, the sweeper, the resolver and the wakeup check.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::CourierId;
use posthaste_ops::health::{Condition, Progress};
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{FatalReason, Store};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::engine::{Engine, EngineError};
use crate::feedback::FeedbackSink;
use crate::leases::Leases;
use crate::metrics::Meter;
use crate::panic_guard::kept_running;
use crate::probe::Probe;
use crate::resolver::Resolver;
use crate::settings::{BadSettings, Settings};
use crate::state_report::StateReport;
use crate::store_feedback::StoreFeedback;
use crate::sweeper::Sweeper;
use crate::transport::Transport;
use crate::wakeup_check;

/// How long requests from outside may still be answered after the engine has ended.
const SERVES_ON: Duration = Duration::from_secs(2);

/// Why a courier did not run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Invalid settings.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// An operator must check the database.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The channel can't receive requests from outside; the text says what to correct.
    #[error("the channel cannot receive feedback: {0}")]
    Serve(String),
}

/// A courier about to run.
pub struct Courier {
    /// The database.
    pub store: Store,
    /// The channel's way to its provider.
    pub transport: Arc<dyn Transport>,
    /// Settings of the runtime.
    pub settings: Settings,
    /// The id of this courier; a new one at every start.
    pub courier: CourierId,
    /// Updated at every successful claim.
    pub progress: Option<Progress>,
    /// Notified of every step of the engine; `Arc::new(())` outside tests.
    pub probe: Arc<dyn Probe>,
    /// Told whether the provider lets the courier work.
    pub provider: Option<Condition>,
}

impl Courier {
    /// Runs until `stop`. At the soft stage it claims nothing more and releases what is not begun; calls on the wire
    /// may finish until the hard stage.
    ///
    /// # Errors
    /// When the settings are invalid, the channel can't receive requests, or the database is not the same any more.
    pub async fn run(self, stop: Shutdown) -> Result<(), RunError> {
        self.settings.check(&self.transport.capabilities())?;
        let channel = self.transport.channel();
        let meter = Arc::new(Meter::new(&channel, self.progress.clone()));
        let feedback = Arc::new(StoreFeedback::new(self.store.clone(), channel.clone(), Arc::clone(&meter)));
        let mut serving = Serving::start(Arc::clone(&self.transport), feedback, &stop);
        tracing::info!(event = "courier.started", %channel, "the courier is running");
        let report = StateReport {
            store: self.store.clone(),
            channel: channel.clone(),
            courier: self.courier.clone(),
            meter: Arc::clone(&meter),
            holds: self.settings.lease,
            check: self.provider.clone(),
        };
        let mut reporting = JoinSet::new();
        let own = report.clone();
        keep(&mut reporting, &meter, &stop, "report", move || own.clone().run());
        let mut halts = 0;
        let result = loop {
            let result = self.work(&meter, halts, &stop).await;
            // Feedback from outside is still received and outcomes are still settled; nothing is begun.
            if !matches!(result, Err(EngineError::Stop(FatalReason::Halted(_)))) {
                break result;
            }
            if !recovered(&self.store, &stop).await {
                break Ok(());
            }
            halts += 1;
            tracing::info!(
                event = "courier.resumed",
                %channel,
                "the database was recovered; the courier is running again"
            );
        };
        reporting.shutdown().await;
        report.end().await;
        let served = serving.end().await;
        tracing::info!(event = "courier.stopped", %channel, "the courier has stopped");
        result?;
        served.map_err(RunError::Serve)
    }

    /// Works until it is stopped or the database is halted or replaced. Each call looks like a new courier to the
    /// database; what was held before is forgotten.
    async fn work(&self, meter: &Arc<Meter>, halts: u32, stop: &Shutdown) -> Result<(), EngineError> {
        let channel = self.transport.channel();
        let sweep: Arc<[Notify]> = (0..self.store.partitions()).map(|_| Notify::new()).collect();
        let resolve = Arc::new(Notify::new());
        let hearing = self.store.wakeup_listener();
        let courier = match halts {
            0 => self.courier.clone(),
            // With the earlier id, a claim would count as a repeat of an earlier claim.
            _ => format!("{}-{halts}", self.courier).parse().unwrap_or_else(|_| self.courier.clone()),
        };
        let engine = Engine::new(
            self.store.clone(),
            Arc::clone(&self.transport),
            self.settings.clone(),
            courier,
            Arc::clone(meter),
            crate::engine::Wakers { sweep: Arc::clone(&sweep), resolve: Arc::clone(&resolve) },
            Arc::clone(&self.probe),
        );
        // These tasks end with this call, however it ends; one that panics is restarted.
        let mut beside = JoinSet::new();
        let lease = self.settings.lease;
        let leases = Leases { store: self.store.clone(), meter: Arc::clone(meter), lease };
        let of = (channel.clone(), stop.clone());
        keep(&mut beside, meter, stop, "leases", move || {
            leases.clone().run(of.0.clone(), Arc::clone(&sweep), of.1.clone())
        });
        let of =
            (self.store.clone(), channel.clone(), self.settings.clone(), Arc::clone(meter), stop.clone());
        keep(&mut beside, meter, stop, "sweeper", move || {
            let (store, channel, settings, meter, stop) = of.clone();
            Sweeper::new(store, channel, settings, meter).run(stop)
        });
        let resolver = Resolver {
            store: self.store.clone(),
            transport: Arc::clone(&self.transport),
            channel,
            meter: Arc::clone(meter),
            waker: resolve,
            every: self.settings.sweep_every,
        };
        let until = stop.clone();
        keep(&mut beside, meter, stop, "resolver", move || resolver.clone().run(until.clone()));
        let of = (self.store.clone(), Arc::clone(meter), self.settings.hearing_every, stop.clone());
        keep(&mut beside, meter, stop, "hearing", move || {
            let (store, meter, every, stop) = of.clone();
            wakeup_check::check(store, meter, every, stop)
        });
        engine.run(hearing, stop.clone()).await
    }
}

/// Waits until an operator has recovered the database; false if asked to stop first.
async fn recovered(store: &Store, stop: &Shutdown) -> bool {
    let mut halted = store.halted();
    tokio::select! {
        biased;
        () = stop.soft.cancelled() => false,
        gone = halted.wait_for(|halted| !halted) => gone.is_ok(),
    }
}

/// Runs a loop in the background of the engine.
fn keep<F: Future<Output = ()> + Send + 'static>(
    beside: &mut JoinSet<()>,
    meter: &Arc<Meter>,
    stop: &Shutdown,
    what: &'static str,
    start: impl Fn() -> F + Send + Sync + 'static,
) {
    let (meter, soft) = (Arc::clone(meter), stop.soft.clone());
    beside.spawn(async move { kept_running(&meter, &soft, what, start).await });
}

/// The task that receives requests from outside, next to the engine.
struct Serving(JoinHandle<Result<(), String>>);

impl Serving {
    /// A transport that can't listen stops the courier: without receipts the channel would report less than it
    /// promises.
    fn start(transport: Arc<dyn Transport>, feedback: Arc<dyn FeedbackSink>, stop: &Shutdown) -> Self {
        let soft = stop.soft.clone();
        Self(tokio::spawn(async move {
            let served = transport.serve(feedback, soft.child_token()).await;
            if let Err(why) = &served {
                tracing::error!(
                    event = "courier.feedback_failed",
                    channel = %transport.channel(),
                    why,
                    "the channel cannot receive feedback; stopping"
                );
                soft.cancel();
            }
            served
        }))
    }

    /// It was asked to end together with the engine; it is cut off if it does not.
    async fn end(&mut self) -> Result<(), String> {
        match timeout(SERVES_ON, &mut self.0).await {
            Ok(Ok(served)) => served,
            Ok(Err(_)) => Err("the task panicked".to_owned()),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}
