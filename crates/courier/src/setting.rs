//! Types shared by the settings of all channels.

use serde::Deserialize;

use crate::transport::UnknownHandling;

/// A setting with an invalid value. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadSetting {
    /// Its dotted key.
    pub key: &'static str,
    /// What is wrong, and what would be valid.
    pub why: String,
}

impl BadSetting {
    /// The setting `key` is invalid, and why. If its value is a secret, neither argument may contain it.
    #[must_use]
    pub fn new(key: &'static str, why: impl Into<String>) -> Self {
        Self { key, why: why.into() }
    }
}

/// What to do with unknown deliveries when the order leaves it to the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknownSetting {
    /// Repeat once.
    Retry,
    /// Leave it unknown.
    Hold,
}

impl From<OnUnknownSetting> for UnknownHandling {
    fn from(said: OnUnknownSetting) -> Self {
        match said {
            OnUnknownSetting::Retry => Self::RetryOnce,
            OnUnknownSetting::Hold => Self::Hold,
        }
    }
}
