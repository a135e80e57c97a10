//! The result of the suite: what was checked, what the provider could not show, or what failed.

use std::fmt;

use posthaste_store::{AcceptError, CallError, ConnectError};

use super::bench::Behaviour;
use crate::run::RunError;

/// The checks made, for people to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConformanceReport {
    /// Every check that passed.
    pub checked: Vec<String>,
    /// Behaviours the fake provider could not show, and why.
    pub not_shown: Vec<(Behaviour, &'static str)>,
}

impl ConformanceReport {
    pub(super) fn passed(&mut self, check: impl Into<String>) {
        self.checked.push(check.into());
    }

    pub(super) fn lacks(&mut self, behaviour: Behaviour, why: &'static str) {
        if !self.not_shown.iter().any(|(known, _)| *known == behaviour) {
            self.not_shown.push((behaviour, why));
        }
    }

    /// Adds the report of another half.
    pub(super) fn join(&mut self, other: Self) {
        self.checked.extend(other.checked);
        for (behaviour, why) in other.not_shown {
            self.lacks(behaviour, why);
        }
    }
}

impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checked {
            writeln!(f, "checked: {check}")?;
        }
        for (behaviour, why) in &self.not_shown {
            writeln!(f, "the provider could not show: {behaviour} ({why})")?;
        }
        Ok(())
    }
}

/// A transport that violates the contract, or a suite that could not run.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceFailure {
    /// The transport violates the contract.
    #[error("{check}: {what}")]
    Broken {
        /// What was checked.
        check: String,
        /// What was wrong.
        what: String,
    },
    /// The bench does not behave as required.
    #[error("the test bench is wrong: {0}")]
    Bench(String),
    /// The server for the second half is unusable.
    #[error("cannot connect to the server")]
    Connect(#[from] ConnectError),
    /// A call to the server failed in the second half.
    #[error("a call to the server failed")]
    Call(#[from] CallError),
    /// An order was not accepted in the second half.
    #[error("an order was not accepted")]
    Accept(#[from] AcceptError),
    /// The courier ended by itself in the second half.
    #[error("the courier ended by itself")]
    Courier(#[from] RunError),
}

impl ConformanceFailure {
    pub(super) fn broken(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Broken { check: check.into(), what: what.into() }
    }
}
