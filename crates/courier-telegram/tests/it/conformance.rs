//! The suite every channel must pass.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use posthaste_courier::conformance;
use posthaste_rig::{Fsync, PrivateServer};

use super::bench::TelegramBench;

async fn passes(bots: u64) {
    let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
    let report = conformance::run(&TelegramBench::start(bots).await, &server.url()).await;
    let report = report.unwrap_or_else(|failure| panic!("{failure}: {failure:?}"));
    // Everything but a temporary refusal without a wait, which Telegram does not have.
    assert!(
        report.not_shown.iter().all(|(behaviour, _)| behaviour.to_string() == "refuse for now"),
        "{report}"
    );
}

#[tokio::test]
async fn one_bot_passes() {
    passes(1).await;
}

#[tokio::test]
async fn several_bots_pass() {
    passes(3).await;
}
