//! Settings of the stand-in.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::standin::{Bounds, Fault, any_port};

/// Settings of the stand-in. [`Settings::default`] listens on loopback, on a port the system chooses, and takes any token.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The tokens it takes; if there are none, any.
    pub tokens: Vec<SecretString>,
    /// The community's number.
    pub group: u64,
    /// What the token may do, as `groups.getTokenPermissions` tells it.
    pub permissions: Vec<String>,
    /// Requests of one token in a second.
    pub per_second: usize,
    /// How long a `random_id` is remembered.
    #[serde(with = "humantime_serde")]
    pub random_for: Duration,
    /// Faults from the start.
    pub faults: Vec<Fault>,
    /// Whether magic peers have their way.
    pub magic: bool,
    /// How long it waits before each answer, as a far server would.
    #[serde(with = "humantime_serde")]
    pub reply_after: Duration,
    /// How much it holds.
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
