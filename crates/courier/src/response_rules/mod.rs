//! The classifier of providers' responses, one for all channels. A channel extracts a [`ProviderResponse`] from what its
//! provider answered; the first rule of the channel's table that matches says what to do about it. An [`Outcome`] follows
//! from that.
//!
//! Tables are TOML, one `[[rule]]` after another, embedded in the program or replaced by a file of the operator. A rule
//! applies if all of its conditions do; each is a list of which one entry has to fit:
//!
//! | key | condition |
//! | --- | --- |
//! | `at` | the stage or subject, in words of the channel |
//! | `status` | HTTP status, x for any digit; a receipt has none |
//! | `form` | `"coded"`: with a code of the provider; `"other"`: without |
//! | `code` | the provider's code, x for any digit |
//! | `enhanced` | enhanced code of a mail server, * for any number, `"none"` for a reply without one |
//! | `says` | the text contains it; case is ignored |
//!
//! `means` is the action, a word of [`ResponseAction`] or of the channel. The other keys are the fields of
//! [`Classification`]; `source` says where a rule is known from. Only keys that the channel uses are accepted; a
//! table of the channel documents them.
//!
//! [`Outcome`]: crate::Outcome

mod action;
mod pattern;
mod response;
mod rule;
#[cfg(test)]
mod tests;

use std::cell::LazyCell;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

use crate::provider_wait;

pub use action::{Classification, ResponseAction};
pub use pattern::{BadEntry, Pattern, fits};
pub use response::{EnhancedCode, ProviderResponse, TableWord};
use rule::Rule;

/// The keys of every table.
const KEYS: [&str; 6] = ["code", "says", "means", "after", "reason", "alarm"];
/// The largest file of rules.
const MOST_BYTES: u64 = 1 << 20;

/// An embedded table of a channel, and what its rules may say.
#[derive(Debug, Clone, Copy)]
pub struct RulesTable<P = Infallible> {
    /// Its name in errors.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The keys its rules may have besides `code`, `says`, `means`, `after`, `reason` and `alarm`.
    pub keys: &'static [&'static str],
    /// The reason stored if the rule names none.
    pub reason: fn(&ProviderResponse<'_, P>) -> Reason,
}

/// A table of rules is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseRulesError {
    /// The file is missing or not a text file.
    #[error("{0} can't be read: expected a text file of at most 1 MiB")]
    File(String),
    /// It does not have the documented format.
    #[error("{place}, line {line}: {why}")]
    Form {
        /// Which table.
        place: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A rule that contradicts itself.
    #[error("{place}, rule {rule}: {why} (line {line})")]
    Rule {
        /// Which table.
        place: String,
        /// Which rule, from 1.
        rule: usize,
        /// What is wrong.
        why: String,
        /// The line where the rule begins, from 1.
        line: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "S: TableWord, P: TableWord")]
struct File<S, P> {
    rule: Vec<toml::Spanned<Rule<S, P>>>,
}

/// The keys that each rule has.
#[derive(Deserialize)]
struct Keys {
    rule: Vec<toml::Table>,
}

/// The rules of a channel, ready to match. `S` are the channel's own actions, `P` its words for `at`.
#[derive(Debug)]
pub struct ResponseRules<S = Infallible, P = Infallible> {
    rules: Vec<Rule<S, P>>,
    reason: fn(&ProviderResponse<'_, P>) -> Reason,
}

impl<S: TableWord, P: TableWord> ResponseRules<S, P> {
    /// The embedded table.
    ///
    /// # Errors
    /// [`ResponseRulesError`]: a bug in the program.
    pub fn embedded(table: &RulesTable<P>) -> Result<Self, ResponseRulesError> {
        Self::parse(table.name, table.text, table)
    }

    /// The rules in a file, or those of the embedded table if no file is named.
    ///
    /// # Errors
    /// [`ResponseRulesError`].
    pub fn load(file: &str, table: &RulesTable<P>) -> Result<Self, ResponseRulesError> {
        if file.is_empty() {
            return Self::embedded(table);
        }
        let unreadable = || ResponseRulesError::File(file.to_owned());
        let size = Path::new(file).metadata().map_err(|_| unreadable())?;
        if !size.is_file() || size.len() > MOST_BYTES {
            return Err(unreadable());
        }
        Self::parse(file, &std::fs::read_to_string(file).map_err(|_| unreadable())?, table)
    }

    /// The rules in a text that replaces this table; `place` names the text in errors.
    ///
    /// # Errors
    /// [`ResponseRulesError`].
    pub fn parse(place: &str, text: &str, table: &RulesTable<P>) -> Result<Self, ResponseRulesError> {
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let misfit = |error: toml::de::Error| ResponseRulesError::Form {
            place: place.to_owned(),
            line: line(error.span().map_or(0, |span| span.start)),
            why: error.message().to_owned(),
        };
        let file: File<S, P> = toml::from_str(text).map_err(misfit)?;
        let keys: Keys = toml::from_str(text).map_err(misfit)?;
        for (at, (rule, keys)) in file.rule.iter().zip(&keys.rule).enumerate() {
            let foreign =
                keys.keys().find(|key| !KEYS.contains(&key.as_str()) && !table.keys.contains(&key.as_str()));
            let why = match foreign {
                Some(key) => Some(format!("{key} has no effect on this channel: remove it")),
                None => rule.get_ref().contradiction(table.keys.contains(&"cause")).map(str::to_owned),
            };
            if let Some(why) = why {
                let (place, line) = (place.to_owned(), line(rule.span().start));
                return Err(ResponseRulesError::Rule { place, rule: at + 1, why, line });
            }
        }
        let rules = file.rule.into_iter().map(|rule| rule.into_inner().compile()).collect();
        Ok(Self { rules, reason: table.reason })
    }

    /// Decides what to do about a response that does not accept the message, or a receipt that reports a failure. If no
    /// rule matches, the message may have been accepted.
    #[must_use]
    pub fn classify(&self, response: &ProviderResponse<'_, P>) -> Classification<'_, S> {
        let text = LazyCell::new(|| response.text.to_lowercase());
        let found = self.rules.iter().position(|rule| rule.matches(response, &|| text.as_str()));
        let Some((at, rule)) = found.and_then(|at| Some((at, self.rules.get(at)?))) else {
            return unmatched(response);
        };
        let after = response.wait.or(rule.after.map(HumanDuration::get));
        let spread = rule.spread.filter(|_| response.wait.is_none());
        Classification {
            rule: Some(at + 1),
            action: rule.means,
            after: after.map(provider_wait::capped),
            spread: spread.map(HumanDuration::get).unwrap_or_default(),
            strikes: rule.strikes,
            reason: rule.reason.unwrap_or_else(|| (self.reason)(response)),
            code: response.provider_code(),
            cause: &rule.cause,
            source: &rule.source,
            alarm: rule.alarm,
            policy: rule.policy,
            content: rule.content,
            elsewhere: rule.elsewhere,
            shrink: rule.shrink,
        }
    }

    /// Whether a rule names this code.
    #[must_use]
    pub fn names(&self, code: &str) -> bool {
        self.rules.iter().any(|rule| rule.names(code))
    }
}

fn unmatched<S, P>(response: &ProviderResponse<'_, P>) -> Classification<'static, S> {
    Classification {
        rule: None,
        action: ResponseAction::Unknown,
        after: None,
        spread: Duration::ZERO,
        strikes: None,
        // Without a status it is a receipt: the message was accepted, and has failed since.
        reason: if response.status.is_some() { Reason::InvalidProviderResponse } else { Reason::Undelivered },
        code: response.provider_code(),
        cause: "",
        source: "",
        alarm: false,
        policy: false,
        content: false,
        elsewhere: false,
        shrink: false,
    }
}
