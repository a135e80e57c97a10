//! What can go wrong in the rig, named by what the caller does next.

use std::io;
use std::time::Duration;

/// Failures of the rig. In a test each of them fails the test; none is a reason to skip it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something has to be installed first; the text says exactly what to type.
    #[error("{what} is missing: {type_this}")]
    Install {
        /// What was looked for.
        what: String,
        /// The command that installs it.
        type_this: String,
    },
    /// A setting has a value nobody knows; correct it.
    #[error("{name}={value}: expected {expected}")]
    Setting {
        /// The environment variable or builder option.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A process ended or never came up; read its last words.
    #[error("{what} did not start or ended too early; its last words:\n{last_words}")]
    Dead {
        /// The process.
        what: String,
        /// The end of its output or log.
        last_words: String,
    },
    /// A fact did not come true in time; look at what was seen instead.
    #[error("{what} did not happen within {waited:?}; seen instead:\n{seen}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was there instead.
        seen: String,
    },
    /// The other side of a connection spoke no RESP or too much of it; close the connection.
    #[error("not RESP, or beyond the bounds of this reader: {0}")]
    Protocol(String),
    /// A process wrote more than is kept, so its output is not complete; write less or drop the check.
    #[error("the output of {what} is longer than the {bytes} bytes that are kept")]
    Overflow {
        /// The process.
        what: String,
        /// The bound.
        bytes: usize,
    },
    /// The operating system refused; the context says what was tried.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The refusal.
        source: io::Error,
    },
}

impl Error {
    /// An operating-system refusal with its context.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether the peer did not answer in the time given to it.
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
