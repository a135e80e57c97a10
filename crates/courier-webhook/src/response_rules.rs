//! What a receiver's answer means, by its HTTP status. The rules are data, embedded from `answers.toml` and documented there.

use std::time::Duration;

use posthaste_courier::http_request::LONGEST_WAIT;
use posthaste_courier::{Outcome, ThrottleScope};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The embedded table.
const TABLE: &str = include_str!("answers.toml");

/// A wait requested by an answer is limited to the range from this to [`LONGEST_WAIT`].
const SHORTEST: Duration = Duration::from_secs(1);

/// The action for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResponseAction {
    /// The address waits.
    Wait,
    /// Try again later.
    Retry,
    /// The message failed.
    Reject,
    /// The message failed, and so will all others to this address.
    Suppress,
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
    status: Vec<String>,
    means: ResponseAction,
    after: Option<HumanDuration>,
    reason: Option<String>,
}

/// The embedded table is invalid: a bug in the program.
#[derive(Debug, thiserror::Error)]
pub enum BadWebhookRules {
    /// Not the documented format.
    #[error("the embedded table of webhook answers is invalid; this is a bug")]
    Form(#[from] toml::de::Error),
    /// An unknown reason.
    #[error("the embedded table of webhook answers names an unknown reason {0:?}; this is a bug")]
    Reason(String),
}

/// The rules.
#[derive(Debug)]
pub struct WebhookRules {
    rules: Vec<Rule>,
}

impl WebhookRules {
    /// Parses the embedded table.
    ///
    /// # Errors
    /// [`BadWebhookRules`].
    pub fn embedded() -> Result<Self, BadWebhookRules> {
        let File { rule: rules } = toml::from_str(TABLE)?;
        let unknown =
            rules.iter().filter_map(|rule| rule.reason.as_deref()).find(|word| reason(word).is_none());
        match unknown {
            Some(word) => Err(BadWebhookRules::Reason(word.to_owned())),
            None => Ok(Self { rules }),
        }
    }

    /// The outcome for an answer with this status and this header Retry-After.
    #[must_use]
    pub fn outcome(&self, status: u16, retry_after: Option<Duration>) -> Outcome {
        if (200..300).contains(&status) {
            return Outcome::Sent;
        }
        let Some(rule) = self.rules.iter().find(|rule| rule.fits(status)) else {
            return Outcome::Unknown(Reason::BadAnswer);
        };
        let named = rule.reason.as_deref().and_then(reason);
        let reason = named.unwrap_or(Reason::from_code(1000 + status));
        let wait = retry_after.or(rule.after.map(HumanDuration::get));
        match (rule.means, wait) {
            (ResponseAction::Wait, Some(wait)) => {
                let wait = wait.clamp(SHORTEST, LONGEST_WAIT);
                Outcome::Throttled { scope: ThrottleScope::Recipient, wait }
            }
            (ResponseAction::Wait | ResponseAction::Retry, _) => Outcome::Retry { after: None, reason },
            (ResponseAction::Reject, _) => Outcome::Failed(reason),
            (ResponseAction::Suppress, _) => Outcome::Suppressed(reason),
        }
    }
}

impl Rule {
    fn fits(&self, status: u16) -> bool {
        let digits = status.to_string();
        let same = |(wanted, digit): (u8, u8)| wanted == b'x' || wanted == digit;
        let matches =
            |pattern: &String| pattern.len() == digits.len() && pattern.bytes().zip(digits.bytes()).all(same);
        self.status.is_empty() || self.status.iter().any(matches)
    }
}

fn reason(word: &str) -> Option<Reason> {
    Reason::ALL.iter().find(|reason| reason.word() == word).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_answers_has_its_outcome() {
        let rules = WebhookRules::embedded().unwrap();
        let (second, minute) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(60)));
        let wait = |wait: Option<Duration>| Outcome::Throttled {
            scope: ThrottleScope::Recipient,
            wait: wait.unwrap(),
        };
        let retry = |reason| Outcome::Retry { after: None, reason };
        for (status, retry_after, outcome) in [
            (200, None, Outcome::Sent),
            (204, minute, Outcome::Sent),
            (301, None, Outcome::Failed(Reason::Provider(1301))),
            (307, minute, Outcome::Failed(Reason::Provider(1307))),
            (400, None, Outcome::Failed(Reason::Provider(1400))),
            (401, None, Outcome::Failed(Reason::Provider(1401))),
            (404, None, Outcome::Failed(Reason::Provider(1404))),
            (408, None, retry(Reason::ProviderFailed)),
            (410, minute, Outcome::Suppressed(Reason::Blocked)),
            (429, minute, wait(minute)),
            (429, Some(Duration::ZERO), wait(second)),
            (429, None, retry(Reason::Throttled)),
            (503, minute, wait(minute)),
            (503, None, retry(Reason::Throttled)),
            (500, minute, retry(Reason::ProviderFailed)),
            (599, None, retry(Reason::ProviderFailed)),
        ] {
            assert_eq!(rules.outcome(status, retry_after), outcome, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn no_receiver_makes_an_address_wait_longer_than_a_day() {
        let rules = WebhookRules::embedded().unwrap();
        let long = rules.outcome(429, Some(Duration::MAX));
        assert_eq!(long, Outcome::Throttled { scope: ThrottleScope::Recipient, wait: LONGEST_WAIT });
    }
}
