//! What preflight found, line by line.

use std::fmt;

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be seen.
    Unseen,
    /// It works, but later or less safely than it could.
    Warn,
    /// Messages would be lost.
    Refuse,
}

impl Level {
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
pub struct Line {
    /// What it means.
    pub level: Level,
    /// What was looked at, as the server names it.
    pub topic: &'static str,
    /// What was found, and what to do about it.
    pub text: String,
}

/// All findings; of a cluster those of each server, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// In the order they were looked at.
    pub lines: Vec<Line>,
}

impl Report {
    pub(crate) fn say(&mut self, level: Level, topic: &'static str, text: impl Into<String>) {
        self.lines.push(Line { level, topic, text: text.into() });
    }

    /// The worst of all findings.
    #[must_use]
    pub fn worst(&self) -> Level {
        self.lines.iter().map(|line| line.level).max().unwrap_or(Level::Ok)
    }

    /// The worst finding about one thing; `None` when it was not looked at.
    #[must_use]
    pub fn level_of(&self, topic: &str) -> Option<Level> {
        self.lines.iter().filter(|line| line.topic == topic).map(|line| line.level).max()
    }

    /// Writes what is not as it should be into the log.
    pub(crate) fn log(&self) {
        for line in &self.lines {
            match line.level {
                Level::Ok => tracing::debug!(topic = line.topic, "{}", line.text),
                Level::Unseen => tracing::info!(topic = line.topic, "not seen: {}", line.text),
                Level::Warn => tracing::warn!(topic = line.topic, "{}", line.text),
                Level::Refuse => tracing::error!(topic = line.topic, "{}", line.text),
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.lines.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{:6} {}: {}", line.level.word(), line.topic, line.text)?;
        }
        Ok(())
    }
}
