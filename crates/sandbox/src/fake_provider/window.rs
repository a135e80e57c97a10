//! Counts events within a sliding window. Pure: the time is a parameter.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The times of the events, oldest first; never more than the limit.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Instant>);

impl Window {
    /// How long until one more of `most` in `span` is allowed; `None` when it is allowed now.
    pub(crate) fn full(&mut self, most: usize, span: Duration, now: Instant) -> Option<Duration> {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= span) {
            self.0.pop_front();
        }
        let oldest = self.0.front().filter(|_| self.0.len() >= most)?;
        Some(span.saturating_sub(now.saturating_duration_since(*oldest)))
    }

    /// Counts one; without a limit nothing is remembered.
    pub(crate) fn count(&mut self, most: usize, now: Instant) {
        if most < usize::MAX {
            self.0.push_back(now);
        }
    }
}
