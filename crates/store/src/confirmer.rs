//! Confirms that what was answered is on disk, or at a replica.
//!
//! Waiting calls are batched: one write that changes nothing, followed by `WAITAOF` or `WAIT`, on a separate
//! connection. A server's writes reach disk and replicas in order, so this write covers all writes before it, on any
//! connection, even when the call itself wrote nothing because it was a repeat. This holds within one run of one
//! server, so the run id is queried after it.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::command::{Info, text};
use crate::error::CallError;
use crate::pool::Worker;
use crate::preflight::Confirm;

/// The write: it has no effect, and is allowed also when memory is full, because calls that drain the queue are
/// confirmed too. Every call that is confirmed left a mark, so a database without one was wiped: nothing is written
/// to it, and nothing is confirmed.
const WRITE: &str = "#!lua flags=allow-oom
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('INCRBY', KEYS[1], 0)
  return 1
end
return 0";
/// Most calls waiting at once.
const WAITING: usize = 10_000;

/// How to confirm, the fence key of an existing partition, and where to send the result.
type Waiter = (Confirm, String, oneshot::Sender<Option<String>>);

/// Confirms the writes of one server.
#[derive(Debug, Clone)]
pub(crate) struct Confirmer(mpsc::Sender<Waiter>);

impl Confirmer {
    /// Starts a confirmer; `timeout` is how long it waits for disk or replica.
    pub(crate) fn start(worker: Arc<Worker>, timeout: Duration, stop: CancellationToken) -> Self {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut waiting: Vec<Waiter> = Vec::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    count = receiver.recv_many(&mut waiting, WAITING) => if count == 0 { break },
                }
                let how = waiting.iter().map(|(how, ..)| *how).max().unwrap_or(Confirm::Reply);
                // The most recent key: slots come and go, and a write to any of them covers all writes before it.
                let Some(key) = waiting.last().map(|(_, key, _)| key.clone()) else { continue };
                let run_id = confirm(&worker, key, timeout, how).await;
                if run_id.is_none() {
                    metrics::counter!("posthaste_redis_unconfirmed_writes_total").increment(1);
                }
                for (.., waiter) in waiting.drain(..) {
                    // A receiver that is gone has given up waiting.
                    let _ = waiter.send(run_id.clone());
                }
            }
        });
        Self(sender)
    }

    /// Waits until everything answered before this call is as safe as requested. `before` is the run of the server
    /// when that call was made, `key` the fence key of an existing partition.
    pub(crate) async fn wait(&self, how: Confirm, key: String, before: &str) -> Result<(), CallError> {
        let (waiter, answer) = oneshot::channel();
        self.0.try_send((how, key, waiter)).map_err(|_| CallError::NotDurable)?;
        match answer.await {
            Ok(Some(run_id)) if before == run_id => Ok(()),
            _ => Err(CallError::NotDurable),
        }
    }
}

/// The run id of the server that confirmed; `None` when none did in time.
async fn confirm(worker: &Arc<Worker>, key: String, timeout: Duration, how: Confirm) -> Option<String> {
    let command = |name| CustomCommand::new_static(name, ClusterHash::FirstKey, false);
    let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    let (name, args, wanted) = match how {
        Confirm::Reply | Confirm::Disk(0) => ("WAITAOF", vec![1, 0, millis], vec![1, 0]),
        Confirm::Disk(replicas) => {
            let replicas = i64::from(replicas);
            ("WAITAOF", vec![1, replicas, millis], vec![1, replicas])
        }
        Confirm::Replicas(replicas) => ("WAIT", vec![i64::from(replicas), millis], vec![i64::from(replicas)]),
    };
    let pipeline = worker.client.pipeline();
    // This only queues the commands; nothing can fail before the last line.
    let write = vec![Arg::from_static_str(WRITE), Arg::Integer(1), text(key)];
    let _: Result<Arg, _> = pipeline.custom(command("EVAL"), write).await;
    let _: Result<Arg, _> = pipeline.custom(command(name), args).await;
    let _: Result<Arg, _> = pipeline.custom(command("INFO"), vec!["server"]).await;
    let replies: Vec<Result<Arg, _>> = pipeline.try_all().await;
    if let Some(error) = replies.iter().find_map(|reply| reply.as_ref().err()) {
        tracing::debug!(node = %worker.address, %error, "cannot confirm writes");
        if matches!(error.kind(), fred::error::ErrorKind::Timeout) {
            worker.replace();
        }
        return None;
    }
    let mut replies = replies.into_iter().flatten();
    let (written, counts, info) = (replies.next()?, replies.next()?, replies.next()?);
    if written.as_i64() != Some(1) {
        return None;
    }
    let counts: Vec<i64> = match counts {
        Arg::Array(counts) => counts.iter().filter_map(Arg::as_i64).collect(),
        count => count.as_i64().into_iter().collect(),
    };
    let met =
        counts.len() == wanted.len() && counts.iter().zip(&wanted).all(|(found, wanted)| found >= wanted);
    let info = Info::from(info.as_string()?);
    met.then(|| info.get("run_id").map(str::to_owned)).flatten()
}
