//! The findings of preflight, one per line.

use std::fmt;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It could not be read.
    Unseen,
    /// It works, but later or less safely than it could.
    Warn,
    /// Messages would be lost.
    Refuse,
}

impl Severity {
    /// The word that begins the line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unseen => "unseen",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub level: Severity,
    /// What was checked, as the server names it.
    pub topic: &'static str,
    /// What was found, and what to do about it.
    pub text: String,
}

/// All findings; in a cluster, those of each server one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreflightReport {
    /// In the order of the checks.
    pub lines: Vec<Finding>,
}

impl PreflightReport {
    pub(crate) fn say(&mut self, level: Severity, topic: &'static str, text: impl Into<String>) {
        self.lines.push(Finding { level, topic, text: text.into() });
    }

    /// The most serious of all findings.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.lines.iter().map(|line| line.level).max().unwrap_or(Severity::Ok)
    }

    /// The most serious finding about one topic; `None` when it was not checked.
    #[must_use]
    pub fn level_of(&self, topic: &str) -> Option<Severity> {
        self.lines.iter().filter(|line| line.topic == topic).map(|line| line.level).max()
    }

    /// Logs the findings; what is not as it should be is logged above debug level.
    pub(crate) fn log(&self) {
        for line in &self.lines {
            match line.level {
                Severity::Ok => tracing::debug!(topic = line.topic, "{}", line.text),
                Severity::Unseen => tracing::info!(
                    event = "preflight.unverified",
                    topic = line.topic,
                    finding = line.text,
                    "preflight: not verified"
                ),
                Severity::Warn => tracing::warn!(
                    event = "preflight.warned",
                    topic = line.topic,
                    finding = line.text,
                    "preflight: works, but could be safer"
                ),
                Severity::Refuse => tracing::error!(
                    event = "preflight.refused",
                    topic = line.topic,
                    finding = line.text,
                    "preflight: this server would lose messages"
                ),
            }
        }
    }
}

impl fmt::Display for PreflightReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.lines.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{:6} {}: {}", line.level.word(), line.topic, line.text)?;
        }
        Ok(())
    }
}
