//! The channel's settings: sections `smtp`, `email`, `dkim`, `bounces` and `unsubscribe`. Every key is documented in
//! `defaults.toml`.

pub use posthaste_courier::setting::{BadSetting, OnUnknownSetting};
use posthaste_ops::config::{ByteSize, HumanDuration};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// The documented defaults of the channel's sections.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Keys whose values are never shown and may be given as a file.
pub const SECRETS: &[&str] = &[
    "smtp.password",
    "dkim.key",
    "dkim.second_key",
    "bounces.key",
    "bounces.old_keys",
    "unsubscribe.key",
    "unsubscribe.old_keys",
];

/// The channel's sections.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// Relays and connections.
    pub smtp: SmtpSettings,
    /// Headers and limits of messages.
    pub email: EmailSettings,
    /// DKIM signing.
    pub dkim: DkimSettings,
    /// Bounces and complaints.
    pub bounces: BounceSettings,
    /// Unsubscribe links.
    pub unsubscribe: UnsubscribeSettings,
}

/// The section `smtp`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct SmtpSettings {
    pub relays: Vec<String>,
    pub username: String,
    pub password: SecretString,
    pub ca_file: String,
    pub hello_name: String,
    pub max_connections: usize,
    pub messages_per_connection: u32,
    pub idle_for: HumanDuration,
    pub skip_relay_for: HumanDuration,
    pub policy_share: f64,
    pub connect_within: HumanDuration,
    pub reply_within: HumanDuration,
    pub text_within: HumanDuration,
    pub final_reply_within: HumanDuration,
    pub send_within: HumanDuration,
    pub on_unknown: OnUnknownSetting,
}

/// The section `email`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct EmailSettings {
    pub from: String,
    pub from_domains: Vec<String>,
    pub reply_to: String,
    pub reply_to_domains: Vec<String>,
    pub return_path: String,
    pub message_id_domain: String,
    pub subject: String,
    pub auto_submitted: String,
    pub list_id: String,
    pub list_unsubscribe: Vec<String>,
    pub one_click: bool,
    pub precedence: String,
    pub max_size: ByteSize,
}

/// The section `dkim`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct DkimSettings {
    pub domain: String,
    pub selector: String,
    pub key: SecretString,
    pub second_selector: String,
    pub second_key: SecretString,
}

impl DkimSettings {
    /// Whether messages get a second signature.
    pub(crate) fn has_second(&self) -> bool {
        !self.second_selector.is_empty() || !self.second_key.expose_secret().is_empty()
    }
}

/// The section `bounces`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct BounceSettings {
    pub address: String,
    pub key: SecretString,
    pub old_keys: SecretString,
    pub request_dsn: bool,
    pub listen: String,
    pub max_connections: usize,
    pub max_connections_per_peer: usize,
    pub max_parsed_size: ByteSize,
    pub max_size: ByteSize,
}

/// The section `unsubscribe`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct UnsubscribeSettings {
    pub public_url: String,
    pub key: SecretString,
    pub old_keys: SecretString,
    pub listen: String,
    pub max_connections: usize,
}
