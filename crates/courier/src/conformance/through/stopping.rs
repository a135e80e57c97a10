//! A stop, as by SIGTERM: what is on the wire finishes, everything else is handed back, and the next courier goes on.

use std::sync::Arc;

use posthaste_model::{OnUnknown, State};
use tokio::sync::Semaphore;

use super::witness::Gate;
use super::yard::{Drive, Yard};
use crate::conformance::report::Failure;

const ORDERS: usize = 12;

impl Yard<'_> {
    pub(super) async fn hands_back(&mut self) -> Result<(), Failure> {
        let check = "a stop finishes what is on the wire and hands back the rest";
        self.accept_again().await?;
        let gate = Arc::new(Semaphore::new(0));
        let drive = Drive { calls: 1, gate: Gate::Calls(Arc::clone(&gate)), ..Drive::default() };
        let running = self.courier(drive).await?;
        let mut told = vec![self.tell(1, None, OnUnknown::Default).await?];
        let witness = &running.witness;
        self.until(check, "nothing has been sent", async || Ok(!witness.calls().is_empty())).await?;
        // The one call there is waits at the gate; of these the courier takes some, and can send none.
        for _ in 1..ORDERS {
            told.push(self.tell(1, None, OnUnknown::Default).await?);
        }
        running.ask_to_stop();
        gate.add_permits(ORDERS);
        running.stopped(check).await?;

        let mut left = 0;
        for told in &told {
            for row in self.rows(told).await? {
                match row.state {
                    State::Sent | State::Delivered => {}
                    State::Pending if row.tries == 0 => left += 1,
                    state => {
                        let what = format!("after the stop a message is told as {}", state.word());
                        return Err(Failure::broken(check, what));
                    }
                }
            }
        }
        if left != ORDERS - 1 {
            let what = format!("after the stop {left} messages of {} are left", ORDERS - 1);
            return Err(Failure::broken(check, what));
        }
        let leases = self.store.sweep(0, &self.channel, 1, false, None).await?.reply;
        if leases.next.is_some() || leases.parcels > 0 {
            return Err(Failure::broken(check, "a lease was not handed back"));
        }
        let running = self.usual_courier().await?;
        for told in &told {
            self.ended(check, told).await?;
            self.all_sent_once(check, told).await?;
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }
}
