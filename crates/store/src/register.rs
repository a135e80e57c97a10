//! Registers this process with the partitions of a server, learns which database they are, and what they held when the
//! server's current run began.

use std::sync::Arc;

use posthaste_protocol::scripts::open_server_run::OpenServerRun;
use posthaste_protocol::scripts::register_process::{RegisterProcess, Registered};
use posthaste_protocol::{SCHEMA, ScriptAnswer};

use crate::command;
use crate::epoch_guard::Partition;
use crate::error::{CallError, FatalReason};
use crate::inner::Inner;
use crate::pool::Worker;
use crate::preflight::Confirm;
use crate::primary::Primary;
use crate::retryable::Retryable;

impl Inner {
    /// Registers this process with the partitions of a primary, over this connection, and learns their state. A
    /// partition that has left, or is being moved, is registered with at its next call.
    pub(crate) async fn register(&self, primary: &Primary, worker: &Arc<Worker>) -> Result<(), CallError> {
        let mut halted = Ok(());
        for partition in self.guard.all() {
            if !self.routes.has(primary, partition.slot) {
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

    /// Learns the state of a partition by only reading; a partition that is not set up stays so.
    async fn recognise(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let read = |key| command::get(&worker.client, key);
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
}
