//! Watches the database while there are no calls. Checks idle partitions every second, so that an idle process
//! notices within seconds that the database went back or was wiped. Writes a halt into the database, and notices when
//! it was recovered.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use posthaste_protocol::ReplyFields;
use posthaste_protocol::scripts::halt::{CALL_ORDERS, HaltCause, HaltDatabase as HaltScript};
use tokio_util::sync::CancellationToken;

use crate::address_key::PARTITION;
use crate::command::{self, text};
use crate::epoch::Epoch;
use crate::epoch_guard::Partition;
use crate::error::{CallError, FatalReason, malformed};
use crate::halt_record;
use crate::halted::HaltState;
use crate::inner::Inner;
use crate::marks::Loss;
use crate::reader::Reader;
use crate::server_runs;

/// Time between two checks.
const EVERY: Duration = Duration::from_secs(1);
/// Most idle partitions checked each time; the others follow in turn.
const AT_ONCE: usize = 64;

/// A partition of a halted database.
enum Halted {
    /// It was recovered; with its new epoch.
    Recovered(String),
    /// It is another database now; with its epoch.
    Replaced(String),
    /// Still halted; with the recorded state of the halt.
    Still(Option<HaltState>),
}

/// Watches until cancelled.
pub(crate) async fn watch(inner: Weak<Inner>, stop: CancellationToken) {
    let Some(noticed) = inner.upgrade().map(|inner| Arc::clone(&inner.guard.noticed)) else { return };
    let mut turn = 0;
    // Partitions into which this process has already written the current halt.
    let mut written = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = noticed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        match inner.guard.check() {
            Ok(()) => {
                written.clear();
                inner.look_at_silent(&mut turn).await;
                inner.note_continued().await;
            }
            Err(CallError::Fatal(FatalReason::Halted(_))) => {
                if let Err(error) = inner.mind_halt(&mut written).await {
                    tracing::debug!(%error, "cannot check the halted database; will retry");
                }
            }
            Err(_) => {}
        }
    }
}

impl Inner {
    async fn look_at_silent(&self, turn: &mut usize) {
        let all = self.guard.all();
        let count = all.len().min(AT_ONCE);
        let turned = (0..count).filter_map(|i| all.get((*turn + i) % all.len()));
        // A partition that can't be reached now is checked when it is registered with again.
        let silent = turned.filter(|at| at.is_idle(EVERY) && self.routes.can_ask(at.slot));
        let looks = silent.map(|at| self.look_at_silent_one(at));
        for looked in futures::future::join_all(looks).await {
            if let Err(error) = looked {
                tracing::debug!(%error, "cannot check an idle partition");
            }
        }
        *turn = (*turn + count) % all.len().max(1);
    }

    async fn look_at_silent_one(&self, at: &Partition) -> Result<(), CallError> {
        let worker = self.worker_of(at).await?;
        let floor = at.fence();
        let keys = vec![text(at.keys.epoch()), text(at.keys.fence())];
        let found = command::ask(&worker.client, "MGET", keys)
            .await?
            .array("epoch")
            .map_err(|_| malformed("epoch"))?;
        let mut found = ReplyFields::new(found);
        let epoch = found.value("epoch").ok().and_then(|value| value.text("epoch").ok()).unwrap_or_default();
        if epoch != *at.epoch() {
            return Err(self.guard.found_epoch(at, &epoch));
        }
        let mark = found.u64("fence").unwrap_or(0);
        if !self.guard.saw_mark(at, floor, mark, None)? {
            worker.replace();
        }
        Ok(())
    }

    /// Writes the halt where it is missing, reads what others have recorded, and goes on when all partitions are
    /// recovered.
    async fn mind_halt(self: &Arc<Self>, written: &mut Vec<u16>) -> Result<(), CallError> {
        let reader = Reader::unguarded(self);
        let mut whole: Option<HaltState> = None;
        let (mut recovered, mut failed) = (Vec::new(), None);
        for at in self.guard.all() {
            match self.mind_one(&reader, at, written).await {
                Ok(Halted::Recovered(epoch)) => recovered.push((at, epoch)),
                Ok(Halted::Still(halt)) => match (&mut whole, halt) {
                    (Some(whole), Some(halt)) => whole.join(halt),
                    (None, halt) => whole = halt,
                    (Some(_), None) => {}
                },
                // Another installation's, or newly set up: nothing is written to it.
                Ok(Halted::Replaced(epoch)) => {
                    self.guard.replaced(at, epoch);
                    return Ok(());
                }
                // A partition that is away only keeps the others from going on.
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if recovered.len() == self.guard.all().len() {
            for (at, epoch) in recovered {
                written.push(at.number);
                if *epoch != *at.epoch() {
                    at.begin_generation(&epoch);
                    self.guard.accepts.forget(at.number);
                }
            }
            // Registrations from before the recovery no longer count.
            self.routes.primaries().iter().for_each(|primary| primary.forget());
            for at in self.guard.all() {
                self.worker_of(at).await?;
            }
            let worker = self.worker_of(self.partition(PARTITION)?).await?;
            if let Err(error) = self.agree_on_key(&worker).await {
                tracing::error!(
                    event = "database.address_key_failed",
                    %error,
                    "cannot agree on the address key of the suppression lists after a recovery"
                );
            }
            tracing::warn!(event = "database.recovered", "the database was recovered; work goes on");
            self.guard.go_on();
        } else if let Some(halt) = whole {
            self.guard.learn(halt);
        }
        Ok(())
    }

    /// Checks one partition of a halted database, and writes the halt into it where it is missing.
    async fn mind_one(
        self: &Arc<Self>,
        reader: &Reader,
        at: &Partition,
        written: &mut Vec<u16>,
    ) -> Result<Halted, CallError> {
        let epoch = reader.get(at.slot, at.keys.epoch()).await?;
        let epoch = epoch.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let (found, known) = (Epoch::of(&epoch), at.epoch());
        let ours = Epoch::of(&known);
        if !epoch.is_empty() && found.name != ours.name && !known.is_empty() {
            return Ok(Halted::Replaced(epoch));
        }
        let done = found.generation > ours.generation || written.contains(&at.number);
        if !epoch.is_empty() && !found.halted && done {
            return Ok(Halted::Recovered(epoch));
        }
        if !written.contains(&at.number) {
            self.write_halt(reader, at).await?;
            written.push(at.number);
        }
        Ok(Halted::Still(halt_record::read(reader, at).await?))
    }

    /// Writes what this process knows into a partition that it found halted, or is the first to halt.
    async fn write_halt(self: &Arc<Self>, reader: &Reader, at: &Partition) -> Result<(), CallError> {
        let cause = match self.guard.halt_known().and_then(|halt| halt.cause) {
            Some(cause) => cause,
            // Another process noticed the halt: this process compares its own marks with what that one found.
            None => halt_record::read(reader, at)
                .await?
                .and_then(|halt| halt.cause)
                .unwrap_or(HaltCause::WentBack),
        };
        let loss = match self.known_loss(at) {
            Some(loss) => loss,
            None => self.loss_by_runs(reader, at, cause).await?,
        };
        let mut orders = loss.orders.chunks(CALL_ORDERS);
        let mut chunk: &[_] = orders.next().unwrap_or_default();
        loop {
            let script = HaltScript {
                keys: &at.keys,
                cause,
                found: loss.found,
                known: loss.known,
                since: loss.since,
                last: loss.last,
                orders: chunk,
            };
            // Refused when it was recovered meanwhile; the next check finds that out.
            let answer = self.call_as(at, &at.epoch(), &script).await?;
            match orders.next().filter(|_| answer.is_some()) {
                Some(next) => chunk = next,
                None => return Ok(()),
            }
        }
    }

    fn known_loss(&self, at: &Partition) -> Option<Loss> {
        at.loss.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a halt noticed by another process means for this one: marks it had received that the runs since then do
    /// not show.
    async fn loss_by_runs(
        &self,
        reader: &Reader,
        at: &Partition,
        cause: HaltCause,
    ) -> Result<Loss, CallError> {
        let known = at.fence();
        let runs = server_runs::runs(reader, at).await?;
        let found = match cause {
            HaltCause::Wiped => Some(0),
            HaltCause::WentBack => runs.iter().filter(|run| run.lost(known)).map(|run| run.found).min(),
        };
        let Some(found) = found else { return Ok(Loss { known, found: None, ..Loss::default() }) };
        let mut loss = at.trail.lock().unwrap_or_else(PoisonError::into_inner).loss(found, known);
        loss.orders = self.guard.accepts.lost(at.number, found, known);
        *at.loss.lock().unwrap_or_else(PoisonError::into_inner) = Some(loss.clone());
        Ok(loss)
    }
}
