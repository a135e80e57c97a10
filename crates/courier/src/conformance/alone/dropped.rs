//! Calls that are dropped: at their deadline by a provider that hangs, and anywhere else.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::{FEW, Suite, calls};
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::Failure;

/// Calls that hang at once at most.
const AT_ONCE: usize = 8;
/// Calls dropped after less than a moment to a little longer.
const ANYWHERE: u64 = 12;

impl Suite<'_> {
    pub(super) async fn survives_drops(&mut self) -> Result<(), Failure> {
        let check = "calls dropped anywhere leave the transport usable";
        self.must(Behaviour::Accept).await?;
        let size = self.abilities.batching.size().min(FEW);
        for at in 0..ANYWHERE {
            let (batch, rows) = self.batch(size);
            for row in &rows {
                self.ledger.may_be_taken(row, 1);
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

    async fn survives_hanging(&mut self) -> Result<(), Failure> {
        let Shown::Yes = self.bench.behave(Behaviour::Hang, Toward::Everyone).await else { return Ok(()) };
        let calls = self.abilities.max_concurrency.min(AT_ONCE);
        let check = format!("{calls} calls that hang at once leave the transport usable");
        let mut batches = Vec::new();
        for _ in 0..calls {
            let (batch, rows) = self.batch(1);
            for row in &rows {
                self.ledger.may_be_taken(row, 1);
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
