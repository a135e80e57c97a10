//! Records that can't be read: the reasons, and the errors that carry them.

use posthaste_protocol::Malformed;

use crate::error::{CallError, InvalidReply};

/// Why an order can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnreadableRecord {
    /// One of its records has a later version: only a newer program can read it.
    Newer,
    /// One of its keys has another type than its record.
    WrongType,
    /// One of its records is damaged.
    Damaged,
    /// It could not be read, and an operator ended it.
    Ended,
}

impl UnreadableRecord {
    /// The stable word for API answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Newer => "newer_version",
            Self::WrongType => "wrong_type",
            Self::Damaged => "damaged",
            Self::Ended => "ended_by_operator",
        }
    }
}

/// The text in a [`Malformed`] for a key of another type than its record.
const WRONG_TYPE: &str = "record: its key is of another type";

impl CallError {
    /// A record can't be read.
    pub(crate) fn record(malformed: Malformed) -> Self {
        Self::InvalidReply(InvalidReply::Record(malformed))
    }

    /// The same error for a plain read of a record: a key of another type becomes a record that can't be read.
    pub(crate) fn of_record(self) -> Self {
        match self {
            Self::InvalidReply(InvalidReply::Server(text)) if text.starts_with("WRONGTYPE") => {
                Self::record(Malformed::new(WRONG_TYPE))
            }
            other => other,
        }
    }

    /// Why a record can't be read; `None` for every other error, which is not about a record.
    #[must_use]
    pub fn unreadable(&self) -> Option<UnreadableRecord> {
        match self {
            Self::InvalidReply(InvalidReply::Record(malformed)) if malformed.newer => {
                Some(UnreadableRecord::Newer)
            }
            Self::InvalidReply(InvalidReply::Record(malformed)) if malformed.what == WRONG_TYPE => {
                Some(UnreadableRecord::WrongType)
            }
            Self::InvalidReply(InvalidReply::Record(_)) => Some(UnreadableRecord::Damaged),
            _ => None,
        }
    }
}
