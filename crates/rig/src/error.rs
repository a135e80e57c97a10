//! Errors of the rig, grouped by what the caller does next.

use std::io;
use std::time::Duration;

/// Errors of the rig. In a test each of them fails the test; none is a reason to skip it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something must be installed first; the text says what to type.
    #[error("{what} is missing: {type_this}")]
    Install {
        /// What was missing.
        what: String,
        /// The command that installs it.
        type_this: String,
    },
    /// A setting has an unknown value; correct it.
    #[error("{name}={value}: expected {expected}")]
    Setting {
        /// The environment variable or builder option.
        name: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A process ended or never started; read its last output.
    #[error("{what} did not start or ended too early; its last output:\n{last_words}")]
    Dead {
        /// The process.
        what: String,
        /// The end of its output or log.
        last_words: String,
    },
    /// A condition was not met in time; look at what was seen instead.
    #[error("{what} did not happen within {waited:?}; seen instead:\n{seen}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen instead.
        seen: String,
    },
    /// The peer sent invalid RESP or too much of it; close the connection.
    #[error("not RESP, or above the limits of this reader: {0}")]
    Protocol(String),
    /// A process wrote more than is kept, so its output is incomplete; write less or drop the check.
    #[error("the output of {what} is longer than the {bytes} bytes that are kept")]
    Overflow {
        /// The process.
        what: String,
        /// The bound.
        bytes: usize,
    },
    /// An operating system error; the context says what was tried.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The error.
        source: io::Error,
    },
}

impl Error {
    /// Adds context to an operating system error.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether the peer did not answer in time.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TooLate { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
            }
            _ => false,
        }
    }
}
