//! Health of the process: named checks, shown by `/livez` and `/readyz`.
//!
//! Ready: every check passes. Alive: no check marked *vital* has failed. Mark a check as vital only if a restart would fix it.
//! The time is an argument everywhere.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// Creates checks.
#[derive(Debug)]
pub enum Check {}

impl Check {
    /// Work that must succeed regularly. Passes while the last success is at most `max_age` old; fails before the first.
    pub fn progress(name: &'static str, max_age: Duration) -> Progress {
        Progress(Watched::new(name, State::Progress { max_age, made: Mutex::new(None) }))
    }

    /// Something that either holds or not. Fails until it is reported to hold.
    pub fn condition(name: &'static str) -> Condition {
        Condition(Watched::new(name, State::Condition(Mutex::new(Err(Cow::Borrowed("not checked yet"))))))
    }
}

/// A handle to a progress check; clones refer to the same check.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Watched>);

/// A handle to a condition; clones refer to the same check.
#[derive(Debug, Clone)]
pub struct Condition(Arc<Watched>);

/// A check as the registry sees it.
#[derive(Debug)]
pub struct Watched {
    name: &'static str,
    vital: AtomicBool,
    since: Mutex<Option<Instant>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Progress {
        max_age: Duration,
        made: Mutex<Option<Instant>>,
    },
    /// It holds, perhaps with a note, or why it does not.
    Condition(Mutex<Result<Option<Cow<'static, str>>, Cow<'static, str>>>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each lock guards a plain value, which stays valid even if a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    fn new(name: &'static str, state: State) -> Arc<Self> {
        Arc::new(Self { name, vital: AtomicBool::new(false), since: Mutex::new(None), state })
    }

    fn report(&self, now: Instant) -> (CheckReport, bool) {
        let vital = self.vital.load(Ordering::Relaxed);
        let mut note = None;
        let (why, age, failed) = match &self.state {
            State::Condition(state) => {
                let why = match &*lock(state) {
                    Ok(remark) => {
                        note = remark.as_ref().map(ToString::to_string);
                        None
                    }
                    Err(why) => Some(why.to_string()),
                };
                let failed = why.is_some();
                (why, None, failed)
            }
            State::Progress { max_age, made } => {
                let made = *lock(made);
                let age = made.map(|made| now.saturating_duration_since(made));
                let why = match age {
                    None => Some("no progress yet".to_owned()),
                    Some(age) if age > *max_age => Some(format!(
                        "no progress for {} ms (allowed: {} ms)",
                        age.as_millis(),
                        max_age.as_millis()
                    )),
                    Some(_) => None,
                };
                // Work that has not started is not stuck: until the first success the age counts from when the check was added.
                let begin = made.or(*lock(&self.since)).unwrap_or(now);
                (why, age, now.saturating_duration_since(begin) > *max_age)
            }
        };
        let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        (CheckReport { name: self.name, ok: why.is_none(), vital, why, note, age_ms }, vital && failed)
    }
}

impl Progress {
    /// Marks the check as vital: if it fails, the process is reported as not alive.
    #[must_use]
    pub fn vital(self) -> Self {
        self.0.vital.store(true, Ordering::Relaxed);
        self
    }

    /// Whether the work has succeeded at least once.
    pub fn has_begun(&self) -> bool {
        matches!(&self.0.state, State::Progress { made, .. } if lock(made).is_some())
    }

    /// Records that the work succeeded at `now`.
    pub fn made(&self, now: Instant) {
        if let State::Progress { made, .. } = &self.0.state {
            let mut made = lock(made);
            // Two tasks may report out of order; progress never goes back.
            *made = (*made).max(Some(now));
        }
    }
}

impl Condition {
    /// Marks the check as vital: while it does not hold, the process is reported as not alive.
    #[must_use]
    pub fn vital(self) -> Self {
        self.0.vital.store(true, Ordering::Relaxed);
        self
    }

    /// Reports that the condition holds.
    pub fn ok(&self) {
        self.set(Ok(None));
    }

    /// Reports that the condition holds, with a note about a remaining problem. Anyone can read the text: no address,
    /// no secret.
    pub fn ok_but(&self, note: impl Into<Cow<'static, str>>) {
        self.set(Ok(Some(note.into())));
    }

    /// Reports that the condition does not hold, and why. Anyone can read the text: no address, no secret.
    pub fn failed(&self, why: impl Into<Cow<'static, str>>) {
        self.set(Err(why.into()));
    }

    fn set(&self, to: Result<Option<Cow<'static, str>>, Cow<'static, str>>) {
        if let State::Condition(state) = &self.0.state {
            *lock(state) = to;
        }
    }
}

impl From<&Progress> for Arc<Watched> {
    fn from(check: &Progress) -> Self {
        Arc::clone(&check.0)
    }
}

impl From<&Condition> for Arc<Watched> {
    fn from(check: &Condition) -> Self {
        Arc::clone(&check.0)
    }
}

/// The checks of a process; clones refer to the same registry.
#[derive(Debug, Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<Arc<Watched>>>>,
}

impl Health {
    /// A registry without checks: ready and alive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; a vital progress check ages from `now` on.
    pub fn watch(&self, check: impl Into<Arc<Watched>>, now: Instant) {
        let check = check.into();
        lock(&check.since).get_or_insert(now);
        lock(&self.checks).push(check);
    }

    /// The results of all checks at `now`, in the order they were added.
    pub fn report(&self, now: Instant) -> HealthReport {
        let mut report = HealthReport { live: true, ready: true, checks: Vec::new() };
        for check in lock(&self.checks).iter() {
            let (check, dead) = check.report(now);
            report.live &= !dead;
            report.add(check);
        }
        report
    }
}

/// The results of the checks of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HealthReport {
    /// No vital check has failed.
    pub live: bool,
    /// Every check passes.
    pub ready: bool,
    /// The result of each check.
    pub checks: Vec<CheckReport>,
}

impl HealthReport {
    /// Adds a check that only the caller knows.
    pub(crate) fn add(&mut self, check: CheckReport) {
        self.ready &= check.ok;
        self.checks.push(check);
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it passes.
    pub ok: bool,
    /// Whether the process is not alive if it fails.
    pub vital: bool,
    /// Why it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// A problem that exists although the check passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Milliseconds since the last progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(30);
    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn progress_passes_until_it_is_too_old() {
        let (health, start) = (Health::new(), Instant::now());
        let claims = Check::progress("claims", AGE);
        health.watch(&claims, start);
        assert!(!health.report(start).ready, "nothing is known before the first success");
        claims.made(start);
        assert!(health.report(start + AGE).ready);
        let stale = health.report(start + AGE + TICK);
        assert!(!stale.ready && stale.live, "{stale:?}");
        assert_eq!(stale.checks[0].why.as_deref(), Some("no progress for 30001 ms (allowed: 30000 ms)"));
        claims.made(start + AGE);
        claims.made(start);
        assert!(health.report(start + AGE + AGE).ready, "an older report does not undo progress");
    }

    #[test]
    fn only_vital_checks_decide_whether_the_process_is_alive() {
        let (health, start) = (Health::new(), Instant::now());
        let (redis, claims) = (Check::condition("redis"), Check::progress("claims", AGE).vital());
        health.watch(&redis, start);
        health.watch(&claims, start);
        redis.failed("no answer");
        assert!(health.report(start + AGE).live, "not started is not stuck");
        assert!(!health.report(start + AGE + TICK).live, "not started for too long is stuck");
        claims.made(start + AGE);
        let report = health.report(start + AGE + TICK);
        assert!(report.live && !report.ready);
        assert_eq!(report.checks[0].why.as_deref(), Some("no answer"));
        redis.ok_but("partition 3 is missing");
        let report = health.report(start + AGE + TICK);
        assert!(report.ready);
        assert_eq!(report.checks[0].note.as_deref(), Some("partition 3 is missing"));
        redis.ok();
        assert_eq!(health.report(start + AGE + TICK).checks[0].note, None);
    }

    #[test]
    fn with_a_vital_condition_that_does_not_hold_the_process_is_not_alive() {
        let (health, start) = (Health::new(), Instant::now());
        let storage = Check::condition("storage").vital();
        storage.ok();
        health.watch(&storage, start);
        assert!(health.report(start).live);
        storage.failed("wiped");
        assert!(!health.report(start).live);
    }
}
