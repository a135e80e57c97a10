//! The first calls to a database at the start of a process: registration, or a look by a process that writes nothing,
//! and the key for hashing addresses.

use std::sync::Arc;

use crate::address_key::PARTITION;
use crate::error::{CallError, ConnectError, FatalReason};
use crate::halt_record;
use crate::halted::HaltState;
use crate::inner::Inner;
use crate::pool::Worker;
use crate::primary::Primary;
use crate::reader::Reader;
use crate::settings::Role;

impl Inner {
    /// Learns the epochs without writing anything, and the state of a halt.
    async fn inspect(self: &Arc<Self>) -> Result<(), CallError> {
        let reader = Reader::unguarded(self);
        let mut whole: Option<HaltState> = None;
        for at in self.guard.all() {
            let epoch = match reader.get(at.slot, at.keys.epoch()).await {
                // A partition that can't be reached is reported as missing, and does not hide the others.
                Err(CallError::NoReply(_) | CallError::Retryable { .. }) if self.routes.is_cluster() => {
                    continue;
                }
                epoch => epoch?,
            };
            let Some(epoch) = epoch else { continue };
            // Every call reports a halt.
            let _ = self.guard.saw_epoch(at, &String::from_utf8_lossy(&epoch));
            if let Some(halt) = halt_record::read(&reader, at).await? {
                match &mut whole {
                    Some(whole) => whole.join(halt),
                    None => whole = Some(halt),
                }
            }
        }
        if let Some(halt) = whole {
            self.guard.learn(halt);
        }
        Ok(())
    }

    /// The first calls to a single server. A halted database is not an error here: every call reports it, and work goes
    /// on after a recovery.
    pub(crate) async fn meet(
        self: &Arc<Self>,
        primary: &Primary,
        worker: &Arc<Worker>,
    ) -> Result<(), ConnectError> {
        if self.role == Role::Inspector {
            return Ok(self.inspect().await?);
        }
        match self.register(primary, worker).await {
            Ok(()) => self.agree_on_key(worker).await,
            Err(CallError::Fatal(FatalReason::Halted(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A connection to the primary of the first partition; waits for one even if it has been away since the start.
    async fn first_worker(&self) -> Result<Arc<Worker>, CallError> {
        let at = self.partition(PARTITION)?;
        self.routes.at(at.slot)?.pool.wait(self.settings.call_timeout).await?;
        self.worker_of(at).await
    }

    /// Starts while the primary of the first partition is away, if one of its replicas has the data that all
    /// partitions need.
    async fn meet_without_first(self: &Arc<Self>, why: CallError) -> Result<(), ConnectError> {
        match self.agree_by_replica().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let home = self.routes.home(self.partition(PARTITION)?.slot);
                let node = home.map(|primary| Arc::clone(&primary.address));
                Err(ConnectError::FirstPartition { node, why })
            }
            Err(ConnectError::Stop(FatalReason::Halted(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same for a cluster; this process has already registered with each primary.
    pub(crate) async fn meet_cluster(self: &Arc<Self>) -> Result<(), ConnectError> {
        if self.role == Role::Inspector {
            return Ok(self.inspect().await?);
        }
        match self.first_worker().await {
            Ok(worker) => self.agree_on_key(&worker).await,
            Err(CallError::Fatal(FatalReason::Halted(_))) => Ok(()),
            Err(error @ (CallError::NoReply(_) | CallError::Retryable { .. })) => {
                self.meet_without_first(error).await
            }
            Err(error) => Err(error.into()),
        }
    }
}
