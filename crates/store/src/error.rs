//! What goes wrong, named by what the caller does next. No error holds data of a call or a reply.

use std::fmt;

use posthaste_protocol::Malformed;

use crate::cause::Cause;
use crate::halted::Halt;
use crate::preflight::Report;
use crate::trouble::RedisState;
pub use crate::unreadable::Unreadable;

/// Why a call brought no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came: it may have happened. Repeat it as it was; every script is harmless when repeated.
    #[error("no answer from the server: it may have happened")]
    Away(#[source] Lost),
    /// Refused whole: nothing happened. Try again later.
    #[error("refused for now: the server {}", why.is())]
    Later {
        /// Why.
        why: Later,
    },
    /// Stop: no later call will be answered either.
    #[error(transparent)]
    Stop(StopWhy),
    /// It happened, but is not yet as safe as was asked. Repeat it: the answer then tells the truth.
    #[error("it happened, but was not confirmed in time by disk or replica: ask again")]
    Undurable,
    /// Report: a reply that makes no sense, or a mistake in a script or in the rights given to us.
    #[error("a reply could not be used")]
    Fault(#[source] Fault),
}

impl CallError {
    /// Whether the call may have happened although it ended so. False only when it was refused whole, or never left this
    /// process.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Later { .. } | Self::Away(Lost::NotConnected) => false,
            // The answer of a call may be what shows that its database went back; any other reason is found before the
            // first write.
            Self::Stop(why) => matches!(why, StopWhy::Halted(_)),
            Self::Away(Lost::Connection(_) | Lost::OnTheMove) | Self::Undurable | Self::Fault(_) => true,
        }
    }
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// There was no connection all the time.
    #[error("not connected")]
    NotConnected,
    /// The connection broke, or the time was over.
    #[error(transparent)]
    Connection(#[from] ClientError),
    /// The slot was being moved to another server while a script ran: what it had written stays.
    #[error("the slot was being moved to another server")]
    OnTheMove,
}

/// What the client of the server says. Shows the cause as far as it can be told.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", Cause::of(.0))]
pub struct ClientError(pub(crate) fred::error::Error);

/// Why the server, or this process for it, refuses for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Later {
    /// The server's memory is full (`OOM`).
    Memory,
    /// The server's memory is nearly full: what is queued goes first, nothing new is accepted.
    NearlyFull,
    /// The server reads its data (`LOADING`).
    Loading,
    /// The server is a replica now (`READONLY`).
    ReadOnly,
    /// The server can't write its disk (`MISCONF`).
    Disk,
    /// A script of somebody else runs for long (`BUSY`).
    Busy,
    /// The cluster does not work (`CLUSTERDOWN`).
    ClusterDown,
    /// The server is a replica without its master (`MASTERDOWN`).
    MasterDown,
    /// Too few replicas (`NOREPLICAS`).
    NoReplicas,
    /// The partition is being moved to another node (`TRYAGAIN`, `ASK`; a second `MOVED`).
    Moving,
    /// Too many calls wait in this process.
    Backlog,
    /// The database was recovered while the call was on its way.
    Recovered,
}

impl Later {
    /// Reads the first word of an error reply.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "OOM" => Self::Memory,
            "LOADING" => Self::Loading,
            "READONLY" => Self::ReadOnly,
            "MISCONF" => Self::Disk,
            "BUSY" => Self::Busy,
            "CLUSTERDOWN" => Self::ClusterDown,
            "MASTERDOWN" => Self::MasterDown,
            "NOREPLICAS" => Self::NoReplicas,
            "TRYAGAIN" | "ASK" | "MOVED" => Self::Moving,
            _ => return None,
        })
    }

    /// The stable word for answers and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory_full",
            Self::NearlyFull => "memory_nearly_full",
            Self::Loading => "loading",
            Self::ReadOnly => "read_only",
            Self::Disk => "disk",
            Self::Busy => "busy",
            Self::ClusterDown => "cluster_down",
            Self::MasterDown => "master_down",
            Self::NoReplicas => "no_replicas",
            Self::Moving => "moving",
            Self::Backlog => "backlog",
            Self::Recovered => "recovered",
        }
    }

    /// What is so, as the rest of a sentence that begins with the server: "has no memory left".
    #[must_use]
    pub fn is(self) -> &'static str {
        match RedisState::of(self) {
            Some(state) => state.is(),
            None if self == Self::Moving => "is moving this partition to another node",
            None if self == Self::Recovered => "was recovered while the call was on its way",
            None => "has more calls of this process outstanding than it may have",
        }
    }
}

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why no call is answered any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopWhy {
    /// The database is another one than before.
    #[error(
        "this is another database than before (partition {partition} has another epoch); sending is stopped. Let this \
         process have its own database again, or restart all processes to take this one"
    )]
    Epoch {
        /// Where it was seen.
        partition: u16,
        /// The epoch found.
        found: String,
    },
    /// The database went back or was wiped; somebody has to say how to go on.
    #[error("{0}")]
    Halted(Box<Halt>),
    /// It holds orders without an epoch, or was set up with another number of partitions.
    #[error("partition {partition} is foreign: orders without an epoch, or another number of partitions")]
    Foreign {
        /// Where it was seen.
        partition: u16,
    },
    /// Its suppression lists were put under another address key meanwhile.
    #[error("suppression lists are kept under another address key than this process has")]
    AddressKey,
    /// It asks for a newer program.
    #[error(
        "this program is too old for the database (partition {partition}): a newer version that ran on it writes records \
         this one must not touch; start the newer version"
    )]
    TooOld {
        /// Where it was seen.
        partition: u16,
    },
}

/// A reply that can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// It belongs to another request. The connection is being replaced.
    #[error("the reply belongs to another request")]
    Crossed,
    /// It has another shape than promised.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The call panicked on our side, before its answer could be used.
    #[error("the call `{0}` panicked")]
    Panicked(&'static str),
    /// A record is there and can't be read, though the server is well. It concerns one order, and stops no other.
    #[error("a record can't be read: {0}")]
    Record(Malformed),
    /// The server answered an error that is no passing trouble.
    #[error("the server answered {0}")]
    Server(String),
    /// The client could not make or read a message.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Correct the settings.
    #[error("the setting {key} can't be used: {why}")]
    Settings {
        /// Which one.
        key: &'static str,
        /// Why; holds no secret.
        why: String,
    },
    /// Try again later: the server does not answer.
    #[error("cannot connect to Redis")]
    Unreachable(#[source] Lost),
    /// Try again later: the primary of the first partition can't be asked, and none of its replicas answers in its place. Without
    /// what is there nobody may call, and nobody knows who must not be sent anything.
    #[error(
        "partition 0 can't be asked{}; it holds the API keys, the suppression lists and the key of their hashes, which every \
         process needs, and no replica of it answers",
        node.as_ref().map_or_else(String::new, |node| format!(" at {node}"))
    )]
    FirstPartition {
        /// The address of its primary; `None` while no server has its slot.
        node: Option<std::sync::Arc<str>>,
        /// What was answered.
        #[source]
        why: CallError,
    },
    /// Correct the server's settings: messages would be lost.
    #[error("the server is refused:\n{0}")]
    Refused(Report),
    /// Look at the database: it is not the one it should be.
    #[error(transparent)]
    Stop(StopWhy),
    /// The first calls failed; named like any call.
    #[error("the first call failed")]
    Call(#[source] CallError),
}

impl ConnectError {
    /// What the client said when it could not connect. What waiting can't mend is a matter of the settings.
    pub(crate) fn connecting(error: fred::error::Error) -> Self {
        let cause = Cause::of(&error);
        if let Cause::Refuses(why) = cause {
            return Self::Call(CallError::Later { why });
        }
        let key = match cause {
            Cause::AccessDenied(_) => "password",
            Cause::Certificate => "ca_file",
            _ => "url",
        };
        match cause.is_lasting() {
            true => Self::Settings { key, why: format!("{cause}. {}", cause.remedy()) },
            false => Self::Unreachable(Lost::Connection(ClientError(error))),
        }
    }

    /// What to do about it, as a sentence, when its own text does not say so.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(Lost::Connection(error)) => Some(Cause::of(&error.0).remedy()),
            Self::Unreachable(Lost::NotConnected | Lost::OnTheMove) => Some(RedisState::Away.remedy()),
            Self::FirstPartition { why: CallError::Later { why }, .. }
            | Self::Call(CallError::Later { why }) => RedisState::of(*why).map(RedisState::remedy),
            Self::FirstPartition { .. } => Some(RedisState::Away.remedy()),
            Self::Settings { .. } | Self::Refused(_) | Self::Stop(_) | Self::Call(_) => None,
        }
    }
}

impl From<CallError> for ConnectError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Stop(why) => Self::Stop(why),
            CallError::Away(lost) => Self::Unreachable(lost),
            other => Self::Call(other),
        }
    }
}

/// Sorts what the client says.
pub(crate) fn client_error(error: fred::error::Error) -> CallError {
    use fred::error::ErrorKind;
    match error.kind() {
        ErrorKind::Backpressure => CallError::Later { why: Later::Backlog },
        ErrorKind::Protocol
        | ErrorKind::Parse
        | ErrorKind::InvalidArgument
        | ErrorKind::InvalidCommand
        | ErrorKind::Auth => CallError::Fault(Fault::Client(ClientError(error))),
        _ => CallError::Away(Lost::Connection(ClientError(error))),
    }
}

/// Sorts an error reply. What it repeats of the call is cut off.
pub(crate) fn server_error(text: &str) -> CallError {
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    match Later::of(word) {
        Some(why) => CallError::Later { why },
        None if text.contains("attempted to access a non local key") => CallError::Away(Lost::OnTheMove),
        None => {
            let text = text.split(", with args").next().unwrap_or_default();
            CallError::Fault(Fault::Server(text.chars().take(200).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_whole_did_not_happen_and_all_else_may_have() {
        let refused =
            ["OOM", "LOADING", "READONLY", "MISCONF", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"];
        for word in refused.into_iter().chain(["TRYAGAIN"]) {
            assert!(!server_error(word).may_have_happened(), "{word}");
        }
        for why in [Later::Backlog, Later::NearlyFull] {
            assert!(!CallError::Later { why }.may_have_happened());
        }
        let client = |kind| client_error(fred::error::Error::new(kind, "x"));
        use fred::error::ErrorKind;
        assert!(!client(ErrorKind::Backpressure).may_have_happened(), "it was not written");
        for kind in [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled, ErrorKind::Protocol] {
            assert!(client(kind.clone()).may_have_happened(), "{kind:?}");
        }
        assert!(!CallError::Away(Lost::NotConnected).may_have_happened());
        assert!(CallError::Undurable.may_have_happened());
        assert!(CallError::Fault(Fault::Crossed).may_have_happened());
        assert!(server_error("ERR Script attempted to access a non local key").may_have_happened());
        let back =
            StopWhy::Halted(Box::new(Halt::of(posthaste_protocol::scripts::halt::HaltCause::WentBack)));
        assert!(CallError::Stop(back).may_have_happened());
        assert!(!CallError::Stop(StopWhy::Foreign { partition: 0 }).may_have_happened());
    }

    #[test]
    fn refusals_are_told_from_faults() {
        assert!(matches!(server_error("OOM command not allowed"), CallError::Later { why: Later::Memory }));
        assert!(matches!(server_error("MISCONF Redis is configured"), CallError::Later { why: Later::Disk }));
        assert!(matches!(server_error("ASK 1 127.0.0.1:2"), CallError::Later { why: Later::Moving }));
        let cut =
            "ERR Script attempted to access a non local key in a cluster node script: 5d, on @user_script:3.";
        assert!(matches!(server_error(cut), CallError::Away(Lost::OnTheMove)));
        let text = "ERR unknown command 'X', with args beginning with: 'secret'";
        match server_error(text) {
            CallError::Fault(Fault::Server(text)) => assert_eq!(text, "ERR unknown command 'X'"),
            other => panic!("{other:?}"),
        }
    }
}
