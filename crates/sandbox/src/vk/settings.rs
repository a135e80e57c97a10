//! Settings of the fake VK API.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::fake_provider::{Bounds, MessageFault, any_port};

/// Settings of the fake VK API. [`Settings::default`] listens on loopback, on a port the system picks, and accepts any
/// token.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Listen address.
    pub listen: SocketAddr,
    /// Accepted tokens; if empty, any are accepted.
    pub tokens: Vec<SecretString>,
    /// The community's id.
    pub group: u64,
    /// The permissions of the token, as returned by `groups.getTokenPermissions`.
    pub permissions: Vec<String>,
    /// Requests per token and second.
    pub per_second: usize,
    /// How long a `random_id` is remembered.
    #[serde(with = "posthaste_ops::config::duration")]
    pub random_for: Duration,
    /// Initial faults.
    pub faults: Vec<MessageFault>,
    /// Whether magic peers are active.
    pub magic: bool,
    /// Delay before each answer, to simulate a distant server.
    #[serde(with = "posthaste_ops::config::duration")]
    pub reply_after: Duration,
    /// Limits on what it holds.
    pub bounds: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: any_port(),
            tokens: Vec::new(),
            group: 1,
            permissions: vec!["messages".into(), "manage".into()],
            per_second: 20,
            random_for: Duration::from_secs(3_600),
            faults: Vec::new(),
            magic: true,
            reply_after: Duration::ZERO,
            bounds: Bounds::default(),
        }
    }
}
