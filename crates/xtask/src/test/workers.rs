//! Runs test programs side by side.

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use super::{count, follow};
use crate::counts::Counts;
use crate::shell::say;

/// How many test programs run at once. Most of them wait for servers most of the time; more than two would make those
/// that measure waiting times wait for a processor.
const WORKERS: usize = 2;

/// A test program to run, and the line that announces its output.
pub(super) struct Job {
    pub(super) title: String,
    pub(super) command: Command,
}

/// Runs the jobs in their order, [`WORKERS`] at a time. The output of each is shown in one piece when it has ended.
pub(super) fn run(jobs: Vec<Job>, counts: &mut Counts) -> Result<()> {
    run_with(jobs, counts, say)
}

fn run_with(jobs: Vec<Job>, counts: &mut Counts, show: impl Fn(&str) + Sync) -> Result<()> {
    let waiting = Mutex::new(jobs.into_iter());
    let sum = Mutex::new(&mut *counts);
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(mut job) = next else { return Ok(()) };
                let mut lines = Vec::new();
                let outcome = follow(&mut job.command, |line| lines.push(line.to_owned()))?;
                let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                show(&job.title);
                lines.iter().for_each(|line| show(line));
                count(&mut sum, outcome);
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(title: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { title: title.to_owned(), command }
    }

    /// The closing line of a test program. Not written as a whole, because this test's output is counted as well.
    fn closing(passed: u32, failed: u32) -> String {
        format!("printf 'a\\ntest %s: x. {passed} passed; {failed} failed; 0 ignored; x\\n' result")
    }

    #[test]
    fn every_job_is_run_counted_and_shown_in_one_piece() {
        let jobs = (0..5).map(|n| job(&format!("job {n}"), &closing(2, u32::from(n == 3)))).collect();
        let (mut counts, shown) = (Counts::default(), Mutex::new(Vec::new()));
        run_with(jobs, &mut counts, |line| shown.lock().unwrap().push(line.to_owned())).unwrap();
        assert_eq!(counts, Counts { passed: 10, failed: 1, ignored: 0 });
        let shown = shown.into_inner().unwrap();
        let mut titles: Vec<_> = shown.iter().step_by(3).cloned().collect();
        titles.sort();
        assert_eq!(titles, ["job 0", "job 1", "job 2", "job 3", "job 4"]);
        assert_eq!(shown.len(), 15);
    }

    #[test]
    fn a_job_that_does_not_finish_is_a_failure_and_one_that_cannot_start_an_error() {
        let mut counts = Counts::default();
        run_with(vec![job("killed", "kill -9 $$")], &mut counts, |_| {}).unwrap();
        assert_eq!(counts, Counts { passed: 0, failed: 1, ignored: 0 });
        let missing = Job { title: String::new(), command: Command::new("/nonexistent/program") };
        assert!(run_with(vec![missing], &mut counts, |_| {}).is_err());
    }
}
