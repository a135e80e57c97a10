//! Small and big orders, due now and later: sent once, never early, never before they are begun.

use std::time::Duration;

use posthaste_model::OnUnknown;

use super::harness::Harness;
use crate::conformance::report::ConformanceFailure;

/// Deliveries of an order that is too big to be stored inline and is streamed.
const BIG: u32 = 300;
const LATER: Duration = Duration::from_millis(300);

impl Harness<'_> {
    pub(super) async fn delivers(&mut self) -> Result<(), ConformanceFailure> {
        let check = "orders are sent once, when due, after they are begun";
        self.accept_again().await?;
        let running = self.usual_courier().await?;
        let mut placed = Vec::new();
        for (deliveries, due_in) in [(1, None), (1, Some(LATER)), (3, None), (3, Some(LATER)), (BIG, None)] {
            placed.push(self.tell(deliveries, due_in, OnUnknown::Default).await?);
        }
        for placed in &placed {
            self.ended(check, placed).await?;
            self.all_sent_once(check, placed).await?;
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }
}
