//! The suite every channel must pass.

use posthaste_courier::conformance;
use posthaste_rig::{Fsync, PrivateServer};

use super::bench::WebhookBench;
use super::receiver::Receiver;

#[tokio::test]
async fn the_channel_passes() {
    let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
    let report = conformance::run(&WebhookBench(Receiver::start().await), &server.url()).await;
    let report = report.unwrap_or_else(|failure| panic!("{failure}: {failure:?}"));
    let lacks: Vec<_> = report.not_shown.iter().map(|(behaviour, _)| behaviour.to_string()).collect();
    assert!(
        lacks.iter().all(|what| ["unreachable", "bad credential", "garbage"].contains(&what.as_str())),
        "{report}"
    );
}
