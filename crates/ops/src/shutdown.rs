//! Shutdown in two stages: *soft* (take no new work, finish work in flight), then *hard* (hand back everything now).
//!
//! SIGTERM or SIGINT starts the soft stage; a second signal, or the end of the drain time, starts the hard one. Tasks watch
//! the two tokens; [`Shutdown::ended`] waits for them and returns the stage that was reached.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HumanDuration;

/// The documented defaults: the section `stop`.
pub const DEFAULTS: &str = include_str!("shutdown.toml");

/// The section `stop` of a process's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long work in flight may take to finish after the soft stage started.
    pub drain_for: HumanDuration,
    /// How long tasks may take to hand back what they hold after the hard stage started.
    pub hand_back_for: HumanDuration,
}

/// The shutdown of a process; clones refer to the same shutdown.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Cancelled when tasks must take no new work.
    pub soft: CancellationToken,
    /// Cancelled when tasks must hand back work in flight at once; `soft` is then cancelled too.
    pub hard: CancellationToken,
    /// The tasks the shutdown waits for. [`Shutdown::spawn`] adds to it and also notices a panic.
    pub tasks: TaskTracker,
    drain_for: Duration,
    hand_back_for: Duration,
    panicked: Arc<OnceLock<&'static str>>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessEnd {
    /// The stage in which it ended.
    pub stage: ShutdownStage,
    /// Tasks that were still running and were abandoned; 0 unless the hard stage ran out of time.
    pub left: usize,
    /// The first task that panicked, by name.
    pub panicked: Option<&'static str>,
}

/// A stage of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownStage {
    /// All tasks ended by themselves, without a request to stop.
    Finished,
    /// Asked to stop, all tasks finished within the drain time.
    Drained,
    /// Work in flight was cut off.
    Hard(Cause),
}

/// Why the hard stage started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A second signal, or the process itself cancelled the hard token.
    Requested,
    /// The drain time ended.
    DrainTimeOver,
}

impl Shutdown {
    /// A shutdown without signals, started only by [`Shutdown::request`].
    pub fn manual(settings: &Settings) -> Self {
        let hard = CancellationToken::new();
        Self {
            soft: hard.child_token(),
            hard,
            tasks: TaskTracker::new(),
            drain_for: settings.drain_for.get(),
            hand_back_for: settings.hand_back_for.get(),
            panicked: Arc::default(),
        }
    }

    /// A shutdown started by SIGTERM or SIGINT. From here on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The signal handlers can't be installed. Must be called inside a tokio runtime.
    pub fn on_signals(settings: &Settings) -> io::Result<Self> {
        let stop = Self::manual(settings);
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let requested = stop.clone();
        tokio::spawn(async move {
            while !requested.hard.is_cancelled() {
                let name = tokio::select! {
                    Some(()) = terminate.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    else => return,
                };
                let stage = if requested.soft.is_cancelled() { "hard" } else { "soft" };
                tracing::info!(event = "process.stop_requested", signal = name, stage, "stop requested");
                requested.request();
            }
        });
        Ok(stop)
    }

    /// Starts the next stage, as a signal does: soft, then hard.
    pub fn request(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        } else {
            self.soft.cancel();
        }
    }

    /// Runs a task that the shutdown waits for. If it panics, the soft stage starts, because a process must not go on with a
    /// part missing.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = PanicGuard { name, panicked: Arc::clone(&self.panicked), soft: self.soft.clone() };
        self.tasks.spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// Waits until all tasks have ended, driving the stages, and returns the stage reached. Await it once the process
    /// is up: the drain time counts from when this sees the soft stage. Returns at once if there are no tasks.
    pub async fn ended(&self) -> ProcessEnd {
        self.tasks.close();
        tokio::select! {
            () = self.soft.cancelled() => {}
            () = self.tasks.wait() => return self.end(self.stage()),
        }
        let cause = tokio::select! {
            // In this order, so that tasks that ended because of the hard token do not count as drained.
            biased;
            () = self.hard.cancelled() => Cause::Requested,
            () = self.tasks.wait() => return self.end(self.stage()),
            () = tokio::time::sleep(self.drain_for) => Cause::DrainTimeOver,
        };
        self.hard.cancel();
        tracing::warn!(
            event = "process.work_cut_off",
            ?cause,
            tasks = self.tasks.len(),
            "hard stop: work in flight is cut off"
        );
        tokio::select! {
            () = self.tasks.wait() => {}
            () = tokio::time::sleep(self.hand_back_for) => {}
        }
        self.end(ShutdownStage::Hard(cause))
    }

    /// The stage that was reached when all tasks ended.
    fn stage(&self) -> ShutdownStage {
        if self.hard.is_cancelled() {
            ShutdownStage::Hard(Cause::Requested)
        } else if self.soft.is_cancelled() {
            ShutdownStage::Drained
        } else {
            ShutdownStage::Finished
        }
    }

    fn end(&self, stage: ShutdownStage) -> ProcessEnd {
        ProcessEnd { stage, left: self.tasks.len(), panicked: self.panicked.get().copied() }
    }
}

/// Starts the soft stage if dropped by a panic.
struct PanicGuard {
    name: &'static str,
    panicked: Arc<OnceLock<&'static str>>,
    soft: CancellationToken,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.panicked.get_or_init(|| self.name);
            self.soft.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const SETTINGS: Settings = Settings {
        drain_for: HumanDuration::from_millis(20_000),
        hand_back_for: HumanDuration::from_millis(5_000),
    };

    fn ended(stage: ShutdownStage, left: usize) -> ProcessEnd {
        ProcessEnd { stage, left, panicked: None }
    }

    #[tokio::test(start_paused = true)]
    async fn the_process_ends_when_its_tasks_end_by_themselves() {
        let stop = Shutdown::manual(&SETTINGS);
        stop.spawn("once", async {});
        assert_eq!(stop.ended().await, ended(ShutdownStage::Finished, 0));
        assert!(!stop.soft.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_soft_stop_waits_for_work_in_flight() {
        let (stop, start) = (Shutdown::manual(&SETTINGS), Instant::now());
        let soft = stop.soft.clone();
        stop.spawn("work", async move {
            soft.cancelled().await;
            tokio::time::sleep(Duration::from_secs(19)).await;
        });
        stop.request();
        assert_eq!(stop.ended().await, ended(ShutdownStage::Drained, 0));
        assert_eq!(start.elapsed(), Duration::from_secs(19));
        assert!(!stop.hard.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_drain_time_starts_the_hard_stage() {
        let (stop, start) = (Shutdown::manual(&SETTINGS), Instant::now());
        let hard = stop.hard.clone();
        stop.spawn("work", async move { hard.cancelled().await });
        stop.request();
        assert_eq!(stop.ended().await, ended(ShutdownStage::Hard(Cause::DrainTimeOver), 0));
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_request_starts_the_hard_stage_at_once() {
        let (stop, start) = (Shutdown::manual(&SETTINGS), Instant::now());
        let (soft, hard) = (stop.soft.clone(), stop.hard.clone());
        let asking = stop.clone();
        stop.spawn("work", async move {
            soft.cancelled().await;
            asking.request();
            hard.cancelled().await;
        });
        stop.request();
        assert_eq!(stop.ended().await, ended(ShutdownStage::Hard(Cause::Requested), 0));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_hand_back_is_counted_and_abandoned() {
        let (stop, start) = (Shutdown::manual(&SETTINGS), Instant::now());
        stop.spawn("stuck", std::future::pending());
        stop.hard.cancel();
        assert!(stop.soft.is_cancelled(), "hard is also soft");
        assert_eq!(stop.ended().await, ended(ShutdownStage::Hard(Cause::Requested), 1));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_task_stops_the_others() {
        let stop = Shutdown::manual(&SETTINGS);
        let soft = stop.soft.clone();
        stop.spawn("other", async move { soft.cancelled().await });
        stop.spawn("broken", async { panic!("a test's panic") });
        let expected = ProcessEnd { stage: ShutdownStage::Drained, left: 0, panicked: Some("broken") };
        assert_eq!(stop.ended().await, expected);
    }
}
