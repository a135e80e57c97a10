//! The faults of a test server, and at which step they occur.

use std::collections::{BTreeMap, BTreeSet};

/// A step of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Greeting,
    Rset,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// Part of the text has arrived, the final dot has not.
    HalfText,
    /// The final dot has arrived.
    Text,
}

/// What the server does at a step instead of the correct reply.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Say(String),
    Hang,
    Close,
    /// Only at [`Step::Text`]: accepts the message and breaks the connection.
    TakeAndClose,
    /// Sends the letter x without end.
    Flood,
}

/// How the server behaves in sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) acts: BTreeMap<Step, Act>,
    /// From MAIL on, acts apply to these recipients only.
    pub(crate) only: Option<BTreeSet<String>>,
}

impl Plan {
    pub(crate) fn at(step: Step, act: Act) -> Self {
        Self { acts: BTreeMap::from([(step, act)]), only: None }
    }

    pub(crate) fn says(step: Step, reply: &str) -> Self {
        Self::at(step, Act::Say(reply.to_owned()))
    }
}
