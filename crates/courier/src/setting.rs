//! What the settings of channels have in common.

use serde::Deserialize;

use crate::transport::Policy;

/// A setting that was read and makes no sense. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadSetting {
    /// Its dotted key.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl BadSetting {
    /// The setting `key` makes no sense, and why. Neither may hold its value if that is a secret.
    #[must_use]
    pub fn new(key: &'static str, why: impl Into<String>) -> Self {
        Self { key, why: why.into() }
    }
}

/// What becomes of unknowns when the order leaves it to the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Repeat once.
    Retry,
    /// Leave it unknown.
    Hold,
}

impl From<OnUnknown> for Policy {
    fn from(said: OnUnknown) -> Self {
        match said {
            OnUnknown::Retry => Self::RetryOnce,
            OnUnknown::Hold => Self::Hold,
        }
    }
}
