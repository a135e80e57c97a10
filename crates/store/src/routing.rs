//! The route of a call: to the primary of its slot, after registering there, and once further when that says that the
//! slot has moved.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value as Arg;
use posthaste_protocol::ReplyValue;

use crate::cluster::moved::Moved;
use crate::command;
use crate::epoch_guard::Partition;
use crate::error::{CallError, server_error};
use crate::inner::Inner;
use crate::pool::Worker;
use crate::primary::Primary;
use crate::retryable::Retryable;
use crate::settings::Role;

/// How long a call waits for a connection to a primary of a cluster: the others answer meanwhile, and a caller must
/// not wait for a whole failover.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(1);

impl Inner {
    /// How long a call waits for a connection to a primary; not at all if it has been away for a while.
    fn patience(&self, primary: &Primary) -> Duration {
        let patience = self.settings.call_timeout;
        if !self.routes.is_cluster() {
            return patience;
        }
        let link = primary.link.watch().borrow().clone();
        let away = if link.up { Duration::ZERO } else { link.since.elapsed() };
        patience.min(CLUSTER_PATIENCE).saturating_sub(away)
    }

    /// A connection to a primary; `turn` chooses among them.
    async fn worker_in(&self, primary: &Primary, turn: usize) -> Result<Arc<Worker>, CallError> {
        match primary.pool.pick_from(turn) {
            Some(worker) => Ok(Arc::clone(worker)),
            None => primary.pool.wait_from(turn, self.patience(primary)).await.cloned(),
        }
    }

    /// A connection to the server that has a slot.
    pub(crate) async fn worker_at(&self, slot: u16) -> Result<Arc<Worker>, CallError> {
        let primary = self.routes.at(slot)?;
        self.worker_in(&primary, primary.pool.next_turn()).await
    }

    /// A connection to the primary of a partition; registers there first if necessary.
    pub(crate) async fn worker_of(&self, partition: &Partition) -> Result<Arc<Worker>, CallError> {
        let primary = self.routes.at(partition.slot)?;
        let worker = self.worker_in(&primary, primary.pool.next_turn()).await?;
        if !primary.knows(partition.number) {
            self.introduce(&primary, &worker, partition).await?;
        }
        Ok(worker)
    }

    /// Registers with a partition that has come to this primary, to check before any other call that it is the same
    /// database.
    async fn introduce(
        &self,
        primary: &Primary,
        worker: &Arc<Worker>,
        partition: &Partition,
    ) -> Result<(), CallError> {
        if self.role == Role::Inspector {
            // An inspector learned the epochs by reading, and writes nothing.
            return Ok(());
        }
        let _one_at_a_time = primary.checking.lock().await;
        if !primary.knows(partition.number) {
            self.register_at(primary, worker, partition).await?;
        }
        Ok(())
    }

    /// Runs a plain command at the server of a slot; `turn` chooses among connections. `guarded`: refuses once the
    /// database is another one.
    pub(crate) async fn ask_slot(
        self: &Arc<Self>,
        turn: usize,
        guarded: bool,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<ReplyValue, CallError> {
        let primary = self.routes.at(slot)?;
        let worker = self.worker_in(&primary, turn).await?;
        if guarded {
            self.guard.check()?;
        }
        let spare = self.routes.is_cluster().then(|| args.clone());
        let mut value = command::send(&worker.client, command, args).await?;
        if let (ReplyValue::Error(text), Some(args)) = (&value, spare)
            && let Some(moved) = Moved::read(text)
        {
            self.follow(&worker, moved)?;
            let worker = self.worker_at(slot).await?;
            value = command::send(&worker.client, command, args).await?;
        }
        match value {
            ReplyValue::Error(text) => {
                let error = server_error(&text);
                if matches!(error, CallError::Retryable { why: Retryable::ReadOnly }) {
                    // Another server is the master now; a new connection finds it.
                    worker.replace();
                }
                Err(self.routes.heed(slot, error))
            }
            value => Ok(value),
        }
    }
}
