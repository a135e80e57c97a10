//! The first calls to a database: register this process, learn which database it is, and what it held when the
//! server's current run began.

use std::sync::Arc;

use posthaste_protocol::scripts::open_server_run::OpenServerRun;
use posthaste_protocol::scripts::register_process::{RegisterProcess, Registered};
use posthaste_protocol::{SCHEMA, ScriptAnswer};

use crate::address_key::PARTITION;
use crate::epoch_guard::Partition;
use crate::error::{CallError, ConnectError, FatalReason, Retryable};
use crate::halted::{self, HaltState};
use crate::node::Node;
use crate::pool::Worker;
use crate::preflight::Confirm;
use crate::primary::Primary;
use crate::settings::Role;
use crate::store::Inner;

impl Inner {
    /// Registers this process with the partitions of a primary, over this connection, and learns their state. A
    /// partition that has left, or is being moved, is registered with at its next call.
    pub(crate) async fn register(&self, primary: &Primary, worker: &Arc<Worker>) -> Result<(), CallError> {
        let mut halted = Ok(());
        for partition in self.guard.all() {
            let here = self.routes.home(partition.slot).is_some_and(|home| std::ptr::eq(&*home, primary));
            if !here {
                continue;
            }
            match self.register_at(primary, worker, partition).await {
                Ok(()) => {}
                Err(CallError::Retryable { why: Retryable::Moving | Retryable::ClusterDown })
                    if self.routes.is_cluster() => {}
                // Go on, to learn the epochs of all partitions.
                Err(error @ CallError::Fatal(FatalReason::Halted(_))) => halted = Err(error),
                Err(error) => return Err(error),
            }
        }
        halted
    }

    /// Registers this process with one partition, over this connection to its primary, and learns its state.
    pub(crate) async fn register_at(
        &self,
        primary: &Primary,
        worker: &Arc<Worker>,
        partition: &Partition,
    ) -> Result<(), CallError> {
        partition.set_confirms_itself(primary.confirm() == Confirm::Reply);
        let fresh = format!("{:032x}", rand::random::<u128>());
        let script = RegisterProcess {
            keys: &partition.keys,
            fresh_epoch: &fresh,
            partitions: self.settings.partitions,
            channel: self.role.channel(),
            receipts: self.role.receipts(),
        };
        // Its mark is compared together with the runs of the server.
        match self.call_on(worker, partition, &script, |_| false).await {
            Ok(answer) => self.registered(partition, &answer)?,
            // The server stores nothing new then, but couriers that drain the queue must be able to start.
            Err(CallError::Retryable { why: Retryable::Memory }) => self.recognise(worker, partition).await?,
            Err(error) => return Err(error),
        }
        self.open_run(worker, partition).await?;
        primary.knows_now(partition.number);
        Ok(())
    }

    fn registered(&self, partition: &Partition, answer: &ScriptAnswer<Registered>) -> Result<(), CallError> {
        let number = partition.number;
        match answer.reply {
            Registered::Ok { schema } => {
                if schema > SCHEMA && number == 0 {
                    tracing::warn!(
                        event = "database.newer_version",
                        ours = SCHEMA,
                        theirs = schema,
                        "a newer version of Posthaste has run on this database; this one skips its newer records"
                    );
                }
                self.guard.saw_epoch(partition, &answer.epoch)
            }
            Registered::Halted => self.guard.saw_epoch(partition, &answer.epoch),
            Registered::Foreign => Err(self.guard.stop(FatalReason::Foreign { partition: number })),
            Registered::ProgramTooOld => Err(self.guard.stop(FatalReason::TooOld { partition: number })),
        }
    }

    /// Compares the marks received in earlier runs of the server with the state in which the current run began.
    async fn open_run(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let known = partition.fence();
        let answer = self
            .call_on(worker, partition, &OpenServerRun { keys: &partition.keys, lost: None }, |_| false)
            .await?;
        self.guard.saw_runs(partition, answer.reply, (known, answer.fence), answer.now)
    }

    /// Learns the epochs without writing anything, and the state of a halt.
    async fn inspect(self: &Arc<Self>) -> Result<(), CallError> {
        let node = Node::routed(self, false);
        let mut whole: Option<HaltState> = None;
        for at in self.guard.all() {
            let epoch = match Self::get(&node, at.slot, at.keys.epoch()).await {
                // A partition that can't be reached is reported as missing, and does not hide the others.
                Err(CallError::NoReply(_) | CallError::Retryable { .. }) if self.routes.is_cluster() => {
                    continue;
                }
                epoch => epoch?,
            };
            let Some(epoch) = epoch else { continue };
            // Every call reports a halt.
            let _ = self.guard.saw_epoch(at, &String::from_utf8_lossy(&epoch));
            if let Some(halt) = halted::read(&node, at).await? {
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

    /// Learns the state of a partition by only reading; a partition that is not set up stays so.
    async fn recognise(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let node = Node::any(&worker.client);
        let read = |key| Self::get(&node, partition.slot, key);
        let keys = &partition.keys;
        let (epoch, schema) = futures::future::try_join(read(keys.epoch()), read(keys.schema())).await?;
        let words = |bytes: Option<bytes::Bytes>| bytes.map(|b| String::from_utf8_lossy(&b).into_owned());
        let number = partition.number;
        let Some(epoch) = words(epoch) else {
            if partition.epoch().is_empty() {
                return Err(CallError::Retryable { why: Retryable::Memory });
            }
            return Err(self.guard.found_epoch(partition, ""));
        };
        self.guard.saw_epoch(partition, &epoch)?;
        let schema = words(schema).unwrap_or_default();
        let numbers: Vec<u32> = schema.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [_, oldest, partitions] if partitions == u32::from(self.settings.partitions) => {
                if SCHEMA < oldest {
                    return Err(self.guard.stop(FatalReason::TooOld { partition: number }));
                }
            }
            _ => return Err(self.guard.stop(FatalReason::Foreign { partition: number })),
        }
        Ok(())
    }

    /// The first calls to the database. A halted database is not an error here: every call reports it, and work goes
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
