//! Orders small and big, for now and for later: sent once, never early, never before they are begun.

use std::time::Duration;

use posthaste_model::OnUnknown;

use super::yard::Yard;
use crate::conformance::report::Failure;

/// Rows of an order that does not fit into its history, and is streamed.
const BIG: u32 = 300;
const LATER: Duration = Duration::from_millis(300);

impl Yard<'_> {
    pub(super) async fn delivers(&mut self) -> Result<(), Failure> {
        let check = "orders are sent once, when they are due, after they are begun";
        self.accept_again().await?;
        let running = self.usual_courier().await?;
        let mut told = Vec::new();
        for (rows, due_in) in [(1, None), (1, Some(LATER)), (3, None), (3, Some(LATER)), (BIG, None)] {
            told.push(self.tell(rows, due_in, OnUnknown::Default).await?);
        }
        for told in &told {
            self.ended(check, told).await?;
            self.all_sent_once(check, told).await?;
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }
}
