//! Where a setting came from, for error messages and for `config show --origin`.

use std::fmt;
use std::path::PathBuf;

use super::error::ConfigError;

/// The place a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The built-in defaults.
    Defaults,
    /// A settings file.
    File(PathBuf),
    /// An environment variable, by its full name.
    Environment(String),
    /// A command-line flag, as the user types it.
    Flag(String),
    /// A file that holds only this secret, and what named the file.
    SecretFile {
        /// The file.
        path: PathBuf,
        /// The setting, variable or flag that named it.
        named_by: Box<Origin>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("the defaults"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::SecretFile { path, named_by } => {
                write!(f, "secret file {}, named by {named_by}", path.display())
            }
        }
    }
}

/// One setting in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingEntry {
    /// The dotted key, such as `redis.url`.
    pub key: String,
    /// The value as text; `***` for a secret.
    pub shown: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Every setting in effect with its origin, ordered by key. Holds no secret.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    pub(super) entries: Vec<SettingEntry>,
}

impl Origins {
    /// Where the setting with this dotted key came from; `None` if nothing sets it.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.origin)
    }

    /// All settings in effect, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = &SettingEntry> {
        self.entries.iter()
    }

    /// An error about a setting that was parsed but that the caller refuses (for example, two settings that exclude
    /// each other). Like all others, it names the key and its origin. `what` must not repeat a secret.
    pub fn refuse(&self, key: &str, what: impl Into<String>) -> ConfigError {
        let origin = self.of(key).cloned().unwrap_or(Origin::Defaults);
        ConfigError::Setting { key: key.to_owned(), what: what.into(), origin }
    }
}
