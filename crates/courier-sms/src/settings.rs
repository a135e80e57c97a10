//! The channel's settings: sections `sms`, `twilio` and `gateway`. Every key is documented in `defaults.toml`.

use posthaste_courier::http_request::InvalidEndpoint;
pub use posthaste_courier::setting::{BadSetting, OnUnknownSetting};
use posthaste_ops::config::HumanDuration;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// The documented defaults of the channel's sections.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Keys whose values are never shown and may be given as a file.
pub const SECRETS: &[&str] =
    &["sms.proxy", "twilio.auth_token", "twilio.api_key_secret", "gateway.secret", "gateway.callback_key"];

/// The channel's sections.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Settings common to all providers.
    pub sms: SmsSettings,
    /// Twilio.
    pub twilio: TwilioSettings,
    /// Any other provider.
    pub gateway: GatewaySettings,
}

/// The provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Twilio Programmable Messaging.
    Twilio,
    /// A plain HTTP interface, described by the settings.
    Gateway,
}

/// The section `sms`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct SmsSettings {
    pub provider: ProviderKind,
    pub segments_per_second: f64,
    pub max_characters: usize,
    pub concurrency: usize,
    pub max_concurrency: usize,
    pub connect_within: HumanDuration,
    pub send_within: HumanDuration,
    pub on_unknown: OnUnknownSetting,
    pub policy_share: f64,
    pub proxy: SecretString,
    pub response_rules_file: String,
    pub listen: String,
    pub public_url: String,
}

/// The section `twilio`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct TwilioSettings {
    pub api_url: String,
    pub account_sid: String,
    pub auth_token: SecretString,
    pub api_key_sid: String,
    pub api_key_secret: SecretString,
    pub from: String,
    pub messaging_service_sid: String,
    pub valid_for: HumanDuration,
    pub smart_encoding: bool,
    pub callback_options: String,
    pub lookup_after: HumanDuration,
    pub stop_words: Vec<String>,
    pub start_words: Vec<String>,
}

/// The format of a gateway's request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// No body.
    None,
}

/// The section `gateway`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct GatewaySettings {
    pub method: String,
    pub url: String,
    pub format: BodyFormat,
    pub body: String,
    pub headers: Vec<String>,
    pub from: String,
    pub secret: SecretString,
    pub accepted_status: Vec<String>,
    pub accepted_pointer: String,
    pub accepted_value: String,
    pub accepted_text: String,
    pub code_pointer: String,
    pub code_after: String,
    pub check_url: String,
    pub callback_key: SecretString,
    pub status_field: String,
    pub sent_values: Vec<String>,
    pub delivered_values: Vec<String>,
    pub failed_values: Vec<String>,
    pub code_field: String,
}

impl SmsSettings {
    /// Rejects invalid values.
    pub(crate) fn check(&self) -> Result<(), BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        if !(self.segments_per_second >= 0.0 && self.segments_per_second <= 100_000.0) {
            return bad("sms.segments_per_second", "must be 0 (no limit) to 100000");
        }
        if self.segments_per_second > 0.0 && self.segments_per_second < 0.1 {
            return bad("sms.segments_per_second", "must be 0 (no limit) or at least 0.1");
        }
        if !(1..=20_000).contains(&self.max_characters) {
            return bad("sms.max_characters", "must be 1 to 20000");
        }
        if !(1..=2_000).contains(&self.max_concurrency) {
            return bad("sms.max_concurrency", "must be 1 to 2000");
        }
        if !(1..=self.max_concurrency).contains(&self.concurrency) {
            return bad("sms.concurrency", "must be 1 to sms.max_concurrency");
        }
        if self.connect_within.get().is_zero() || self.connect_within >= self.send_within {
            return bad("sms.connect_within", "must be more than 0s and less than sms.send_within");
        }
        if !(0.0..=1.0).contains(&self.policy_share) {
            return bad("sms.policy_share", "must be 0 to 1");
        }
        if self.listen.is_empty() != self.public_url.is_empty() {
            let missing = if self.listen.is_empty() { "sms.listen" } else { "sms.public_url" };
            return bad(missing, "is missing: set both sms.listen and sms.public_url, or neither");
        }
        Ok(())
    }

    /// The HTTP client for all requests.
    pub(crate) fn client(&self, url_key: &'static str) -> Result<reqwest::Client, BadSetting> {
        let made =
            posthaste_courier::http_request::client(self.connect_within.get(), self.proxy.expose_secret());
        made.map_err(|bad| match bad {
            InvalidEndpoint::Proxy => BadSetting::new("sms.proxy", bad.to_string()),
            _ => BadSetting::new(url_key, bad.to_string()),
        })
    }
}
