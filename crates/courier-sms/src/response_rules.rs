//! Decides what a response or a receipt means, by its HTTP status, its code and words in it. The rules are data that
//! an operator may replace: `twilio/answers.toml` and `gateway/answers.toml`, embedded and documented there.

use std::path::Path;
use std::time::Duration;

use posthaste_courier::http_request::{HttpAnswer, LONGEST_WAIT};
use posthaste_courier::table::{self, Pattern};
use posthaste_courier::{Outcome, SuppressAfter, ThrottleScope};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

use crate::sender_health::SenderHealth;

/// The wait for a rate limit if neither response nor rule names one.
const SHORTEST: Duration = Duration::from_secs(1);
/// The wait for a possibly broken sender if neither response nor rule names one.
const DOUBTED: Duration = Duration::from_secs(60);
/// The largest file of rules.
const MOST_BYTES: u64 = 1 << 20;

/// The content of a response or receipt that is looked up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    /// HTTP status; `None` for a receipt.
    pub(crate) status: Option<u16>,
    /// The provider's own code.
    pub(crate) code: Option<&'a str>,
    /// The text of the response. It may contain what was sent: never logged.
    pub(crate) text: &'a str,
    /// The header Retry-After.
    pub(crate) retry_after: Option<Duration>,
}

impl<'a> Said<'a> {
    /// The content of a response with this code.
    pub(crate) fn answer(answer: &'a HttpAnswer, code: Option<&'a str>) -> Self {
        let text = str::from_utf8(&answer.body).unwrap_or_default();
        Self { status: Some(answer.status), code, text, retry_after: answer.retry_after }
    }
}

/// The action taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Meaning {
    /// The whole channel waits.
    Wait,
    /// Try again later.
    Retry,
    /// The message failed.
    Reject,
    /// The message failed, and the number gets a strike.
    Strike,
    /// The message failed, and the number is suppressed.
    Suppress,
    /// Operator action required.
    Stop,
    /// The fault may be the number's or the sender's: try again later; if another number is rejected this way next,
    /// operator action is required.
    StopAtSecond,
    /// The message may have been accepted.
    Unknown,
}

/// What the rules say about one response or receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) meaning: Meaning,
    /// How long to wait, with [`Meaning::Wait`], [`Meaning::Retry`] and [`Meaning::StopAtSecond`]; at most
    /// [`LONGEST_WAIT`].
    pub(crate) after: Option<Duration>,
    /// Failures on different days after which the number is suppressed.
    pub(crate) strikes: Option<u8>,
    /// The reason stored in the history.
    pub(crate) reason: Reason,
    /// Whether it is logged as an error.
    pub(crate) alarm: bool,
    /// Whether it may be the sender's fault, which shows if there are many of this kind.
    pub(crate) policy: bool,
}

impl Verdict {
    /// The outcome of a message to this number. `who` names the provider if the channel stops.
    pub(crate) fn outcome(self, who: &str, said: Said<'_>, sender: &SenderHealth, number: &str) -> Outcome {
        let Self { after, reason, .. } = self;
        let stop = || Outcome::Stop(format!("{who} rejected the request ({})", named(said)));
        if let Some(by) = self.by_policy(who, said) {
            if let Some(why) = sender.refused(&by) {
                return Outcome::Stop(why);
            }
        } else if matches!(self.meaning, Meaning::Reject | Meaning::Strike | Meaning::Suppress) {
            sender.ended();
        }
        match self.meaning {
            Meaning::Wait => Outcome::Throttled {
                scope: ThrottleScope::Channel,
                wait: after.unwrap_or(SHORTEST).max(SHORTEST),
            },
            Meaning::Retry => Outcome::Retry { after, reason },
            Meaning::Reject => Outcome::Failed(reason),
            Meaning::Strike => Outcome::Strike { reason, of: self.strikes.unwrap_or(2) },
            Meaning::Suppress => Outcome::Suppressed(reason),
            Meaning::Stop => stop(),
            Meaning::StopAtSecond if sender.is_second(number) => stop(),
            Meaning::StopAtSecond => Outcome::Retry { after: after.or(Some(DOUBTED)), reason },
            Meaning::Unknown => Outcome::Unknown(reason),
        }
    }

    /// Provider and code of the rejection, if it may be the sender's fault.
    pub(crate) fn by_policy(self, who: &str, said: Said<'_>) -> Option<String> {
        self.policy.then(|| format!("{who} ({})", named(said)))
    }

    /// The reason stored for a receipt: the message has ended, so reasons to wait do not apply.
    pub(crate) fn late_reason(self) -> Reason {
        match self.reason {
            Reason::Throttled | Reason::ChannelStopped => Reason::Undelivered,
            reason => reason,
        }
    }

    /// Whether and when to suppress the number, if a receipt reports this failure.
    pub(crate) fn ban(self) -> Option<SuppressAfter> {
        match self.meaning {
            Meaning::Suppress => Some(SuppressAfter::Now),
            _ => self.strikes.map(SuppressAfter::After),
        }
    }
}

/// Whether this is a code. Providers write nothing or 0 if there is none.
pub(crate) fn is_code(text: &str) -> bool {
    !matches!(text, "" | "0")
}

/// Code or status in readable form.
pub(crate) fn named(said: Said<'_>) -> String {
    // A code is untrusted text.
    let code = said.code.filter(|code| code.len() <= 16 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
    match (code, said.status) {
        (Some(code), _) => code.to_owned(),
        (None, Some(status)) => format!("HTTP {status}"),
        (None, None) => "no code".to_owned(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

/// Whether a response must have a code of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Coded,
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    status: Vec<Pattern>,
    form: Option<Form>,
    #[serde(default)]
    code: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    means: Meaning,
    after: Option<HumanDuration>,
    strikes: Option<u8>,
    #[serde(default, deserialize_with = "table::read_reason")]
    reason: Option<Reason>,
    #[serde(default)]
    alarm: bool,
    #[serde(default)]
    policy: bool,
}

/// A file of response rules is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSmsRules {
    /// It is missing or not a text file.
    #[error("{0} can't be read: expected a text file of at most 1 MiB")]
    File(String),
    /// It does not have the documented format.
    #[error("{place}, line {line}: {why}")]
    Form {
        /// Which file.
        place: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A rule that contradicts itself.
    #[error("{place}, rule {rule}: {why}")]
    Rule {
        /// Which file.
        place: String,
        /// Which rule, from 1.
        rule: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// The response rules.
#[derive(Debug)]
pub(crate) struct Answers {
    rules: Vec<Rule>,
}

impl Answers {
    /// The rules in a file, or the embedded ones if no file is named.
    ///
    /// # Errors
    /// [`BadSmsRules`].
    pub(crate) fn load(file: &str, embedded: &str) -> Result<Self, BadSmsRules> {
        if file.is_empty() {
            return Self::parse("the embedded response rules", embedded);
        }
        let unreadable = || BadSmsRules::File(file.to_owned());
        let size = Path::new(file).metadata().map_err(|_| unreadable())?;
        if !size.is_file() || size.len() > MOST_BYTES {
            return Err(unreadable());
        }
        Self::parse(file, &std::fs::read_to_string(file).map_err(|_| unreadable())?)
    }

    fn parse(place: &str, text: &str) -> Result<Self, BadSmsRules> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            BadSmsRules::Form { place: place.to_owned(), line, why: error.message().to_owned() }
        })?;
        for (at, rule) in file.rule.iter().enumerate() {
            if let Some(why) = rule.contradiction() {
                return Err(BadSmsRules::Rule { place: place.to_owned(), rule: at + 1, why });
            }
        }
        let mut rules = file.rule;
        for word in rules.iter_mut().flat_map(|rule| &mut rule.says) {
            *word = word.to_lowercase();
        }
        Ok(Self { rules })
    }

    /// Decides what a response means that does not accept the message, or a receipt that reports a failure.
    pub(crate) fn judge(&self, said: Said<'_>) -> Verdict {
        let text = if self.rules.iter().any(|rule| !rule.says.is_empty()) {
            said.text.to_lowercase()
        } else {
            String::new()
        };
        match self.rules.iter().find(|rule| rule.fits(said, &text)) {
            Some(rule) => Verdict {
                meaning: rule.means,
                after: said
                    .retry_after
                    .or(rule.after.map(HumanDuration::get))
                    .map(|wait| wait.min(LONGEST_WAIT)),
                strikes: rule.strikes,
                reason: rule.reason.unwrap_or_else(|| of_code(said)),
                alarm: rule.alarm,
                policy: rule.policy,
            },
            None => Verdict {
                meaning: Meaning::Unknown,
                after: None,
                strikes: None,
                reason: if said.status.is_some() {
                    Reason::InvalidProviderResponse
                } else {
                    Reason::Undelivered
                },
                alarm: false,
                policy: false,
            },
        }
    }
}

/// The provider's code as a reason; without a code, the status.
fn of_code(said: Said<'_>) -> Reason {
    let number = match said.code {
        Some(code) => code.parse::<u16>().ok(),
        None => said.status,
    };
    match number.and_then(Reason::of_provider) {
        Some(reason) => reason,
        None if said.status.is_none() => Reason::Undelivered,
        None => Reason::Rejected,
    }
}

/// Whether a code matches a pattern: x is any digit, everything else is literal.
fn fits(pattern: &str, code: &str) -> bool {
    pattern.len() == code.len()
        && pattern
            .bytes()
            .zip(code.bytes())
            .all(|(wanted, is)| wanted == is || (wanted == b'x' && is.is_ascii_digit()))
}

impl Rule {
    fn contradiction(&self) -> Option<&'static str> {
        match (self.means, self.strikes) {
            (Meaning::Strike, None) => Some("\"strike\" requires strikes, at least 2"),
            (_, Some(0 | 1)) => Some("strikes must be at least 2"),
            (Meaning::Suppress, Some(_)) => Some("\"suppress\" must not have strikes"),
            _ if self.policy && self.means != Meaning::Reject => Some("policy is for \"reject\" only"),
            _ if self.code.iter().any(String::is_empty) || self.says.iter().any(String::is_empty) => {
                Some("an entry of code or says is empty")
            }
            _ => None,
        }
    }

    fn fits(&self, said: Said<'_>, text: &str) -> bool {
        let status = match said.status {
            Some(status) => table::fits(&self.status, u32::from(status)),
            None => self.status.is_empty(),
        };
        let coded = || {
            self.code.is_empty()
                || said.code.is_some_and(|code| self.code.iter().any(|pattern| fits(pattern, code)))
        };
        status
            && self.form.is_none_or(|form| (form == Form::Coded) == said.code.is_some())
            && coded()
            && (self.says.is_empty() || self.says.iter().any(|word| text.contains(word.as_str())))
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
