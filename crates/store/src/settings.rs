//! Where the server is, and how the store is to behave.

use std::path::PathBuf;
use std::time::Duration;

use posthaste_model::{Channel, Durability};
use secrecy::SecretString;
use serde::Deserialize;

/// Settings of a store. Read by serde with durations as `5s` or `250ms`; what is not given takes its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://`, `rediss://`, `redis+unix://`, `redis-cluster://`, `rediss-cluster://`, `redis-sentinel://` or
    /// `rediss-sentinel://`; may hold user and password.
    pub url: SecretString,
    /// The user, in place of the one in the URL.
    pub username: Option<String>,
    /// The password, in place of the one in the URL.
    pub password: Option<SecretString>,
    /// Certificates (PEM) to trust in place of the system's, for TLS.
    pub ca_file: Option<PathBuf>,
    /// The key under which addresses on suppression lists are hashed: 32 characters at least, the same for all processes of
    /// the installation. `None`: the database keeps one that was made at random.
    pub address_key: Option<SecretString>,
    /// Number of partitions of the installation, 1 to 1,024. Fixed when the database is set up.
    pub partitions: u16,
    /// What "accepted" and "begun" mean.
    pub durability: Durability,
    /// How long one call may take, and how long it waits for a connection before.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// How long to wait for the disk or the replica that `durability` asks for. A server with WAITAOF and `appendfsync
    /// everysec` needs up to 2 s.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// How long nothing is begun after the server was restarted or another one took over, so that every process can first
    /// compare what it was told with what is there.
    #[serde(with = "humantime_serde")]
    pub failover_hold: Duration,
    /// Connections for calls, 1 to 16. Calls of one connection are pipelined.
    pub connections: u16,
    /// How long [`crate::Store::connect_when_ready`] waits for a server that is not there yet, or refuses for now.
    #[serde(with = "humantime_serde")]
    pub wait_at_start: Duration,
}

impl Settings {
    /// Where the server is, as text without credentials; `None` when the URL can't be read.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let config = crate::endpoint::config(self).ok()?;
        Some(crate::trouble::probe::address(&config.server).to_string())
    }
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

/// Who connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A queue service.
    Queue,
    /// A courier of this channel, which is thereby known to the database.
    Courier(Channel),
    /// The same, and it says whether the channel is told what becomes of a message after its provider took it.
    CourierWith {
        /// The channel.
        channel: Channel,
        /// Whether such word comes.
        receipts: bool,
    },
    /// A program for people: the command line, a checker, a benchmark.
    Tool,
    /// Somebody who only looks: nothing is written by connecting, an empty database stays empty.
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

    /// What a courier says of receipts.
    pub(crate) fn receipts(&self) -> Option<bool> {
        match self {
            Self::CourierWith { receipts, .. } => Some(*receipts),
            Self::Courier(_) | Self::Queue | Self::Tool | Self::Inspector => None,
        }
    }
}
