//! What is known of each partition's database, and the word that ends everything when it is another one, or less than it was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use posthaste_model::UnixMs;
use posthaste_protocol::scripts::halt::HaltCause;
use posthaste_protocol::scripts::open_run::Run;
use posthaste_protocol::{Keys, Malformed};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::epoch::Epoch;
use crate::error::{CallError, Fault, Later, StopWhy};
use crate::halted::Halt;
use crate::marks::{Accepts, Loss, Trail};
use crate::node::slot_of;

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) number: u16,
    pub(crate) keys: Keys,
    pub(crate) slot: u16,
    epoch: RwLock<Arc<str>>,
    /// The highest mark an answer told.
    fence: AtomicU64,
    /// The highest mark that was confirmed.
    confirmed: AtomicU64,
    pub(crate) trail: Mutex<Trail>,
    pub(crate) loss: Mutex<Option<Loss>>,
    /// A run with which changes were lost that had not been confirmed, and how much time; to be noted for others to see.
    continued: Mutex<Option<(String, Duration)>>,
    heard: Mutex<Instant>,
    /// Whether an answer is as safe as was asked by itself.
    confirms_itself: AtomicBool,
    /// Until when sends are held back on a new run of its server.
    held_until: Mutex<Option<Instant>>,
}

impl Partition {
    /// The epoch known, without the mark of a halt; empty before the first answer.
    pub(crate) fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.epoch.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence.load(Ordering::Acquire)
    }

    /// All marks up to this one are as safe as was asked.
    pub(crate) fn confirmed(&self, mark: u64) {
        self.confirmed.fetch_max(mark, Ordering::AcqRel);
    }

    /// Whether nothing was heard of it for so long.
    pub(crate) fn is_idle(&self, span: Duration) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= span
    }

    /// Whether an answer of its server is as safe as was asked by itself.
    pub(crate) fn set_confirms_itself(&self, yes: bool) {
        self.confirms_itself.store(yes, Ordering::Release);
    }

    /// Until when sends are still held back, so that others can compare what they know with a new run of its server.
    pub(crate) fn held(&self) -> Option<Instant> {
        let held = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        held.filter(|until| *until > Instant::now())
    }

    /// What is to be noted of a loss that stopped nobody.
    pub(crate) fn take_continued(&self) -> Option<(String, Duration)> {
        self.continued.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// It could not be noted yet.
    pub(crate) fn keep_continued(&self, noted: (String, Duration)) {
        self.continued.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(noted);
    }

    fn set_epoch(&self, epoch: &str) {
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch.into();
    }

    /// Begins a new generation: what was remembered of the old one counts no more.
    pub(crate) fn begin_generation(&self, epoch: &str) {
        self.set_epoch(epoch);
        self.fence.store(0, Ordering::Release);
        self.confirmed.store(0, Ordering::Release);
        *self.trail.lock().unwrap_or_else(PoisonError::into_inner) = Trail::default();
        *self.loss.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// All partitions, and why nothing is answered any more, if so.
#[derive(Debug)]
pub(crate) struct Guard {
    partitions: Vec<Partition>,
    stopped: AtomicBool,
    why: Mutex<Option<StopWhy>>,
    hold: Duration,
    pub(crate) accepts: Accepts,
    /// Told when the database turns out to be halted.
    pub(crate) noticed: Arc<Notify>,
    halted: watch::Sender<bool>,
}

impl Guard {
    /// `hold`: how long sends are held back on a new run of the server.
    pub(crate) fn new(partitions: u16, hold: Duration) -> Self {
        let partition = |number| {
            let keys = Keys::of_partition(number);
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
                heard: Mutex::new(Instant::now()),
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
        let malformed = CallError::Fault(Fault::Malformed(Malformed::new("number of a partition")));
        self.partitions.get(usize::from(p)).ok_or(malformed)
    }

    /// Whether calls may be made.
    pub(crate) fn check(&self) -> Result<(), CallError> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.why.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(CallError::Stop(why.clone())),
            None => Ok(()),
        }
    }

    /// Why calls are not answered, when it is a halt.
    pub(crate) fn halt_known(&self) -> Option<Halt> {
        match &*self.why.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(StopWhy::Halted(halt)) => Some((**halt).clone()),
            _ => None,
        }
    }

    /// Whether the database is halted, as it changes.
    pub(crate) fn watch_halt(&self) -> watch::Receiver<bool> {
        self.halted.subscribe()
    }

    /// From now on nothing is answered. The first reason stays.
    pub(crate) fn stop(&self, why: StopWhy) -> CallError {
        let halt = matches!(why, StopWhy::Halted(_));
        let mut known = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            tracing::error!(%why, "no call is answered any more");
            metrics::counter!("posthaste_store_stops_total").increment(1);
            if halt {
                metrics::gauge!("posthaste_store_halted").set(1.0);
                self.halted.send_replace(true);
                self.noticed.notify_one();
            }
        }
        let why = known.get_or_insert(why).clone();
        self.stopped.store(true, Ordering::Release);
        CallError::Stop(why)
    }

    /// More is known of the halt.
    pub(crate) fn learn(&self, halt: Halt) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(StopWhy::Halted(known)) = &mut *why else { return };
        if **known != halt {
            if let Some(span) = halt.span() {
                metrics::gauge!("posthaste_store_went_back_seconds").set(span.as_secs_f64());
            }
            tracing::error!(why = %halt, "sending is stopped");
            **known = halt;
        }
    }

    /// Ends a halt; any other stop stays.
    pub(crate) fn go_on(&self) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*why, Some(StopWhy::Halted(_))) {
            *why = None;
            self.stopped.store(false, Ordering::Release);
            metrics::gauge!("posthaste_store_halted").set(0.0);
            metrics::gauge!("posthaste_store_went_back_seconds").set(0.0);
            self.halted.send_replace(false);
        }
    }

    /// The database that was halted turns out to be somebody else's now.
    pub(crate) fn replaced(&self, partition: &Partition, found: String) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = StopWhy::Epoch { partition: partition.number, found };
        tracing::error!(why = %epoch, "no call is answered any more");
        *why = Some(epoch);
        self.halted.send_replace(false);
    }

    /// `cause`: not known where another process noticed, whose record is yet to be read.
    fn halt(&self, partition: &Partition, cause: Option<HaltCause>, loss: Option<Loss>) -> CallError {
        let mut halt = Halt::of(cause);
        if let Some(mut loss) = loss {
            let found = loss.found.unwrap_or(loss.known);
            loss.orders = self.accepts.lost(partition.number, found, loss.known);
            halt.add(&loss);
            let mut kept = partition.loss.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get_or_insert(loss);
        }
        self.stop(StopWhy::Halted(Box::new(halt)))
    }

    /// What another epoch than the known one means. Nothing was written under it.
    pub(crate) fn found_epoch(&self, partition: &Partition, text: &str) -> CallError {
        let known = partition.epoch();
        let (found, ours) = (Epoch::of(text), Epoch::of(&known));
        if text == &*known {
            // The call was sent before somebody recovered the database.
            return CallError::Later { why: Later::Recovered };
        }
        if text.is_empty() {
            let fence = partition.fence();
            let loss = partition.trail.lock().unwrap_or_else(PoisonError::into_inner).loss(0, fence);
            return self.halt(partition, Some(HaltCause::Wiped), Some(loss));
        }
        if found.name != ours.name {
            return self.stop(StopWhy::Epoch { partition: partition.number, found: text.to_owned() });
        }
        // A copy from before a recovery; or stopped by another process, or recovered meanwhile, which is looked at next.
        let older = !found.halted && found.generation < ours.generation;
        self.halt(partition, older.then_some(HaltCause::WentBack), None)
    }

    /// Keeps the epoch of a partition when it is the first one; another one than before stops everything.
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

    /// Keeps the mark of an answer. `floor` is the highest known when the call was sent: answers may overtake each other, so
    /// one below what is known only now says nothing. False: the answer is of a server that another one has replaced.
    pub(crate) fn saw_mark(
        &self,
        partition: &Partition,
        floor: u64,
        mark: u64,
        now: Option<UnixMs>,
    ) -> Result<bool, CallError> {
        *partition.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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
            // A late answer of a run that is over: what it tells is gone.
            if let Some(now) = now {
                trail.told(mark, now);
            }
            let loss = trail.loss(found, mark);
            drop(trail);
            return self.went_back(partition, loss).map(|()| true);
        }
        if partition.fence.fetch_max(mark, Ordering::AcqRel) < mark
            && let Some(now) = now
        {
            trail.told(mark, now);
        }
        Ok(true)
    }

    /// Compares the runs of the server with what was told under earlier ones. `known`: the highest mark when the call was
    /// sent; `mark`, `now`: of the answer.
    pub(crate) fn saw_runs(
        &self,
        partition: &Partition,
        runs: Vec<Run>,
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

    /// A database shows less than was told: halted, unless nothing that is lost had been confirmed.
    fn went_back(&self, partition: &Partition, loss: Loss) -> Result<(), CallError> {
        let owed = match partition.confirms_itself.load(Ordering::Acquire) {
            true => loss.known,
            false => partition.confirmed.load(Ordering::Acquire),
        };
        let found = loss.found.unwrap_or(loss.known);
        if owed > found {
            metrics::counter!("posthaste_store_rollbacks_total", "outcome" => "halted").increment(1);
            return Err(self.halt(partition, Some(HaltCause::WentBack), Some(loss)));
        }
        metrics::counter!("posthaste_store_rollbacks_total", "outcome" => "continued").increment(1);
        let trail = partition.trail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = trail.run_that_lost(loss.known) {
            partition.keep_continued((run.id.clone(), loss.span().unwrap_or_default()));
        }
        drop(trail);
        let seconds = loss.span().map_or(1, |span| span.as_millis().div_ceil(1_000).max(1));
        tracing::warn!(
            partition = partition.number,
            changes = loss.known - found,
            "the database went back by about {seconds} s; nothing confirmed was lost, so work goes on"
        );
        Ok(())
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
