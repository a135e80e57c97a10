//! Decides what a reply of an SMTP server means, by its code, its enhanced code and the stage at which it came. The
//! rules are embedded from `replies.toml` and documented there.

use std::time::Duration;

use posthaste_courier::table::{self, Pattern};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The embedded table.
const TABLE: &str = include_str!("replies.toml");

/// Bounds of a wait requested by a server.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The stage of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpStage {
    /// Connecting, TLS, greeting, EHLO, STARTTLS.
    Connect,
    /// AUTH.
    Auth,
    /// MAIL, or another command that begins a transaction.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA and the text up to its last byte: without the final dot nothing has been sent.
    Data,
    /// From the first byte of the final dot to its reply.
    Text,
}

/// A reply: three digits, an optional enhanced code, and a text that is never logged (it may contain addresses).
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The three digits.
    pub code: u16,
    /// Class, subject, detail.
    pub enhanced: Option<(u16, u16, u16)>,
    text: String,
}

impl std::fmt::Debug for SmtpReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({self})")
    }
}

impl std::fmt::Display for SmtpReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.enhanced {
            Some((class, subject, detail)) => write!(f, "{} {class}.{subject}.{detail}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

/// Parses class, subject and detail, as in `5.1.1` (RFC 3463).
pub(crate) fn enhanced(text: &str) -> Option<(u16, u16, u16)> {
    let text = text.split(|c: char| c.is_whitespace() || c == '(').next()?;
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    let numbers: Vec<Option<u16>> = text.split('.').map(number).collect();
    match numbers[..] {
        [Some(class @ (2 | 4 | 5)), Some(subject), Some(detail)] => Some((class, subject, detail)),
        _ => None,
    }
}

impl SmtpReply {
    /// A reply with this code and text; the enhanced code is the first word of the text, if present.
    #[must_use]
    pub fn new(code: u16, text: &str) -> Self {
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        Self { code, enhanced: enhanced(first), text: text.to_ascii_lowercase() }
    }

    /// A reply whose codes are not taken from its text.
    pub(crate) fn of(code: u16, enhanced: Option<(u16, u16, u16)>, text: &str) -> Self {
        Self { code, enhanced, text: text.to_ascii_lowercase() }
    }

    /// The wait named in the text, if any: `try again in 300 seconds`, `in 5 minutes`.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let words: Vec<&str> = self.text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        words.windows(3).find_map(|three| match three {
            ["in" | "for" | "after", number, unit] => {
                let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let unit = if digits.len() < number.len() { &number[digits.len()..] } else { unit };
                let seconds = match unit {
                    "s" | "sec" | "secs" | "second" | "seconds" => 1,
                    "m" | "min" | "mins" | "minute" | "minutes" => 60,
                    "h" | "hour" | "hours" => 3600,
                    _ => return None,
                };
                let wait = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
                Some(Duration::from_secs(wait).clamp(SHORTEST, LONGEST))
            }
            _ => None,
        })
    }
}

/// The action taken on a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyAction {
    /// Try again later.
    Retry,
    /// Skip this relay for a while and use another one.
    Relay,
    /// The message failed.
    Reject,
    /// The message failed, and the address is suppressed.
    Suppress,
    /// The message failed; after several such failures, on different days, the address is suppressed.
    Strike,
    /// Operator action required.
    Stop,
}

/// What the table says about one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyVerdict {
    /// The action.
    pub meaning: ReplyAction,
    /// Wait before the next try, unless the reply names one.
    pub after: Option<Duration>,
    /// Up to this much is added to the wait.
    pub spread: Duration,
    /// The reason stored in the history.
    pub reason: Reason,
    /// With [`ReplyAction::Strike`]: failures after which the address is suppressed.
    pub of: u8,
    /// Whether it is logged as an error.
    pub alarm: bool,
    /// Whether it counts as a policy rejection: many of them are about the sender, and stop the channel.
    pub policy: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    stage: Vec<SmtpStage>,
    #[serde(default)]
    code: Vec<Pattern>,
    #[serde(default)]
    enhanced: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    means: ReplyAction,
    after: Option<HumanDuration>,
    spread: Option<HumanDuration>,
    #[serde(default, deserialize_with = "table::read_reason")]
    reason: Option<Reason>,
    of: Option<u8>,
    #[serde(default)]
    alarm: bool,
    #[serde(default)]
    policy: bool,
}

/// The embedded table is invalid: a bug in the program.
#[derive(Debug, thiserror::Error)]
pub enum BadReplyRules {
    /// It does not have the format described in the file.
    #[error("the embedded replies.toml is invalid; this is a bug in Posthaste")]
    Form(#[from] toml::de::Error),
    /// A strike without `of`, or `of` without a strike.
    #[error("the embedded replies.toml has a strike without `of`, or `of` without a strike; this is a bug")]
    Of,
}

/// The table.
#[derive(Debug)]
pub struct ReplyRules {
    rules: Vec<Rule>,
}

impl ReplyRules {
    /// The embedded table.
    ///
    /// # Errors
    /// [`BadReplyRules`].
    pub fn embedded() -> Result<Self, BadReplyRules> {
        let File { rule: rules } = toml::from_str(TABLE)?;
        let together = |rule: &Rule| match rule.means {
            ReplyAction::Strike => rule.of.is_some_and(|of| of >= 2),
            _ => rule.of.is_none(),
        };
        if rules.iter().all(together) { Ok(Self { rules }) } else { Err(BadReplyRules::Of) }
    }

    /// Decides what an unwanted reply at this stage means.
    #[must_use]
    pub fn judge(&self, stage: SmtpStage, reply: &SmtpReply) -> ReplyVerdict {
        let of_code = Reason::Provider(reply.code);
        match self.rules.iter().find(|rule| rule.fits(stage, reply)) {
            Some(rule) => ReplyVerdict {
                meaning: rule.means,
                after: rule.after.map(HumanDuration::get),
                spread: rule.spread.map(HumanDuration::get).unwrap_or_default(),
                reason: rule.reason.unwrap_or(of_code),
                of: rule.of.unwrap_or_default(),
                alarm: rule.alarm,
                policy: rule.policy,
            },
            // Neither 4xx nor 5xx: an unexpected reply.
            None => ReplyVerdict {
                meaning: ReplyAction::Retry,
                after: None,
                spread: Duration::ZERO,
                reason: Reason::InvalidProviderResponse,
                of: 0,
                alarm: false,
                policy: false,
            },
        }
    }
}

impl Rule {
    fn fits(&self, stage: SmtpStage, reply: &SmtpReply) -> bool {
        let any = |patterns: &[String], fits: &dyn Fn(&str) -> bool| {
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern))
        };
        (self.stage.is_empty() || self.stage.contains(&stage))
            && table::fits(&self.code, reply.code.into())
            && any(&self.enhanced, &|pattern| fits_enhanced(pattern, reply.enhanced))
            && any(&self.says, &|word| reply.text.contains(word))
    }
}

fn fits_enhanced(pattern: &str, found: Option<(u16, u16, u16)>) -> bool {
    match found {
        None => pattern == "none",
        Some((class, subject, detail)) => {
            let wanted: Vec<&str> = pattern.split('.').collect();
            let fits = |(wanted, found): (&&str, u16)| *wanted == "*" || *wanted == found.to_string();
            wanted.len() == 3 && wanted.iter().zip([class, subject, detail]).all(fits)
        }
    }
}

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
