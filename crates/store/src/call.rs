//! A call of one script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fred::error::ErrorKind;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use posthaste_protocol::{Invocation, Refusal, ReplyValue, ScriptAnswer, ScriptCall};
use tokio::time::Instant;

use crate::confirm::Before;
use crate::epoch_guard::Partition;
use crate::error::{
    CallError, FatalReason, InvalidReply, NoReplyCause, Retryable, client_error, server_error,
};
use crate::node::{Node, slot_of, text};
use crate::pool::Worker;
use crate::reply;
use crate::routing::Moved;
use crate::store::Inner;

/// Gives each call its own id.
#[derive(Debug)]
pub(crate) struct Requests {
    process: String,
    count: AtomicU64,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { process: format!("{:08x}", rand::random::<u32>()), count: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{}-{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// Most tries of a call whose answers are lost.
pub(crate) const TRIES: u32 = 3;

/// The answer of a call that was repeated while its answers were lost.
#[derive(Debug)]
pub(crate) struct Repeated<R> {
    pub(crate) reply: R,
    /// The partition's mark at the time of the reply.
    pub(crate) fence: u64,
    /// The state before the try that was answered, see [`Inner::confirmed`].
    pub(crate) before: Option<Before>,
    /// Whether the answer of an earlier try was lost.
    pub(crate) lost: bool,
}

impl Inner {
    /// Calls a script that changes something and is harmless when repeated; repeats it while its answer is lost.
    /// After a lost answer, a refusal of a later try says nothing about the first one, so the loss is returned.
    pub(crate) async fn call_repeated<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<Repeated<S::Reply>, CallError> {
        let mut lost = None;
        for tries in 1.. {
            let before = self.before_confirm(p);
            let error = match self.call(p, script).await {
                Ok(ScriptAnswer { reply, fence, .. }) => {
                    return Ok(Repeated { reply, fence, before, lost: lost.is_some() });
                }
                Err(error) => error,
            };
            let again = matches!(error, CallError::NoReply(_)) && tries < TRIES;
            if lost.is_none() && (!again || error.may_have_happened()) {
                lost = Some(error);
            }
            if !again {
                break;
            }
        }
        Err(lost.unwrap_or(CallError::NoReply(NoReplyCause::NotConnected)))
    }

    /// Calls a script of a partition.
    pub(crate) async fn call<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        self.call_minding(p, script, |_| true).await
    }

    /// Calls a script of a partition; `minds` says whether the fence in a reply is the partition's highest.
    pub(crate) async fn call_minding<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
        minds: impl Fn(&S::Reply) -> bool,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        self.call_routed(p, true, script, minds).await
    }

    /// Calls a script at the server of its partition, and follows if that has moved. `guarded`: refuses once the
    /// database is another one.
    pub(crate) async fn call_routed<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        guarded: bool,
        script: &S,
        minds: impl Fn(&S::Reply) -> bool,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        let partition = self.guard.partition(p)?;
        let mut followed = false;
        loop {
            let worker = self.worker_of(partition).await;
            let worker = worker.inspect_err(|error| self.troubles.failed(error))?;
            if guarded {
                self.guard.check()?;
            }
            match self.try_on(&worker, partition, script, &minds).await {
                Err(Failure::Moved(moved)) if !followed => {
                    self.follow(&worker, moved)?;
                    followed = true;
                }
                answer => return answer.map_err(|error| self.sort(Some(partition), error)),
            }
        }
    }

    /// Calls a script whose keys have slots of their own; its answer has no epoch and no fence.
    pub(crate) async fn call_apart<S: ScriptCall>(
        self: &Arc<Self>,
        script: &S,
    ) -> Result<S::Reply, CallError> {
        let slot = script.keys().first().map_or(0, |key| slot_of(key));
        let mut followed = false;
        loop {
            let worker = self.worker_at(slot).await?;
            self.guard.check()?;
            match self.run(&worker, "", script).await {
                Ok(answer) => return Ok(answer.reply),
                Err(Failure::Moved(moved)) if !followed => {
                    self.follow(&worker, moved)?;
                    followed = true;
                }
                Err(error) => return Err(self.heed(slot, self.sort(None, error))),
            }
        }
    }

    /// Calls a script of a partition over this connection, whatever was found before.
    pub(crate) async fn call_on<S: ScriptCall>(
        &self,
        worker: &Arc<Worker>,
        partition: &Partition,
        script: &S,
        minds: impl Fn(&S::Reply) -> bool,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        let answer = self.try_on(worker, partition, script, minds).await;
        answer.map_err(|error| self.sort(Some(partition), error))
    }

    async fn try_on<S: ScriptCall>(
        &self,
        worker: &Arc<Worker>,
        partition: &Partition,
        script: &S,
        minds: impl Fn(&S::Reply) -> bool,
    ) -> Result<ScriptAnswer<S::Reply>, Failure> {
        let floor = partition.fence();
        let answer = self.run(worker, &partition.epoch(), script).await?;
        if minds(&answer.reply) && !self.guard.saw_mark(partition, floor, answer.fence, Some(answer.now))? {
            // Another server has taken over from this one; a new connection finds it.
            worker.replace();
            return Err(CallError::NoReply(NoReplyCause::NotConnected).into());
        }
        Ok(answer)
    }

    /// Calls a script of a partition under this epoch, whatever was found before; `None` when the database has
    /// another one.
    pub(crate) async fn call_as<S: ScriptCall>(
        self: &Arc<Self>,
        partition: &Partition,
        epoch: &str,
        script: &S,
    ) -> Result<Option<ScriptAnswer<S::Reply>>, CallError> {
        let mut followed = false;
        loop {
            let worker = self.worker_at(partition.slot).await?;
            match self.run(&worker, epoch, script).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(Failure::Epoch(_)) => return Ok(None),
                Err(Failure::Moved(moved)) if !followed => {
                    self.follow(&worker, moved)?;
                    followed = true;
                }
                Err(error) => return Err(self.sort(Some(partition), error)),
            }
        }
    }

    /// A call that reports. It is also made while the database is halted, because it reports correctly what was sent,
    /// and keeps those deliveries from being sent again.
    pub(crate) async fn call_reporting<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        let Err(stopped) = self.guard.check() else { return self.call(p, script).await };
        if !matches!(stopped, CallError::Fatal(FatalReason::Halted(_))) {
            return Err(stopped);
        }
        let partition = self.guard.partition(p)?;
        let known = partition.epoch();
        // The process that noticed the halt may not have written it yet, and may do so between the two tries.
        for epoch in [&*known, &format!("!{known}")] {
            if let Some(answer) = self.call_as(partition, epoch, script).await? {
                return Ok(answer);
            }
        }
        Err(stopped)
    }

    /// What an error means for all later calls.
    fn sort(&self, partition: Option<&Partition>, error: Failure) -> CallError {
        match error {
            Failure::Epoch(found) => match partition {
                Some(partition) => self.guard.found_epoch(partition, &found),
                None => self.guard.stop(FatalReason::Epoch { partition: 0, found }),
            },
            Failure::Call(error) => {
                self.troubles.failed(&error);
                match partition {
                    Some(partition) => self.heed(partition.slot, error),
                    None => error,
                }
            }
            // Nothing was done: the next call uses a newer map.
            Failure::Moved(_) => {
                self.routes.stale.notify_one();
                CallError::Retryable { why: Retryable::Moving }
            }
        }
    }

    async fn run<S: ScriptCall>(
        &self,
        worker: &Arc<Worker>,
        epoch: &str,
        script: &S,
    ) -> Result<ScriptAnswer<S::Reply>, Failure> {
        let request = self.requests.next();
        let name = S::contract().text.name;
        let started = Instant::now();
        let mut value = evalsha(worker, script.invoke(&request, epoch)).await?;
        if matches!(&value, ReplyValue::Error(text) if text.starts_with("NOSCRIPT")) {
            load(worker, S::contract().text.body.as_bytes()).await?;
            value = evalsha(worker, script.invoke(&request, epoch)).await?;
        }
        metrics::histogram!("posthaste_redis_script_duration_seconds", "script" => name)
            .record(started.elapsed());
        self.troubles.took(&worker.address, started.elapsed());
        match S::read(&request, value) {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(refused(worker, name, refusal)),
        }
    }
}

/// Why a script brought no answer.
enum Failure {
    Epoch(String),
    /// Another server has the slot; nothing was done.
    Moved(Moved),
    Call(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

fn refused(worker: &Arc<Worker>, name: &'static str, refusal: Refusal) -> Failure {
    let fault = match refusal {
        Refusal::WrongEpoch { found } => return Failure::Epoch(found),
        Refusal::Server(text) => {
            if let Some(moved) = Moved::read(&text) {
                return Failure::Moved(moved);
            }
            let error = server_error(&text);
            if let CallError::Retryable { why: Retryable::ReadOnly } = error {
                // Another server is the master now; a new connection finds it.
                worker.replace();
            }
            return Failure::Call(error);
        }
        Refusal::OtherRequest => {
            worker.replace();
            InvalidReply::Crossed
        }
        Refusal::Malformed(malformed) => InvalidReply::Malformed(malformed),
    };
    tracing::error!(
        event = "database.invalid_reply",
        script = name,
        node = %worker.address,
        error = %fault,
        "invalid reply from the database"
    );
    metrics::counter!("posthaste_redis_invalid_replies_total", "script" => name).increment(1);
    Failure::Call(CallError::InvalidReply(fault))
}

async fn evalsha(worker: &Arc<Worker>, call: Invocation) -> Result<ReplyValue, CallError> {
    let mut args = Vec::with_capacity(2 + call.keys.len() + call.args.len());
    args.push(Arg::Bytes(Bytes::from_static(call.script.sha.as_bytes())));
    args.push(Arg::Integer(i64::try_from(call.keys.len()).unwrap_or(0)));
    args.extend(call.keys.into_iter().map(text));
    args.extend(call.args.into_iter().map(Arg::Bytes));
    let command = CustomCommand::new_static("EVALSHA", ClusterHash::FirstKey, false);
    worker.used.fetch_add(1, Ordering::Relaxed);
    // Boxed because the client's futures are some kilobytes each.
    match Box::pin(worker.client.custom_raw(command, args)).await {
        Ok(frame) => Ok(reply::value(frame)),
        Err(error) => {
            if matches!(error.kind(), ErrorKind::Timeout) {
                // The client measures silence from its last write, so a busy connection that hangs is only detected
                // here.
                worker.replace();
            }
            Err(client_error(error))
        }
    }
}

async fn load(worker: &Arc<Worker>, body: &'static [u8]) -> Result<(), CallError> {
    let args = vec![Arg::from_static_str("LOAD"), Arg::Bytes(Bytes::from_static(body))];
    Node::any(&worker.client).ask("SCRIPT", args, 0).await.map(drop)
}
