//! A courier that dies after the provider took a message and before that was reported: if the order asks to repeat,
//! the provider gets it twice, only once each; if it asks to hold, once.

use anyhow::ensure;
use posthaste_model::OnUnknown;
use posthaste_tests::death::{self, MOST_BEGUN};

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_provider_took_it() -> anyhow::Result<()> {
    death::at("after-taken", Some(20), |end| {
        end.expect_in_doubt(1..=MOST_BEGUN)?;
        if end.case.on_unknown == OnUnknown::Retry {
            ensure!(end.balance.duplicates >= 1, "what was taken last was never reported");
        } else {
            ensure!(end.balance.duplicates == 0);
        }
        Ok(())
    })
    .await
}
