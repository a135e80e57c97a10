//! What `posthaste doctor` finds.

use console::style;
use serde::Serialize;

use crate::failure::{Failure, Kind};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FindingLevel {
    /// It works.
    Good,
    /// It works, but may surprise.
    Note,
    /// It does not work.
    Bad,
}

/// One finding.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) level: FindingLevel,
    /// What was checked.
    pub(super) what: String,
    /// What was found.
    pub(super) found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    /// The exit code if it is bad.
    #[serde(skip)]
    pub(super) kind: Kind,
}

/// The findings so far.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// All findings, in the order they were made.
    pub(super) fn into_list(self) -> Vec<Finding> {
        self.0
    }

    /// Adds a finding.
    pub(super) fn say(&mut self, level: FindingLevel, what: &str, found: impl Into<String>) {
        self.0.push(Finding {
            level,
            what: what.into(),
            found: found.into(),
            remedy: None,
            kind: Kind::Error,
        });
    }

    /// Adds a failure.
    pub(super) fn bad(&mut self, what: &str, failure: &Failure) {
        let mut lines = failure.lines().into_iter();
        let found = lines.next().unwrap_or_default();
        let remedy: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        let remedy = (!remedy.is_empty()).then(|| remedy.join("\n"));
        self.0.push(Finding {
            level: FindingLevel::Bad,
            what: what.into(),
            found,
            remedy,
            kind: failure.kind(),
        });
    }

    /// Adds a note with what to do about it.
    pub(super) fn note(&mut self, what: &str, found: impl Into<String>, remedy: impl Into<String>) {
        self.say(FindingLevel::Note, what, found);
        if let Some(last) = self.0.last_mut() {
            last.remedy = Some(remedy.into());
        }
    }
}

impl FindingLevel {
    /// The word for programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }

    /// The sign for people.
    pub(super) fn sign(self) -> String {
        match self {
            Self::Good => style("✔").green().to_string(),
            Self::Note => style("!").yellow().to_string(),
            Self::Bad => style("✖").red().to_string(),
        }
    }
}
