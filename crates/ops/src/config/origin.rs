//! Where a setting came from, for error messages and for `config show --origin`.

use std::fmt;
use std::path::PathBuf;

use super::error::ConfigError;

/// The place a setting was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The defaults inside the program.
    Defaults,
    /// A settings file.
    File(PathBuf),
    /// An environment variable, by its full name.
    Environment(String),
    /// A command-line flag, as the user types it.
    Flag(String),
    /// A file that holds nothing but this secret, and what named the file.
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

/// One setting as it took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The dotted key, such as `redis.url`.
    pub key: String,
    /// The value as text; `***` for a secret.
    pub shown: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Every setting in effect, in order of its key, with its origin. Holds no secret.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    pub(super) entries: Vec<Entry>,
}

impl Origins {
    /// Where the setting with this dotted key came from; `None` if nothing sets it.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.origin)
    }

    /// All settings in effect, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// An error about a setting that was read but makes no sense to the caller (two settings that exclude each
    /// other, say), naming the key and its origin as all others do. `what` must not repeat a secret.
    pub fn refuse(&self, key: &str, what: impl Into<String>) -> ConfigError {
        let origin = self.of(key).cloned().unwrap_or(Origin::Defaults);
        ConfigError::Setting { key: key.to_owned(), what: what.into(), origin }
    }
}
