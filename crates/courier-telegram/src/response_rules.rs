//! What an answer of the Bot API means, by its HTTP status, its code and words in its description. The rules are data, embedded
//! from `answers.toml` and documented there.

use std::time::Duration;

use posthaste_courier::http_request::LONGEST_WAIT;
use posthaste_courier::table::{self, Pattern};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The embedded table.
const TABLE: &str = include_str!("answers.toml");

/// A wait requested by an answer is limited to the range from this to [`LONGEST_WAIT`].
const SHORTEST: Duration = Duration::from_secs(1);

/// The parts of an answer that matter. Its words are never logged: they may repeat what was sent.
pub struct BotAnswer {
    status: u16,
    /// The JSON of the Bot API, if the body was that.
    said: Option<Said>,
    /// The header Retry-After.
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Said {
    ok: bool,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl std::fmt::Debug for BotAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {})", self.status, self.code())
    }
}

impl BotAnswer {
    /// An answer of this status, header Retry-After and body.
    #[must_use]
    pub fn new(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        // The message in the answer does not matter: any `result` is accepted.
        let mut said: Option<Said> = serde_json::from_slice(body).ok();
        if let Some(Said { description: Some(text), .. }) = &mut said {
            text.make_ascii_lowercase();
        }
        Self { status, said, retry_after }
    }

    /// Whether the message was accepted.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status) && self.said.as_ref().is_some_and(|said| said.ok)
    }

    /// The Bot API's error code; for any other answer the HTTP status.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.said.as_ref().and_then(|said| said.error_code).unwrap_or(self.status)
    }

    /// The wait it requests.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let told = self.said.as_ref().and_then(|said| said.parameters.as_ref()?.retry_after);
        let wait = told.map(Duration::from_secs).or(self.retry_after)?;
        Some(wait.clamp(SHORTEST, LONGEST_WAIT))
    }

    /// Whether its description contains this word (lower case).
    #[must_use]
    pub fn says(&self, word: &str) -> bool {
        let text = self.said.as_ref().and_then(|said| said.description.as_deref());
        text.is_some_and(|text| text.contains(word))
    }

    /// The chat's new id.
    #[must_use]
    pub fn migrated(&self) -> Option<i64> {
        self.said.as_ref()?.parameters.as_ref()?.migrate_to_chat_id
    }

    /// Whether it has the form of a Bot API refusal: a description or a code.
    fn is_of_bot(&self) -> bool {
        self.said
            .as_ref()
            .is_some_and(|said| !said.ok && (said.error_code.is_some() || said.description.is_some()))
    }
}

/// The action for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseAction {
    /// The bot, or the chat, waits.
    Wait,
    /// Send to the chat's new id.
    Migrate,
    /// Try again later.
    Retry,
    /// The message failed.
    Reject,
    /// The message failed, and so will all others to this chat.
    Suppress,
    /// The message failed; if this repeats on different days, so will all others to this chat.
    Strike,
    /// Operator action required: the channel stops.
    Stop,
    /// The message may have been accepted.
    Unknown,
}

/// What the table says about one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseVerdict {
    /// The action.
    pub meaning: ResponseAction,
    /// How long to wait, for [`ResponseAction::Wait`].
    pub wait: Duration,
    /// Whether another bot may reach the chat.
    pub elsewhere: bool,
    /// The reason stored in the history.
    pub reason: Reason,
    /// Whether it is logged as an error.
    pub alarm: bool,
    /// Whether the order's content is at fault, whoever the recipient.
    pub content: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Bot,
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    status: Vec<Pattern>,
    form: Option<Form>,
    #[serde(default)]
    code: Vec<Pattern>,
    #[serde(default)]
    says: Vec<String>,
    means: ResponseAction,
    after: Option<HumanDuration>,
    #[serde(default)]
    elsewhere: bool,
    #[serde(default, deserialize_with = "table::read_reason")]
    reason: Option<Reason>,
    #[serde(default)]
    alarm: bool,
    #[serde(default)]
    content: bool,
}

/// A table that can't be parsed: a bug in the program.
#[derive(Debug, thiserror::Error)]
#[error("the embedded table of Bot API answers is invalid; this is a bug")]
pub struct BadTelegramRules(#[from] toml::de::Error);

/// The rules.
#[derive(Debug)]
pub struct TelegramRules {
    rules: Vec<Rule>,
}

impl TelegramRules {
    /// Parses the embedded table.
    ///
    /// # Errors
    /// [`BadTelegramRules`].
    pub fn embedded() -> Result<Self, BadTelegramRules> {
        let file: File = toml::from_str(TABLE)?;
        Ok(Self { rules: file.rule })
    }

    /// What an answer means, other than one that accepts the message.
    #[must_use]
    pub fn judge(&self, answer: &BotAnswer) -> ResponseVerdict {
        let of_code = Reason::Provider(answer.code());
        match self.rules.iter().find(|rule| rule.fits(answer)) {
            Some(rule) => ResponseVerdict {
                meaning: rule.means,
                wait: answer.wait().or(rule.after.map(HumanDuration::get)).unwrap_or(SHORTEST),
                elsewhere: rule.elsewhere,
                reason: rule.reason.unwrap_or(of_code),
                alarm: rule.alarm,
                content: rule.content,
            },
            None => ResponseVerdict {
                meaning: ResponseAction::Unknown,
                wait: SHORTEST,
                elsewhere: false,
                reason: Reason::InvalidProviderResponse,
                alarm: false,
                content: false,
            },
        }
    }
}

impl Rule {
    fn fits(&self, answer: &BotAnswer) -> bool {
        self.form.is_none_or(|form| (form == Form::Bot) == answer.is_of_bot())
            && table::fits(&self.status, answer.status.into())
            && table::fits(&self.code, answer.code().into())
            && (self.says.is_empty() || self.says.iter().any(|word| answer.says(word)))
            && (self.means != ResponseAction::Migrate || answer.migrated().is_some())
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
