//! Makes sure that what was answered is on disk, or at a replica.
//!
//! Whoever waits is gathered: one write that changes nothing (`INCRBY fence 0`), behind it `WAITAOF` or `WAIT`, on a
//! connection of its own. A server's writes reach disk and replicas in order, so that write stands for all before it,
//! of any connection, also when the call before it wrote nothing because it was a repeat. This holds on one run of one
//! server: the run id is asked for behind it.

use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::link::Link;
use crate::node::{Info, text};
use crate::pool::Worker;
use crate::preflight::Confirm;

/// The write: of no effect, and made also when memory is full, because what drains is confirmed too.
const WRITE: &str = "#!lua flags=allow-oom\nreturn redis.call('INCRBY', KEYS[1], 0)";
/// Waiting at once, at most.
const WAITING: usize = 10_000;

type Waiter = oneshot::Sender<Option<String>>;

/// Confirms the writes of one partition, or of all when one server holds them.
#[derive(Debug, Clone)]
pub(crate) struct Confirmer(mpsc::Sender<(Confirm, Waiter)>);

/// Where a confirmer writes and how long it waits.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) key: String,
    pub(crate) slot: u16,
    pub(crate) timeout: Duration,
}

impl Confirmer {
    /// Starts one.
    pub(crate) fn start(worker: std::sync::Arc<Worker>, place: Place, stop: CancellationToken) -> Self {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut waiting: Vec<(Confirm, Waiter)> = Vec::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    count = receiver.recv_many(&mut waiting, WAITING) => if count == 0 { break },
                }
                let how = waiting.iter().map(|(how, _)| *how).max().unwrap_or(Confirm::Reply);
                let run_id = confirm(&worker, &place, how).await;
                if run_id.is_none() {
                    metrics::counter!("posthaste_store_unconfirmed_total").increment(1);
                }
                for (_, waiter) in waiting.drain(..) {
                    // Who does not wait any more has given up.
                    let _ = waiter.send(run_id.clone());
                }
            }
        });
        Self(sender)
    }

    /// Waits until all that was answered before this call is as safe as asked. `before` is the link as it was before
    /// that call was made.
    pub(crate) async fn wait(&self, how: Confirm, before: &Link) -> Result<(), CallError> {
        let (waiter, answer) = oneshot::channel();
        self.0.try_send((how, waiter)).map_err(|_| CallError::Undurable)?;
        match answer.await {
            Ok(Some(run_id)) if before.run_id.split(',').any(|known| known == run_id) => Ok(()),
            _ => Err(CallError::Undurable),
        }
    }
}

/// The run id of the server that confirmed, `None` when none did in time.
async fn confirm(worker: &std::sync::Arc<Worker>, place: &Place, how: Confirm) -> Option<String> {
    let slot = ClusterHash::Custom(place.slot);
    let command = |name| CustomCommand::new_static(name, slot.clone(), false);
    let millis = i64::try_from(place.timeout.as_millis()).unwrap_or(i64::MAX);
    let (name, args, wanted) = match how {
        Confirm::Reply | Confirm::Disk(0) => ("WAITAOF", vec![1, 0, millis], vec![1, 0]),
        Confirm::Disk(replicas) => {
            let replicas = i64::from(replicas);
            ("WAITAOF", vec![1, replicas, millis], vec![1, replicas])
        }
        Confirm::Replicas(replicas) => ("WAIT", vec![i64::from(replicas), millis], vec![i64::from(replicas)]),
    };
    let pipeline = worker.client.pipeline();
    // Only queues them; nothing can fail before the last line.
    let write = vec![Arg::from_static_str(WRITE), Arg::Integer(1), text(place.key.clone())];
    let _: Result<Arg, _> = pipeline.custom(command("EVAL"), write).await;
    let _: Result<Arg, _> = pipeline.custom(command(name), args).await;
    let _: Result<Arg, _> = pipeline.custom(command("INFO"), vec!["server"]).await;
    let replies: Vec<Result<Arg, _>> = pipeline.try_all().await;
    if let Some(error) = replies.iter().find_map(|reply| reply.as_ref().err()) {
        tracing::debug!(%error, "confirming writes failed");
        if matches!(error.kind(), fred::error::ErrorKind::Timeout) {
            worker.replace();
        }
        return None;
    }
    let mut replies = replies.into_iter().flatten();
    let (_, counts, info) = (replies.next()?, replies.next()?, replies.next()?);
    let counts: Vec<i64> = match counts {
        Arg::Array(counts) => counts.iter().filter_map(Arg::as_i64).collect(),
        count => count.as_i64().into_iter().collect(),
    };
    let met =
        counts.len() == wanted.len() && counts.iter().zip(&wanted).all(|(found, wanted)| found >= wanted);
    let info = Info::from(info.as_string()?);
    met.then(|| info.get("run_id").map(str::to_owned)).flatten()
}
