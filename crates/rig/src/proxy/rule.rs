//! Which commands a fault applies to, and what happens to them.

use std::fmt;
use std::sync::Arc;

use crate::resp::RespReply;

/// A condition on a command.
pub(super) type Predicate = Arc<dyn Fn(&ProxiedCommand) -> bool + Send + Sync>;

/// A command on its way from a client to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiedCommand(pub(super) Vec<Vec<u8>>);

impl ProxiedCommand {
    /// Its arguments, starting with the name.
    pub fn args(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Whether it is this command, for example `EVALSHA`; ignores case.
    pub fn is(&self, name: &str) -> bool {
        self.0.first().is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether one of its arguments contains these bytes.
    pub fn contains(&self, needle: impl AsRef<[u8]>) -> bool {
        let needle = needle.as_ref();
        needle.is_empty() || self.0.iter().any(|word| word.windows(needle.len()).any(|part| part == needle))
    }
}

/// A rule for late second copies: a matching command passes normally, and a copy of it is kept.
/// When the original and then the given number of later commands have been answered (or their connections
/// ended), the copy is delivered on a connection of its own, before the answer that triggered it is passed to its
/// client. So a test with one client knows exactly between which of its commands the copy arrived.
#[derive(Clone)]
pub struct LateCopy {
    pub(super) times: u32,
    pub(super) matching: Predicate,
    pub(super) after: u64,
    pub(super) counting: Predicate,
}

impl LateCopy {
    /// A copy of the next command for which `matching` holds, delivered right after the original's answer.
    pub fn of(matching: impl Fn(&ProxiedCommand) -> bool + Send + Sync + 'static) -> Self {
        Self { times: 1, matching: Arc::new(matching), after: 0, counting: Arc::new(|_| true) }
    }

    /// Deliver only after this many later commands, of any client, have been answered too.
    #[must_use]
    pub fn after(mut self, commands: u64) -> Self {
        self.after = commands;
        self
    }

    /// Count only those later commands for which this holds.
    #[must_use]
    pub fn counting(mut self, counted: impl Fn(&ProxiedCommand) -> bool + Send + Sync + 'static) -> Self {
        self.counting = Arc::new(counted);
        self
    }

    /// Do this for this many matching commands, not only for the next one.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

impl fmt::Debug for LateCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateCopy")
            .field("times", &self.times)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

/// Counts of what has gone through a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyReport {
    /// Connections accepted.
    pub connections: u64,
    /// Commands read from clients; 0 for [`super::Traffic::Bytes`].
    pub commands: u64,
    /// Commands completely forwarded to the server's side of the connection.
    pub forwarded: u64,
    /// Commands lost on the way to the server.
    pub dropped_requests: u64,
    /// Answers lost on the way back.
    pub dropped_replies: u64,
    /// Answers made here instead of by the server.
    pub made_replies: u64,
    /// Late copies delivered, in order.
    pub copies: Vec<Delivered>,
}

/// A late copy and the server's answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The command.
    pub command: ProxiedCommand,
    /// The answer, or why there was none.
    pub reply: Result<RespReply, String>,
}

/// What happens to a matching command.
#[derive(Clone)]
pub(super) enum Action {
    DropRequest,
    DropReply,
    /// The client gets this answer, whether the command reaches the server or not.
    Answer {
        answer: Vec<u8>,
        reaches: bool,
    },
    CopyLate {
        after: u64,
        counting: Predicate,
    },
}

/// A fault that waits for its commands.
pub(super) struct Rule {
    pub(super) matching: Predicate,
    pub(super) left: u32,
    pub(super) action: Action,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_matched_by_name_and_content() {
        let command = ProxiedCommand(vec![b"evalsha".to_vec(), b"abc".to_vec(), b"order:17".to_vec()]);
        assert!(command.is("EVALSHA") && !command.is("EVAL"));
        assert!(command.contains("der:1") && command.contains("") && !command.contains("der:2"));
        assert_eq!(command.args().len(), 3);
    }
}
