//! A courier that dies after a settle: settled deliveries keep their state, and only those on the wire at that time
//! are in doubt.

use anyhow::ensure;
use posthaste_tests::death::{self, MOST_BEGUN};

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_settle() -> anyhow::Result<()> {
    death::at("after-settle", Some(8), |end| {
        let sent_by_it = end.record.taken.values().flatten().filter(|sighting| sighting.courier == 0).count();
        ensure!(sent_by_it as u64 > end.balance.duplicates, "what was settled was not sent again");
        end.expect_in_doubt(0..=MOST_BEGUN)
    })
    .await
}
