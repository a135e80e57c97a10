//! The outcome each behaviour of a provider requires.

use std::time::Duration;

use super::calls::{Ended, word};
use super::{FEW, Suite};
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::ConformanceFailure;
use crate::transport::Outcome;

/// How much longer than requested a transport may wait.
const LONGER: Duration = Duration::from_secs(60);

impl Suite<'_> {
    pub(super) async fn tells_each_behaviour(&mut self) -> Result<(), ConformanceFailure> {
        let full = self.capabilities.batching.size();
        let mut sizes = vec![1, FEW.min(full)];
        sizes.dedup();
        for behaviour in Behaviour::BAD {
            match self.bench.behave(behaviour, Toward::Everyone).await {
                Shown::Yes => {}
                Shown::No(why) => {
                    self.report.lacks(behaviour, why);
                    continue;
                }
            }
            for size in &sizes {
                let check = format!("`{behaviour}` toward a batch of {size}");
                let Shown::Yes = self.bench.behave(behaviour, Toward::Everyone).await else {
                    return Err(ConformanceFailure::Bench(format!("it can show `{behaviour}` only once")));
                };
                let (batch, _) = self.batch(*size);
                let until = if is_lost(behaviour) { self.briefly() } else { self.soon() };
                // Check the outcome before the ledger: its error says more.
                let ended = super::calls::drive(&check, &self.transport, &batch, until).await?;
                judge(&check, behaviour, &ended)?;
                self.book(&batch, &ended);
                self.count(&check).await?;
                self.is_usable(&format!("after {check}")).await?;
                self.report.passed(check);
            }
        }
        Ok(())
    }
}

/// Whether no complete answer is sent.
pub(super) fn is_lost(behaviour: Behaviour) -> bool {
    matches!(behaviour, Behaviour::Hang | Behaviour::ResetAfterRequest | Behaviour::AcceptThenLoseAnswer)
}

fn judge(check: &str, behaviour: Behaviour, ended: &Ended) -> Result<(), ConformanceFailure> {
    if ended.dropped && !is_lost(behaviour) {
        return Err(ConformanceFailure::broken(check, "the call did not return before its deadline"));
    }
    let Some(wrong) = ended.outcomes.iter().find(|outcome| !fits(behaviour, outcome)) else { return Ok(()) };
    let because = match wrong {
        _ if is_lost(behaviour) => "the request had left and no complete answer was received",
        Outcome::Sent | Outcome::Delivered => "the provider did not say that it accepted the message",
        _ => "that is what the provider's answer means",
    };
    let what = format!("the outcome was {}, expected {}: {because}", word(Some(wrong)), wanted(behaviour));
    Err(ConformanceFailure::broken(check, what))
}

/// Whether an outcome is right for a behaviour.
pub(super) fn fits(behaviour: Behaviour, outcome: &Outcome) -> bool {
    match behaviour {
        Behaviour::Accept => matches!(outcome, Outcome::Sent | Outcome::Delivered),
        Behaviour::Refuse => matches!(outcome, Outcome::Failed(_) | Outcome::Strike { .. }),
        Behaviour::RefuseForNow => matches!(outcome, Outcome::Retry { .. } | Outcome::NotSent { .. }),
        Behaviour::Throttle(requested) => match outcome {
            Outcome::Throttled { wait, .. } | Outcome::Retry { after: Some(wait), .. } => {
                (requested..=requested + LONGER).contains(wait)
            }
            _ => false,
        },
        Behaviour::SuppressAddress => matches!(outcome, Outcome::HardRefusal(_)),
        Behaviour::Hang | Behaviour::ResetAfterRequest | Behaviour::AcceptThenLoseAnswer => {
            matches!(outcome, Outcome::Unknown(_))
        }
        Behaviour::Unreachable => matches!(outcome, Outcome::NotSent { .. }),
        Behaviour::BadCredential => matches!(outcome, Outcome::Stop(_)),
        Behaviour::Garbage => matches!(outcome, Outcome::Unknown(_) | Outcome::Retry { .. }),
    }
}

fn wanted(behaviour: Behaviour) -> &'static str {
    match behaviour {
        Behaviour::Accept => "accepted or delivered",
        Behaviour::Refuse => "rejected",
        Behaviour::RefuseForNow => "retry or not sent",
        Behaviour::Throttle(_) => "throttled or retry with the requested wait",
        Behaviour::SuppressAddress => "suppress",
        Behaviour::Hang | Behaviour::ResetAfterRequest | Behaviour::AcceptThenLoseAnswer => "unknown",
        Behaviour::Unreachable => "not sent",
        Behaviour::BadCredential => "stop",
        Behaviour::Garbage => "unknown or retry",
    }
}
