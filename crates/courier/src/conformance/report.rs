//! What the suite tells: what was checked, what the provider could not show, or what failed.

use std::fmt;

use posthaste_store::{AcceptError, CallError, ConnectError};

use super::bench::Behaviour;
use crate::run::RunError;

/// What was checked, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Every check that was made and passed.
    pub checked: Vec<String>,
    /// What the provider could not show, and why.
    pub not_shown: Vec<(Behaviour, &'static str)>,
}

impl Report {
    pub(super) fn passed(&mut self, check: impl Into<String>) {
        self.checked.push(check.into());
    }

    pub(super) fn lacks(&mut self, behaviour: Behaviour, why: &'static str) {
        if !self.not_shown.iter().any(|(known, _)| *known == behaviour) {
            self.not_shown.push((behaviour, why));
        }
    }

    /// Adds what another half found.
    pub(super) fn join(&mut self, other: Self) {
        self.checked.extend(other.checked);
        for (behaviour, why) in other.not_shown {
            self.lacks(behaviour, why);
        }
    }
}

impl fmt::Display for Report {
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

/// A transport that is not what the contract says, or a suite that could not run.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Correct the transport.
    #[error("{check}: {what}")]
    Broken {
        /// What was checked.
        check: String,
        /// What was wrong.
        what: String,
    },
    /// Correct the bench: it does not do what it promises.
    #[error("the bench is at fault: {0}")]
    Bench(String),
    /// The server of the second half can't be used.
    #[error("no store")]
    Connect(#[from] ConnectError),
    /// A call of the second half failed.
    #[error("a call to the server failed")]
    Call(#[from] CallError),
    /// An order of the second half was not accepted.
    #[error("an order was not accepted")]
    Accept(#[from] AcceptError),
    /// The courier of the second half ended by itself.
    #[error("the courier ended by itself")]
    Courier(#[from] RunError),
}

impl Failure {
    pub(super) fn broken(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Broken { check: check.into(), what: what.into() }
    }
}
