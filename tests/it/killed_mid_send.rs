//! A courier that dies while an envelope is on the wire: the delivery becomes unknown, and is repeated once or held.

use anyhow::ensure;
use posthaste_tests::death::{self, MOST_BEGUN};

#[tokio::test(flavor = "multi_thread")]
async fn killed_mid_send() -> anyhow::Result<()> {
    death::at("mid-send", Some(20), |end| {
        ensure!(end.record.senders().contains(&0), "something had left");
        end.expect_in_doubt(1..=MOST_BEGUN)
    })
    .await
}
