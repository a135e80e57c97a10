//! A courier that dies between begin and send: what it had begun is in doubt, a few deliveries, and nothing was sent
//! twice.

use anyhow::ensure;
use posthaste_tests::death::{self, MOST_BEGUN};

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_begin() -> anyhow::Result<()> {
    death::at("after-begin", Some(12), |end| {
        if end.case.nth > 1 {
            return end.expect_in_doubt(1..=MOST_BEGUN);
        }
        ensure!(!end.record.senders().contains(&0), "nothing can have left yet");
        ensure!(end.balance.duplicates == 0);
        // A claim begins the only delivery of a small order; of a big one as many deliveries are begun as there are
        // calls.
        end.expect_in_doubt(if end.case.big { 1..=16 } else { 1..=1 })
    })
    .await
}
