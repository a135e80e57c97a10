//! A channel with one flaw fails the suite, and the suite names the flaw.

use std::time::Duration;

use posthaste_courier::conformance::{self, Behaviour, ConformanceFailure};
use posthaste_courier::{Batching, Capabilities};
use posthaste_rig::{Fsync, PrivateServer};

use super::defects::Defect;
use super::memory::MemoryBench;

/// The check that failed, and what was wrong.
fn said(failure: ConformanceFailure) -> (String, String) {
    match failure {
        ConformanceFailure::Broken { check, what } => (check, what),
        other => panic!("{other:?}"),
    }
}

fn in_batches() -> Capabilities {
    Capabilities { batching: Batching::Any(7), ..Capabilities::default() }
}

fn with_tokens() -> Capabilities {
    Capabilities { tokens: true, ..Capabilities::default() }
}

#[tokio::test]
async fn every_fault_of_a_transport_is_named() {
    let single = Capabilities::default;
    let looks_up = || Capabilities { looks_up: true, ..Capabilities::default() };
    let lost = "the request had left and no complete answer was received";
    let cases: Vec<(Defect, Capabilities, &str, String)> = vec![
        (
            Defect::SwallowsAnOutcome,
            single(),
            "a batch of 1",
            "0 outcomes were returned for 1 envelopes".into(),
        ),
        (
            Defect::SwallowsAnOutcome,
            in_batches(),
            "a batch of 1",
            "0 outcomes were returned for 1 envelopes".into(),
        ),
        (
            Defect::TurnsTheOrder,
            in_batches(),
            "some refused",
            "outcomes must be in the order of their envelopes".into(),
        ),
        (Defect::AcceptedOnALostAnswer, single(), "reset", format!("was accepted, expected unknown: {lost}")),
        (Defect::NotSentAfterBytesLeft, single(), "reset", format!("was not sent, expected unknown: {lost}")),
        (
            Defect::RetryAfterBytesLeft,
            in_batches(),
            "reset",
            format!("was retry without a wait, expected unknown: {lost}"),
        ),
        (Defect::HoldsALockForEver, single(), "after `hang`", "returned no answer".into()),
        (
            Defect::PanicsOnNonsense,
            single(),
            "garbage",
            "send panicked: an answer that makes no sense".into(),
        ),
        (Defect::PanicsOnScripts, single(), "many scripts", "send panicked: ".into()),
        (Defect::SendsTwice, single(), "a batch of 1", "the provider accepted the message 2 times".into()),
        (Defect::NeverSends, single(), "a batch of 1", "the provider never accepted the message".into()),
        (Defect::IgnoresTheWait, single(), "throttle", "was retry without a wait, expected throttled".into()),
        (Defect::ShortensTheWait, single(), "throttle", "was throttled for 0ns, expected throttled".into()),
        (Defect::AcceptsNonsense, single(), "garbage", "was accepted, expected unknown or retry".into()),
        (
            Defect::RejectsUnderABadCredential,
            single(),
            "bad credential",
            "was rejected, expected stop".into(),
        ),
        (Defect::RejectsTheUnreachable, single(), "unreachable", "was rejected, expected not sent".into()),
        (Defect::StaysStopped, single(), "after `bad credential`", "the next call returned stop".into()),
        (Defect::ChecksNothing, single(), "check finds a bad credential", "it found nothing wrong".into()),
        (
            Defect::GreetsWithAMessage,
            single(),
            "before it is requested",
            "the provider saw 1 requests and accepted 1 messages".into(),
        ),
        (
            Defect::MixesCalls,
            single(),
            "do not mix",
            "outcomes must be in the order of their envelopes".into(),
        ),
        (Defect::KeepsTheFirstText, single(), "a batch of 1, some", "got the text of another message".into()),
        (Defect::SuppressesAsRejected, single(), "suppress", "was rejected, expected suppress".into()),
        (
            Defect::RepeatsBehindItsBack,
            single(),
            "lose the answer",
            "but the provider accepted the message 2 times".into(),
        ),
        (Defect::TakesANewToken, with_tokens(), "under the token", "the provider saw two identities".into()),
        (
            Defect::FindsNothing,
            looks_up(),
            "inquiry",
            "it returned never, but the provider had accepted the message".into(),
        ),
    ];
    for (defect, capabilities, check, what) in cases {
        let bench = MemoryBench::flawed(capabilities, defect);
        match conformance::on_transport(&bench).await {
            Ok(report) => panic!("{defect:?} passes:\n{report}"),
            Err(failure) => {
                let (at, text) = said(failure);
                assert!(at.contains(check) && text.contains(&what), "{defect:?}: {at}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn faults_that_show_only_under_the_runtime_are_named() {
    let cases = [
        (Defect::RejectsRepeats, "held or repeated once", "the delivery ended as unknown (not_retried)"),
        (
            Defect::CountsDeliveriesInAByte,
            "orders are sent once",
            "is sent, but the provider accepted it 0 times",
        ),
        (
            Defect::SleepsThroughThePause,
            "a rate limit is obeyed",
            "requests too many arrived during the wait the provider had requested",
        ),
    ];
    for (defect, check, what) in cases {
        let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
        let bench = MemoryBench {
            patience: posthaste_rig::patience(),
            ..MemoryBench::flawed(Capabilities::default(), defect)
        };
        conformance::on_transport(&bench).await.unwrap_or_else(|failure| panic!("{defect:?}: {failure}"));
        let failure = conformance::through_runtime(&bench, &server.url()).await.expect_err("a flaw");
        let (at, text) = said(failure);
        assert!(at.contains(check) && text.contains(what), "{defect:?}: {at}: {text}");
    }
}

/// Capabilities that contradict each other, and a bench that lacks a required behaviour.
#[tokio::test]
async fn bad_capabilities_and_bad_benches_are_named() {
    let capabilities = Capabilities { send_window: Duration::ZERO, ..Capabilities::default() };
    let failure =
        conformance::on_transport(&MemoryBench::new(capabilities)).await.expect_err("no time to send");
    assert_eq!(failure.to_string(), "capabilities: send_window: must be longer than 0");
    let capabilities = Capabilities { concurrency: 3, max_concurrency: 2, ..Capabilities::default() };
    let failure =
        conformance::on_transport(&MemoryBench::new(capabilities)).await.expect_err("too many calls");
    assert_eq!(failure.to_string(), "capabilities: concurrency: must be 1 to max_concurrency");
    let bench = MemoryBench { cannot: vec![Behaviour::Accept], ..MemoryBench::new(Capabilities::default()) };
    let failure = conformance::on_transport(&bench).await.expect_err("a provider that takes nothing");
    let text = failure.to_string();
    assert_eq!(text, "the test bench is wrong: it cannot show `accept`: it has no such answer");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let bench = MemoryBench::new(Capabilities::default());
    let nowhere = "redis+unix:///nowhere/at/all";
    let failure = conformance::through_runtime(&bench, nowhere).await.expect_err("no server");
    assert!(matches!(failure, ConformanceFailure::Connect(_)), "{failure}");
}
