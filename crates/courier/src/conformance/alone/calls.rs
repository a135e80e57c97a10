//! Calls of a transport, made as the runtime makes them: caught when they panic, dropped at their deadline, counted.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use posthaste_model::Reason;
use tokio::time::{Instant, timeout_at};

use crate::conformance::report::Failure;
use crate::transport::{Envelope, Outcome, Transport};

/// Parts of one message at most.
const PARTS: usize = 100;

/// How a call ended: with an outcome for each envelope.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcomes: Vec<Outcome>,
    /// It was dropped at its deadline: what its envelopes have is unknown.
    pub(super) dropped: bool,
}

/// One call.
pub(super) async fn once(
    check: &str,
    transport: &Arc<dyn Transport>,
    batch: &[Envelope],
    deadline: Instant,
) -> Result<Ended, Failure> {
    let call = AssertUnwindSafe(async { transport.send(batch, deadline).await }).catch_unwind();
    let outcomes = match timeout_at(deadline, call).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(panic)) => {
            return Err(Failure::broken(check, format!("send panicked: {}", said_by(&*panic))));
        }
        Err(_) => {
            let outcomes = vec![Outcome::Unknown(Reason::TimedOut); batch.len()];
            return Ok(Ended { outcomes, dropped: true });
        }
    };
    if outcomes.len() != batch.len() {
        let what = format!("{} envelopes brought {} outcomes", batch.len(), outcomes.len());
        return Err(Failure::broken(check, what));
    }
    Ok(Ended { outcomes, dropped: false })
}

/// Calls until no envelope has another part to come.
pub(super) async fn drive(
    check: &str,
    transport: &Arc<dyn Transport>,
    batch: &[Envelope],
    deadline: Instant,
) -> Result<Ended, Failure> {
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
                return Err(Failure::broken(check, what));
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
    Err(Failure::broken(check, format!("a message has more than {PARTS} parts")))
}

fn said_by(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => text,
        None => panic.downcast_ref::<String>().map_or("without a word", String::as_str),
    }
}

/// An outcome in a word or two, for people.
pub(super) fn word(outcome: Option<&Outcome>) -> String {
    let text = match outcome {
        None => "nothing",
        Some(Outcome::Accepted) => "accepted",
        Some(Outcome::Delivered) => "delivered",
        Some(Outcome::Retry { after: None, .. }) => "retry without a wait",
        Some(Outcome::Retry { after: Some(wait), .. }) => return format!("retry after {wait:?}"),
        Some(Outcome::NotSent { .. }) => "not sent",
        Some(Outcome::Rejected(_)) => "rejected",
        Some(Outcome::Suppress(_)) => "suppress",
        Some(Outcome::Strike { .. }) => "a strike",
        Some(Outcome::Throttled { wait, .. }) => return format!("throttled for {wait:?}"),
        Some(Outcome::Unknown(_)) => "unknown",
        Some(Outcome::Part(_)) => "a part",
        Some(Outcome::Stop(_)) => "stop",
    };
    text.to_owned()
}
