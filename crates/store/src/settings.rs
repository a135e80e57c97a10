//! Where the server is, and how the store behaves.

use std::path::PathBuf;
use std::time::Duration;

use posthaste_model::{Channel, Durability};
use secrecy::SecretString;
use serde::Deserialize;

/// Settings of a store. Read by serde with durations as `5s` or `250ms`; what is not set has its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://`, `rediss://`, `redis+unix://`, `redis-cluster://`, `rediss-cluster://`, `redis-sentinel://` or
    /// `rediss-sentinel://`; may contain user and password.
    pub url: SecretString,
    /// The user; overrides the one in the URL.
    pub username: Option<String>,
    /// The password; overrides the one in the URL.
    pub password: Option<SecretString>,
    /// Certificates (PEM) to trust instead of the system's, for TLS.
    pub ca_file: Option<PathBuf>,
    /// The key for hashing addresses on suppression lists: at least 32 characters, the same for all processes of the
    /// installation. `None`: a random key is created and kept in the database.
    pub address_key: Option<SecretString>,
    /// Number of partitions of the installation, 1 to 1,024. Fixed when the database is set up.
    pub partitions: u16,
    /// What "accepted" and "begun" mean.
    pub durability: Durability,
    /// Time limit for one call, and for the wait for a connection before it.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// How long to wait for the disk or replica confirmation that `durability` requires. A server with WAITAOF and
    /// `appendfsync everysec` needs up to 2 s.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// How long nothing is begun after a restart or failover of the server, so that every process can first compare
    /// its marks with the database.
    #[serde(with = "humantime_serde")]
    pub failover_hold: Duration,
    /// Connections for calls, 1 to 16. Calls on one connection are pipelined.
    pub connections: u16,
    /// How long [`crate::Store::connect_when_ready`] waits for a server that is not up yet, or refuses for now.
    #[serde(with = "humantime_serde")]
    pub wait_at_start: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: SecretString::from("redis://127.0.0.1:6379"),
            username: None,
            password: None,
            ca_file: None,
            address_key: None,
            partitions: 1,
            durability: Durability::Fast,
            call_timeout: Duration::from_secs(5),
            confirm_timeout: Duration::from_secs(4),
            failover_hold: Duration::from_secs(2),
            connections: 2,
            wait_at_start: Duration::from_secs(600),
        }
    }
}

/// The kind of process that connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A queue service.
    Queue,
    /// A courier of this channel; connecting registers the channel in the database.
    Courier(Channel),
    /// The same, and it reports whether the channel gets delivery receipts.
    CourierWith {
        /// The channel.
        channel: Channel,
        /// Whether delivery receipts arrive.
        receipts: bool,
    },
    /// A program for people: the command line, a checker, a benchmark.
    Tool,
    /// A read-only program: connecting writes nothing, and an empty database stays empty.
    Inspector,
}

impl Role {
    /// The channel of a courier.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        match self {
            Self::Courier(channel) | Self::CourierWith { channel, .. } => Some(channel),
            Self::Queue | Self::Tool | Self::Inspector => None,
        }
    }

    /// Whether a courier expects receipts.
    pub(crate) fn receipts(&self) -> Option<bool> {
        match self {
            Self::CourierWith { receipts, .. } => Some(*receipts),
            Self::Courier(_) | Self::Queue | Self::Tool | Self::Inspector => None,
        }
    }
}
