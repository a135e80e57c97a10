//! Errors, named by what the caller does next. No error contains data of a call or a reply.

use posthaste_protocol::Malformed;

use crate::cause::Cause;
use crate::halted::HaltState;
use crate::preflight::report::PreflightReport;
use crate::redis_state::RedisState;
use crate::retryable::Retryable;

/// Why a call brought no valid answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer arrived: the call may have taken effect. Repeat it unchanged; every script is harmless when
    /// repeated.
    #[error("no answer from the server: the call may have taken effect")]
    NoReply(#[source] NoReplyCause),
    /// Refused as a whole: nothing happened. Try again later.
    #[error("temporarily refused: the server {}", why.is())]
    Retryable {
        /// Why.
        why: Retryable,
    },
    /// Stop: all later calls will fail too.
    #[error(transparent)]
    Fatal(FatalReason),
    /// The call took effect, but is not yet as safe as requested. Repeat it; the second answer is reliable.
    #[error("the call took effect, but disk or replica did not confirm it in time: repeat the call")]
    NotDurable,
    /// Report it: an invalid reply, or a mistake in a script or in our access rights.
    #[error("invalid reply")]
    InvalidReply(#[source] InvalidReply),
}

impl CallError {
    /// Whether the call may have taken effect despite the error. False only when it was refused as a whole, or never
    /// left this process.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Retryable { .. } | Self::NoReply(NoReplyCause::NotConnected) => false,
            // The reply of the call itself may have shown that the database went back; every other fatal reason is
            // found before the first write.
            Self::Fatal(why) => matches!(why, FatalReason::Halted(_)),
            Self::NoReply(NoReplyCause::Connection(_) | NoReplyCause::OnTheMove)
            | Self::NotDurable
            | Self::InvalidReply(_) => true,
        }
    }
}

/// Why no answer arrived.
#[derive(Debug, thiserror::Error)]
pub enum NoReplyCause {
    /// There was no connection at any time during the call.
    #[error("not connected")]
    NotConnected,
    /// The connection broke, or the time limit passed.
    #[error(transparent)]
    Connection(#[from] ClientError),
    /// The slot was being moved to another server while a script ran; what the script had already written stays.
    #[error("the slot was being moved to another server")]
    OnTheMove,
}

/// An error of the Redis client. Displays its cause as far as it is known.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", Cause::of(.0))]
pub struct ClientError(pub(crate) fred::error::Error);

/// Why no call can succeed any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatalReason {
    /// The database is not the same one as before.
    #[error(
        "this is not the same database as before (partition {partition} has another epoch); sending is stopped. Give \
         this process its original database again, or restart all processes to use this one"
    )]
    Epoch {
        /// Where it was found.
        partition: u16,
        /// The epoch found.
        found: String,
    },
    /// The database went back or was wiped; an operator has to decide how to go on.
    #[error("{0}")]
    Halted(Box<HaltState>),
    /// It holds orders without an epoch, or was set up with another number of partitions.
    #[error(
        "partition {partition} is foreign: it holds orders but no epoch, or has another number of partitions"
    )]
    Foreign {
        /// Where it was found.
        partition: u16,
    },
    /// Its suppression lists have meanwhile been hashed with another address key.
    #[error("the suppression lists are hashed with another address key than this process has")]
    AddressKey,
    /// The database requires a newer version of this program.
    #[error(
        "this program is too old for the database (partition {partition}): a newer version has run on it and \
         wrote records that this one must not touch; start the newer version"
    )]
    TooOld {
        /// Where it was found.
        partition: u16,
    },
}

/// An invalid reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidReply {
    /// It belongs to another request. The connection is being replaced.
    #[error("the reply belongs to another request")]
    Crossed,
    /// It does not have the expected shape.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The call panicked in this process before its reply could be used.
    #[error("the call `{0}` panicked")]
    Panicked(&'static str),
    /// A record exists but can't be read, although the server is healthy. Only one order is affected; all others go
    /// on.
    #[error("a record can't be read: {0}")]
    Record(Malformed),
    /// The server returned an error that is not temporary.
    #[error("the server returned an error: {0}")]
    Server(String),
    /// The Redis client could not encode or decode a message.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Correct the settings.
    #[error("invalid setting {key}: {why}")]
    Settings {
        /// Which setting.
        key: &'static str,
        /// Why; holds no secret.
        why: String,
    },
    /// Try again later: the server does not answer.
    #[error("cannot connect to Redis")]
    Unreachable(#[source] NoReplyCause),
    /// Try again later: the primary of the first partition can't be reached, and none of its replicas answers in its
    /// place. Without its data no caller can be authenticated, and suppressed addresses are not known.
    #[error(
        "partition 0 can't be reached{}, and no replica of it answers; it holds the API keys, the suppression lists and the \
         address key, which every process needs",
        node.as_ref().map_or_else(String::new, |node| format!(" at {node}"))
    )]
    FirstPartition {
        /// The address of its primary; `None` while no server has its slot.
        node: Option<std::sync::Arc<str>>,
        /// The error of the call.
        #[source]
        why: CallError,
    },
    /// Correct the server's settings: with these, messages would be lost.
    #[error("the server is refused because its settings would lose messages:\n{0}")]
    Refused(PreflightReport),
    /// Check the database: it is not the expected one.
    #[error(transparent)]
    Stop(FatalReason),
    /// The first calls failed; the cause is that of any call.
    #[error("the first call failed")]
    Call(#[source] CallError),
}

impl ConnectError {
    /// The client could not connect. A cause that does not pass by itself becomes an error of the settings.
    pub(crate) fn connecting(error: fred::error::Error) -> Self {
        let cause = Cause::of(&error);
        if let Cause::Refuses(why) = cause {
            return Self::Call(CallError::Retryable { why });
        }
        let key = match cause {
            Cause::AccessDenied(_) => "password",
            Cause::Certificate => "ca_file",
            _ => "url",
        };
        match cause.is_lasting() {
            true => Self::Settings { key, why: format!("{cause}. {}", cause.remedy()) },
            false => Self::Unreachable(NoReplyCause::Connection(ClientError(error))),
        }
    }

    /// What to do about it, as a sentence; `None` when the error's own text says so.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(NoReplyCause::Connection(error)) => Some(Cause::of(&error.0).remedy()),
            Self::Unreachable(NoReplyCause::NotConnected | NoReplyCause::OnTheMove) => {
                Some(RedisState::Away.remedy())
            }
            Self::FirstPartition { why: CallError::Retryable { why }, .. }
            | Self::Call(CallError::Retryable { why }) => RedisState::of(*why).map(RedisState::remedy),
            Self::FirstPartition { .. } => Some(RedisState::Away.remedy()),
            Self::Settings { .. } | Self::Refused(_) | Self::Stop(_) | Self::Call(_) => None,
        }
    }
}

impl From<CallError> for ConnectError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Fatal(why) => Self::Stop(why),
            CallError::NoReply(lost) => Self::Unreachable(lost),
            other => Self::Call(other),
        }
    }
}

/// A reply in which a required value is missing.
pub(crate) fn malformed(what: &'static str) -> CallError {
    CallError::InvalidReply(InvalidReply::Malformed(Malformed::new(what)))
}

/// Classifies an error of the Redis client.
pub(crate) fn client_error(error: fred::error::Error) -> CallError {
    use fred::error::ErrorKind;
    match error.kind() {
        ErrorKind::Backpressure => CallError::Retryable { why: Retryable::Backlog },
        ErrorKind::Protocol
        | ErrorKind::Parse
        | ErrorKind::InvalidArgument
        | ErrorKind::InvalidCommand
        | ErrorKind::Auth => CallError::InvalidReply(InvalidReply::Client(ClientError(error))),
        _ => CallError::NoReply(NoReplyCause::Connection(ClientError(error))),
    }
}

/// Classifies an error reply. Arguments of the call that it repeats are cut off.
pub(crate) fn server_error(text: &str) -> CallError {
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    match Retryable::of(word) {
        Some(why) => CallError::Retryable { why },
        None if text.contains("attempted to access a non local key") => {
            CallError::NoReply(NoReplyCause::OnTheMove)
        }
        None => {
            let text = text.split(", with args").next().unwrap_or_default();
            CallError::InvalidReply(InvalidReply::Server(text.chars().take(200).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_refused_as_a_whole_certainly_had_no_effect() {
        let refused =
            ["OOM", "LOADING", "READONLY", "MISCONF", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"];
        for word in refused.into_iter().chain(["TRYAGAIN"]) {
            assert!(!server_error(word).may_have_happened(), "{word}");
        }
        for why in [Retryable::Backlog, Retryable::NearlyFull] {
            assert!(!CallError::Retryable { why }.may_have_happened());
        }
        let client = |kind| client_error(fred::error::Error::new(kind, "x"));
        use fred::error::ErrorKind;
        assert!(!client(ErrorKind::Backpressure).may_have_happened(), "it was not written");
        for kind in [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled, ErrorKind::Protocol] {
            assert!(client(kind.clone()).may_have_happened(), "{kind:?}");
        }
        assert!(!CallError::NoReply(NoReplyCause::NotConnected).may_have_happened());
        assert!(CallError::NotDurable.may_have_happened());
        assert!(CallError::InvalidReply(InvalidReply::Crossed).may_have_happened());
        assert!(server_error("ERR Script attempted to access a non local key").may_have_happened());
        let back = FatalReason::Halted(Box::new(HaltState::of(
            posthaste_protocol::scripts::halt::HaltCause::WentBack,
        )));
        assert!(CallError::Fatal(back).may_have_happened());
        assert!(!CallError::Fatal(FatalReason::Foreign { partition: 0 }).may_have_happened());
    }

    #[test]
    fn refusals_are_distinguished_from_faults() {
        assert!(matches!(
            server_error("OOM command not allowed"),
            CallError::Retryable { why: Retryable::Memory }
        ));
        assert!(matches!(
            server_error("MISCONF Redis is configured"),
            CallError::Retryable { why: Retryable::Disk }
        ));
        assert!(matches!(server_error("ASK 1 127.0.0.1:2"), CallError::Retryable { why: Retryable::Moving }));
        let cut =
            "ERR Script attempted to access a non local key in a cluster node script: 5d, on @user_script:3.";
        assert!(matches!(server_error(cut), CallError::NoReply(NoReplyCause::OnTheMove)));
        let text = "ERR unknown command 'X', with args beginning with: 'secret'";
        match server_error(text) {
            CallError::InvalidReply(InvalidReply::Server(text)) => {
                assert_eq!(text, "ERR unknown command 'X'")
            }
            other => panic!("{other:?}"),
        }
    }
}
