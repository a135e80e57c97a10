//! The reasons for which a server, or this process on its behalf, refuses for now.

use std::fmt;

/// Why the server, or this process on its behalf, refuses for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retryable {
    /// The server's memory is full (`OOM`).
    Memory,
    /// The server's memory is nearly full: queued deliveries go on, but nothing new is accepted.
    NearlyFull,
    /// The server is loading its data (`LOADING`).
    Loading,
    /// The server is a replica now (`READONLY`).
    ReadOnly,
    /// The server can't write to its disk (`MISCONF`).
    Disk,
    /// Somebody else's script has been running for long (`BUSY`).
    Busy,
    /// The cluster is down (`CLUSTERDOWN`).
    ClusterDown,
    /// The server is a replica without its master (`MASTERDOWN`).
    MasterDown,
    /// Too few replicas (`NOREPLICAS`).
    NoReplicas,
    /// The partition is being moved to another node (`TRYAGAIN`, `ASK`; a second `MOVED`).
    Moving,
    /// Too many calls are waiting in this process.
    Backlog,
    /// The database was recovered while the call was in flight.
    Recovered,
}

impl Retryable {
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

    /// The stable word for API answers and metrics.
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
}

impl fmt::Display for Retryable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
