//! Why a channel's transport can't be created, and how its process ends then.

use posthaste_ops::config::Origins;
use posthaste_ops::exit::ExitFailure;

use crate::response_rules::ResponseRulesError;
use crate::setting::BadSetting;

/// Why a transport can't be created.
#[derive(Debug, thiserror::Error)]
pub enum TransportStartError {
    /// A setting is invalid.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The embedded response rules are invalid.
    #[error("{0}; this is a bug in Posthaste")]
    Rules(#[from] ResponseRulesError),
}

impl TransportStartError {
    /// The end of the process: names the setting and where its value came from.
    #[must_use]
    pub fn exit(self, origins: &Origins) -> ExitFailure {
        match self {
            Self::Setting(bad) => origins.refuse(bad.key, bad.why).into(),
            Self::Rules(_) => ExitFailure::software(self),
        }
    }
}
