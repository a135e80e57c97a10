//! A state of one server, as it is shown to people.

use std::sync::Arc;

use posthaste_model::UnixMs;
use tokio::time::Instant;

use crate::redis_state::RedisState;

/// A state of a server that lasts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTrouble {
    /// The address of the server, without credentials.
    pub node: Arc<str>,
    /// Which state.
    pub state: RedisState,
    /// When it began.
    pub since: Instant,
    /// The same by the wall clock.
    pub began: UnixMs,
    /// Figures or causes, as far as known.
    pub detail: Option<String>,
    /// Calls that failed because of it.
    pub refused: u64,
}

impl ServerTrouble {
    /// What happened: `Redis at 127.0.0.1:6379 cannot be reached (connection refused)`.
    #[must_use]
    pub fn happened(&self) -> String {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        format!("Redis at {} {}{detail}", self.node, self.state.is())
    }

    /// What happened, what it means and what to do, as sentences.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}. {} {}", self.happened(), self.state.means(), self.state.remedy())
    }
}
