//! The first words to a database: who we are, what it is, and what it was when the server's present run began.

use std::sync::Arc;

use posthaste_protocol::scripts::open_run::OpenRun;
use posthaste_protocol::scripts::register::{Register, Registered};
use posthaste_protocol::{Answer, SCHEMA};

use crate::address_key::PARTITION;
use crate::error::{CallError, ConnectError, Later, StopWhy};
use crate::guard::Partition;
use crate::halted::{self, Halt};
use crate::node::Node;
use crate::pool::Worker;
use crate::preflight::Confirm;
use crate::primary::Primary;
use crate::settings::Role;
use crate::store::Inner;

impl Inner {
    /// Says to the partitions of a primary who we are, over this connection, and learns what they are. One that is there no
    /// more, or on the move, is told when it is next asked.
    pub(crate) async fn register(&self, primary: &Primary, worker: &Arc<Worker>) -> Result<(), CallError> {
        let mut halted = Ok(());
        for partition in self.guard.all() {
            let here = self.routes.home(partition.slot).is_some_and(|home| std::ptr::eq(&*home, primary));
            if !here {
                continue;
            }
            match self.register_at(primary, worker, partition).await {
                Ok(()) => {}
                Err(CallError::Later { why: Later::Moving | Later::ClusterDown })
                    if self.routes.is_cluster() => {}
                // Goes on to learn the epochs of all.
                Err(error @ CallError::Stop(StopWhy::Halted(_))) => halted = Err(error),
                Err(error) => return Err(error),
            }
        }
        halted
    }

    /// Says to one partition who we are, over this connection to its primary, and learns what it is.
    pub(crate) async fn register_at(
        &self,
        primary: &Primary,
        worker: &Arc<Worker>,
        partition: &Partition,
    ) -> Result<(), CallError> {
        partition.set_confirms_itself(primary.confirm() == Confirm::Reply);
        let fresh = format!("{:032x}", rand::random::<u128>());
        let script = Register {
            keys: &partition.keys,
            fresh_epoch: &fresh,
            partitions: self.settings.partitions,
            channel: self.role.channel(),
            receipts: self.role.receipts(),
        };
        // Its mark is looked at together with the runs of the server.
        match self.call_on(worker, partition, &script, |_| false).await {
            Ok(answer) => self.registered(partition, &answer)?,
            // Nothing new is stored then, but who is to drain it must be able to start.
            Err(CallError::Later { why: Later::Memory }) => self.recognise(worker, partition).await?,
            Err(error) => return Err(error),
        }
        self.open_run(worker, partition).await?;
        primary.knows_now(partition.number);
        Ok(())
    }

    fn registered(&self, partition: &Partition, answer: &Answer<Registered>) -> Result<(), CallError> {
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
                self.guard.saw_epoch(partition, &answer.epoch)
            }
            Registered::Halted => self.guard.saw_epoch(partition, &answer.epoch),
            Registered::Foreign => Err(self.guard.stop(StopWhy::Foreign { partition: number })),
            Registered::TooOld => Err(self.guard.stop(StopWhy::TooOld { partition: number })),
        }
    }

    /// Compares what was told on earlier runs of the server with what the present one began with.
    async fn open_run(&self, worker: &Arc<Worker>, partition: &Partition) -> Result<(), CallError> {
        let known = partition.fence();
        let answer = self
            .call_on(worker, partition, &OpenRun { keys: &partition.keys, lost: None }, |_| false)
            .await?;
        self.guard.saw_runs(partition, answer.reply, (known, answer.fence), answer.now)
    }

    /// Learns the epochs without writing anything, and what is known of a halt.
    async fn inspect(self: &Arc<Self>) -> Result<(), CallError> {
        let node = Node::routed(self, false);
        let mut whole: Option<Halt> = None;
        for at in self.guard.all() {
            let epoch = match Self::get(&node, at.slot, at.keys.epoch()).await {
                // What can't be asked is told as missing, and hides nothing of the others.
                Err(CallError::Away(_) | CallError::Later { .. }) if self.routes.is_cluster() => continue,
                epoch => epoch?,
            };
            let Some(epoch) = epoch else { continue };
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
            Err(CallError::Stop(StopWhy::Halted(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A connection to the primary of the first partition, waiting for one also when it has been away since the start.
    async fn first_worker(&self) -> Result<Arc<Worker>, CallError> {
        let at = self.partition(PARTITION)?;
        self.routes.at(at.slot)?.pool.wait(self.settings.call_timeout).await?;
        self.worker_of(at).await
    }

    /// Starts while the primary of the first partition is away, if one of its replicas tells what all need to know.
    async fn meet_without_first(self: &Arc<Self>, why: CallError) -> Result<(), ConnectError> {
        match self.agree_by_replica().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let home = self.routes.home(self.partition(PARTITION)?.slot);
                let node = home.map(|primary| Arc::clone(&primary.address));
                Err(ConnectError::FirstPartition { node, why })
            }
            Err(ConnectError::Stop(StopWhy::Halted(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same for a cluster, whose primaries each were told already.
    pub(crate) async fn meet_cluster(self: &Arc<Self>) -> Result<(), ConnectError> {
        if self.role == Role::Inspector {
            return Ok(self.inspect().await?);
        }
        match self.first_worker().await {
            Ok(worker) => self.agree_on_key(&worker).await,
            Err(CallError::Stop(StopWhy::Halted(_))) => Ok(()),
            Err(error @ (CallError::Away(_) | CallError::Later { .. })) => {
                self.meet_without_first(error).await
            }
            Err(error) => Err(error.into()),
        }
    }
}
