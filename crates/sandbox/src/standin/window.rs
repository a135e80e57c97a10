//! How much came within a span of late. Pure: time comes in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The moments of what came, oldest first; never more than the limit.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Instant>);

impl Window {
    /// How long there is no room for one more of `most` in `span`; `None` when there is.
    pub(crate) fn full(&mut self, most: usize, span: Duration, now: Instant) -> Option<Duration> {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= span) {
            self.0.pop_front();
        }
        let oldest = self.0.front().filter(|_| self.0.len() >= most)?;
        Some(span.saturating_sub(now.saturating_duration_since(*oldest)))
    }

    /// Counts one; without limit nothing is remembered.
    pub(crate) fn count(&mut self, most: usize, now: Instant) {
        if most < usize::MAX {
            self.0.push_back(now);
        }
    }
}
