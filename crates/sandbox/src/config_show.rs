//! The settings in effect, for people: key, value and origin. Secrets are hidden.

use std::ffi::OsString;

use figment::value::Value;
use figment::{Figment, Provider};

use crate::load::{self, SettingsError};
use crate::run::Args;
use crate::settings::Settings;

/// Shown in place of a secret, as in the other processes.
const HIDDEN: &str = "***";
/// Keys that hold secrets, or tables of them.
const SECRETS: &[&str] = &["users", "tokens", "auth_token", "keys", "secrets"];

/// A setting in effect. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its dotted key, such as `sandbox.smtp.listen`.
    pub key: String,
    /// Its value; `***` for a secret.
    pub value: String,
    /// What set it: the defaults, the file, the environment or the flags.
    pub origin: String,
}

impl Args {
    /// Reads all settings as the process would, sorted by key. Opens nothing.
    ///
    /// # Errors
    /// The first problem found.
    pub fn settings(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<Setting>, SettingsError> {
        let figment = load::figment(self, environment)?;
        let wrong = |error| SettingsError::Wrong(Box::new(error));
        figment.extract::<Settings>().map_err(wrong)?;
        let mut settings = Vec::new();
        for (_, dict) in figment.data().map_err(wrong)? {
            for (key, value) in dict {
                list(&format!("sandbox.{key}"), &value, &figment, &mut settings);
            }
        }
        settings.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(settings)
    }
}

fn list(key: &str, value: &Value, figment: &Figment, settings: &mut Vec<Setting>) {
    let is_secret = key.rsplit('.').next().is_some_and(|last| SECRETS.contains(&last));
    match value {
        Value::Dict(_, dict) if !dict.is_empty() && !is_secret => {
            dict.iter().for_each(|(name, value)| list(&format!("{key}.{name}"), value, figment, settings));
        }
        _ => {
            let origin = figment.get_metadata(tag(value));
            settings.push(Setting {
                key: key.to_owned(),
                value: if is_secret { HIDDEN.to_owned() } else { text(value) },
                origin: origin.map(|metadata| metadata.name.to_string()).unwrap_or_default(),
            });
        }
    }
}

/// Where a value came from; for a table or list merged from several origins, the origin of its first part.
fn tag(value: &Value) -> figment::value::Tag {
    match value {
        Value::Dict(_, dict) => dict.values().next().map_or_else(|| value.tag(), tag),
        Value::Array(_, list) => list.first().map_or_else(|| value.tag(), tag),
        _ => value.tag(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        // What is not JSON has no other text form either.
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_shown_with_its_origin_and_no_secret() {
        let environment = [
            ("POSTHASTE_SANDBOX__TWILIO__AUTH_TOKEN", "canary-token"),
            ("POSTHASTE_SANDBOX__TELEGRAM__TOKENS", "[\"canary-bot\"]"),
            ("POSTHASTE_SANDBOX__SMTP__AUTH__USERS", "{ courier = \"canary-word\" }"),
            ("POSTHASTE_SANDBOX__VK__PER_SECOND", "7"),
        ];
        let args = Args { smtp: Some("127.0.0.1:7".parse().unwrap()), ..Args::default() };
        let settings = args.settings(environment.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let of = |key: &str| {
            let found = settings.iter().find(|setting| setting.key == key);
            found.map(|setting| (setting.value.as_str(), setting.origin.as_str()))
        };
        assert_eq!(of("sandbox.smtp.listen"), Some(("127.0.0.1:7", "the flags")));
        assert_eq!(of("sandbox.vk.per_second"), Some(("7", "the environment")));
        assert_eq!(of("sandbox.vk.random_for"), Some(("1h", "the defaults")));
        assert_eq!(of("sandbox.twilio.auth_token"), Some((HIDDEN, "the environment")));
        assert_eq!(of("sandbox.telegram.tokens"), Some((HIDDEN, "the environment")));
        assert!(settings.is_sorted_by(|one, other| one.key < other.key));
        assert!(!format!("{settings:?}").contains("canary"), "{settings:?}");
    }

    #[test]
    fn what_the_process_refuses_is_refused_here() {
        let environment = [("POSTHASTE_SANDBOX__VK__PER_SECOND".into(), "many".into())];
        assert!(matches!(Args::default().settings(environment), Err(SettingsError::Wrong(_))));
    }
}
