//! Callbacks that failed authentication. A public endpoint attracts forged requests, but a wrong secret in our
//! settings also rejects every genuine callback of the provider. So all are counted, and logged at a limited rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use posthaste_model::Channel;
use tokio::time::Instant;

/// Minimum time between two log lines.
const EVERY: Duration = Duration::from_secs(60);

/// Rejected callbacks of one channel.
#[derive(Debug)]
pub struct RejectedCallbacks {
    channel: String,
    hint: &'static str,
    log_state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    last: Option<Instant>,
    since: u64,
}

impl RejectedCallbacks {
    /// No rejections yet. `hint` is the log text: what was rejected, and which setting may be wrong.
    #[must_use]
    pub fn new(channel: &Channel, hint: &'static str) -> Self {
        Self { channel: channel.to_string(), hint, log_state: Mutex::default() }
    }

    /// Counts a callback rejected at `now`.
    pub fn add(&self, now: Instant) {
        counter!("posthaste_callbacks_rejected_total", "channel" => self.channel.clone()).increment(1);
        if let Some(times) = self.due(now) {
            tracing::warn!(
                event = "callback.rejected",
                channel = self.channel,
                times,
                hint = self.hint,
                "callbacks rejected"
            );
        }
    }

    /// Counts one more. Returns how many to log if a line is due: the first at once, later all since the last line.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut log_state = self.log_state.lock().unwrap_or_else(PoisonError::into_inner);
        log_state.since += 1;
        if log_state.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            return None;
        }
        log_state.last = Some(now);
        Some(std::mem::take(&mut log_state.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_others_once_a_minute() {
        let refusals = RejectedCallbacks::new(&"sms".parse().unwrap(), "refused");
        let begun = Instant::now();
        let at = |seconds| refusals.due(begun + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(1));
        assert_eq!((at(0), at(1), at(59)), (None, None, None));
        assert_eq!(at(60), Some(4));
        assert_eq!(at(119), None);
        assert_eq!(at(600), Some(2));
    }
}
