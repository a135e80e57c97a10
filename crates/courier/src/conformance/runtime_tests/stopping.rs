//! A stop, as on SIGTERM: calls on the wire finish, everything else is released, and the next courier continues.

use std::sync::Arc;

use posthaste_model::{OnUnknown, State};
use tokio::sync::Semaphore;

use super::harness::{Drive, Harness};
use super::recording_transport::Gate;
use crate::conformance::report::ConformanceFailure;

const ORDERS: usize = 12;

impl Harness<'_> {
    pub(super) async fn hands_back(&mut self) -> Result<(), ConformanceFailure> {
        let check = "a stop finishes calls on the wire and releases the rest";
        self.accept_again().await?;
        let gate = Arc::new(Semaphore::new(0));
        let drive = Drive { calls: 1, gate: Gate::Calls(Arc::clone(&gate)), ..Drive::default() };
        let running = self.courier(drive).await?;
        let mut placed = vec![self.tell(1, None, OnUnknown::Default).await?];
        let recorder = &running.recorder;
        self.until(check, "nothing has been sent", async || Ok(!recorder.calls().is_empty())).await?;
        // The only call waits at the gate; the courier claims some of these orders and can send none.
        for _ in 1..ORDERS {
            placed.push(self.tell(1, None, OnUnknown::Default).await?);
        }
        running.ask_to_stop();
        gate.add_permits(ORDERS);
        running.stopped(check).await?;

        let mut left = 0;
        for placed in &placed {
            for delivery in self.deliveries(placed).await? {
                match delivery.state {
                    State::Sent | State::Delivered => {}
                    State::Pending if delivery.tries == 0 => left += 1,
                    state => {
                        let what = format!("after the stop a message is {}", state.word());
                        return Err(ConformanceFailure::broken(check, what));
                    }
                }
            }
        }
        if left != ORDERS - 1 {
            let what = format!("after the stop {left} of {} messages are left", ORDERS - 1);
            return Err(ConformanceFailure::broken(check, what));
        }
        let leases = self.store.reclaim_leases(0, &self.channel, 1, false, None).await?.reply;
        if leases.next.is_some() || leases.parcels > 0 {
            return Err(ConformanceFailure::broken(check, "a lease was not released"));
        }
        let running = self.usual_courier().await?;
        for placed in &placed {
            self.ended(check, placed).await?;
            self.all_sent_once(check, placed).await?;
        }
        running.stopped(check).await?;
        self.report.passed(check);
        Ok(())
    }
}
