//! A system under measurement: Posthaste, or one of the others.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use posthaste_rig::process::Child;

use super::ours::{self, Queue};
use super::processes::{Used, used};
use super::programs::Program;
use super::stage::Stage;
use crate::service::Service;

/// Jobs to put into a queue: numbers `from..from + count`, of which the address of each is made.
#[derive(Clone, Copy)]
pub(super) struct Jobs {
    pub(super) count: u64,
    pub(super) from: u64,
    /// At once if `None`.
    pub(super) due: Option<Due>,
}

/// When jobs are due: evenly over a span.
#[derive(Clone, Copy)]
pub(super) struct Due {
    /// In ms since 1970.
    pub(super) first: u64,
    /// In ms.
    pub(super) span: u64,
}

impl Jobs {
    /// When the job with this index is due, in ms since 1970.
    pub(super) fn due_of(&self, index: u64) -> Option<u64> {
        self.due.map(|due| due.first + index * due.span / self.count.max(1))
    }
}

/// A system under measurement.
pub(super) enum System {
    /// Posthaste with orders of one recipient.
    Singles,
    /// Posthaste with one order to all recipients.
    Big,
    /// Another one.
    Other(Program),
}

/// What has to run before jobs can be put into the queue.
pub(super) enum Intake<'a> {
    Ours { queue: Queue, big: bool },
    Other(&'a Program),
}

/// A process that sends; killed when dropped.
pub(super) enum Worker {
    Ours(Service),
    Other(Child),
}

impl System {
    /// All of them, or Posthaste and those named.
    pub(super) fn all(folder: &Path, only: &[String]) -> anyhow::Result<Vec<Self>> {
        let programs = Program::all(folder);
        for word in only {
            let known = word == "posthaste" || programs.iter().any(|program| program.word == word);
            ensure!(known, "--only {word}: must be posthaste, bullmq, sidekiq, celery or apalis");
        }
        let wanted = |program: &Program| only.is_empty() || only.iter().any(|word| word == program.word);
        let others = programs.into_iter().filter(wanted).map(Self::Other);
        Ok([Self::Singles, Self::Big].into_iter().chain(others).collect())
    }

    /// Its name in tables.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Singles => "Posthaste, orders of one",
            Self::Big => "Posthaste, one order",
            Self::Other(program) => program.name,
        }
    }

    /// Whether it takes jobs one by one, each with its own due time.
    pub(super) fn takes_single_orders(&self) -> bool {
        !matches!(self, Self::Big)
    }

    /// What it is, with versions.
    pub(super) fn versions(&self) -> anyhow::Result<String> {
        match self {
            Self::Singles => Ok(format!("Posthaste {}", env!("CARGO_PKG_VERSION"))),
            Self::Big => Ok(String::new()),
            Self::Other(program) => program.versions(),
        }
    }

    /// Starts what takes jobs.
    pub(super) async fn open(&self, stage: &Stage) -> anyhow::Result<Intake<'_>> {
        Ok(match self {
            Self::Singles => Intake::Ours { queue: Queue::start(stage).await?, big: false },
            Self::Big => Intake::Ours { queue: Queue::start(stage).await?, big: true },
            Self::Other(program) => Intake::Other(program),
        })
    }
}

impl Intake<'_> {
    /// Puts jobs into the queue; returns the seconds it took.
    pub(super) async fn enqueue(&self, stage: &Stage, jobs: Jobs) -> anyhow::Result<f64> {
        match self {
            Self::Ours { queue, big: false } => queue.enqueue(jobs).await,
            Self::Ours { queue, big: true } => queue.upload(jobs).await,
            Self::Other(program) => program.enqueue(stage, jobs).await,
        }
    }

    /// What a service that takes jobs has used; the others write into the server themselves.
    pub(super) fn used(&self) -> anyhow::Result<Option<Used>> {
        match self {
            Self::Ours { queue, .. } => used(queue.id()).map(Some),
            Self::Other(_) => Ok(None),
        }
    }

    /// Starts the process that sends.
    pub(super) async fn work(&self, stage: &Stage) -> anyhow::Result<Worker> {
        Ok(match self {
            Self::Ours { .. } => Worker::Ours(ours::courier(stage).await?),
            Self::Other(program) => Worker::Other(program.work(stage)?),
        })
    }
}

impl Worker {
    /// Fails with its last words if it has ended.
    pub(super) fn ensure_running(&self) -> anyhow::Result<()> {
        if let Self::Other(child) = self {
            ensure!(child.exit_status()?.is_none(), "the worker ended: {}", child.tail(20));
        }
        Ok(())
    }

    /// What it and its children have used.
    pub(super) fn used(&self) -> anyhow::Result<Used> {
        used(match self {
            Self::Ours(service) => service.id(),
            Self::Other(child) => child.id(),
        })
    }

    /// Waits until it is ready, and has nothing to do: some read all that is pending first.
    pub(super) async fn at_rest(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(600);
        while let Self::Other(child) = self
            && !child.output()?.lines().any(|line| line == "ready")
        {
            self.ensure_running()?;
            ensure!(Instant::now() < deadline, "the worker is not ready: {}", child.tail(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        loop {
            self.ensure_running()?;
            let before = self.used()?.cpu;
            tokio::time::sleep(Duration::from_secs(2)).await;
            if self.used()?.cpu - before < 0.2 {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the worker is still busy with what is pending");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_due_evenly() {
        let jobs = Jobs { count: 4, from: 0, due: Some(Due { first: 1_000, span: 200 }) };
        assert_eq!([0, 1, 3].map(|n| jobs.due_of(n)), [Some(1_000), Some(1_050), Some(1_150)]);
        assert_eq!(Jobs { due: None, ..jobs }.due_of(0), None);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let all = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(ToString::to_string).collect();
            let systems = System::all(Path::new("/nowhere"), &only);
            systems.map(|systems| systems.iter().map(|system| system.name().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(all(&[]).expect("all").len(), 6);
        assert_eq!(all(&["celery"]).expect("three").last().map(String::as_str), Some("Celery"));
        assert_eq!(all(&["posthaste"]).expect("two").len(), 2);
        assert!(all(&["resque"]).is_err());
    }
}
