//! A courier that dies with claimed parcels: what was not begun is sent once, as usual. The delivery of a small
//! order is begun with its claim, so that one delivery is in doubt, although it never left.

use anyhow::ensure;
use posthaste_tests::death;

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_claim() -> anyhow::Result<()> {
    death::at("after-claim", None, |end| {
        ensure!(!end.record.senders().contains(&0), "nothing can have left yet");
        ensure!(end.balance.duplicates == 0);
        if end.case.big { end.balance.all_sent_once() } else { end.expect_in_doubt(1..=1) }
    })
    .await
}
