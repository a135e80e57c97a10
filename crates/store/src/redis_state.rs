//! The states in which a server does not do its work, each with the text an operator reads.

use std::fmt;

use posthaste_catalogue::log_events::{LogEvent, redis};

use crate::retryable::Retryable;

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
    /// The log event, with what the state means and what to do.
    event: &'static LogEvent,
    /// Follows "Redis at 127.0.0.1:6379 …".
    is: &'static str,
    /// The same for its end.
    over: &'static str,
}

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

    fn words(self) -> Words {
        let words = |word, event, is, over| Words { word, event, is, over };
        match self {
            Self::Away => words("away", &redis::AWAY, "cannot be reached", "answers again"),
            Self::AccessDenied => words(
                "access_denied",
                &redis::ACCESS_DENIED,
                "refuses our credentials",
                "accepts our credentials again",
            ),
            Self::Unsuitable => words(
                "unsuitable",
                &redis::UNSUITABLE,
                "has settings with which messages would be lost, so it is not used",
                "has suitable settings again",
            ),
            Self::Loading => {
                words("loading", &redis::LOADING, "is loading its data from disk", "has finished loading")
            }
            Self::ReadOnly => {
                words("read_only", &redis::READ_ONLY, "is a read-only replica", "accepts writes again")
            }
            Self::PrimaryDown => words(
                "master_down",
                &redis::MASTER_DOWN,
                "is a replica that has lost its primary",
                "has its primary again",
            ),
            Self::ClusterDown => words(
                "cluster_down",
                &redis::CLUSTER_DOWN,
                "belongs to a cluster that is down",
                "belongs to a working cluster again",
            ),
            Self::Busy => words(
                "busy",
                &redis::BUSY,
                "is blocked by a script or function that has been running for long",
                "is no longer blocked",
            ),
            Self::Disk => words(
                "disk",
                &redis::DISK,
                "cannot write to its disk and refuses all writes (MISCONF)",
                "writes to its disk again",
            ),
            Self::NoReplicas => words(
                "no_replicas",
                &redis::NO_REPLICAS,
                "has too few replicas and refuses all writes (NOREPLICAS)",
                "has enough replicas again",
            ),
            Self::Unconfirmed => words(
                "unconfirmed",
                &redis::UNCONFIRMED,
                "does not confirm writes on disk or at a replica in time, as redis.durability requires",
                "confirms writes again",
            ),
            Self::MemoryFull => {
                words("memory_full", &redis::MEMORY_FULL, "has no memory left", "has memory again")
            }
            Self::MemoryNearlyFull => words(
                "memory_nearly_full",
                &redis::MEMORY_NEARLY_FULL,
                "has used more than 90% of its memory",
                "has enough memory again",
            ),
            Self::Slow => words("slow", &redis::SLOW, "answers slowly", "answers in time again"),
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
        self.words().event.name
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
        self.words().event.meaning
    }

    /// What to do, as a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.words().event.remedy
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
    pub(crate) fn is_seen(self) -> bool {
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

impl Retryable {
    /// The state, as the rest of a sentence that begins with the server: "has no memory left".
    #[must_use]
    pub fn is(self) -> &'static str {
        match RedisState::of(self) {
            Some(state) => state.is(),
            None if self == Self::Moving => "is moving this partition to another node",
            None if self == Self::Recovered => "was recovered while the call was in flight",
            None => "has too many outstanding calls from this process",
        }
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
