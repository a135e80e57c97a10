//! Runs a script over one connection, and draws the conclusions for all later calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fred::error::ErrorKind;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use posthaste_protocol::{Invocation, Refusal, ReplyValue, ScriptAnswer, ScriptCall};
use tokio::time::Instant;

use crate::cluster::moved::Moved;
use crate::command::{self, text};
use crate::epoch_guard::Partition;
use crate::error::{CallError, FatalReason, InvalidReply, NoReplyCause, client_error, server_error};
use crate::inner::Inner;
use crate::pool::Worker;
use crate::reply;
use crate::retryable::Retryable;

impl Inner {
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

    /// The same; a failure is not yet known to the guard and the routes.
    pub(crate) async fn try_on<S: ScriptCall>(
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

    /// What an error means for all later calls.
    pub(crate) fn sort(&self, partition: Option<&Partition>, error: Failure) -> CallError {
        match error {
            Failure::Epoch(found) => match partition {
                Some(partition) => self.guard.found_epoch(partition, &found),
                None => self.guard.stop(FatalReason::Epoch { partition: 0, found }),
            },
            Failure::Call(error) => {
                self.troubles.failed(&error);
                match partition {
                    Some(partition) => self.routes.heed(partition.slot, error),
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

    /// Runs a script over this connection.
    pub(crate) async fn run<S: ScriptCall>(
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
pub(crate) enum Failure {
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
    command::ask(&worker.client, "SCRIPT", args).await.map(drop)
}
