//! Why settings are refused. With any of these errors the process does not start (exit code 78).

use std::io;
use std::path::PathBuf;

use super::origin::Origin;

/// Settings that cannot be used. The texts name the key and its origin and never a secret's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key that does not exist, or a value of the wrong type, unit or choice.
    #[error("{key}: {what} (from {origin})")]
    Setting {
        /// The dotted key.
        key: String,
        /// What is wrong, with the allowed values if known.
        what: String,
        /// Where the value came from.
        origin: Origin,
    },
    /// A setting that has no default and was not set.
    #[error("{key}: missing; set it in the settings file or as environment variable {variable}")]
    Missing {
        /// The dotted key.
        key: String,
        /// The environment variable that would set it.
        variable: String,
    },
    /// A setting given twice in one place, directly and as a file name.
    #[error("{key}: given both by {first} and by {second}; keep one")]
    Twice {
        /// The dotted key.
        key: String,
        /// The direct value.
        first: Origin,
        /// The file name.
        second: Origin,
    },
    /// The settings file cannot be read.
    #[error("cannot read settings file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The settings file is not TOML.
    #[error("{origin}, line {line}, column {column}: {what}")]
    Syntax {
        /// The text at fault.
        origin: Origin,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says; the line itself is not repeated, it may hold a secret.
        what: String,
    },
    /// A secret's file cannot be used.
    #[error("{key}: secret file {path} {why} (named by {named_by})")]
    SecretFile {
        /// The dotted key.
        key: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
        /// What named the file.
        named_by: Origin,
        /// The cause, when the system refused.
        #[source]
        source: Option<io::Error>,
    },
    /// A settings file that everyone may read or write holds a secret.
    #[error(
        "{key}: settings file {path} holds this secret and can be read or written by everyone; run chmod o-rw on it, or put \
         the secret into a separate file and name it as {key}_file"
    )]
    OpenFile {
        /// The dotted key.
        key: String,
        /// The settings file.
        path: PathBuf,
    },
    /// An environment variable with our prefix that is not a setting.
    #[error("environment variable {name}: {why}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}
