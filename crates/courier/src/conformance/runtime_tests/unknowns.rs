//! Calls without a complete answer: settled as unknown, and resolved by policy with no more copies than it allows.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{OnUnknown, Reason, State};
use tokio::sync::Semaphore;

use super::behaves;
use super::harness::{Drive, Harness, Running, TestOrder};
use super::recording_transport::Gate;
use crate::conformance::bench::Behaviour;
use crate::conformance::report::ConformanceFailure;
use crate::transport::{Outcome, Transport};

const LOST: [Behaviour; 3] = [Behaviour::Hang, Behaviour::ResetAfterRequest, Behaviour::AcceptThenLoseAnswer];

/// How long a call without an answer takes. During it all messages must leave, and the provider must work again
/// before their repeats have waited this long once more.
const WINDOW: Duration = Duration::from_secs(2);

impl Harness<'_> {
    pub(super) async fn resolves_unknowns(&mut self) -> Result<(), ConformanceFailure> {
        for behaviour in LOST {
            let check = format!("`{behaviour}` is settled as unknown, then held or repeated once");
            if !behaves(self, behaviour).await {
                continue;
            }
            let before = self.bench.requests().await;
            let well = Arc::new(Semaphore::new(0));
            let gate = Gate::Repeats(Arc::clone(&well));
            let running = self.courier(Drive { send_window: Some(WINDOW), gate, ..Drive::default() }).await?;
            let mut placed = Vec::new();
            for policy in [OnUnknown::Hold, OnUnknown::Retry] {
                placed.push((policy, self.tell(1, None, policy).await?));
            }
            let recorder = &running.recorder;
            let all_left = async || {
                let calls = recorder.calls();
                let sent = placed
                    .iter()
                    .all(|(_, placed)| calls.iter().any(|call| call.deliveries.contains(&placed.order_id)));
                Ok(sent && self.bench.requests().await >= before + calls.len() as u64)
            };
            self.until(&check, "not every message has been sent", all_left).await?;
            // Requests in progress keep the behaviour they met; a repeat is accepted.
            self.accept_again().await?;
            well.add_permits(Semaphore::MAX_PERMITS);
            for (policy, placed) in &placed {
                self.ended(&check, placed).await?;
                self.judge(&check, *policy, placed, &running).await?;
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
        placed: &TestOrder,
        running: &Running,
    ) -> Result<(), ConformanceFailure> {
        let capabilities = running.recorder.capabilities();
        let first =
            running.recorder.calls().into_iter().find(|call| call.deliveries.contains(&placed.order_id));
        if let Some((_, said)) = first.and_then(|call| call.said)
            && let Some(wrong) = said.iter().find(|outcome| !matches!(outcome, Outcome::Unknown(_)))
        {
            return Err(ConformanceFailure::broken(
                check,
                format!("the outcome was {wrong:?}, expected unknown"),
            ));
        }
        let dropped_by_provider = capabilities.tokens && capabilities.idempotent_for > Duration::ZERO;
        let allowed = if policy == OnUnknown::Retry && !dropped_by_provider { 2 } else { 1 };
        let copies: usize = self.copies(placed).await.iter().sum();
        if copies > allowed {
            let what =
                format!("the provider accepted the message {copies} times; at most {allowed} are allowed");
            return Err(ConformanceFailure::broken(check, what));
        }
        let deliveries = self.deliveries(placed).await?;
        let Some(delivery) = deliveries.first() else {
            return Err(ConformanceFailure::broken(check, "the delivery no longer exists"));
        };
        let sent = matches!(delivery.state, State::Sent | State::Delivered);
        let right = match policy {
            _ if dropped_by_provider => sent,
            // Any result of an inquiry is right.
            _ if capabilities.looks_up => true,
            // On a slow machine the only repeat may have been made before the provider worked again.
            OnUnknown::Retry => sent || delivery.reason == Reason::RetryUnconfirmed,
            _ => delivery.state == State::Unknown,
        };
        if !right {
            let what =
                format!("the delivery ended as {} ({})", delivery.state.word(), delivery.reason.word());
            return Err(ConformanceFailure::broken(check, what));
        }
        if sent && copies == 0 {
            return Err(ConformanceFailure::broken(
                check,
                "the delivery is sent, but the provider never accepted it",
            ));
        }
        Ok(())
    }
}
