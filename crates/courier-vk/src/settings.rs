//! The channel's settings: section `vk`. Every key is documented in `defaults.toml`.

pub use posthaste_courier::setting::BadSetting;
use posthaste_ops::config::HumanDuration;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// The documented defaults of the channel's section.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Keys whose values are never shown and which may be read from a file.
pub const SECRETS: &[&str] = &["vk.token", "vk.proxy", "vk.path", "vk.secret"];

/// Minimum length of the secret, in characters.
const SHORTEST_SECRET: usize = 16;

/// Maximum calls in one `execute`, as documented by VK.
pub const MOST_GROUPS: usize = 25;

/// The intents VK allows (its schema of messages.send).
const INTENTS: &[&str] = &[
    "account_update",
    "bot_ad_invite",
    "bot_ad_promo",
    "confirmed_notification",
    "customer_support",
    "default",
    "finance_notification",
    "game_notification",
    "moderated_newsletter",
    "non_promo_newsletter",
    "promo_newsletter",
    "purchase_update",
];

/// The channel's sections.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// The section `vk`.
    pub vk: VkSettings,
}

/// The section `vk`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct VkSettings {
    pub api_url: String,
    pub token: SecretString,
    pub version: String,
    pub requests_per_second: f64,
    pub recover_within: HumanDuration,
    pub groups_per_request: usize,
    pub connect_within: HumanDuration,
    pub send_within: HumanDuration,
    pub subject: bool,
    pub intent: String,
    pub dont_parse_links: bool,
    pub disable_mentions: bool,
    pub proxy: SecretString,
    pub listen: String,
    pub path: SecretString,
    pub confirmation: String,
    pub secret: SecretString,
    pub group_id: u64,
}

impl VkSettings {
    /// Rejects invalid values.
    pub(crate) fn check(&self) -> Result<(), BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        let token = self.token.expose_secret();
        if token.is_empty() {
            return bad(
                "vk.token",
                "missing; create a token in the community's settings and name its file in vk.token_file",
            );
        }
        if token.len() > 1024
            || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            return bad("vk.token", "is not a token: must have only letters, digits and . _ -");
        }
        let version = self.version.split('.').all(|part| {
            !part.is_empty() && part.len() <= 6 && part.bytes().all(|byte| byte.is_ascii_digit())
        });
        if !version {
            return bad("vk.version", "must be numbers separated by dots, for example 5.199");
        }
        if !(self.requests_per_second >= 0.1 && self.requests_per_second <= 1000.0) {
            return bad("vk.requests_per_second", "must be 0.1 to 1000 requests per second");
        }
        if !(1..=MOST_GROUPS).contains(&self.groups_per_request) {
            return bad("vk.groups_per_request", "must be 1 to 25");
        }
        if self.connect_within.get().is_zero() || self.connect_within >= self.send_within {
            return bad("vk.connect_within", "must be above zero and less than send_within");
        }
        if !self.intent.is_empty() && !INTENTS.contains(&self.intent.as_str()) {
            return Err(BadSetting::new(
                "vk.intent",
                format!("must be empty or one of {}", INTENTS.join(", ")),
            ));
        }
        self.check_inbound()
    }

    fn check_inbound(&self) -> Result<(), BadSetting> {
        if self.listen.is_empty() {
            return Ok(());
        }
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        let path = self.path.expose_secret();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
        if !path.starts_with('/') || path.len() > 256 || !path.bytes().all(plain) {
            return bad("vk.path", "must begin with / and have only letters, digits and _ - /");
        }
        let guessed = path.rsplit('/').next().unwrap_or_default();
        if guessed.len() < 16 {
            return bad(
                "vk.path",
                "must end in at least 16 random letters and digits, because VK does not sign callbacks",
            );
        }
        if self.group_id == 0 {
            return bad("vk.group_id", "missing; set the id of the community");
        }
        if self.confirmation.is_empty() || !self.confirmation.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return bad("vk.confirmation", "missing or invalid; copy it from the community's settings");
        }
        if self.secret.expose_secret().is_empty() {
            return bad("vk.secret", "missing; set the same secret in the community's settings and here");
        }
        if self.secret.expose_secret().len() < SHORTEST_SECRET {
            return bad(
                "vk.secret",
                "is too short: must have at least 16 random letters and digits, as VK does not sign callbacks",
            );
        }
        Ok(())
    }
}
