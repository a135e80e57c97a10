//! Dropped calls: at their deadline when the provider hangs, and at any other point.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::{FEW, Suite, calls};
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::ConformanceFailure;

/// Maximum concurrent calls that hang.
const AT_ONCE: usize = 8;
/// Number of dropped calls, each dropped about twice as late as the one before.
const ANYWHERE: u64 = 12;

impl Suite<'_> {
    pub(super) async fn survives_drops(&mut self) -> Result<(), ConformanceFailure> {
        let check = "calls dropped anywhere leave the transport usable";
        self.must(Behaviour::Accept).await?;
        let size = self.capabilities.batching.size().min(FEW);
        for at in 0..ANYWHERE {
            let (batch, deliveries) = self.batch(size);
            for delivery in &deliveries {
                self.ledger.may_be_taken(delivery, 1);
            }
            let after = Duration::from_micros((1 << at) - 1);
            if let Ok(ended) = timeout(after, calls::once(check, &self.transport, &batch, self.soon())).await
            {
                ended?;
            }
        }
        self.is_usable(check).await?;
        self.report.passed(check);
        self.survives_hanging().await
    }

    async fn survives_hanging(&mut self) -> Result<(), ConformanceFailure> {
        let Shown::Yes = self.bench.behave(Behaviour::Hang, Toward::Everyone).await else { return Ok(()) };
        let calls = self.capabilities.max_concurrency.min(AT_ONCE);
        let check = format!("{calls} concurrent calls that hang leave the transport usable");
        let mut batches = Vec::new();
        for _ in 0..calls {
            let (batch, deliveries) = self.batch(1);
            for delivery in &deliveries {
                self.ledger.may_be_taken(delivery, 1);
            }
            batches.push(batch);
        }
        let until = self.briefly();
        let all = join_all(batches.iter().map(|batch| calls::once(&check, &self.transport, batch, until)));
        for ended in all.await {
            ended?;
        }
        self.is_usable(&check).await?;
        self.report.passed(check);
        Ok(())
    }
}
