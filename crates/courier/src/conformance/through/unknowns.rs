//! Calls without a full answer: told as unknown, and resolved by policy with no more copies than it allows.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{OnUnknown, Reason, State};
use tokio::sync::Semaphore;

use super::behaves;
use super::witness::Gate;
use super::yard::{Drive, Running, Told, Yard};
use crate::conformance::bench::Behaviour;
use crate::conformance::report::Failure;
use crate::transport::{Outcome, Transport};

const LOST: [Behaviour; 3] = [Behaviour::Hang, Behaviour::ResetAfterRequest, Behaviour::AcceptThenLoseAnswer];

/// How long a call takes that gets no answer. All messages have to leave meanwhile, and the provider has to be well again before
/// their repeats have waited for as long once more.
const WINDOW: Duration = Duration::from_secs(2);

impl Yard<'_> {
    pub(super) async fn resolves_unknowns(&mut self) -> Result<(), Failure> {
        for behaviour in LOST {
            let check = format!("`{behaviour}` is told as unknown, then held or repeated once");
            if !behaves(self, behaviour).await {
                continue;
            }
            let before = self.bench.requests().await;
            let well = Arc::new(Semaphore::new(0));
            let gate = Gate::Repeats(Arc::clone(&well));
            let running = self.courier(Drive { send_window: Some(WINDOW), gate, ..Drive::default() }).await?;
            let mut told = Vec::new();
            for policy in [OnUnknown::Hold, OnUnknown::Retry] {
                told.push((policy, self.tell(1, None, policy).await?));
            }
            let witness = &running.witness;
            let all_left = async || {
                let calls = witness.calls();
                let sent =
                    told.iter().all(|(_, told)| calls.iter().any(|call| call.rows.contains(&told.suffix)));
                Ok(sent && self.bench.requests().await >= before + calls.len() as u64)
            };
            self.until(&check, "not every message has been sent", all_left).await?;
            // What is under way stays as it met the provider; a repeat is accepted.
            self.accept_again().await?;
            well.add_permits(Semaphore::MAX_PERMITS);
            for (policy, told) in &told {
                self.ended(&check, told).await?;
                self.judge(&check, *policy, told, &running).await?;
            }
            running.stopped(&check).await?;
            self.report.passed(check);
        }
        Ok(())
    }

    async fn judge(
        &self,
        check: &str,
        policy: OnUnknown,
        told: &Told,
        running: &Running,
    ) -> Result<(), Failure> {
        let abilities = running.witness.abilities();
        let first = running.witness.calls().into_iter().find(|call| call.rows.contains(&told.suffix));
        if let Some((_, said)) = first.and_then(|call| call.said)
            && let Some(wrong) = said.iter().find(|outcome| !matches!(outcome, Outcome::Unknown(_)))
        {
            return Err(Failure::broken(check, format!("the transport said {wrong:?}, wanted unknown")));
        }
        let dropped_by_provider = abilities.tokens && abilities.idempotent_for > Duration::ZERO;
        let allowed = if policy == OnUnknown::Retry && !dropped_by_provider { 2 } else { 1 };
        let copies: usize = self.copies(told).await.iter().sum();
        if copies > allowed {
            let what = format!("the provider took the message {copies} times, {allowed} at most are allowed");
            return Err(Failure::broken(check, what));
        }
        let rows = self.rows(told).await?;
        let Some(row) = rows.first() else { return Err(Failure::broken(check, "the row is gone")) };
        let sent = matches!(row.state, State::Sent | State::Delivered);
        let right = match policy {
            _ if dropped_by_provider => sent,
            // Whatever was found out.
            _ if abilities.inquires => true,
            // On a slow machine the time of the one repeat may have passed before the provider was well again.
            OnUnknown::Retry => sent || row.reason == Reason::RepeatSpent,
            _ => row.state == State::Unknown,
        };
        if !right {
            let what = format!("the row ended as {} ({})", row.state.word(), row.reason.word());
            return Err(Failure::broken(check, what));
        }
        if sent && copies == 0 {
            return Err(Failure::broken(check, "the row was told as sent, and the provider never took it"));
        }
        Ok(())
    }
}
