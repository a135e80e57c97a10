//! A stopped channel loses nothing, and a rate limit is obeyed.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{OnUnknown, State};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::behaves;
use super::harness::{Drive, Harness};
use super::recording_transport::{Call, Gate};
use crate::conformance::bench::Behaviour;
use crate::conformance::report::ConformanceFailure;
use crate::transport::{Outcome, ThrottleScope, Transport};

const ORDERS: usize = 6;
/// Checks of the stopped channel before the credential is corrected.
const LOOKS: u64 = 3;
const BAN: Duration = Duration::from_secs(1);
/// Concurrent calls when the limit is hit, and orders for them.
const AT_ONCE: usize = 8;
const CROWD: usize = 24;
/// What arrives this soon after the answer was already on the wire.
const ON_THE_WIRE: Duration = Duration::from_millis(100);
/// Requests a provider may see during a ban, besides those on the wire.
const MOST: usize = 1;

impl Harness<'_> {
    pub(super) async fn waits_until_mended(&mut self) -> Result<(), ConformanceFailure> {
        let check = "a stopped channel loses nothing and resumes when it works again";
        if !behaves(self, Behaviour::BadCredential).await {
            return Ok(());
        }
        let running = self.usual_courier().await?;
        let mut placed = Vec::new();
        for _ in 0..ORDERS {
            placed.push(self.tell(1, None, OnUnknown::Default).await?);
        }
        let recorder = &running.recorder;
        self.until(check, "the channel has not stopped", async || Ok(recorder.checks() >= LOOKS)).await?;
        let (sends, at_once) = (recorder.calls().len(), recorder.capabilities().max_concurrency);
        if sends > at_once {
            let what =
                format!("{sends} calls were made with a bad credential; at most {at_once} are allowed");
            return Err(ConformanceFailure::broken(check, what));
        }
        for placed in &placed {
            for delivery in self.deliveries(placed).await? {
                if delivery.state != State::Pending || delivery.tries > 0 {
                    let what =
                        format!("a message is {} after {} tries", delivery.state.word(), delivery.tries);
                    return Err(ConformanceFailure::broken(check, what));
                }
            }
        }
        self.accept_again().await?;
        for placed in &placed {
            self.ended(check, placed).await?;
            self.all_sent_once(check, placed).await?;
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }

    pub(super) async fn waits_for_rate_limits(&mut self) -> Result<(), ConformanceFailure> {
        let check = "a rate limit is obeyed";
        if !behaves(self, Behaviour::Throttle(BAN)).await {
            return Ok(());
        }
        let mut placed = Vec::new();
        for _ in 0..CROWD {
            placed.push(self.tell(1, None, OnUnknown::Default).await?);
        }
        let transport = self.bench.paced_transport().await;
        let gate = Arc::new(Semaphore::new(0));
        let drive = Drive { calls: AT_ONCE, gate: Gate::Calls(Arc::clone(&gate)), ..Drive::default() };
        let running = self.courier_with(transport, drive).await?;
        let recorder = &running.recorder;
        // All calls reach the gate before the first one passes.
        let at_once = recorder.capabilities().max_concurrency;
        let crowd = async || {
            let calls = recorder.calls();
            Ok(calls.len() >= at_once
                || calls.iter().map(|call| call.deliveries.len()).sum::<usize>() >= CROWD)
        };
        self.until(check, "too few calls were made at once", crowd).await?;
        gate.add_permits(Semaphore::MAX_PERMITS);
        // The limit must be hit a second time after the wait of the first.
        let twice = |bans: &[Ban]| bans.iter().any(|ban| bans.iter().any(|later| later.began >= ban.until));
        let met = async || Ok(twice(&recorder.calls().iter().filter_map(ban).collect::<Vec<_>>()));
        self.until(check, "the limit was not hit twice", met).await?;
        self.accept_again().await?;
        for placed in &placed {
            self.ended(check, placed).await?;
            self.all_sent_once(check, placed).await?;
        }
        let (calls, arrivals) = (recorder.calls(), self.bench.arrivals().await);
        for call in &calls {
            let Some(ban) = ban(call) else { continue };
            // While the whole channel waits, the transport may still be called: count what the provider sees. If only
            // a delivery waits, it must not be sent again.
            let during = if ban.whole_channel {
                let requested = ban.placed + ON_THE_WIRE..ban.until;
                arrivals.iter().filter(|at| requested.contains(at)).count().saturating_sub(MOST)
            } else {
                let waits = |later: &&Call| {
                    later.deliveries.iter().any(|delivery| call.deliveries.contains(delivery))
                };
                let during = |later: &&Call| (ban.placed..ban.until).contains(&later.started);
                calls.iter().filter(during).filter(waits).count()
            };
            if during > 0 {
                let what =
                    format!("{during} requests too many arrived during the wait the provider had requested");
                return Err(ConformanceFailure::broken(check, what));
            }
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }
}

/// The ban that a call's answer requested: for the whole channel, or for the orders of the call.
struct Ban {
    /// When the call began, and when it ended with the answer.
    began: Instant,
    placed: Instant,
    until: Instant,
    whole_channel: bool,
}

fn ban(call: &Call) -> Option<Ban> {
    let (placed, outcomes) = call.said.as_ref()?;
    let (wait, whole_channel) = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Throttled { scope, wait } => Some((*wait, *scope == ThrottleScope::Channel)),
        Outcome::Retry { after: Some(wait), .. } => Some((*wait, false)),
        _ => None,
    })?;
    Some(Ban { began: call.started, placed: *placed, until: *placed + wait, whole_channel })
}
