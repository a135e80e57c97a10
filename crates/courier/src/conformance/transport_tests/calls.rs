//! Calls of a transport, made as the runtime makes them: panics are caught, the call is dropped at its deadline, and
//! outcomes are counted.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use posthaste_model::Reason;
use tokio::time::{Instant, timeout_at};

use crate::conformance::report::ConformanceFailure;
use crate::transport::{Envelope, Outcome, Transport};

/// Maximum parts of one message.
const PARTS: usize = 100;

/// The result of a call: an outcome for each envelope.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcomes: Vec<Outcome>,
    /// It was dropped at its deadline, so all its outcomes are unknown.
    pub(super) dropped: bool,
}

/// One call.
pub(super) async fn once(
    check: &str,
    transport: &Arc<dyn Transport>,
    batch: &[Envelope],
    deadline: Instant,
) -> Result<Ended, ConformanceFailure> {
    let call = AssertUnwindSafe(async { transport.send(batch, deadline).await }).catch_unwind();
    let outcomes = match timeout_at(deadline, call).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(panic)) => {
            return Err(ConformanceFailure::broken(check, format!("send panicked: {}", said_by(&*panic))));
        }
        Err(_) => {
            let outcomes = vec![Outcome::Unknown(Reason::TimedOut); batch.len()];
            return Ok(Ended { outcomes, dropped: true });
        }
    };
    if outcomes.len() != batch.len() {
        let what = format!("{} outcomes were returned for {} envelopes", outcomes.len(), batch.len());
        return Err(ConformanceFailure::broken(check, what));
    }
    Ok(Ended { outcomes, dropped: false })
}

/// Calls until no envelope has further parts.
pub(super) async fn drive(
    check: &str,
    transport: &Arc<dyn Transport>,
    batch: &[Envelope],
    deadline: Instant,
) -> Result<Ended, ConformanceFailure> {
    let mut all = once(check, transport, batch, deadline).await?;
    let mut parts: Vec<Envelope> = batch.to_vec();
    for _ in 0..PARTS {
        let rest: Vec<(usize, u32)> = all
            .outcomes
            .iter()
            .enumerate()
            .filter_map(|(at, outcome)| match outcome {
                Outcome::Part(through) => Some((at, *through)),
                _ => None,
            })
            .collect();
        if rest.is_empty() {
            return Ok(all);
        }
        let mut next = Vec::new();
        for (at, through) in &rest {
            let envelope = &mut parts[*at];
            let before = if envelope.attempt > 1 { envelope.token.unwrap_or(0) } else { 0 };
            if *through <= before {
                let what = format!("part {through} came after part {before}: no progress");
                return Err(ConformanceFailure::broken(check, what));
            }
            envelope.attempt += 1;
            envelope.token = Some(*through);
            next.push(envelope.clone());
        }
        let ended = once(check, transport, &next, deadline).await?;
        all.dropped |= ended.dropped;
        for ((at, _), outcome) in rest.into_iter().zip(ended.outcomes) {
            all.outcomes[at] = outcome;
        }
    }
    Err(ConformanceFailure::broken(check, format!("a message has more than {PARTS} parts")))
}

fn said_by(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => text,
        None => panic.downcast_ref::<String>().map_or("no panic message", String::as_str),
    }
}

/// A short name of an outcome, for people.
pub(super) fn word(outcome: Option<&Outcome>) -> String {
    let text = match outcome {
        None => "nothing",
        Some(Outcome::Sent) => "accepted",
        Some(Outcome::Delivered) => "delivered",
        Some(Outcome::Retry { after: None, .. }) => "retry without a wait",
        Some(Outcome::Retry { after: Some(wait), .. }) => return format!("retry after {wait:?}"),
        Some(Outcome::NotSent { .. }) => "not sent",
        Some(Outcome::Failed(_)) => "rejected",
        Some(Outcome::HardRefusal(_)) => "suppress",
        Some(Outcome::Strike { .. }) => "a strike",
        Some(Outcome::Throttled { wait, .. }) => return format!("throttled for {wait:?}"),
        Some(Outcome::Unknown(_)) => "unknown",
        Some(Outcome::Part(_)) => "a part",
        Some(Outcome::Stop(_)) => "stop",
    };
    text.to_owned()
}
