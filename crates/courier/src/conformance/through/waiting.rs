//! A stopped channel that loses nothing, and a rate limit that is waited for.

use std::time::Duration;

use posthaste_model::{OnUnknown, State};

use super::behaves;
use super::yard::Yard;
use crate::conformance::bench::Behaviour;
use crate::conformance::report::Failure;
use crate::transport::{Outcome, Scope, Transport};

const ORDERS: usize = 6;
/// Looks at a stopped channel before it is mended.
const LOOKS: u64 = 3;
const BAN: Duration = Duration::from_secs(1);

impl Yard<'_> {
    pub(super) async fn waits_until_mended(&mut self) -> Result<(), Failure> {
        let check = "a stopped channel loses nothing and goes on when it is mended";
        if !behaves(self, Behaviour::BadCredential).await {
            return Ok(());
        }
        let running = self.usual_courier().await?;
        let mut told = Vec::new();
        for _ in 0..ORDERS {
            told.push(self.tell(1, None, OnUnknown::Default).await?);
        }
        let witness = &running.witness;
        self.until(check, "the channel has not stopped", async || Ok(witness.checks() >= LOOKS)).await?;
        let (sends, at_once) = (witness.calls().len(), witness.abilities().max_concurrency);
        if sends > at_once {
            let what = format!("{sends} calls were made under a bad credential, {at_once} at most at once");
            return Err(Failure::broken(check, what));
        }
        for told in &told {
            for row in self.rows(told).await? {
                if row.state != State::Pending || row.tries > 0 {
                    let what =
                        format!("a message was told as {} after {} tries", row.state.word(), row.tries);
                    return Err(Failure::broken(check, what));
                }
            }
        }
        self.accept_again().await?;
        for told in &told {
            self.ended(check, told).await?;
            self.all_sent_once(check, told).await?;
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }

    pub(super) async fn waits_for_rate_limits(&mut self) -> Result<(), Failure> {
        let check = "a rate limit is waited for";
        if !behaves(self, Behaviour::Throttle(BAN)).await {
            return Ok(());
        }
        let running = self.courier(1, None).await?;
        let mut told = Vec::new();
        for _ in 0..ORDERS {
            told.push(self.tell(1, None, OnUnknown::Default).await?);
        }
        let witness = &running.witness;
        let banned = async || Ok(witness.calls().iter().filter(|call| call.said.is_some()).count() >= 2);
        self.until(check, "the limit was not met twice", banned).await?;
        self.accept_again().await?;
        for told in &told {
            self.ended(check, told).await?;
            self.all_sent_once(check, told).await?;
        }
        let calls = witness.calls();
        for (at, call) in calls.iter().enumerate() {
            let Some((until, whole_channel)) = ban(call) else { continue };
            let during = calls[at + 1..].iter().filter(|later| {
                later.started < until
                    && (whole_channel || later.rows.iter().any(|row| call.rows.contains(row)))
            });
            let during = during.count();
            if during > 0 {
                let what = format!("{during} calls were made while the provider had asked to wait");
                return Err(Failure::broken(check, what));
            }
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }
}

/// Until when a call's answer bans which calls: all, or those with the same orders.
fn ban(call: &super::witness::Call) -> Option<(tokio::time::Instant, bool)> {
    let (at, outcomes) = call.said.as_ref()?;
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Throttled { scope, wait } => Some((*at + *wait, *scope == Scope::Channel)),
        Outcome::Retry { after: Some(wait), .. } => Some((*at + *wait, false)),
        _ => None,
    })
}
