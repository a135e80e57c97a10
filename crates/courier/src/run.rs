//! Runs a courier: the engine, the sweeper, the resolver and the hearing check, until it is stopped.

use std::sync::Arc;

use posthaste_model::CourierId;
use posthaste_ops::health::Progress;
use posthaste_ops::stop::Stop;
use posthaste_store::Store;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::engine::{Engine, EngineError};
use crate::hearing;
use crate::metrics::Meter;
use crate::probe::Probe;
use crate::resolver::Resolver;
use crate::settings::{BadSettings, Settings};
use crate::sweeper::Sweeper;
use crate::transport::Transport;

/// Why a courier did not run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Change the settings.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// Somebody has to look at the database.
    #[error(transparent)]
    Engine(#[from] EngineError),
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
        let meter = Arc::new(Meter::new(&channel, self.progress));
        let (sweep, resolve) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let hearing = self.store.hearing();

        let engine = Engine::new(
            self.store.clone(),
            Arc::clone(&self.transport),
            self.settings.clone(),
            self.courier,
            Arc::clone(&meter),
            crate::engine::Kicks { sweep: Arc::clone(&sweep), resolve: Arc::clone(&resolve) },
            self.probe,
        );
        let sweeper = Sweeper::new(
            self.store.clone(),
            channel.clone(),
            self.settings.clone(),
            Arc::clone(&meter),
            sweep,
        );
        let resolver = Resolver {
            store: self.store.clone(),
            transport: Arc::clone(&self.transport),
            channel: channel.clone(),
            meter: Arc::clone(&meter),
            kick: resolve,
            every: self.settings.sweep_every,
        };
        // They end with this call, however it ends.
        let mut beside = JoinSet::new();
        beside.spawn(sweeper.run(stop.clone()));
        beside.spawn(resolver.run(stop.clone()));
        beside.spawn(hearing::check(self.store, meter, self.settings.hearing_every, stop.clone()));
        tracing::info!(%channel, "the courier is at work");
        let result = engine.run(hearing, stop).await;
        beside.abort_all();
        tracing::info!(%channel, "the courier has stopped");
        Ok(result?)
    }
}
