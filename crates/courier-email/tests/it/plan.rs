//! What a test server does in place of what is right, and when.

use std::collections::{BTreeMap, BTreeSet};

/// A step of a conversation.
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
    /// Some bytes of the text are there, the final dot is not.
    HalfText,
    /// The final dot is there.
    Text,
}

/// What the server does at a step in place of what is right.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Say(String),
    Hang,
    Close,
    /// Only at [`Step::Text`]: takes the message and breaks the connection.
    TakeAndClose,
    /// Says the letter x without end.
    Flood,
}

/// How the server treats conversations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) acts: BTreeMap<Step, Act>,
    /// Acts from MAIL on are for these recipients alone.
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
