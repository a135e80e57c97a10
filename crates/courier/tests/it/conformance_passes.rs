//! A correct channel passes the suite, whatever its capabilities.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use posthaste_courier::conformance::{self, Behaviour, ConformanceReport};
use posthaste_courier::{Batching, Capabilities};
use posthaste_rig::{Fsync, PrivateServer};

use super::memory::MemoryBench;

async fn passes(bench: &MemoryBench) -> ConformanceReport {
    let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
    let report = conformance::run(bench, &server.url()).await;
    report.unwrap_or_else(|failure| panic!("{failure}: {failure:?}"))
}

fn batches(batching: Batching) -> Capabilities {
    Capabilities { batching, ..Capabilities::default() }
}

#[tokio::test]
async fn one_at_a_time() {
    let report = passes(&MemoryBench::new(Capabilities::default())).await;
    assert_eq!(report.not_shown, []);
    let text = report.to_string();
    for behaviour in Behaviour::BAD {
        assert!(text.contains(&format!("checked: `{behaviour}` toward a batch of 1\n")), "{text}");
    }
    assert!(text.contains("checked: a rate limit is obeyed\n"));
    assert!(text.contains("checked: a stop finishes calls on the wire and releases the rest\n"));
}

#[tokio::test]
async fn in_batches_of_one_order() {
    let report = passes(&MemoryBench::new(batches(Batching::SameOrder(25)))).await;
    let checked = |what: &str| report.checked.iter().any(|check| check == what);
    assert!(checked("a batch of 1, all accepted") && checked("a batch of 25, some refused"), "{report}");
}

#[tokio::test]
async fn in_batches_of_any_orders() {
    passes(&MemoryBench::new(batches(Batching::Any(7)))).await;
}

#[tokio::test]
async fn under_tokens() {
    let tokens = Capabilities { tokens: true, ..Capabilities::default() };
    let report = passes(&MemoryBench::new(tokens.clone())).await;
    assert!(report.to_string().contains("under the token of the attempt it repeats"), "{report}");
    let idempotent_for = Duration::from_secs(3600);
    passes(&MemoryBench::new(Capabilities { idempotent_for, ..tokens })).await;
}

#[tokio::test]
async fn with_inquiries() {
    let report = passes(&MemoryBench::new(Capabilities { looks_up: true, ..Capabilities::default() })).await;
    assert!(report.to_string().contains("an inquiry finds what the provider accepted"), "{report}");
}

#[tokio::test]
async fn in_parts() {
    passes(&MemoryBench { part: Some(1_000), ..MemoryBench::new(Capabilities::default()) }).await;
}

#[tokio::test]
async fn behaviours_a_provider_cannot_show_are_reported() {
    let cannot =
        vec![Behaviour::SuppressAddress, Behaviour::Throttle(Duration::from_secs(1)), Behaviour::Garbage];
    let bench = MemoryBench { cannot: cannot.clone(), ..MemoryBench::new(Capabilities::default()) };
    let report = passes(&bench).await;
    for behaviour in cannot {
        assert!(report.not_shown.contains(&(behaviour, "it has no such answer")), "{report}");
    }
    assert_eq!(report.not_shown.len(), 3);
    assert!(report.to_string().contains("the provider could not show: garbage (it has no such answer)\n"));
    assert!(!report.to_string().contains("checked: a rate limit is obeyed"));
}
