//! The other systems. Each has a small program under `crates/bench/peers/` with the same three words: `enqueue`, `work`,
//! `versions`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use posthaste_rig::process::Child;

use super::AT_ONCE;
use super::stage::Stage;
use super::system::Jobs;

/// One of the other systems.
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The word for `--only`, and its folder.
    pub(super) word: &'static str,
    /// The program, and its words before ours.
    command: Vec<String>,
}

impl Program {
    /// All of them, as installed in this folder.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let file = |name: &str| folder.join(name).display().to_string();
        vec![
            Self { name: "BullMQ", word: "bullmq", command: vec!["node".into(), file("bullmq/peer.js")] },
            Self {
                name: "Sidekiq",
                word: "sidekiq",
                command: vec!["/usr/bin/ruby".into(), file("sidekiq/peer.rb")],
            },
            Self {
                name: "Celery",
                word: "celery",
                command: vec![file("celery/venv/bin/python"), file("celery/peer.py")],
            },
            Self {
                name: "apalis",
                word: "apalis",
                command: vec![file("apalis/release/posthaste-bench-apalis")],
            },
        ]
    }

    /// What is measured, with versions.
    pub(super) fn versions(&self) -> anyhow::Result<String> {
        let what = || format!("{} does not start: run `make bench-peers`, which installs it", self.name);
        let output = Command::new(&self.command[0]).args(&self.command[1..]).arg("versions").output();
        let output = output.with_context(what)?;
        ensure!(output.status.success(), "{}: {}", what(), String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn start(&self, words: &[String]) -> anyhow::Result<Child> {
        let none: [(&str, &str); 0] = [];
        Ok(Child::spawn(&self.command[0], self.command[1..].iter().chain(words), none)?)
    }

    /// Puts jobs into its queue; returns the seconds it took, by its own clock, without its start.
    pub(super) async fn enqueue(&self, stage: &Stage, jobs: Jobs) -> anyhow::Result<f64> {
        let (first, span) = jobs.due.map_or((0, 0), |due| (due.first, due.span));
        let numbers = [jobs.count, jobs.from, first, span].map(|n| n.to_string());
        let words: Vec<_> = ["enqueue".into(), stage.socket()].into_iter().chain(numbers).collect();
        let child = self.start(&words)?;
        let deadline = Instant::now() + Duration::from_secs(600);
        while child.exit_status()?.is_none() {
            ensure!(Instant::now() < deadline, "{} is still enqueueing after 10 minutes", self.name);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ensure!(child.wait_exit()?.success(), "{}: {}", self.name, child.tail(20));
        let output = child.output()?;
        let seconds = output.lines().find_map(|line| line.strip_prefix("seconds "));
        Ok(seconds.with_context(|| format!("{} told no time: {output}", self.name))?.trim().parse()?)
    }

    /// Starts its worker.
    pub(super) fn work(&self, stage: &Stage) -> anyhow::Result<Child> {
        self.start(&["work".into(), stage.socket(), stage.nginx.url(), AT_ONCE.to_string()])
    }
}
