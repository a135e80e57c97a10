//! Does the courier hear its own bell? Events only shorten its sleep, but a courier that is deaf is late by the poll, and
//! its operator should know.

use std::sync::Arc;
use std::time::Duration;

use posthaste_ops::stop::Stop;
use posthaste_store::Store;
use tokio::time::Instant;

use crate::metrics::Meter;

/// How long a bell may take to be heard.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rings the courier's own bell every so often and tells whether it was heard.
pub(crate) async fn check(store: Store, meter: Arc<Meter>, every: Duration, stop: Stop) {
    let hearing = store.hearing();
    let mut heard_before = true;
    loop {
        tokio::select! {
            () = stop.soft.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let before = hearing.bells();
        if store.ring_own_bell(0).await.is_err() {
            // Away: the link says so.
            continue;
        }
        let until = Instant::now() + PATIENCE;
        while hearing.bells() == before && Instant::now() < until {
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
        let hears = hearing.bells() != before;
        meter.hearing(hears);
        if hears != heard_before {
            if hears {
                tracing::info!("the courier hears its bell again");
            } else {
                tracing::warn!("the courier does not hear its bell: it works by looking every second");
                meter.alarm("deaf");
            }
        }
        heard_before = hears;
    }
}
