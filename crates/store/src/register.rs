//! The first words to a database: who we are, what it is, and what it was when the server's present run began.

use std::sync::Arc;

use posthaste_protocol::SCHEMA;
use posthaste_protocol::scripts::open_run::OpenRun;
use posthaste_protocol::scripts::register::{Register, Registered};

use crate::error::{CallError, ConnectError, Later, StopWhy};
use crate::guard::Partition;
use crate::halted::{self, Halt};
use crate::node::Node;
use crate::pool::Worker;
use crate::settings::Role;
use crate::store::Inner;

impl Inner {
    /// Says to every partition who we are, over this connection, and learns what it is.
    pub(crate) async fn register(&self, worker: &Arc<Worker>) -> Result<(), CallError> {
        let fresh = format!("{:032x}", rand::random::<u128>());
        let mut halted = Ok(());
        for partition in self.guard.all() {
            let script = Register {
                keys: &partition.keys,
                fresh_epoch: &fresh,
                partitions: self.settings.partitions,
                channel: self.role.channel(),
                receipts: self.role.receipts(),
            };
            // Its mark is looked at together with the runs of the server.
            let answer = match self.call_on(worker, partition, &script, |_| false).await {
                Ok(answer) => answer,
                // Nothing new is stored then, but who is to drain it must be able to start.
                Err(CallError::Later { why: Later::Memory }) => {
                    self.recognise(worker, partition).await?;
                    self.open_run(worker, partition).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let number = partition.number;
            match answer.reply {
                Registered::Ok { schema } => {
                    if schema > SCHEMA && number == 0 {
                        tracing::warn!(
                            ours = SCHEMA,
                            theirs = schema,
                            "a newer version of the program ran on this database; records only it can read are left to it"
                        );
                    }
                    self.guard.saw_epoch(partition, &answer.epoch)?;
                    self.open_run(worker, partition).await?;
                }
                // Goes on to learn the epochs of all.
                Registered::Halted => halted = self.guard.saw_epoch(partition, &answer.epoch),
                Registered::Foreign => return Err(self.guard.stop(StopWhy::Foreign { partition: number })),
                Registered::TooOld => return Err(self.guard.stop(StopWhy::TooOld { partition: number })),
            }
        }
        halted
    }

    /// Compares what was told on earlier runs of the server with what the present one began with.
    async fn open_run(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let known = partition.fence();
        let answer = self.call_on(worker, partition, &OpenRun { keys: &partition.keys }, |_| false).await?;
        self.guard.saw_runs(partition, answer.reply, (known, answer.fence), answer.now)
    }

    /// Learns the epochs without writing anything, and what is known of a halt.
    async fn inspect(&self, worker: &Arc<Worker>) -> Result<(), CallError> {
        let node = Node::any(&worker.client);
        let mut whole: Option<Halt> = None;
        for at in self.guard.all() {
            let Some(epoch) = Self::get(&node, at.slot, at.keys.epoch()).await? else { continue };
            // A halt is told by every call.
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

    /// Learns what a partition is by reading alone; one that is not set up stays so.
    async fn recognise(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let node = Node::any(&worker.client);
        let read = |key| Self::get(&node, partition.slot, key);
        let keys = &partition.keys;
        let (epoch, schema) = futures::future::try_join(read(keys.epoch()), read(keys.schema())).await?;
        let words = |bytes: Option<bytes::Bytes>| bytes.map(|b| String::from_utf8_lossy(&b).into_owned());
        let number = partition.number;
        let Some(epoch) = words(epoch) else {
            if partition.epoch().is_empty() {
                return Err(CallError::Later { why: Later::Memory });
            }
            return Err(self.guard.found_epoch(partition, ""));
        };
        self.guard.saw_epoch(partition, &epoch)?;
        let schema = words(schema).unwrap_or_default();
        let numbers: Vec<u32> = schema.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [_, oldest, partitions] if partitions == u32::from(self.settings.partitions) => {
                if SCHEMA < oldest {
                    return Err(self.guard.stop(StopWhy::TooOld { partition: number }));
                }
            }
            _ => return Err(self.guard.stop(StopWhy::Foreign { partition: number })),
        }
        Ok(())
    }

    /// The first words to the database. One that is halted is met all the same: it is told by every call, and goes on when
    /// somebody recovered it.
    pub(crate) async fn meet(&self, worker: &Arc<Worker>) -> Result<(), ConnectError> {
        if self.role == Role::Inspector {
            return Ok(self.inspect(worker).await?);
        }
        match self.register(worker).await {
            Ok(()) => self.agree_on_key(worker).await,
            Err(CallError::Stop(StopWhy::Halted(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
