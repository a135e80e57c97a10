//! The engine: one task that owns all state of a courier and handles notes from the calls it started. It claims,
//! begins, sends, settles and renews, and never waits for a call.

mod begin;
mod claim;
mod intake;
mod lease;
mod leased_parcels;
mod outflow;
mod repeats;
mod reports;
mod send;
mod settle;
mod starting;
mod stopped;
mod suppression_check;

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, CourierId, Reason};
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{CallError, FatalReason, Store, WakeupListener};
use rand::Rng;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Meter;
use crate::pace::{Pace, Pause};
use crate::probe::Probe;
use crate::settings::Settings;
use crate::transport::{Capabilities, Transport};
use claim::Partition;
use leased_parcels::LeasedParcels;

pub(crate) use lease::malformed_word;

/// Calls report here; bounded by the number of calls that may be in progress.
type Notes = mpsc::UnboundedSender<Note>;

/// The result of a finished call.
enum Note {
    Claimed(claim::ClaimDone),
    Loaded(intake::LoadDone),
    Begun(begin::BeginDone),
    Sent(send::SendDone),
    Settled(settle::SettleDone),
    Renewed(lease::RenewDone),
    Released(lease::ReleaseDone),
    Checked(Result<(), String>),
}

/// Why a courier ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database is not the same any more; an operator must act.
    #[error("{0}")]
    Stop(FatalReason),
}

pub(crate) struct Engine {
    store: Store,
    transport: Arc<dyn Transport>,
    capabilities: Capabilities,
    settings: Settings,
    channel: Channel,
    courier: CourierId,
    meter: Arc<Meter>,
    notes: Notes,
    inbox: Option<mpsc::UnboundedReceiver<Note>>,
    held: LeasedParcels,
    pace: Pace,
    partitions: Vec<Partition>,
    settles: settle::Settles,
    /// Begun batches that wait for a free call.
    batches: std::collections::VecDeque<send::Batch>,
    /// Calls on the wire.
    calls: usize,
    /// Those of them that carry bulk deliveries.
    bulk_calls: usize,
    /// How fast deliveries leave.
    outflow: outflow::Outflow,
    /// Room kept for deliveries that are being begun, in envelopes.
    starting: starting::Starting,
    /// A suspect delivery is on the wire: nothing else is begun.
    alone: bool,
    /// When the next check of a stopped channel is due.
    next_check: Option<Instant>,
    next_renewal: Instant,
    /// Partitions whose leases are being renewed, and in how many calls.
    renewing: std::collections::BTreeMap<u16, usize>,
    releasing: usize,
    draining: bool,
    /// Ends the calls on the wire.
    cut: CancellationToken,
    failed: Option<FatalReason>,
    clock: crate::server_clock::ServerClock,
    wakers: Wakers,
    probe: Arc<dyn Probe>,
    up: bool,
    /// How the last failing call failed.
    last_failure: Reason,
    /// How often the connection was lost.
    losses: u64,
}

/// Wakes the tasks next to the engine.
pub(crate) struct Wakers {
    /// The lease watcher of each partition: a lease may be over.
    pub(crate) sweep: Arc<[Notify]>,
    /// The resolver: the send window of an unresolved delivery may be over.
    pub(crate) resolve: Arc<Notify>,
}

impl Engine {
    pub(crate) fn new(
        store: Store,
        transport: Arc<dyn Transport>,
        settings: Settings,
        courier: CourierId,
        meter: Arc<Meter>,
        wakers: Wakers,
        probe: Arc<dyn Probe>,
    ) -> Self {
        let (notes, inbox) = mpsc::unbounded_channel();
        let capabilities = transport.capabilities();
        let now = Instant::now();
        let pace = Pace::new(
            capabilities.concurrency,
            capabilities.max_concurrency,
            capabilities.rate,
            settings.breaker_after,
            now,
        );
        let partitions = (0..store.partitions()).map(|p| Partition::new(p, now)).collect();
        Self {
            inbox: Some(inbox),
            channel: transport.channel(),
            clock: crate::server_clock::ServerClock::new(settings.lease, now),
            next_renewal: now + settings.renew_every,
            store,
            transport,
            capabilities,
            settings,
            courier,
            meter,
            notes,
            held: LeasedParcels::default(),
            pace,
            partitions,
            settles: settle::Settles::default(),
            batches: std::collections::VecDeque::new(),
            calls: 0,
            bulk_calls: 0,
            outflow: outflow::Outflow::new(now),
            starting: starting::Starting::default(),
            alone: false,
            next_check: None,
            renewing: std::collections::BTreeMap::new(),
            releasing: 0,
            draining: false,
            cut: CancellationToken::new(),
            failed: None,
            wakers,
            probe,
            up: true,
            last_failure: Reason::None,
            losses: 0,
        }
    }

    /// Runs until it is stopped, or the database is halted or replaced.
    pub(crate) async fn run(
        mut self,
        mut hearing: WakeupListener,
        stop: Shutdown,
    ) -> Result<(), EngineError> {
        let mut link = self.store.connection();
        let mut routes = self.store.route_changes();
        self.look_away();
        let (_, closed) = mpsc::unbounded_channel();
        let mut inbox = self.inbox.take().unwrap_or(closed);
        self.meter.wake("start");
        loop {
            let now = Instant::now();
            self.work(now);
            if self.draining && self.is_idle() && (self.held.is_empty() || self.failed.is_some()) {
                break;
            }
            let wake = self.next_wake(now);
            tokio::select! {
                biased;
                () = stop.hard.cancelled(), if !self.cut.is_cancelled() => self.cut_off(),
                () = stop.soft.cancelled(), if !self.draining => self.drain(),
                note = inbox.recv() => {
                    // The engine holds a sender (`notes`), so the channel never closes.
                    if let Some(note) = note { self.on_note(note); }
                    while let Ok(note) = inbox.try_recv() { self.on_note(note); }
                }
                changed = link.changed() => {
                    if changed.is_ok() {
                        let state = link.borrow_and_update().clone();
                        self.on_link(&state);
                    }
                }
                changed = routes.changed() => if changed.is_ok() { self.look_away() },
                event = hearing.wait(), if !self.draining => self.on_bell(event),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        match self.failed {
            Some(why) => Err(EngineError::Stop(why)),
            None => Ok(()),
        }
    }

    /// Starts every call that can be started now.
    fn work(&mut self, now: Instant) {
        self.check_stopped_channel(now);
        self.claim_where_due(now);
        if !self.draining {
            self.begin_deliveries(now);
        }
        self.send_batches(now);
        self.settle_dirty();
        self.renew_leases(now);
        self.meter.gauges(self.calls, self.held.deliveries(), self.pace.concurrency());
        self.put_notice(now);
    }

    /// No call is in progress, and none that got no answer has to be repeated.
    fn is_idle(&self) -> bool {
        let server = self.starting.is_idle_but(|_| false) && self.releasing == 0 && self.held.expected == 0;
        let claims = !self.partitions.iter().any(Partition::is_open);
        self.calls == 0 && self.batches.is_empty() && server && claims && self.settles.is_idle()
    }

    fn next_wake(&mut self, now: Instant) -> Instant {
        let mut wake = now + self.settings.poll;
        let later = self.held.wake_later(now);
        let paused = match self.pace.paused(now) {
            Some(Pause::Until(until)) => Some(*until),
            _ => None,
        };
        let rate = (self.held.runnable() > 0).then(|| self.pace.next_allowed()).flatten();
        let requested = |partition: &&Partition| {
            self.up && !self.held.is_away(partition.p) && (!self.draining || partition.is_open())
        };
        let claims = self.partitions.iter().filter(requested).filter_map(Partition::next_wake).min();
        let filled = self.next_filled(now);
        let (renewal, slow) = (Some(self.next_renewal), self.starting.next_slow(now));
        let settles = self.settles.next_try(now, |p| self.held.is_away(p));
        for at in [later, paused, rate, claims, filled, renewal, slow, self.next_check, settles] {
            wake = wake.min(at.unwrap_or(wake));
        }
        wake.max(now + Duration::from_micros(200))
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Claimed(done) => self.on_claimed(done),
            Note::Loaded(done) => self.on_loaded(done),
            Note::Begun(done) => self.on_begun(done),
            Note::Sent(done) => self.on_sent(done),
            Note::Settled(done) => self.on_settled(done),
            Note::Renewed(done) => self.on_renewed(done),
            Note::Released(done) => self.on_released(done),
            Note::Checked(result) => self.on_checked(result),
        }
    }

    /// The database was replaced or went back: begin nothing more.
    fn fail(&mut self, why: FatalReason) {
        for partition in &mut self.partitions {
            partition.forget();
        }
        if self.failed.is_some() {
            return;
        }
        tracing::error!(
            event = "courier.sending_stopped",
            channel = %self.channel,
            %why,
            "sending stopped because of the database"
        );
        self.meter.alert("database_stopped");
        if matches!(why, FatalReason::Halted(_)) {
            // It is still the same database and accepts reports: send again what it may have lost.
            self.settles.repeat_recent(Instant::now());
        } else {
            self.settles.give_up();
        }
        self.failed = Some(why);
        self.drain();
    }

    /// Handles a failed call; returns true if the call may be repeated.
    fn after_failure(&mut self, error: &CallError) -> bool {
        match error {
            CallError::Fatal(why) => {
                self.fail(why.clone());
                matches!(why, FatalReason::Halted(_))
            }
            CallError::InvalidReply(fault) => {
                tracing::error!(
                    event = "database.invalid_reply",
                    channel = %self.channel,
                    error = %fault,
                    "invalid reply from the database"
                );
                self.meter.alert("invalid_reply");
                true
            }
            _ => true,
        }
    }

    fn on_link(&mut self, link: &posthaste_store::Link) {
        self.up = link.up;
        if link.up && link.losses != self.losses {
            self.losses = link.losses;
            // Report again what the server may not have saved when it went down: repeats are harmless.
            self.settles.repeat_recent(Instant::now());
            for partition in &mut self.partitions {
                partition.wake_now();
            }
        }
    }

    /// Sets unreachable partitions aside; those that are reachable again claim at once.
    fn look_away(&mut self) {
        for p in self.held.set_away(self.store.partitions_away().into_iter().collect()) {
            if let Some(partition) = self.partitions.get_mut(usize::from(p)) {
                partition.wake_now();
            }
        }
    }

    fn on_bell(&mut self, event: posthaste_store::WakeupEvent) {
        self.meter.received(&event);
        for partition in &mut self.partitions {
            partition.received();
        }
    }

    fn chance(&self) -> f64 {
        rand::rng().random()
    }
}
