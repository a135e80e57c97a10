//! The suite every channel must pass.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeSet;

use posthaste_courier::conformance::{self, Bench};
use posthaste_rig::{Fsync, PrivateServer};

use super::bench::{Kind, SmsBench};

async fn passes(kind: Kind) {
    let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
    let bench = SmsBench::start(kind).await;
    let report = conformance::run(&bench, &server.url()).await;
    let report = report.unwrap_or_else(|failure| panic!("{failure}: {failure:?}"));
    assert!(report.not_shown.is_empty(), "{report}");
    let asks = report.checked.iter().any(|check| check == "an inquiry finds what the provider accepted");
    assert_eq!(asks, kind == Kind::Twilio, "{report}");
    if asks {
        // A transport that looks up before a repeat sends nothing twice, whatever responses were lost.
        let taken = bench.taken().await;
        let numbers: BTreeSet<&str> = taken.iter().map(|message| message.to.expose()).collect();
        assert_eq!(numbers.len(), taken.len());
    }
}

#[tokio::test]
async fn twilio_passes() {
    passes(Kind::Twilio).await;
}

#[tokio::test]
async fn an_smsc_like_gateway_passes() {
    passes(Kind::Smsc).await;
}
