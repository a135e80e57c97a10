//! Records that can't be read: why, and how an error says so.

use posthaste_protocol::Malformed;

use crate::error::{CallError, Fault};

/// Why an order can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// One of its records is of a later version: a newer program reads it.
    Newer,
    /// One of its keys is of another type than its record.
    WrongType,
    /// One of its records is damaged.
    Damaged,
    /// It could not be read, and an operator ended it.
    Ended,
}

impl Unreadable {
    /// The stable word for answers.
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

/// What a key of another type than its record is called inside a [`Malformed`].
const WRONG_TYPE: &str = "record: its key is of another type";

impl CallError {
    /// A record can't be read.
    pub(crate) fn record(malformed: Malformed) -> Self {
        Self::Fault(Fault::Record(malformed))
    }

    /// The same error; of a plain read of a record, so that a key of another type is told as a record that can't be read.
    pub(crate) fn of_record(self) -> Self {
        match self {
            Self::Fault(Fault::Server(text)) if text.starts_with("WRONGTYPE") => {
                Self::record(Malformed::new(WRONG_TYPE))
            }
            other => other,
        }
    }

    /// Why a record can't be read; `None` for every other error, which says nothing about a record.
    #[must_use]
    pub fn unreadable(&self) -> Option<Unreadable> {
        match self {
            Self::Fault(Fault::Record(malformed)) if malformed.newer => Some(Unreadable::Newer),
            Self::Fault(Fault::Record(malformed)) if malformed.what == WRONG_TYPE => {
                Some(Unreadable::WrongType)
            }
            Self::Fault(Fault::Record(_)) => Some(Unreadable::Damaged),
            _ => None,
        }
    }
}
