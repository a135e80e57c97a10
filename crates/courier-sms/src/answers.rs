//! What an answer or a receipt means, by its HTTP status, its code and words in it. The tables are data an operator may replace:
//! `twilio/answers.toml` and `gateway/answers.toml`, embedded and documented there.

use std::path::Path;
use std::time::Duration;

use posthaste_courier::exchange::{Answer, LONGEST_WAIT};
use posthaste_courier::table::{self, Pattern};
use posthaste_courier::{Ban, Outcome, Scope};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

use crate::sender::Sender;

/// A wait for a rate limit that no answer and no rule names.
const SHORTEST: Duration = Duration::from_secs(1);
/// A wait for a sender that may be unable to reach anybody, that no answer and no rule names.
const DOUBTED: Duration = Duration::from_secs(60);
/// A larger file is no table.
const MOST_BYTES: u64 = 1 << 20;

/// What is looked up: what an answer or a receipt says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    /// HTTP status; none of a receipt.
    pub(crate) status: Option<u16>,
    /// The provider's own code.
    pub(crate) code: Option<&'a str>,
    /// The text of the answer. It may repeat what was sent: never logged.
    pub(crate) text: &'a str,
    /// The header Retry-After.
    pub(crate) retry_after: Option<Duration>,
}

impl<'a> Said<'a> {
    /// What an answer with this code says.
    pub(crate) fn answer(answer: &'a Answer, code: Option<&'a str>) -> Self {
        let text = str::from_utf8(&answer.body).unwrap_or_default();
        Self { status: Some(answer.status), code, text, retry_after: answer.retry_after }
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Meaning {
    /// Everybody waits.
    Wait,
    /// Try again later.
    Retry,
    /// The message failed.
    Reject,
    /// The message failed, and so may all others to this number: the number has a strike.
    Strike,
    /// The message failed, and so will all others to this number.
    Suppress,
    /// Somebody has to mend something.
    Stop,
    /// The number's fault or the sender's: try again later, and when another number's turn to be refused so comes next, somebody
    /// has to mend something.
    StopAtSecond,
    /// It may have been taken.
    Unknown,
}

/// A rule of the table, for one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) meaning: Meaning,
    /// How long to wait, of [`Meaning::Wait`], [`Meaning::Retry`] and [`Meaning::StopAtSecond`]; [`LONGEST_WAIT`] at most.
    pub(crate) after: Option<Duration>,
    /// Failures on different days until the number is not used again.
    pub(crate) strikes: Option<u8>,
    /// The word in the history.
    pub(crate) reason: Reason,
    /// Whether it is told in the log.
    pub(crate) alarm: bool,
    /// Whether it may be the sender's fault, which shows when there are many of the kind.
    pub(crate) policy: bool,
}

impl Verdict {
    /// What becomes of a message to this number by such an answer to its request. `who` is named when the channel stops.
    pub(crate) fn outcome(self, who: &str, said: Said<'_>, sender: &Sender, number: &str) -> Outcome {
        let Self { after, reason, .. } = self;
        let stop = || Outcome::Stop(format!("{who} refuses to work ({})", named(said)));
        if let Some(by) = self.by_policy(who, said) {
            if let Some(why) = sender.refused(&by) {
                return Outcome::Stop(why);
            }
        } else if matches!(self.meaning, Meaning::Reject | Meaning::Strike | Meaning::Suppress) {
            sender.ended();
        }
        match self.meaning {
            Meaning::Wait => {
                Outcome::Throttled { scope: Scope::Channel, wait: after.unwrap_or(SHORTEST).max(SHORTEST) }
            }
            Meaning::Retry => Outcome::Retry { after, reason },
            Meaning::Reject => Outcome::Rejected(reason),
            Meaning::Strike => Outcome::Strike { reason, of: self.strikes.unwrap_or(2) },
            Meaning::Suppress => Outcome::Suppress(reason),
            Meaning::Stop => stop(),
            Meaning::StopAtSecond if sender.is_second(number) => stop(),
            Meaning::StopAtSecond => Outcome::Retry { after: after.or(Some(DOUBTED)), reason },
            Meaning::Unknown => Outcome::Unknown(reason),
        }
    }

    /// Who refused a message and how, if it may be the sender's fault.
    pub(crate) fn by_policy(self, who: &str, said: Said<'_>) -> Option<String> {
        self.policy.then(|| format!("{who} ({})", named(said)))
    }

    /// The word in the history, when a receipt says it: the message is over, and nobody waits any more.
    pub(crate) fn late_reason(self) -> Reason {
        match self.reason {
            Reason::Throttled | Reason::Stopped => Reason::Undelivered,
            reason => reason,
        }
    }

    /// Whether the number must not be used again, when a receipt says it failed so.
    pub(crate) fn ban(self) -> Option<Ban> {
        match self.meaning {
            Meaning::Suppress => Some(Ban::Now),
            _ => self.strikes.map(Ban::After),
        }
    }
}

/// Whether this is a code. Where there is none providers write nothing, or 0.
pub(crate) fn is_code(text: &str) -> bool {
    !matches!(text, "" | "0")
}

/// Code and status, for people.
pub(crate) fn named(said: Said<'_>) -> String {
    // A code is a text of somebody else's.
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

/// What an answer has to have: a code of the provider's, or none.
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

/// A table that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// It is not there, or is no text.
    #[error("{0} can't be read as a text of at most 1 MiB")]
    File(String),
    /// It is not in the form of its own description.
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
    #[error("{place}, rule {rule}: {why}")]
    Rule {
        /// Which table.
        place: String,
        /// Which rule, from 1.
        rule: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// The table.
#[derive(Debug)]
pub(crate) struct Answers {
    rules: Vec<Rule>,
}

impl Answers {
    /// The table of a file, or the one inside the program when no file is named.
    ///
    /// # Errors
    /// [`BadTable`].
    pub(crate) fn load(file: &str, embedded: &str) -> Result<Self, BadTable> {
        if file.is_empty() {
            return Self::parse("the table inside the program", embedded);
        }
        let unreadable = || BadTable::File(file.to_owned());
        let size = Path::new(file).metadata().map_err(|_| unreadable())?;
        if !size.is_file() || size.len() > MOST_BYTES {
            return Err(unreadable());
        }
        Self::parse(file, &std::fs::read_to_string(file).map_err(|_| unreadable())?)
    }

    fn parse(place: &str, text: &str) -> Result<Self, BadTable> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            BadTable::Form { place: place.to_owned(), line, why: error.message().to_owned() }
        })?;
        for (at, rule) in file.rule.iter().enumerate() {
            if let Some(why) = rule.contradiction() {
                return Err(BadTable::Rule { place: place.to_owned(), rule: at + 1, why });
            }
        }
        let mut rules = file.rule;
        for word in rules.iter_mut().flat_map(|rule| &mut rule.says) {
            *word = word.to_lowercase();
        }
        Ok(Self { rules })
    }

    /// What an answer means that does not say that the message was taken, or a receipt that says it was not delivered.
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
                reason: if said.status.is_some() { Reason::BadAnswer } else { Reason::Undelivered },
                alarm: false,
                policy: false,
            },
        }
    }
}

/// The provider's own code as a reason, 1000 and up; without one the status.
fn of_code(said: Said<'_>) -> Reason {
    let number = match said.code {
        Some(code) => code.parse::<u16>().ok(),
        None => said.status,
    };
    match number {
        Some(number @ 1000..) => Reason::from_code(number),
        Some(number) => Reason::from_code(1000 + number),
        None if said.status.is_none() => Reason::Undelivered,
        None => Reason::Rejected,
    }
}

/// Whether a code has this form: x is any digit, everything else itself.
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
            (Meaning::Strike, None) => Some("\"strike\" needs strikes, 2 and more"),
            (_, Some(0 | 1)) => Some("strikes must be 2 and more"),
            (Meaning::Suppress, Some(_)) => Some("\"suppress\" needs no strikes"),
            _ if self.policy && self.means != Meaning::Reject => Some("policy goes with \"reject\" only"),
            _ if self.code.iter().any(String::is_empty) || self.says.iter().any(String::is_empty) => {
                Some("a code or text is empty")
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
