//! An exploration from beginning to end, and what it found.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::Explorer;
use super::scenario::Scenario;
use super::windows::Window;
use crate::Scripts;

/// How far an exploration goes. One with a limit proves nothing about what lies beyond it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Steps taken, at most; roughly, each thread looks only now and then.
    pub steps: Option<NonZeroUsize>,
    /// Time, at most.
    pub time: Option<Duration>,
    /// Threads; one if 0.
    pub threads: usize,
}

impl Limits {
    /// To the very end, on one thread.
    pub const NONE: Self = Self { steps: None, time: None, threads: 1 };
}

/// A broken property and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which property.
    pub property: &'static str,
    /// How it is broken.
    pub text: String,
    /// The steps that lead there from the beginning.
    pub steps: Vec<String>,
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was explored.
    pub name: String,
    /// States that differ.
    pub states: usize,
    /// Steps taken, also those that led to a state known before.
    pub steps: usize,
    /// Steps of the longest path.
    pub depth: usize,
    /// Databases that a healthy courier brought to their end.
    pub databases: usize,
    /// How often each window was entered.
    pub windows: BTreeMap<Window, u64>,
    /// The first broken property, if any.
    pub failure: Option<Failure>,
    /// Every reachable state was seen: there was no limit, and nothing was left.
    pub exhaustive: bool,
    /// How long it took.
    pub took: Duration,
}

/// Explores a scenario on some scripts until a property is broken, a limit is met, or nothing is left. Paths to what is
/// broken are the shortest when there is one thread.
#[must_use]
pub fn explore(scenario: Scenario, scripts: Scripts, limits: Limits) -> Report {
    let began = Instant::now();
    let name = scenario.to_string();
    let mut explorer = Explorer::new(scenario, scripts);
    explorer.until = limits.time.map(|time| began + time);
    let counts = Arc::clone(&explorer.counts);
    let mut builder =
        explorer.checker().threads(limits.threads.max(1)).finish_when(HasDiscoveries::AnyFailures);
    if let Some(steps) = limits.steps {
        builder = builder.target_state_count(steps.get());
    }
    let checker = builder.spawn_bfs().join();
    let failure = checker.discoveries().into_iter().next().map(|(property, path)| Failure {
        property,
        text: path.last_state().fault.as_ref().map(|fault| fault.text.clone()).unwrap_or_default(),
        steps: path.into_actions().iter().map(|action| format!("{action:?}")).collect(),
    });
    let limited = limits.steps.is_some() || limits.time.is_some();
    Report {
        name,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        databases: checker.model().databases(),
        windows: counts.entered(),
        exhaustive: !limited && failure.is_none() && checker.is_done(),
        failure,
        took: began.elapsed(),
    }
}

impl Report {
    /// Those of the windows that were not entered.
    #[must_use]
    pub fn missed(&self, windows: &[Window]) -> Vec<Window> {
        windows.iter().copied().filter(|window| !self.windows.contains_key(window)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (&self.failure, self.exhaustive) {
            (Some(_), _) => "broken",
            (None, true) => "exhaustive",
            (None, false) => "bounded",
        };
        write!(
            f,
            "{}: {how}, {} states, {} steps, depth {}, {} databases, {} windows, {:.1} s",
            self.name,
            self.states,
            self.steps,
            self.depth,
            self.databases,
            self.windows.len(),
            self.took.as_secs_f64()
        )?;
        self.failure.iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}\n  {}", self.property, self.text)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))
    }
}
