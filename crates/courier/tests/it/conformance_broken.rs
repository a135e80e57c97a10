//! A channel that is wrong in one way fails the suite, and is told what is wrong.

use std::time::Duration;

use posthaste_courier::conformance::{self, Behaviour, Failure};
use posthaste_courier::{Abilities, Batching};
use posthaste_rig::{Fsync, PrivateServer};

use super::flaws::Flaw;
use super::memory::MemoryBench;

/// What the suite says: the check, and what was wrong.
fn said(failure: Failure) -> (String, String) {
    match failure {
        Failure::Broken { check, what } => (check, what),
        other => panic!("{other:?}"),
    }
}

fn in_batches() -> Abilities {
    Abilities { batching: Batching::Any(7), ..Abilities::default() }
}

fn with_tokens() -> Abilities {
    Abilities { tokens: true, ..Abilities::default() }
}

#[tokio::test]
async fn every_flaw_of_a_transport_is_named() {
    let single = Abilities::default;
    let inquires = || Abilities { inquires: true, ..Abilities::default() };
    let lost = "the request had left and no full answer came";
    let cases: Vec<(Flaw, Abilities, &str, String)> = vec![
        (Flaw::SwallowsAnOutcome, single(), "a batch of 1", "1 envelopes brought 0 outcomes".into()),
        (Flaw::SwallowsAnOutcome, in_batches(), "a batch of 1", "1 envelopes brought 0 outcomes".into()),
        (
            Flaw::TurnsTheOrder,
            in_batches(),
            "some refused",
            "outcomes stand in the order of their envelopes".into(),
        ),
        (Flaw::AcceptedOnALostAnswer, single(), "reset", format!("said accepted, wanted unknown: {lost}")),
        (Flaw::NotSentAfterBytesLeft, single(), "reset", format!("said not sent, wanted unknown: {lost}")),
        (
            Flaw::RetryAfterBytesLeft,
            in_batches(),
            "reset",
            format!("said retry without a wait, wanted unknown: {lost}"),
        ),
        (Flaw::HoldsALockForEver, single(), "after `hang`", "brought no answer".into()),
        (Flaw::PanicsOnNonsense, single(), "garbage", "send panicked: an answer that makes no sense".into()),
        (Flaw::PanicsOnScripts, single(), "many scripts", "send panicked: ".into()),
        (Flaw::SendsTwice, single(), "a batch of 1", "the provider took the message 2 times".into()),
        (Flaw::NeverSends, single(), "a batch of 1", "the provider never took the message".into()),
        (Flaw::IgnoresTheWait, single(), "throttle", "said retry without a wait, wanted throttled".into()),
        (Flaw::ShortensTheWait, single(), "throttle", "said throttled for 0ns, wanted throttled".into()),
        (Flaw::AcceptsNonsense, single(), "garbage", "said accepted, wanted unknown or retry".into()),
        (Flaw::RejectsUnderABadCredential, single(), "bad credential", "said rejected, wanted stop".into()),
        (Flaw::RejectsTheUnreachable, single(), "unreachable", "said rejected, wanted not sent".into()),
        (Flaw::StaysStopped, single(), "after `bad credential`", "the next call said stop".into()),
        (Flaw::ChecksNothing, single(), "check finds a bad credential", "it said that all is well".into()),
        (
            Flaw::GreetsWithAMessage,
            single(),
            "unasked",
            "the provider saw 1 requests and took 1 messages".into(),
        ),
        (Flaw::MixesCalls, single(), "do not mix", "outcomes stand in the order of their envelopes".into()),
        (Flaw::KeepsTheFirstText, single(), "a batch of 1, some", "got the text of another message".into()),
        (Flaw::SuppressesAsRejected, single(), "suppress", "said rejected, wanted suppress".into()),
        (
            Flaw::RepeatsBehindItsBack,
            single(),
            "lose the answer",
            "and the provider took the message 2 times".into(),
        ),
        (Flaw::TakesANewToken, with_tokens(), "under the token", "the provider saw two identities".into()),
        (
            Flaw::FindsNothing,
            inquires(),
            "inquiry",
            "it said never, but the provider had taken the message".into(),
        ),
    ];
    for (flaw, abilities, check, what) in cases {
        let bench = MemoryBench::flawed(abilities, flaw);
        match conformance::on_transport(&bench).await {
            Ok(report) => panic!("{flaw:?} passes:\n{report}"),
            Err(failure) => {
                let (at, text) = said(failure);
                assert!(at.contains(check) && text.contains(&what), "{flaw:?}: {at}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn flaws_that_show_only_under_the_runtime_are_named() {
    let cases = [
        (Flaw::RejectsRepeats, "held or repeated once", "the row ended as unknown (held)"),
        (
            Flaw::CountsRowsInAByte,
            "orders are sent once",
            "was told as sent, and the provider took it 0 times",
        ),
        (
            Flaw::SleepsThroughThePause,
            "a rate limit is waited for",
            "requests too many came while the provider had asked to wait",
        ),
    ];
    for (flaw, check, what) in cases {
        let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
        let bench = MemoryBench {
            patience: posthaste_rig::patience(),
            ..MemoryBench::flawed(Abilities::default(), flaw)
        };
        conformance::on_transport(&bench).await.unwrap_or_else(|failure| panic!("{flaw:?}: {failure}"));
        let failure = conformance::through_runtime(&bench, &server.url()).await.expect_err("a flaw");
        let (at, text) = said(failure);
        assert!(at.contains(check) && text.contains(what), "{flaw:?}: {at}: {text}");
    }
}

/// Abilities that contradict each other, and benches that can't do what they must.
#[tokio::test]
async fn bad_abilities_and_bad_benches_are_named() {
    let abilities = Abilities { send_window: Duration::ZERO, ..Abilities::default() };
    let failure = conformance::on_transport(&MemoryBench::new(abilities)).await.expect_err("no time to send");
    assert_eq!(failure.to_string(), "abilities: send_window: must be more than nothing");
    let abilities = Abilities { concurrency: 3, max_concurrency: 2, ..Abilities::default() };
    let failure = conformance::on_transport(&MemoryBench::new(abilities)).await.expect_err("too many calls");
    assert_eq!(failure.to_string(), "abilities: concurrency: must be 1 to max_concurrency");
    let bench = MemoryBench { cannot: vec![Behaviour::Accept], ..MemoryBench::new(Abilities::default()) };
    let failure = conformance::on_transport(&bench).await.expect_err("a provider that takes nothing");
    let text = failure.to_string();
    assert_eq!(text, "the bench is at fault: it can't show `accept`: it has no such answer");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let bench = MemoryBench::new(Abilities::default());
    let nowhere = "redis+unix:///nowhere/at/all";
    let failure = conformance::through_runtime(&bench, nowhere).await.expect_err("no server");
    assert!(matches!(failure, Failure::Connect(_)), "{failure}");
}
