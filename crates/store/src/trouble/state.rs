//! The states in which a server does not do its work, each with the text an operator reads.

use std::fmt;

use crate::error::Retryable;

/// What a server is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Storing new orders.
    Accept,
    /// Claiming and settling what is stored; this works even while the server is out of memory.
    Deliver,
}

/// A state of a server in which some work cannot be done, or is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RedisState {
    /// No connection, or no answer.
    Away,
    /// It refuses the user or the password.
    AccessDenied,
    /// Its settings would lose messages, so it is not used.
    Unsuitable,
    /// It is loading its data from disk.
    Loading,
    /// It is a replica.
    ReadOnly,
    /// It is a replica without its primary.
    PrimaryDown,
    /// The cluster it belongs to is down.
    ClusterDown,
    /// A script or function of another client blocks it.
    Busy,
    /// It cannot write to its disk.
    Disk,
    /// It has too few replicas to accept writes.
    NoReplicas,
    /// Writes are not confirmed by disk or replica in time.
    Unconfirmed,
    /// Its memory is full.
    MemoryFull,
    /// Its memory is nearly full.
    MemoryNearlyFull,
    /// It answers slowly.
    Slow,
}

/// The texts of a state.
struct Words {
    word: &'static str,
    event: &'static str,
    /// Follows "Redis at 127.0.0.1:6379 …".
    is: &'static str,
    /// The same for its end.
    over: &'static str,
    means: &'static str,
    remedy: &'static str,
}

const NOTHING: &str = "Until then nothing is accepted or sent; stored orders are kept.";
const NO_NEW: &str = "New orders are refused; stored orders are still sent.";

impl RedisState {
    /// All of them, the most serious first.
    pub const ALL: &'static [Self] = &[
        Self::Away,
        Self::AccessDenied,
        Self::Unsuitable,
        Self::Loading,
        Self::ReadOnly,
        Self::PrimaryDown,
        Self::ClusterDown,
        Self::Busy,
        Self::Disk,
        Self::NoReplicas,
        Self::Unconfirmed,
        Self::MemoryFull,
        Self::MemoryNearlyFull,
        Self::Slow,
    ];

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn words(self) -> Words {
        let words = |word, event, is, over, means, remedy| Words { word, event, is, over, means, remedy };
        match self {
            Self::Away => words(
                "away",
                "redis.away",
                "cannot be reached",
                "answers again",
                "Until it can be reached, orders on it are neither accepted nor sent; stored orders are kept.",
                "Check that the server is running and that this host can reach it at this address.",
            ),
            Self::AccessDenied => words(
                "access_denied",
                "redis.access_denied",
                "refuses our credentials",
                "accepts our credentials again",
                NOTHING,
                "Correct redis.username and redis.password (or password_file), or the server's ACL.",
            ),
            Self::Unsuitable => words(
                "unsuitable",
                "redis.unsuitable",
                "has settings with which messages would be lost, so it is not used",
                "has suitable settings again",
                NOTHING,
                "Correct these settings of the server; `posthaste doctor` lists all of them.",
            ),
            Self::Loading => words(
                "loading",
                "redis.loading",
                "is loading its data from disk",
                "has finished loading",
                NOTHING,
                "Wait: sending resumes by itself.",
            ),
            Self::ReadOnly => words(
                "read_only",
                "redis.read_only",
                "is a read-only replica",
                "accepts writes again",
                NOTHING,
                "Point redis.url at the primary; a redis-sentinel:// or redis-cluster:// URL follows a failover by itself.",
            ),
            Self::PrimaryDown => words(
                "master_down",
                "redis.master_down",
                "is a replica that has lost its primary",
                "has its primary again",
                NOTHING,
                "Bring the primary back, or promote a replica and point redis.url at it.",
            ),
            Self::ClusterDown => words(
                "cluster_down",
                "redis.cluster_down",
                "belongs to a cluster that is down",
                "belongs to a working cluster again",
                NOTHING,
                "Check CLUSTER INFO and CLUSTER NODES: a slot without a primary stops all others unless \
                 cluster-require-full-coverage is no.",
            ),
            Self::Busy => words(
                "busy",
                "redis.busy",
                "is blocked by a script or function that has been running for long",
                "is no longer blocked",
                NOTHING,
                "Find its owner (CLIENT LIST, SLOWLOG GET). SCRIPT KILL or FUNCTION KILL ends a script that has \
                 written nothing.",
            ),
            Self::Disk => words(
                "disk",
                "redis.disk",
                "cannot write to its disk and refuses all writes (MISCONF)",
                "writes to its disk again",
                NOTHING,
                "Free space on the disk of its data directory and check the directory's permissions; the \
                 server's log names the file.",
            ),
            Self::NoReplicas => words(
                "no_replicas",
                "redis.no_replicas",
                "has too few replicas and refuses all writes (NOREPLICAS)",
                "has enough replicas again",
                NOTHING,
                "Bring the replicas back, or lower min-replicas-to-write.",
            ),
            Self::Unconfirmed => words(
                "unconfirmed",
                "redis.unconfirmed",
                "does not confirm writes on disk or at a replica in time, as redis.durability requires",
                "confirms writes again",
                "Orders may be stored, but callers get an error with an unknown outcome; no delivery is begun.",
                "Check that a replica is connected and keeps up (INFO replication), and that the disk does not stall.",
            ),
            Self::MemoryFull => words(
                "memory_full",
                "redis.memory_full",
                "has no memory left",
                "has memory again",
                NO_NEW,
                "Raise maxmemory (CONFIG SET maxmemory, and in its configuration file), or shorten courier.retention_days.",
            ),
            Self::MemoryNearlyFull => words(
                "memory_nearly_full",
                "redis.memory_nearly_full",
                "has used more than 90% of its memory",
                "has enough memory again",
                NO_NEW,
                "Raise maxmemory (CONFIG SET maxmemory, and in its configuration file), or shorten courier.retention_days.",
            ),
            Self::Slow => words(
                "slow",
                "redis.slow",
                "answers slowly",
                "answers in time again",
                "Orders are accepted and sent late.",
                "Check SLOWLOG GET and LATENCY DOCTOR, the CPU, swap and disk of its host, and the network.",
            ),
        }
    }

    /// The stable word for metrics and API answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.words().word
    }

    /// The stable name of the log lines about it, as in `redis.memory_full`.
    #[must_use]
    pub fn event(self) -> &'static str {
        self.words().event
    }

    /// The state, as the rest of a sentence that begins with the server.
    #[must_use]
    pub fn is(self) -> &'static str {
        self.words().is
    }

    /// The end of the state, in the same form.
    #[must_use]
    pub fn over(self) -> &'static str {
        self.words().over
    }

    /// What it means for orders, as a sentence.
    #[must_use]
    pub fn means(self) -> &'static str {
        self.words().means
    }

    /// What to do, as a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.words().remedy
    }

    /// Whether this state prevents the work.
    #[must_use]
    pub fn prevents(self, work: Work) -> bool {
        match self {
            Self::Slow => false,
            Self::MemoryFull | Self::MemoryNearlyFull => work == Work::Accept,
            _ => true,
        }
    }

    /// Whether a check of the server shows that it lasts or has ended. The other states end by the results of calls.
    pub(super) fn is_seen(self) -> bool {
        !matches!(self, Self::Slow | Self::Unconfirmed | Self::Unsuitable)
    }

    /// The state behind a refusal of the server; `None` when the refusal concerns this process or one partition.
    pub(crate) fn of(why: Retryable) -> Option<Self> {
        Some(match why {
            Retryable::Memory => Self::MemoryFull,
            Retryable::NearlyFull => Self::MemoryNearlyFull,
            Retryable::Loading => Self::Loading,
            Retryable::ReadOnly => Self::ReadOnly,
            Retryable::Disk => Self::Disk,
            Retryable::Busy => Self::Busy,
            Retryable::ClusterDown => Self::ClusterDown,
            Retryable::MasterDown => Self::PrimaryDown,
            Retryable::NoReplicas => Self::NoReplicas,
            Retryable::Moving | Retryable::Backlog | Retryable::Recovered => return None,
        })
    }
}

impl fmt::Display for RedisState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_texts() {
        for (at, state) in RedisState::ALL.iter().enumerate() {
            assert_eq!(state.event(), format!("redis.{}", state.word()));
            assert!(state.means().ends_with('.') && state.remedy().ends_with('.'), "{state}");
            assert!(!state.is().ends_with('.') && !state.over().ends_with('.'), "{state}");
            for other in &RedisState::ALL[..at] {
                assert!(other.word() != state.word() && other.is() != state.is(), "{state}");
            }
        }
    }

    #[test]
    fn refusals_and_states_use_the_same_words() {
        for why in [
            Retryable::Memory,
            Retryable::NearlyFull,
            Retryable::Loading,
            Retryable::ReadOnly,
            Retryable::Disk,
            Retryable::Busy,
            Retryable::ClusterDown,
            Retryable::MasterDown,
            Retryable::NoReplicas,
        ] {
            assert_eq!(RedisState::of(why).map(RedisState::word), Some(why.word()));
        }
        assert_eq!((RedisState::of(Retryable::Moving), RedisState::of(Retryable::Backlog)), (None, None));
    }

    #[test]
    fn full_memory_stops_orders_and_not_deliveries() {
        assert!(
            RedisState::MemoryFull.prevents(Work::Accept) && !RedisState::MemoryFull.prevents(Work::Deliver)
        );
        assert!(RedisState::Disk.prevents(Work::Deliver));
        assert!(!RedisState::Slow.prevents(Work::Accept));
    }
}
