//! Settings shared by all fake providers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use super::faults::MessageFault;

/// How much a fake provider holds, and for how long.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Bounds {
    /// Longest a hang lasts; then the connection closes.
    #[serde(with = "posthaste_ops::config::duration")]
    pub hang_for: Duration,
    /// Most connections at a time; further ones wait.
    pub max_connections: usize,
    /// Most requests kept.
    pub keep_requests: usize,
    /// Most bytes of requests kept.
    pub keep_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            hang_for: Duration::from_secs(900),
            max_connections: 1_024,
            keep_requests: 200_000,
            keep_bytes: 256 * 1024 * 1024,
        }
    }
}

/// The part of a provider's settings the server uses.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) listen: SocketAddr,
    pub(crate) faults: Vec<MessageFault>,
    pub(crate) magic: bool,
    pub(crate) reply_after: Duration,
    pub(crate) bounds: Bounds,
}

/// Loopback, on a port the system picks.
pub(crate) fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
