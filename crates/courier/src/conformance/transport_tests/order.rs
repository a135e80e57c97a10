//! One outcome for each envelope, in their order; and concurrent calls that do not mix.

use futures::future::join_all;
use posthaste_model::Delivery;

use super::calls::{self, Ended, word};
use super::{FEW, Suite};
use crate::conformance::bench::{Behaviour, Toward};
use crate::conformance::report::ConformanceFailure;
use crate::transport::{Envelope, Outcome};

/// Maximum concurrent calls.
const AT_ONCE: usize = 16;
/// Behaviours a provider may show toward one message and not another.
const APART: [Behaviour; 3] = [Behaviour::Refuse, Behaviour::SuppressAddress, Behaviour::RefuseForNow];

impl Suite<'_> {
    /// Batches of one and of full size, all accepted; then batches with some rejected.
    pub(super) async fn keeps_the_order(&mut self) -> Result<(), ConformanceFailure> {
        let full = self.capabilities.batching.size();
        for size in [1, full] {
            let check = format!("a batch of {size}, all accepted");
            self.must(Behaviour::Accept).await?;
            let (batch, _) = self.batch(size);
            let ended = self.post(&check, &batch, self.soon()).await?;
            answered(&check, &ended)?;
            for (at, outcome) in ended.outcomes.iter().enumerate() {
                agrees(&check, at, size, outcome, None)?;
            }
            self.report.passed(check);
            if full == 1 {
                break;
            }
        }
        let mut sizes = vec![1, FEW.min(full), full];
        sizes.dedup();
        for size in sizes {
            self.mixed(size).await?;
        }
        Ok(())
    }

    /// Every third message is rejected, the others are accepted.
    async fn mixed(&mut self, size: usize) -> Result<(), ConformanceFailure> {
        let check = format!("a batch of {size}, some refused");
        let mut batches = Vec::new();
        let mut marked = Vec::new();
        // With single envelopes, several calls make up the batch.
        for _ in 0..if size == 1 { 4 } else { 1 } {
            let (batch, deliveries) = self.batch(size);
            marked.extend(deliveries.into_iter().skip(1 - batches.len() % 2).step_by(3));
            batches.push(batch);
        }
        let Some(behaviour) = self.one_of(&APART, &marked).await else { return Ok(()) };
        for batch in &batches {
            // Check the order of the outcomes before the ledger: its error says more.
            let ended = calls::drive(&check, &self.transport, batch, self.soon()).await?;
            answered(&check, &ended)?;
            matches_fate(&check, batch, &ended, &marked, behaviour)?;
            self.book(batch, &ended);
        }
        self.count(&check).await?;
        self.report.passed(check);
        Ok(())
    }

    /// Many concurrent calls, half of whose messages are rejected: each call gets its own outcomes.
    pub(super) async fn does_not_mix(&mut self) -> Result<(), ConformanceFailure> {
        let calls = self.capabilities.max_concurrency.clamp(2, AT_ONCE);
        let check = format!("{calls} concurrent calls do not mix");
        let size = self.capabilities.batching.size().min(FEW);
        let (mut batches, mut marked) = (Vec::new(), Vec::new());
        for at in 0..calls {
            let (batch, deliveries) = self.batch(size);
            marked.extend(deliveries.into_iter().skip(at % 2).step_by(2));
            batches.push(batch);
        }
        let behaviour = self.one_of(&APART, &marked).await;
        if behaviour.is_none() {
            self.must(Behaviour::Accept).await?;
            marked.clear();
        }
        let until = self.soon();
        let all = join_all(batches.iter().map(|batch| calls::drive(&check, &self.transport, batch, until)));
        for (batch, ended) in batches.iter().zip(all.await) {
            let ended = ended?;
            answered(&check, &ended)?;
            matches_fate(&check, batch, &ended, &marked, behaviour.unwrap_or(Behaviour::Refuse))?;
            self.book(batch, &ended);
        }
        self.count(&check).await?;
        let _ = self.bench.behave(Behaviour::Accept, Toward::Everyone).await;
        self.report.passed(check);
        Ok(())
    }
}

/// The provider answers, so the call must too.
pub(super) fn answered(check: &str, ended: &Ended) -> Result<(), ConformanceFailure> {
    if ended.dropped {
        return Err(ConformanceFailure::broken(
            check,
            "the provider answered, but the call did not return in time",
        ));
    }
    Ok(())
}

fn matches_fate(
    check: &str,
    batch: &[Envelope],
    ended: &Ended,
    marked: &[Delivery],
    behaviour: Behaviour,
) -> Result<(), ConformanceFailure> {
    for (at, (envelope, outcome)) in batch.iter().zip(&ended.outcomes).enumerate() {
        let refused = marked.iter().any(|delivery| delivery.address == envelope.to.address);
        agrees(check, at, batch.len(), outcome, refused.then_some(behaviour))?;
    }
    Ok(())
}

/// Checks that outcome `at` of `size` fits an accepted message, or the behaviour `apart`.
fn agrees(
    check: &str,
    at: usize,
    size: usize,
    outcome: &Outcome,
    apart: Option<Behaviour>,
) -> Result<(), ConformanceFailure> {
    let right = match apart {
        None => matches!(outcome, Outcome::Sent | Outcome::Delivered),
        Some(behaviour) => super::classes::fits(behaviour, outcome),
    };
    if right {
        return Ok(());
    }
    let did = apart.map_or("accept".to_owned(), |behaviour| behaviour.to_string());
    let what = format!(
        "outcome {} of {size} is {}, but the provider's answer to that message was `{did}`: outcomes must be in \
         the order of their envelopes",
        at + 1,
        word(Some(outcome))
    );
    Err(ConformanceFailure::broken(check, what))
}
