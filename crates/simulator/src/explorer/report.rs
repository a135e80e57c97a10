//! Runs an exploration and reports what it found.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::Explorer;
use super::coverage::Window;
use super::scenario::Scenario;
use crate::Scripts;

/// Limits of an exploration. One with a limit proves nothing about the unexplored rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExplorationLimits {
    /// Most steps; approximate, since each thread checks only now and then.
    pub steps: Option<NonZeroUsize>,
    /// Most time.
    pub time: Option<Duration>,
    /// Threads; 0 counts as 1.
    pub threads: usize,
}

impl ExplorationLimits {
    /// Complete, on one thread.
    pub const NONE: Self = Self { steps: None, time: None, threads: 1 };
}

/// A broken property and the path to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplorationFailure {
    /// The property.
    pub property: &'static str,
    /// How it is violated.
    pub text: String,
    /// The steps that lead there from the initial state.
    pub steps: Vec<String>,
}

/// The result of an exploration.
#[derive(Clone, Debug)]
pub struct ExplorationReport {
    /// What was explored.
    pub name: String,
    /// Number of distinct states.
    pub states: usize,
    /// Steps taken, including those that led to a known state.
    pub steps: usize,
    /// Length of the longest path.
    pub depth: usize,
    /// Databases that a healthy courier brought to their end.
    pub databases: usize,
    /// How often each window was entered.
    pub windows: BTreeMap<Window, u64>,
    /// The first broken property, if any.
    pub failure: Option<ExplorationFailure>,
    /// Every reachable state was seen: there was no limit, and nothing was left.
    pub exhaustive: bool,
    /// How long it took.
    pub took: Duration,
}

/// Explores a scenario with some scripts until a property is violated, a limit is reached, or nothing is left. With
/// one thread, the path to a violation is the shortest.
#[must_use]
pub fn explore(scenario: Scenario, scripts: Scripts, limits: ExplorationLimits) -> ExplorationReport {
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
    let failure = checker.discoveries().into_iter().next().map(|(property, path)| ExplorationFailure {
        property,
        text: path.last_state().fault.as_ref().map(|fault| fault.text.clone()).unwrap_or_default(),
        steps: path.into_actions().iter().map(|action| format!("{action:?}")).collect(),
    });
    let limited = limits.steps.is_some() || limits.time.is_some();
    ExplorationReport {
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

impl ExplorationReport {
    /// Those of the windows that were not entered.
    #[must_use]
    pub fn missed(&self, windows: &[Window]) -> Vec<Window> {
        windows.iter().copied().filter(|window| !self.windows.contains_key(window)).collect()
    }
}

impl fmt::Display for ExplorationReport {
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

impl fmt::Display for ExplorationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}\n  {}", self.property, self.text)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))
    }
}
