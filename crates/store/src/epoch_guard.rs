//! What is known about each partition's database. Stops all calls when it is another database, or has lost data.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use posthaste_model::UnixMs;
use posthaste_protocol::scripts::halt::HaltCause;
use posthaste_protocol::scripts::open_server_run::ServerRun;
use posthaste_protocol::{Malformed, PartitionKeys};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::epoch::Epoch;
use crate::error::{CallError, FatalReason, InvalidReply};
use crate::halted::HaltState;
use crate::marks::{Accepts, Loss, Trail};
use crate::retryable::Retryable;
use crate::slot::slot_of;

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) number: u16,
    pub(crate) keys: PartitionKeys,
    pub(crate) slot: u16,
    epoch: RwLock<Arc<str>>,
    /// The highest mark in any answer.
    fence: AtomicU64,
    /// The highest mark that was confirmed.
    confirmed: AtomicU64,
    pub(crate) trail: Mutex<Trail>,
    pub(crate) loss: Mutex<Option<Loss>>,
    /// The server run in which unconfirmed changes were lost, and how much time; to be stored so that others can see
    /// it.
    continued: Mutex<Option<(String, Duration)>>,
    received: Mutex<Instant>,
    /// Whether an answer by itself is as safe as requested.
    confirms_itself: AtomicBool,
    /// Until when sends are held back on a new run of its server.
    held_until: Mutex<Option<Instant>>,
}

impl Partition {
    /// The known epoch, without the mark of a halt; empty before the first answer.
    pub(crate) fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.epoch.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence.load(Ordering::Acquire)
    }

    /// All marks up to this one are as safe as requested.
    pub(crate) fn confirmed(&self, mark: u64) {
        self.confirmed.fetch_max(mark, Ordering::AcqRel);
    }

    /// Whether there was no answer of it for this long.
    pub(crate) fn is_idle(&self, span: Duration) -> bool {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= span
    }

    /// Sets whether an answer of its server by itself is as safe as requested.
    pub(crate) fn set_confirms_itself(&self, yes: bool) {
        self.confirms_itself.store(yes, Ordering::Release);
    }

    /// Until when sends are still held back, so that others can compare their marks with a new run of its server.
    pub(crate) fn held(&self) -> Option<Instant> {
        let held = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        held.filter(|until| *until > Instant::now())
    }

    /// Takes the loss that did not cause a halt and is still to be stored.
    pub(crate) fn take_continued(&self) -> Option<(String, Duration)> {
        self.continued.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts it back: it could not be stored yet.
    pub(crate) fn keep_continued(&self, noted: (String, Duration)) {
        self.continued.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(noted);
    }

    fn set_epoch(&self, epoch: &str) {
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch.into();
    }

    /// Begins a new generation: marks of the old one no longer count.
    pub(crate) fn begin_generation(&self, epoch: &str) {
        self.set_epoch(epoch);
        self.fence.store(0, Ordering::Release);
        self.confirmed.store(0, Ordering::Release);
        *self.trail.lock().unwrap_or_else(PoisonError::into_inner) = Trail::default();
        *self.loss.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// All partitions, and why no call can succeed any more, if so.
#[derive(Debug)]
pub(crate) struct EpochGuard {
    partitions: Vec<Partition>,
    stopped: AtomicBool,
    why: Mutex<Option<FatalReason>>,
    hold: Duration,
    pub(crate) accepts: Accepts,
    /// Notified when the database turns out to be halted.
    pub(crate) noticed: Arc<Notify>,
    halted: watch::Sender<bool>,
}

impl EpochGuard {
    /// `hold`: how long sends are held back on a new run of the server.
    pub(crate) fn new(partitions: u16, hold: Duration) -> Self {
        let partition = |number| {
            let keys = PartitionKeys::of_partition(number);
            let slot = slot_of(&keys.epoch());
            Partition {
                number,
                keys,
                slot,
                epoch: RwLock::new("".into()),
                fence: AtomicU64::new(0),
                confirmed: AtomicU64::new(0),
                trail: Mutex::default(),
                loss: Mutex::default(),
                continued: Mutex::default(),
                received: Mutex::new(Instant::now()),
                confirms_itself: AtomicBool::new(true),
                held_until: Mutex::new(None),
            }
        };
        Self {
            partitions: (0..partitions).map(partition).collect(),
            stopped: AtomicBool::new(false),
            why: Mutex::new(None),
            hold,
            accepts: Accepts::default(),
            noticed: Arc::new(Notify::new()),
            halted: watch::Sender::new(false),
        }
    }

    pub(crate) fn all(&self) -> &[Partition] {
        &self.partitions
    }

    pub(crate) fn partition(&self, p: u16) -> Result<&Partition, CallError> {
        let malformed =
            CallError::InvalidReply(InvalidReply::Malformed(Malformed::new("number of a partition")));
        self.partitions.get(usize::from(p)).ok_or(malformed)
    }

    /// Whether calls may be made.
    pub(crate) fn check(&self) -> Result<(), CallError> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.why.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(CallError::Fatal(why.clone())),
            None => Ok(()),
        }
    }

    /// Why calls are refused, when it is a halt.
    pub(crate) fn halt_known(&self) -> Option<HaltState> {
        match &*self.why.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(FatalReason::Halted(halt)) => Some((**halt).clone()),
            _ => None,
        }
    }

    /// Whether the database is halted, as it changes.
    pub(crate) fn watch_halt(&self) -> watch::Receiver<bool> {
        self.halted.subscribe()
    }

    /// Refuses all calls from now on. The first reason stays.
    pub(crate) fn stop(&self, why: FatalReason) -> CallError {
        let halt = matches!(why, FatalReason::Halted(_));
        let mut known = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            tracing::error!(event = "database.unusable", %why, "all calls are refused from now on");
            metrics::counter!("posthaste_redis_halts_total").increment(1);
            if halt {
                metrics::gauge!("posthaste_redis_halted").set(1.0);
                self.halted.send_replace(true);
                self.noticed.notify_one();
            }
        }
        let why = known.get_or_insert(why).clone();
        self.stopped.store(true, Ordering::Release);
        CallError::Fatal(why)
    }

    /// Adds to what is known about the halt.
    pub(crate) fn learn(&self, halt: HaltState) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(FatalReason::Halted(known)) = &mut *why else { return };
        if **known != halt {
            if let Some(span) = halt.span() {
                metrics::gauge!("posthaste_redis_rollback_seconds").set(span.as_secs_f64());
            }
            tracing::error!(event = "database.halted", why = %halt, "sending is stopped");
            **known = halt;
        }
    }

    /// Ends a halt; any other stop stays.
    pub(crate) fn go_on(&self) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*why, Some(FatalReason::Halted(_))) {
            *why = None;
            self.stopped.store(false, Ordering::Release);
            metrics::gauge!("posthaste_redis_halted").set(0.0);
            metrics::gauge!("posthaste_redis_rollback_seconds").set(0.0);
            self.halted.send_replace(false);
        }
    }

    /// The halted database has meanwhile been replaced by another one.
    pub(crate) fn replaced(&self, partition: &Partition, found: String) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = FatalReason::Epoch { partition: partition.number, found };
        tracing::error!(event = "database.unusable", why = %epoch, "all calls are refused from now on");
        *why = Some(epoch);
        self.halted.send_replace(false);
    }

    /// `cause`: `None` when another process noticed the halt, and its record is not read yet.
    fn halt(&self, partition: &Partition, cause: Option<HaltCause>, loss: Option<Loss>) -> CallError {
        let mut halt = HaltState::of(cause);
        if let Some(mut loss) = loss {
            let found = loss.found.unwrap_or(loss.known);
            loss.orders = self.accepts.lost(partition.number, found, loss.known);
            halt.add(&loss);
            let mut kept = partition.loss.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get_or_insert(loss);
        }
        self.stop(FatalReason::Halted(Box::new(halt)))
    }

    /// Reacts to an epoch other than the known one. Nothing was written under it.
    pub(crate) fn found_epoch(&self, partition: &Partition, text: &str) -> CallError {
        let known = partition.epoch();
        let (found, ours) = (Epoch::of(text), Epoch::of(&known));
        if text == &*known {
            // The call was sent before the database was recovered.
            return CallError::Retryable { why: Retryable::Recovered };
        }
        if text.is_empty() {
            let fence = partition.fence();
            let loss = partition.trail.lock().unwrap_or_else(PoisonError::into_inner).loss(0, fence);
            return self.halt(partition, Some(HaltCause::Wiped), Some(loss));
        }
        if found.name != ours.name {
            return self.stop(FatalReason::Epoch { partition: partition.number, found: text.to_owned() });
        }
        // Either a backup from before a recovery, or a halt by another process or a recovery since, which is checked
        // next.
        let older = !found.halted && found.generation < ours.generation;
        self.halt(partition, older.then_some(HaltCause::WentBack), None)
    }

    /// Keeps the first epoch of a partition; a different one later stops everything.
    pub(crate) fn saw_epoch(&self, partition: &Partition, text: &str) -> Result<(), CallError> {
        let known = partition.epoch();
        if known.is_empty() {
            partition.set_epoch(text.strip_prefix('!').unwrap_or(text));
        } else if text != &*known {
            return Err(self.found_epoch(partition, text));
        }
        if text.starts_with('!') {
            return Err(self.halt(partition, None, None));
        }
        Ok(())
    }

    /// Keeps the mark of an answer. `floor` is the highest mark known when the call was sent: answers may overtake
    /// each other, so a mark below one learned only since then proves nothing. False: the answer is from a server
    /// that another one has replaced.
    pub(crate) fn saw_mark(
        &self,
        partition: &Partition,
        floor: u64,
        mark: u64,
        now: Option<UnixMs>,
    ) -> Result<bool, CallError> {
        *partition.received.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut trail = partition.trail.lock().unwrap_or_else(PoisonError::into_inner);
        if mark < floor {
            if mark < trail.raised() {
                return Ok(false);
            }
            let loss = trail.loss(mark, floor);
            drop(trail);
            return self.went_back(partition, loss).map(|()| true);
        }
        if let Some(found) = (mark < trail.raised()).then(|| trail.lost_by(mark)).flatten() {
            // A late answer of an ended run: the changes it reports are lost.
            if let Some(now) = now {
                trail.reported(mark, now);
            }
            let loss = trail.loss(found, mark);
            drop(trail);
            return self.went_back(partition, loss).map(|()| true);
        }
        if partition.fence.fetch_max(mark, Ordering::AcqRel) < mark
            && let Some(now) = now
        {
            trail.reported(mark, now);
        }
        Ok(true)
    }

    /// Compares the runs of the server with the marks received under earlier runs. `known` is the highest mark when
    /// the call was sent; `mark` and `now` are from the answer.
    pub(crate) fn saw_runs(
        &self,
        partition: &Partition,
        runs: Vec<ServerRun>,
        (known, mark): (u64, u64),
        now: UnixMs,
    ) -> Result<(), CallError> {
        if let Some(run) = runs.last().filter(|run| run.raised > 0) {
            let since = Duration::from_millis(now.0.saturating_sub(run.opened.0));
            if let Some(left) = self.hold.checked_sub(since) {
                let mut held = partition.held_until.lock().unwrap_or_else(PoisonError::into_inner);
                *held = (*held).max(Some(Instant::now() + left));
            }
        }
        let loss = {
            let mut trail = partition.trail.lock().unwrap_or_else(PoisonError::into_inner);
            trail.compare(runs, known, mark).map(|found| trail.loss(found, known))
        };
        if let Some(loss) = loss {
            self.went_back(partition, loss)?;
        }
        partition.fence.fetch_max(mark, Ordering::AcqRel);
        Ok(())
    }

    /// A database shows less than was acknowledged: halts, unless nothing that was lost had been confirmed.
    fn went_back(&self, partition: &Partition, loss: Loss) -> Result<(), CallError> {
        let owed = match partition.confirms_itself.load(Ordering::Acquire) {
            true => loss.known,
            false => partition.confirmed.load(Ordering::Acquire),
        };
        let found = loss.found.unwrap_or(loss.known);
        if owed > found {
            metrics::counter!("posthaste_redis_rollbacks_total", "result" => "halted").increment(1);
            return Err(self.halt(partition, Some(HaltCause::WentBack), Some(loss)));
        }
        metrics::counter!("posthaste_redis_rollbacks_total", "result" => "continued").increment(1);
        let trail = partition.trail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = trail.run_that_lost(loss.known) {
            partition.keep_continued((run.id.clone(), loss.span().unwrap_or_default()));
        }
        drop(trail);
        let seconds = loss.span().map_or(1, |span| span.as_millis().div_ceil(1_000).max(1));
        tracing::warn!(
            event = "database.went_back",
            partition = partition.number,
            changes = loss.known - found,
            seconds,
            "the database went back; nothing confirmed was lost, so work goes on"
        );
        Ok(())
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
