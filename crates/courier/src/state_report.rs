//! Tells the database, the health checks and the metrics what this courier does: works, waits as the provider asked,
//! rests because the provider keeps failing, or is stopped until an operator fixes something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_model::{Channel, CourierId, Reason};
use posthaste_ops::health::Condition;
use posthaste_store::{CourierState, OwnReport, Store};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::Meter;

/// How often it is reported again. Readers take a courier that is quiet for three times as long for silent.
const EVERY: Duration = Duration::from_secs(4);
/// The shortest time between two reports.
const AT_LEAST: Duration = Duration::from_millis(250);
/// How often the backlog is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// How long the last report may take when the courier stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a courier does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It sends what is due.
    Working,
    /// The provider asked to wait until this moment.
    Paused(Instant),
    /// The provider keeps failing in this way. The next call is tried at this moment, or is being tried.
    Resting(Reason, Option<Instant>),
    /// Why it is stopped.
    Stopped(String),
}

impl Doing {
    fn state(&self) -> CourierState {
        match self {
            Self::Working => CourierState::Working,
            Self::Paused(_) => CourierState::Paused,
            Self::Resting(..) => CourierState::Resting,
            Self::Stopped(_) => CourierState::Stopped,
        }
    }

    /// How long until that may end by itself.
    fn ends_in(&self) -> Option<Duration> {
        let until = match self {
            Self::Paused(until) => Some(*until),
            Self::Resting(_, until) => *until,
            Self::Working | Self::Stopped(_) => None,
        };
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn why(&self) -> String {
        match self {
            Self::Working => String::new(),
            Self::Paused(_) => "the provider asked to wait (rate limit)".to_owned(),
            Self::Resting(reason, _) => format!("the provider keeps failing ({})", reason.word()),
            Self::Stopped(why) => why.clone(),
        }
    }

    /// Tells the health check of the courier. A courier that rests is ready, as it resumes by itself.
    fn tell(&self, check: &Condition) {
        match self {
            Self::Working => check.ok(),
            Self::Paused(_) | Self::Resting(..) => {
                let wait = self.ends_in().unwrap_or_default().as_secs();
                check.ok_but(format!("{}: {}; next try in {wait} s", self.state().word(), self.why()));
            }
            Self::Stopped(why) => check.failed(format!("stopped until an operator fixes it: {why}")),
        }
    }
}

/// What the courier does now, and the number of its last report.
#[derive(Debug)]
pub(crate) struct Noticeboard {
    doing: watch::Sender<Doing>,
    reports: AtomicU64,
}

impl Noticeboard {
    pub(crate) fn new() -> Self {
        Self { doing: watch::Sender::new(Doing::Working), reports: AtomicU64::new(0) }
    }

    /// Notes what the courier does; called often.
    pub(crate) fn put(&self, doing: Doing) {
        self.doing.send_if_modified(|before| {
            let changed = *before != doing;
            *before = doing;
            changed
        });
    }
}

/// Reports on a courier.
#[derive(Clone)]
pub(crate) struct StateReport {
    pub(crate) store: Store,
    pub(crate) channel: Channel,
    pub(crate) courier: CourierId,
    pub(crate) meter: Arc<Meter>,
    /// How long a report holds: a lease.
    pub(crate) holds: Duration,
    /// The check of `/readyz`.
    pub(crate) check: Option<Condition>,
}

impl StateReport {
    /// Reports every change, and at least every four seconds, for as long as it is polled.
    pub(crate) async fn run(self) {
        let mut changes = self.meter.board().doing.subscribe();
        let mut measured: Option<Instant> = None;
        loop {
            let doing = changes.borrow_and_update().clone();
            if let Some(check) = &self.check {
                doing.tell(check);
            }
            self.meter.resting(matches!(doing, Doing::Resting(..)));
            self.report(Some(&doing)).await;
            if measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
                measured = Some(Instant::now());
                // A database that cannot be reached is reported elsewhere.
                if let Ok(backlog) = self.store.backlog(&self.channel).await {
                    self.meter.overdue(backlog.overdue);
                }
            }
            sleep(AT_LEAST).await;
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep(EVERY - AT_LEAST) => {}
            }
        }
    }

    /// Reports that the courier has ended.
    pub(crate) async fn end(&self) {
        let _ = timeout(FAREWELL, self.report(None)).await;
    }

    async fn report(&self, doing: Option<&Doing>) {
        let report = OwnReport {
            channel: &self.channel,
            courier: &self.courier,
            number: self.meter.board().reports.fetch_add(1, Ordering::Relaxed) + 1,
            state: doing.map(Doing::state),
            ends_in: doing.and_then(Doing::ends_in),
            holds: self.holds.max(EVERY * 3),
            why: &doing.map(Doing::why).unwrap_or_default(),
        };
        // A database that cannot be reached is reported elsewhere; the next report says the same.
        let _ = self.store.report_courier(&report).await;
    }
}

#[cfg(test)]
mod tests {
    use posthaste_ops::health::{Check, Health};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stopped_courier_is_not_ready_and_a_resting_one_says_so() {
        let now = Instant::now();
        let (health, check) = (Health::new(), Check::condition("provider"));
        health.watch(&check, now);
        let until = now + Duration::from_secs(7);
        let resting = "resting: the provider keeps failing (connection_failed); next try in 7 s";
        let paused = "paused: the provider asked to wait (rate limit); next try in 7 s";
        let stopped = "stopped until an operator fixes it: token refused";
        for (doing, ready, text) in [
            (Doing::Working, true, None),
            (Doing::Paused(until), true, Some(paused)),
            (Doing::Resting(Reason::ConnectionFailed, Some(until)), true, Some(resting)),
            (Doing::Stopped("token refused".to_owned()), false, Some(stopped)),
        ] {
            doing.tell(&check);
            let report = health.report(now);
            assert_eq!(report.ready, ready, "{doing:?}");
            let found = &report.checks[0];
            assert_eq!(found.why.as_deref().or(found.note.as_deref()), text, "{doing:?}");
        }
    }
}
