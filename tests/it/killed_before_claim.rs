//! A courier that dies before its first claim leaves no trace.

use posthaste_tests::death;

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_claim() -> anyhow::Result<()> {
    death::at("before-claim", None, |end| end.balance.all_sent_once()).await
}
