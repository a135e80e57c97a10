//! What an error of the API means, by its code and by what it concerns. The rules are data, embedded from `answers.toml` and
//! documented there.

use std::time::Duration;

use posthaste_courier::http_request::LONGEST_WAIT;
use posthaste_courier::table::{self, Pattern};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The embedded table.
const TABLE: &str = include_str!("answers.toml");

/// Waits are limited to the range from this to [`LONGEST_WAIT`].
const SHORTEST: Duration = Duration::from_secs(1);

/// What an error concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// One peer, in the result of a call.
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

/// The action for an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VkErrorAction {
    /// The channel pauses.
    Wait,
    /// Send again in two halves.
    Split,
    /// Send again one by one.
    Apart,
    /// Check the token.
    Look,
    /// Try again later.
    Retry,
    /// The message may have been sent.
    Unknown,
    /// The message failed.
    Reject,
    /// The message failed, and so will all others to this peer.
    Suppress,
    /// Operator action required: the channel stops.
    Stop,
}

/// What the table says about one error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VkErrorVerdict<'a> {
    /// The action.
    pub meaning: VkErrorAction,
    /// How long to wait before it.
    pub after: Option<Duration>,
    /// What the operator has to fix, for [`VkErrorAction::Stop`].
    pub says: &'a str,
    /// The reason stored in the history.
    pub reason: Reason,
    /// Whether requests hold fewer calls from now on.
    pub shrink: bool,
    /// Whether it is logged as an error.
    pub alarm: bool,
}

impl VkErrorVerdict<'_> {
    /// How long the channel pauses, for [`VkErrorAction::Wait`].
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.after.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST_WAIT)
    }
}

/// A rule for errors, by code and what they concern, or for answers, by status.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    code: Vec<Pattern>,
    #[serde(default)]
    at: Vec<About>,
    #[serde(default)]
    status: Vec<Pattern>,
    means: VkErrorAction,
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

/// The rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VkRules {
    rule: Vec<Rule>,
    status: Vec<Rule>,
}

/// A table that can't be parsed: a bug in the program.
#[derive(Debug, thiserror::Error)]
#[error("the embedded table of VK answers is invalid; this is a bug")]
pub struct BadVkRules(#[from] toml::de::Error);

impl VkRules {
    /// Parses the embedded table.
    ///
    /// # Errors
    /// [`BadVkRules`].
    pub fn embedded() -> Result<Self, BadVkRules> {
        Ok(toml::from_str(TABLE)?)
    }

    /// What an error of this code means.
    #[must_use]
    pub fn judge(&self, code: u32, about: About) -> VkErrorVerdict<'_> {
        let of_code = u16::try_from(code).ok().and_then(Reason::of_provider);
        let reason = of_code.unwrap_or(Reason::InvalidProviderResponse);
        self.rule.iter().find(|rule| rule.fits(code, about)).map_or(NOBODY_KNOWS, |rule| rule.verdict(reason))
    }

    /// What an answer means that does not come from the API.
    #[must_use]
    pub fn judge_status(&self, status: u16, retry_after: Option<Duration>) -> VkErrorVerdict<'_> {
        let found = self.status.iter().find(|rule| table::fits(&rule.status, u32::from(status)));
        let mut verdict = found.map_or(NOBODY_KNOWS, |rule| rule.verdict(Reason::InvalidProviderResponse));
        verdict.after = retry_after.or(verdict.after);
        verdict
    }

    /// Whether a rule names this code.
    #[must_use]
    pub fn names(&self, code: u32) -> bool {
        self.rule.iter().any(|rule| rule.code.iter().any(|pattern| pattern.fits(code)))
    }
}

/// The verdict if no rule matches.
const NOBODY_KNOWS: VkErrorVerdict<'static> = VkErrorVerdict {
    meaning: VkErrorAction::Unknown,
    after: None,
    says: "",
    reason: Reason::InvalidProviderResponse,
    shrink: false,
    alarm: false,
};

impl Rule {
    fn fits(&self, code: u32, about: About) -> bool {
        (self.at.is_empty() || self.at.contains(&about)) && table::fits(&self.code, code)
    }

    fn verdict(&self, otherwise: Reason) -> VkErrorVerdict<'_> {
        VkErrorVerdict {
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
