//! A channel that is stopped until an operator fixes something, and the notice of what the courier does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::time::Instant;

use super::{Engine, Note};
use crate::pace::Pause;
use crate::state_report::Doing;

impl Engine {
    /// Notes what the courier does, for its reports.
    pub(super) fn put_notice(&mut self, now: Instant) {
        let (resting, reason) = (self.pace.is_resting(), self.last_failure);
        let doing = match self.pace.paused(now) {
            Some(Pause::Stopped(why)) => Doing::Stopped(why.clone()),
            Some(Pause::Until(until)) if resting => Doing::Resting(reason, Some(*until)),
            Some(Pause::Until(until)) => Doing::Paused(*until),
            None if resting => Doing::Resting(reason, None),
            None => Doing::Working,
        };
        self.meter.board().put(doing);
    }

    /// Checks a stopped channel every `check_every`, and resumes it when it works again. Not at once: if the check
    /// passes although the provider's answers stop the channel, the courier would hammer the provider.
    pub(super) fn check_stopped_channel(&mut self, now: Instant) {
        if !matches!(self.pace.paused(now), Some(Pause::Stopped(_))) {
            self.next_check = None;
            return;
        }
        match self.next_check {
            None => self.next_check = Some(now + self.settings.check_every),
            Some(at) if at > now => {}
            Some(_) => {
                self.next_check = Some(now + self.settings.check_every);
                let (transport, notes) = (Arc::clone(&self.transport), self.notes.clone());
                let limit = self.capabilities.send_window;
                tokio::spawn(async move {
                    let check = AssertUnwindSafe(transport.check()).catch_unwind();
                    let found = match tokio::time::timeout(limit, check).await {
                        Ok(Ok(found)) => found,
                        Ok(Err(_)) => Err("the check panicked; this is a bug".to_owned()),
                        Err(_) => Err("the check timed out".to_owned()),
                    };
                    let _ = notes.send(Note::Checked(found));
                });
            }
        }
    }

    pub(super) fn on_checked(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => {
                // Unchecked: only the next send shows whether it works.
                let checked = self.transport.unchecked().is_none();
                tracing::info!(
                    event = "channel.resumed",
                    channel = %self.channel,
                    checked,
                    "the channel is resumed"
                );
                self.pace.resume();
                self.meter.stopped(false);
                for partition in &mut self.partitions {
                    partition.wake_now();
                }
            }
            Err(why) => tracing::warn!(
                event = "channel.still_stopped",
                channel = %self.channel,
                why,
                "the channel is still stopped"
            ),
        }
    }
}
