//! The troubles of each server, logged once when they begin, again while they last, and once when they end.
//!
//! A prober ([`probe`]) checks every server once a second and whenever a call failed, so a state is known even while
//! there are no calls. Calls only count themselves and report slowness; none of them writes a log line. A state that
//! ends for less than three seconds counts as one that lasted.

mod kept;
pub(crate) mod loading;
pub(crate) mod look;
pub(crate) mod probe;
mod server_trouble;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use kept::LOG_EVERY;
use kept::{Kept, Line, tell};
pub use server_trouble::ServerTrouble;

use crate::cause::Cause;
use crate::error::{CallError, NoReplyCause};
use crate::preflight::report::{PreflightReport, Severity};
use crate::redis_state::{RedisState, Work};
use crate::retryable::Retryable;

/// An answer that takes this long is slow.
pub(crate) const SLOW: Duration = Duration::from_millis(250);

/// The states of all servers of a store; clones share them.
#[derive(Debug, Clone)]
pub struct ServerTroubles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    shown: watch::Sender<Vec<ServerTrouble>>,
    /// Tells the prober to check now.
    wake: Notify,
    /// Whether some write was not confirmed, so that a confirmed write need not take the lock.
    unconfirmed: AtomicBool,
}

impl Default for ServerTroubles {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerTroubles {
    /// No states yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            shown: watch::Sender::new(Vec::new()),
            wake: Notify::new(),
            unconfirmed: AtomicBool::new(false),
        }))
    }

    /// The current states, the most serious first, as they change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<ServerTrouble>> {
        self.0.shown.subscribe()
    }

    /// The most serious state that prevents this work at every server; in a cluster, one working server is enough.
    #[must_use]
    pub fn preventing(&self, work: Work) -> Option<ServerTrouble> {
        let kept = self.lock();
        let shown = kept.shown();
        let mut found = shown.iter().filter(|trouble| trouble.state.prevents(work));
        let prevented =
            |node: &Arc<str>| shown.iter().any(|one| one.node == *node && one.state.prevents(work));
        if kept.nodes.iter().all(prevented) { found.next().cloned() } else { None }
    }

    /// Calls `tell` with the most serious state that prevents this work, now and whenever it changes, for as long as
    /// the future is polled.
    pub async fn follow(&self, work: Work, mut tell: impl FnMut(Option<ServerTrouble>)) -> Infallible {
        let mut changes = self.watch();
        loop {
            changes.mark_unchanged();
            tell(self.preventing(work));
            if changes.changed().await.is_err() {
                // Cannot happen: the sender lives as long as this value.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sets the current servers. States found by the prober at any other server have ended.
    pub(crate) fn nodes(&self, nodes: Vec<Arc<str>>) {
        self.change(|kept| {
            for node in nodes.iter().filter(|node| !kept.nodes.contains(node)) {
                // So that the gauges of a new server exist before anything happens.
                for state in RedisState::ALL {
                    gauge(node, *state, kept.lasts(node, *state));
                }
            }
            kept.keep_only(nodes, Instant::now());
            Vec::new()
        });
    }

    /// A state of a server begins, or lasts with other figures.
    pub(crate) fn begin(&self, node: &Arc<str>, state: RedisState, detail: Option<String>) {
        self.change(|kept| kept.begin(node, state, detail, Instant::now()));
    }

    /// A state of a server has ended, if it lasted.
    pub(crate) fn end(&self, node: &Arc<str>, state: RedisState) {
        self.change(|kept| kept.end(node, |one| one == state, Instant::now()));
    }

    /// The findings of one check of a server. They are complete, so every visible state that is missing has ended.
    pub(crate) fn saw(&self, node: &Arc<str>, found: Vec<(RedisState, Option<String>)>) {
        let now = Instant::now();
        self.change(|kept| {
            if found.is_empty() {
                kept.lost = None;
            }
            kept.end(node, |state| state.is_seen() && found.iter().all(|(one, _)| *one != state), now);
            found.into_iter().flat_map(|(state, detail)| kept.begin(node, state, detail, now)).collect()
        });
    }

    /// Takes the result of preflight for a connection: unsuitable settings are a state.
    pub(crate) fn judged(&self, node: &Arc<str>, report: &PreflightReport) {
        let unfit: Vec<&str> = report
            .lines
            .iter()
            // A replica is a state of its own, found by every check.
            .filter(|line| line.level == Severity::Refuse && line.topic != "role")
            .map(|line| line.text.as_str())
            .collect();
        if unfit.is_empty() {
            self.end(node, RedisState::Unsuitable);
        } else {
            self.begin(node, RedisState::Unsuitable, Some(unfit.join("; ")));
        }
        self.look_now();
    }

    /// A call failed: counts it, and has the servers checked now.
    pub(crate) fn failed(&self, error: &CallError) {
        let state = match error {
            CallError::Retryable { why } => RedisState::of(*why),
            CallError::NoReply(NoReplyCause::NotConnected | NoReplyCause::Connection(_)) => {
                Some(RedisState::Away)
            }
            CallError::NoReply(NoReplyCause::OnTheMove) => RedisState::of(Retryable::Moving),
            CallError::NotDurable => Some(RedisState::Unconfirmed),
            CallError::Fatal(_) | CallError::InvalidReply(_) => None,
        };
        let Some(state) = state else { return };
        metrics::counter!("posthaste_redis_calls_failed_total", "state" => state.word()).increment(1);
        self.lock().count(state);
        self.look_now();
    }

    /// A connection was lost, or could not be made.
    pub(crate) fn lost(&self, error: &fred::error::Error) {
        self.lock().lost = Some(Cause::of(error));
        self.look_now();
    }

    /// The state of a server that has no connection.
    pub(crate) fn why_lost(&self) -> (RedisState, Option<String>) {
        match &self.lock().lost {
            Some(cause @ Cause::AccessDenied(_)) => (RedisState::AccessDenied, Some(cause.to_string())),
            Some(Cause::Refuses(why)) => (RedisState::of(*why).unwrap_or(RedisState::Away), None),
            cause => (RedisState::Away, cause.as_ref().map(ToString::to_string)),
        }
    }

    /// An answer of a server took this long.
    pub(crate) fn took(&self, node: &Arc<str>, span: Duration) {
        if span >= SLOW {
            let detail = Some(format!("an answer took {} ms", span.as_millis()));
            self.change(|kept| kept.slow(node, detail, Instant::now()));
        }
    }

    /// Whether a write of a server was confirmed by disk or replica.
    pub(crate) fn confirmed(&self, node: &Arc<str>, confirmed: bool) {
        if !confirmed {
            self.0.unconfirmed.store(true, Ordering::Release);
            self.begin(node, RedisState::Unconfirmed, None);
        } else if self.0.unconfirmed.load(Ordering::Acquire) {
            self.0.unconfirmed.store(false, Ordering::Release);
            self.end(node, RedisState::Unconfirmed);
        }
    }

    /// Whether a state of a server lasts.
    pub(crate) fn lasts(&self, node: &Arc<str>, state: RedisState) -> bool {
        self.lock().lasts(node, state)
    }

    /// Tells the prober to check the servers now.
    pub(crate) fn look_now(&self) {
        self.0.wake.notify_one();
    }

    /// Waits until a check is requested.
    pub(crate) async fn requested(&self) {
        self.0.wake.notified().await;
    }

    /// Logs what lasts and what has ended, when it is due. Called about once a second.
    pub(crate) fn tick(&self) {
        self.change(|kept| kept.tick(Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the kept states, publishes them, and writes the resulting log lines.
    fn change(&self, change: impl FnOnce(&mut Kept) -> Vec<Line>) {
        let mut kept = self.lock();
        let lines = change(&mut kept);
        let shown = kept.shown();
        self.0.shown.send_if_modified(|before| {
            for trouble in before.iter().filter(|one| !lasts(&shown, one)) {
                gauge(&trouble.node, trouble.state, false);
            }
            for trouble in shown.iter().filter(|one| !lasts(before, one)) {
                gauge(&trouble.node, trouble.state, true);
            }
            let changed = *before != shown;
            *before = shown;
            changed
        });
        drop(kept);
        for line in lines {
            tell(line);
        }
    }
}

fn lasts(shown: &[ServerTrouble], trouble: &ServerTrouble) -> bool {
    shown.iter().any(|one| one.node == trouble.node && one.state == trouble.state)
}

fn gauge(node: &Arc<str>, state: RedisState, lasts: bool) {
    metrics::gauge!("posthaste_redis_state", "state" => state.word(), "node" => node.to_string())
        .set(f64::from(u8::from(lasts)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_kept_apart_and_the_most_serious_state_comes_first() {
        let troubles = ServerTroubles::new();
        let (one, two): (Arc<str>, Arc<str>) = (Arc::from("a:1"), Arc::from("b:2"));
        troubles.nodes(vec![Arc::clone(&one), Arc::clone(&two)]);
        troubles.begin(&one, RedisState::Slow, None);
        troubles.saw(&two, vec![(RedisState::MemoryFull, Some("used 1 of 1".to_owned()))]);
        troubles.failed(&CallError::Retryable { why: Retryable::Memory });
        let shown: Vec<_> =
            troubles.watch().borrow().iter().map(|one| (one.node.to_string(), one.state)).collect();
        assert_eq!(shown, [("b:2".to_owned(), RedisState::MemoryFull), ("a:1".to_owned(), RedisState::Slow)]);
        assert_eq!(troubles.preventing(Work::Accept), None, "the other server still stores its orders");
        troubles.begin(&one, RedisState::Away, None);
        assert_eq!(troubles.preventing(Work::Deliver), None);
        troubles.nodes(vec![Arc::clone(&two)]);
        let full = troubles.preventing(Work::Accept).unwrap();
        assert!(
            full.text().starts_with("Redis at b:2 has no memory left (used 1 of 1). New orders"),
            "{full:?}"
        );
        troubles.begin(&two, RedisState::Slow, None);
        troubles.saw(&two, Vec::new());
        assert!(troubles.lasts(&two, RedisState::Slow), "a check does not show slowness");
        assert!(!troubles.lasts(&one, RedisState::Away), "a removed server is not checked");
        assert_eq!(troubles.preventing(Work::Accept), None);
    }
}
