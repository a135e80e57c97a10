//! Runs a courier: the engine, the sweeper, the resolver and the hearing check, until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::CourierId;
use posthaste_ops::health::Progress;
use posthaste_ops::stop::Stop;
use posthaste_store::{StopWhy, Store};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::desk::Desk;
use crate::engine::{Engine, EngineError};
use crate::hearing;
use crate::leases::Leases;
use crate::metrics::Meter;
use crate::noticed::kept_running;
use crate::office::Office;
use crate::probe::Probe;
use crate::resolver::Resolver;
use crate::settings::{BadSettings, Settings};
use crate::sweeper::Sweeper;
use crate::transport::Transport;

/// How long requests from outside may still be answered once the engine has ended.
const SERVES_ON: Duration = Duration::from_secs(2);

/// Why a courier did not run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Change the settings.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// Somebody has to look at the database.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The channel can't hear what comes in: mend what it says.
    #[error("the channel can't listen: {0}")]
    Serve(String),
}

/// A courier about to run.
pub struct Courier {
    /// The database.
    pub store: Store,
    /// The channel's way to its provider.
    pub transport: Arc<dyn Transport>,
    /// How to run.
    pub settings: Settings,
    /// The name of this process; a new one at every start.
    pub courier: CourierId,
    /// Told at every successful look at the queue.
    pub progress: Option<Progress>,
    /// Told of every step of the engine; `Arc::new(())` outside tests.
    pub probe: Arc<dyn Probe>,
}

impl Courier {
    /// Runs until `stop`: at its soft stage nothing new is taken and what is not begun is handed back; what is on the wire
    /// finishes, until its hard stage.
    ///
    /// # Errors
    /// When the settings contradict each other, or the database is not the one it was.
    pub async fn run(self, stop: Stop) -> Result<(), RunError> {
        self.settings.check(&self.transport.abilities())?;
        let channel = self.transport.channel();
        let meter = Arc::new(Meter::new(&channel, self.progress.clone()));
        let desk = Arc::new(Office::new(self.store.clone(), channel.clone(), Arc::clone(&meter)));
        let mut serving = Serving::start(Arc::clone(&self.transport), desk, &stop);
        tracing::info!(%channel, "the courier is at work");
        let mut halts = 0;
        let result = loop {
            let result = self.work(&meter, halts, &stop).await;
            // Words from outside are heard all the while; what left is reported; nothing is begun.
            if !matches!(result, Err(EngineError::Stop(StopWhy::Halted(_)))) {
                break result;
            }
            if !recovered(&self.store, &stop).await {
                break Ok(());
            }
            halts += 1;
            tracing::info!(%channel, "the database was recovered: the courier is at work again");
        };
        let served = serving.end().await;
        tracing::info!(%channel, "the courier has stopped");
        result?;
        served.map_err(RunError::Serve)
    }

    /// Works until it is stopped or the database is not what it was. Each time is a new life to the database: what was held
    /// before is forgotten.
    async fn work(&self, meter: &Arc<Meter>, halts: u32, stop: &Stop) -> Result<(), EngineError> {
        let channel = self.transport.channel();
        let sweep: Arc<[Notify]> = (0..self.store.partitions()).map(|_| Notify::new()).collect();
        let resolve = Arc::new(Notify::new());
        let hearing = self.store.hearing();
        let courier = match halts {
            0 => self.courier.clone(),
            // An id of an earlier life would be taken for that one's repeat.
            _ => format!("{}-{halts}", self.courier).parse().unwrap_or_else(|_| self.courier.clone()),
        };
        let engine = Engine::new(
            self.store.clone(),
            Arc::clone(&self.transport),
            self.settings.clone(),
            courier,
            Arc::clone(meter),
            crate::engine::Kicks { sweep: Arc::clone(&sweep), resolve: Arc::clone(&resolve) },
            Arc::clone(&self.probe),
        );
        // They end with this call, however it ends; one that panics is started anew.
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
            kick: resolve,
            every: self.settings.sweep_every,
        };
        let until = stop.clone();
        keep(&mut beside, meter, stop, "resolver", move || resolver.clone().run(until.clone()));
        let of = (self.store.clone(), Arc::clone(meter), self.settings.hearing_every, stop.clone());
        keep(&mut beside, meter, stop, "hearing", move || {
            let (store, meter, every, stop) = of.clone();
            hearing::check(store, meter, every, stop)
        });
        engine.run(hearing, stop.clone()).await
    }
}

/// Waits until somebody recovered the database; false when asked to stop before.
async fn recovered(store: &Store, stop: &Stop) -> bool {
    let mut halted = store.halted();
    tokio::select! {
        biased;
        () = stop.soft.cancelled() => false,
        gone = halted.wait_for(|halted| !halted) => gone.is_ok(),
    }
}

/// Runs a loop beside the engine.
fn keep<F: Future<Output = ()> + Send + 'static>(
    beside: &mut JoinSet<()>,
    meter: &Arc<Meter>,
    stop: &Stop,
    what: &'static str,
    start: impl Fn() -> F + Send + Sync + 'static,
) {
    let (meter, soft) = (Arc::clone(meter), stop.soft.clone());
    beside.spawn(async move { kept_running(&meter, &soft, what, start).await });
}

/// What listens to the outside, beside the engine.
struct Serving(JoinHandle<Result<(), String>>);

impl Serving {
    /// A transport that can't listen begins the stop: deaf, a channel would tell less than it promises.
    fn start(transport: Arc<dyn Transport>, desk: Arc<dyn Desk>, stop: &Stop) -> Self {
        let soft = stop.soft.clone();
        Self(tokio::spawn(async move {
            let served = transport.serve(desk, soft.child_token()).await;
            if let Err(why) = &served {
                tracing::error!(channel = %transport.channel(), why, "the channel can't listen");
                soft.cancel();
            }
            served
        }))
    }

    /// It was asked to end with the engine; one that does not is cut off.
    async fn end(&mut self) -> Result<(), String> {
        match timeout(SERVES_ON, &mut self.0).await {
            Ok(Ok(served)) => served,
            Ok(Err(_)) => Err("it panicked".to_owned()),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}
