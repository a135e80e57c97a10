//! Waiting at the start of a service for a server that is not up yet, or refuses for now.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cause::Cause;
use crate::endpoint::{self, address};
use crate::error::{CallError, ConnectError, NoReplyCause};
use crate::preflight::report::PreflightReport;
use crate::redis_state::RedisState;
use crate::settings::{Role, Settings};
use crate::store::Store;
use crate::trouble::{ServerTroubles, loading};

/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(500);

impl Store {
    /// Connects like [`Store::connect`], but waits at most `settings.wait_at_start` for a server that is not up yet
    /// or refuses for now. What it waits for is reported in `troubles`, and logged at once and every 30 s. May be
    /// dropped at any time, which ends the wait.
    ///
    /// # Errors
    /// A [`ConnectError`]: at once when waiting does not help (settings, credentials, unsuitable server, another
    /// database), otherwise when the time is over.
    pub async fn connect_when_ready(
        settings: Settings,
        role: Role,
        troubles: ServerTroubles,
    ) -> Result<(Self, PreflightReport), ConnectError> {
        let config = endpoint::config(&settings)?;
        let place = address(&config.server);
        troubles.nodes(vec![Arc::clone(&place)]);
        let (begun, patience) = (Instant::now(), settings.wait_at_start);
        let mut reported = false;
        loop {
            let error = match Self::connect_with(settings.clone(), role.clone(), troubles.clone()).await {
                Ok(connected) => {
                    if reported {
                        tracing::info!(
                            event = "redis.wait_ended",
                            node = &*place,
                            "Redis is ready: starting"
                        );
                    }
                    return Ok(connected);
                }
                Err(error) => error,
            };
            let Some((state, detail)) = waits_for(&error) else { return Err(error) };
            let node = match &error {
                ConnectError::FirstPartition { node: Some(node), .. } => Arc::clone(node),
                _ => Arc::clone(&place),
            };
            troubles.nodes(vec![Arc::clone(&node)]);
            let detail = if state == RedisState::Loading { loading::progress(&config).await } else { detail };
            troubles.saw(&node, vec![(state, detail)]);
            if begun.elapsed() >= patience {
                return Err(error);
            }
            if !reported {
                reported = true;
                tracing::info!(
                    event = "redis.waiting_at_start",
                    node = &*node,
                    seconds = patience.as_secs(),
                    "waiting for Redis"
                );
            }
            troubles.tick();
            sleep(RETRY.min(patience.saturating_sub(begun.elapsed()))).await;
        }
    }
}

/// The state that may pass without a change of our settings; `None` when waiting does not help.
fn waits_for(error: &ConnectError) -> Option<(RedisState, Option<String>)> {
    match error {
        ConnectError::Unreachable(NoReplyCause::NotConnected | NoReplyCause::OnTheMove) => {
            Some((RedisState::Away, None))
        }
        ConnectError::Unreachable(NoReplyCause::Connection(error)) => {
            Some((RedisState::Away, Some(Cause::of(&error.0).to_string())))
        }
        ConnectError::FirstPartition { why, .. } => {
            let state = match why {
                CallError::Retryable { why } => RedisState::of(*why).unwrap_or(RedisState::Away),
                _ => RedisState::Away,
            };
            Some((state, Some("it holds partition 0, with the API keys and suppression lists".to_owned())))
        }
        ConnectError::Call(CallError::Retryable { why }) => {
            Some((RedisState::of(*why).unwrap_or(RedisState::Away), None))
        }
        ConnectError::Call(CallError::NoReply(_)) => Some((RedisState::Away, None)),
        ConnectError::Settings { .. }
        | ConnectError::Refused(_)
        | ConnectError::Stop(_)
        | ConnectError::Call(_) => None,
    }
}
