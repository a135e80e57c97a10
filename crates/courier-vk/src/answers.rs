//! What an error of the API means, by its code and by what it is about. The table is data: `answers.toml`, embedded and documented
//! there.

use std::time::Duration;

use posthaste_courier::exchange::LONGEST_WAIT;
use posthaste_courier::table::{self, Pattern};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The table inside the program.
const TABLE: &str = include_str!("answers.toml");

/// Waits are obeyed between this and [`LONGEST_WAIT`].
const SHORTEST: Duration = Duration::from_secs(1);

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// One peer, told in the result of a call.
    Peer,
    /// A call that went to one peer only.
    One,
    /// A call that went to several peers.
    Many,
    /// The whole request.
    Request,
}

impl About {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Peer, Self::One, Self::Many, Self::Request];
}

/// What is done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// The channel pauses.
    Wait,
    /// Again in two halves.
    Split,
    /// Again one by one.
    Apart,
    /// The token is looked at.
    Look,
    /// Try again later.
    Retry,
    /// It may have been sent.
    Unknown,
    /// The message failed.
    Reject,
    /// The message failed, and so will all others to this peer.
    Suppress,
    /// Somebody has to mend something.
    Stop,
}

/// A rule of the table, for one error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What is done.
    pub meaning: Meaning,
    /// After how long.
    pub after: Option<Duration>,
    /// What somebody has to mend, of [`Meaning::Stop`].
    pub says: &'a str,
    /// The word in the history.
    pub reason: Reason,
    /// Whether fewer calls go in a request from now on.
    pub shrink: bool,
    /// Whether it is told in the log.
    pub alarm: bool,
}

impl Verdict<'_> {
    /// How long the channel pauses, of [`Meaning::Wait`].
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.after.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST_WAIT)
    }
}

/// A rule, for errors by code and what they are about, or for answers by their status.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    code: Vec<Pattern>,
    #[serde(default)]
    at: Vec<About>,
    #[serde(default)]
    status: Vec<Pattern>,
    means: Meaning,
    after: Option<HumanDuration>,
    #[serde(default)]
    says: String,
    #[serde(default, deserialize_with = "table::read_reason")]
    reason: Option<Reason>,
    #[serde(default)]
    shrink: bool,
    #[serde(default)]
    alarm: bool,
}

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    rule: Vec<Rule>,
    status: Vec<Rule>,
}

/// A table that can't be used: a mistake in the program.
#[derive(Debug, thiserror::Error)]
#[error("the table of answers can't be read")]
pub struct BadTable(#[from] toml::de::Error);

impl Answers {
    /// The table inside the program.
    ///
    /// # Errors
    /// [`BadTable`].
    pub fn embedded() -> Result<Self, BadTable> {
        Ok(toml::from_str(TABLE)?)
    }

    /// What an error of this code means.
    #[must_use]
    pub fn judge(&self, code: u32, about: About) -> Verdict<'_> {
        let of_code = u16::try_from(code).ok().and_then(|code| code.checked_add(1000));
        let reason = of_code.map_or(Reason::BadAnswer, Reason::from_code);
        self.rule.iter().find(|rule| rule.fits(code, about)).map_or(NOBODY_KNOWS, |rule| rule.verdict(reason))
    }

    /// What an answer means that is none of the API.
    #[must_use]
    pub fn judge_status(&self, status: u16, retry_after: Option<Duration>) -> Verdict<'_> {
        let found = self.status.iter().find(|rule| table::fits(&rule.status, u32::from(status)));
        let mut verdict = found.map_or(NOBODY_KNOWS, |rule| rule.verdict(Reason::BadAnswer));
        verdict.after = retry_after.or(verdict.after);
        verdict
    }

    /// Whether a rule names this code.
    #[must_use]
    pub fn names(&self, code: u32) -> bool {
        self.rule.iter().any(|rule| rule.code.iter().any(|pattern| pattern.fits(code)))
    }
}

/// What no rule is for.
const NOBODY_KNOWS: Verdict<'static> = Verdict {
    meaning: Meaning::Unknown,
    after: None,
    says: "",
    reason: Reason::BadAnswer,
    shrink: false,
    alarm: false,
};

impl Rule {
    fn fits(&self, code: u32, about: About) -> bool {
        (self.at.is_empty() || self.at.contains(&about)) && table::fits(&self.code, code)
    }

    fn verdict(&self, otherwise: Reason) -> Verdict<'_> {
        Verdict {
            meaning: self.means,
            after: self.after.map(HumanDuration::get),
            says: &self.says,
            reason: self.reason.unwrap_or(otherwise),
            shrink: self.shrink,
            alarm: self.alarm,
        }
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
