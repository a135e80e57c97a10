//! Answers of the Bot API, and the rules that say what they mean, by HTTP status, code and words in the description. The
//! rules are data, embedded from `response_rules.toml` and documented there.

use std::time::Duration;

use posthaste_courier::provider_wait;
use posthaste_courier::response_rules::{ProviderResponse, ResponseRules, RulesTable, TableWord};
use serde::Deserialize;

/// The parts of an answer that matter. Its words are never logged: they may repeat what was sent.
pub struct BotAnswer {
    status: u16,
    /// The JSON of the Bot API, if the body was that.
    said: Option<AnswerBody>,
    /// The header Retry-After.
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct AnswerBody {
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
        let mut said: Option<AnswerBody> = serde_json::from_slice(body).ok();
        if let Some(AnswerBody { description: Some(text), .. }) = &mut said {
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
        let reported = self.said.as_ref().and_then(|said| said.parameters.as_ref()?.retry_after);
        let wait = reported.map(Duration::from_secs).or(self.retry_after)?;
        Some(provider_wait::obey(wait))
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

    /// What the rules look at.
    #[must_use]
    pub fn response(&self) -> ProviderResponse<'_, AnswerSubject> {
        let text = self.said.as_ref().and_then(|said| said.description.as_deref()).unwrap_or_default();
        ProviderResponse {
            at: self.migrated().map(|_| AnswerSubject::MovedChat),
            status: Some(self.status),
            code: self.is_of_bot().then(|| self.code().to_string().into()),
            text,
            wait: self.wait(),
            ..ProviderResponse::default()
        }
    }

    /// Whether it has the form of a Bot API refusal: a description or a code.
    fn is_of_bot(&self) -> bool {
        self.said
            .as_ref()
            .is_some_and(|said| !said.ok && (said.error_code.is_some() || said.description.is_some()))
    }
}

/// An action of this channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelegramAction {
    /// Send to the chat's new id.
    Migrate,
}

impl TableWord for TelegramAction {
    const WORDS: &'static [(&'static str, Self)] = &[("migrate", Self::Migrate)];
}

/// What an answer is about, if it is not the chat that was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSubject {
    /// The chat's new id, which the answer names.
    MovedChat,
}

impl TableWord for AnswerSubject {
    const WORDS: &'static [(&'static str, Self)] = &[("moved_chat", Self::MovedChat)];
}

/// The rules for answers.
pub type TelegramRules = ResponseRules<TelegramAction, AnswerSubject>;

/// The embedded table.
pub const TABLE: RulesTable<AnswerSubject> = RulesTable {
    name: "the embedded table of Bot API answers",
    text: include_str!("response_rules.toml"),
    keys: &["at", "status", "form", "strikes", "elsewhere", "content"],
    reason: |answer| answer.code_reason(),
};

#[cfg(test)]
#[path = "response_rules_tests.rs"]
mod tests;
