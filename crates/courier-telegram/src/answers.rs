//! What an answer of the Bot API means, by its HTTP status, its code and the words in its description. The table is data:
//! `answers.toml`, embedded and documented there.

use std::time::Duration;

use posthaste_courier::exchange::LONGEST_WAIT;
use posthaste_courier::table::{self, Pattern};
use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The table inside the program.
const TABLE: &str = include_str!("answers.toml");

/// Waits named by an answer are obeyed between this and [`LONGEST_WAIT`].
const SHORTEST: Duration = Duration::from_secs(1);

/// A whole answer, as far as it matters. Its words are never logged: they may repeat what was sent.
pub struct Answer {
    status: u16,
    /// The JSON of the Bot API, if it was that.
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

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {})", self.status, self.code())
    }
}

impl Answer {
    /// An answer of this status, header Retry-After and body.
    #[must_use]
    pub fn new(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        // What a message looks like after it was sent is not our business: any `result` will do.
        let mut said: Option<Said> = serde_json::from_slice(body).ok();
        if let Some(Said { description: Some(text), .. }) = &mut said {
            text.make_ascii_lowercase();
        }
        Self { status, said, retry_after }
    }

    /// Whether the message was taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status) && self.said.as_ref().is_some_and(|said| said.ok)
    }

    /// The code of the Bot API; of another answer its status.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.said.as_ref().and_then(|said| said.error_code).unwrap_or(self.status)
    }

    /// How long it asks to wait.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let told = self.said.as_ref().and_then(|said| said.parameters.as_ref()?.retry_after);
        let wait = told.map(Duration::from_secs).or(self.retry_after)?;
        Some(wait.clamp(SHORTEST, LONGEST_WAIT))
    }

    /// Whether its description has this word, in small letters.
    #[must_use]
    pub fn says(&self, word: &str) -> bool {
        let text = self.said.as_ref().and_then(|said| said.description.as_deref());
        text.is_some_and(|text| text.contains(word))
    }

    /// The chat's new number.
    #[must_use]
    pub fn migrated(&self) -> Option<i64> {
        self.said.as_ref()?.parameters.as_ref()?.migrate_to_chat_id
    }

    /// Whether it is what the Bot API says when it refuses: with words, or a code.
    fn is_of_bot(&self) -> bool {
        self.said
            .as_ref()
            .is_some_and(|said| !said.ok && (said.error_code.is_some() || said.description.is_some()))
    }
}

/// What is done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// The bot, or the chat, waits.
    Wait,
    /// Send to the chat's new number.
    Migrate,
    /// Try again later.
    Retry,
    /// The message failed.
    Reject,
    /// The message failed, and so will all others to this chat.
    Suppress,
    /// The message failed; when this is said again and again, on different days, so will all others to this chat.
    Strike,
    /// Somebody has to mend something.
    Stop,
    /// It may have been taken.
    Unknown,
}

/// A rule of the table, for one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What is done.
    pub meaning: Meaning,
    /// How long to wait, of [`Meaning::Wait`].
    pub wait: Duration,
    /// Whether another bot may reach the chat.
    pub elsewhere: bool,
    /// The word in the history.
    pub reason: Reason,
    /// Whether it is told in the log.
    pub alarm: bool,
    /// Whether it is about what the order says, whoever gets it.
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
    means: Meaning,
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

/// A table that can't be used: a mistake in the program.
#[derive(Debug, thiserror::Error)]
#[error("the table of answers can't be read")]
pub struct BadTable(#[from] toml::de::Error);

/// The table.
#[derive(Debug)]
pub struct Answers {
    rules: Vec<Rule>,
}

impl Answers {
    /// The table inside the program.
    ///
    /// # Errors
    /// [`BadTable`].
    pub fn embedded() -> Result<Self, BadTable> {
        let file: File = toml::from_str(TABLE)?;
        Ok(Self { rules: file.rule })
    }

    /// What an answer means that does not say that the message was taken.
    #[must_use]
    pub fn judge(&self, answer: &Answer) -> Verdict {
        let of_code = Reason::from_code(1000 + answer.code());
        match self.rules.iter().find(|rule| rule.fits(answer)) {
            Some(rule) => Verdict {
                meaning: rule.means,
                wait: answer.wait().or(rule.after.map(HumanDuration::get)).unwrap_or(SHORTEST),
                elsewhere: rule.elsewhere,
                reason: rule.reason.unwrap_or(of_code),
                alarm: rule.alarm,
                content: rule.content,
            },
            None => Verdict {
                meaning: Meaning::Unknown,
                wait: SHORTEST,
                elsewhere: false,
                reason: Reason::BadAnswer,
                alarm: false,
                content: false,
            },
        }
    }
}

impl Rule {
    fn fits(&self, answer: &Answer) -> bool {
        self.form.is_none_or(|form| (form == Form::Bot) == answer.is_of_bot())
            && table::fits(&self.status, answer.status.into())
            && table::fits(&self.code, answer.code().into())
            && (self.says.is_empty() || self.says.iter().any(|word| answer.says(word)))
            && (self.means != Meaning::Migrate || answer.migrated().is_some())
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
