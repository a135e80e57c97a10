//! The suite every channel must pass.

use posthaste_courier::conformance;
use posthaste_rig::{Fsync, PrivateServer};

use super::bench::VkBench;

#[tokio::test]
async fn the_channel_passes() {
    let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
    let report = conformance::run(&VkBench::start().await, &server.url()).await;
    let report = report.unwrap_or_else(|failure| panic!("{failure}: {failure:?}"));
    assert!(report.not_shown.is_empty(), "{report}");
}
