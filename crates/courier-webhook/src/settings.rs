//! The channel's settings: section `webhook`. Every key is documented in `defaults.toml`.

pub use posthaste_courier::setting::BadSetting;
use posthaste_courier::setting::OnUnknownSetting;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

/// The documented defaults of the channel's section.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Keys whose values are never shown and which may be read from a file: none, because a URL is all that a receiver needs.
pub const SECRETS: &[&str] = &[];

/// The channel's sections.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// The section `webhook`.
    pub webhook: WebhookSettings,
}

/// The section `webhook`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in defaults.toml")]
pub struct WebhookSettings {
    pub hosts: Vec<String>,
    pub ports: Vec<u16>,
    pub http: bool,
    pub private_hosts: Vec<String>,
    pub connect_within: HumanDuration,
    pub send_within: HumanDuration,
    pub max_concurrency: usize,
    pub on_unknown: OnUnknownSetting,
}

impl WebhookSettings {
    /// Rejects invalid values. [`crate::target::AllowedTargets::new`] rejects invalid hosts.
    pub(crate) fn check(&self) -> Result<(), BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        if self.hosts.is_empty() && self.private_hosts.is_empty() {
            return bad(
                "webhook.hosts",
                "missing; name the hosts that may receive messages, such as [\"*.example.org\"], or [\"*\"] for all",
            );
        }
        if self.connect_within.get().is_zero() || self.connect_within >= self.send_within {
            return bad("webhook.connect_within", "must be above zero and less than send_within");
        }
        if !(1..=1024).contains(&self.max_concurrency) {
            return bad("webhook.max_concurrency", "must be 1 to 1024");
        }
        Ok(())
    }
}
