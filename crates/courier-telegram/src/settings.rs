//! The channel's settings: section `telegram`. Every key is documented in `defaults.toml`.

pub use posthaste_courier::setting::{BadSetting, OnUnknownSetting};
use posthaste_ops::config::HumanDuration;
use secrecy::SecretString;
use serde::Deserialize;

/// The documented defaults of the channel's section.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Keys whose values are never shown and which may be read from a file.
pub const SECRETS: &[&str] = &["telegram.tokens", "telegram.proxy"];

/// The channel's sections.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// The section `telegram`.
    pub telegram: TelegramSettings,
}

/// The section `telegram`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct TelegramSettings {
    pub tokens: SecretString,
    pub api_url: String,
    pub proxy: SecretString,
    pub messages_per_second: f64,
    pub recover_within: HumanDuration,
    pub chat_messages: usize,
    pub chat_span: HumanDuration,
    pub group_messages: usize,
    pub group_span: HumanDuration,
    pub connect_within: HumanDuration,
    pub send_within: HumanDuration,
    pub max_parts: usize,
    pub on_unknown: OnUnknownSetting,
    pub subject: bool,
    pub link_previews: bool,
    pub silent: bool,
    pub protect_content: bool,
    pub paid: bool,
    pub updates: bool,
    pub updates_retry_after: HumanDuration,
    pub updates_pause: HumanDuration,
}

impl TelegramSettings {
    /// Rejects values that are out of range.
    pub(crate) fn check(&self) -> Result<(), BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        if !(self.messages_per_second >= 0.1 && self.messages_per_second <= 1000.0) {
            return bad("telegram.messages_per_second", "must be 0.1 to 1000 messages per second");
        }
        if self.messages_per_second > 30.0 && !self.paid {
            return bad(
                "telegram.messages_per_second",
                "above 30 messages per second requires telegram.paid = true",
            );
        }
        for (key, messages, span) in [
            ("telegram.chat_messages", self.chat_messages, self.chat_span),
            ("telegram.group_messages", self.group_messages, self.group_span),
        ] {
            if !(1..=100).contains(&messages) {
                return bad(key, "must be 1 to 100 messages");
            }
            if span.get().is_zero() || span.get().as_secs() > 3600 {
                return bad(key, "the span of this limit must be above zero and at most 1 hour");
            }
        }
        if self.connect_within.get().is_zero() || self.connect_within >= self.send_within {
            return bad("telegram.connect_within", "must be above zero and less than send_within");
        }
        if !(1..=64).contains(&self.max_parts) {
            return bad("telegram.max_parts", "must be 1 to 64");
        }
        if self.updates_retry_after.get().is_zero() || self.updates_retry_after.get().as_secs() > 3600 {
            return bad("telegram.updates_retry_after", "must be above zero and at most 1 hour");
        }
        if self.updates_pause < self.updates_retry_after || self.updates_pause.get().as_secs() > 24 * 3600 {
            return bad("telegram.updates_pause", "must be at least updates_retry_after and at most 1 day");
        }
        Ok(())
    }
}
