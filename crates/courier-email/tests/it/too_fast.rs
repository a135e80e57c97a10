//! A relay that replies 421 to every message, and one that does so to a single message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope};
use posthaste_courier_email::EmailTransport;
use tokio::time::Instant;

use crate::house::{envelope, send, transport};
use crate::server::{Act, Kind, Plan, Server, Step};

const TOO_FAST: &str = "421 4.7.28 too fast";
const HOUR: Duration = Duration::from_secs(3600);

fn pauses(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Throttled { scope: ThrottleScope::Channel, wait } if *wait <= HOUR && !wait.is_zero())
}

fn of_this_one(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Throttled { scope: ThrottleScope::Recipient, .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_mailing_to_a_relay_that_takes_nothing_only_a_few_leave() {
    for pipelining in [false, true] {
        for step in [Step::Rcpt, Step::Data, Step::Text] {
            let server = Server::start(Kind { pipelining, ..Kind::default() }).await;
            server.plan(Plan::says(step, TOO_FAST));
            let transport = Arc::new(transport(&[server.url()], &[("smtp.skip_relay_for", "1h")]));
            let next = Arc::new(AtomicUsize::new(0));
            let four_at_once: Vec<_> = (0..4)
                .map(|_| {
                    let (transport, next) = (Arc::clone(&transport), Arc::clone(&next));
                    tokio::spawn(async move {
                        let mut outcomes = Vec::new();
                        while next.fetch_add(1, Ordering::SeqCst) < 50 {
                            outcomes.push(send(&transport, &envelope("a@mail.example")).await);
                        }
                        outcomes
                    })
                })
                .collect();
            let mut outcomes = Vec::new();
            for one in four_at_once {
                outcomes.extend(one.await.expect("outcomes"));
            }
            // The first one, and those that were being sent when the second was deferred.
            let left = outcomes.iter().filter(|outcome| of_this_one(outcome)).count();
            assert!((2..=8).contains(&left), "{step:?}: {left} left");
            let others: Vec<_> =
                outcomes.iter().filter(|outcome| !of_this_one(outcome) && !pauses(outcome)).collect();
            assert!(others.is_empty(), "{step:?} {pipelining}: {others:?}");
            let begun = server.verbs().iter().filter(|verb| *verb == "MAIL").count();
            assert_eq!((begun, server.connections()), (left, left as u64), "{step:?}");
        }
    }
}

/// Sends one message after another until one has this outcome.
async fn until(transport: &EmailTransport, what: &str, wanted: impl Fn(&Outcome) -> bool) {
    let patience = Instant::now() + posthaste_rig::patience();
    loop {
        let outcome = send(transport, &envelope("a@mail.example")).await;
        if wanted(&outcome) {
            return;
        }
        assert!(Instant::now() < patience, "{what}: {outcome:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_the_rest_one_message_finds_out() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[("smtp.skip_relay_for", "300ms")]);
    server.plan(Plan::says(Step::Text, TOO_FAST));
    until(&transport, "a pause", pauses).await;
    server.plan(Plan::says(Step::Text, "421 4.7.28 too fast, try again in 1 hour"));
    until(&transport, "the next one to leave", of_this_one).await;
    assert!(pauses(&send(&transport, &envelope("a@mail.example")).await), "one is enough to know");
}

#[tokio::test]
async fn after_a_message_that_is_taken_a_single_one_stops_nobody_again() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[("smtp.skip_relay_for", "300ms")]);
    server.plan(Plan::says(Step::Text, TOO_FAST));
    until(&transport, "a pause", pauses).await;
    server.plan(Plan::default());
    until(&transport, "the end of it", |outcome| *outcome == Outcome::Sent).await;
    server.plan(Plan::says(Step::Text, TOO_FAST));
    assert!(of_this_one(&send(&transport, &envelope("a@mail.example")).await));
    server.plan(Plan::default());
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
}

#[tokio::test]
async fn a_single_message_that_is_asked_to_wait_stops_nobody() {
    for step in [Step::Rcpt, Step::Data, Step::Text] {
        let server = Server::plain().await;
        let transport = transport(&[server.url()], &[("smtp.skip_relay_for", "1h")]);
        let only = Some(["slow@mail.example".to_owned()].into());
        server.plan(Plan { only, ..Plan::says(step, TOO_FAST) });
        let slow = envelope("slow@mail.example");
        for _ in 0..3 {
            assert!(of_this_one(&send(&transport, &slow).await), "{step:?}");
        }
        assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent, "{step:?}");
        // With accepted messages in between, several of them do not stop the channel either.
        for _ in 0..3 {
            assert!(of_this_one(&send(&transport, &envelope("slow@mail.example")).await), "{step:?}");
            assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent, "{step:?}");
        }
    }
}

#[tokio::test]
async fn greylisting_is_about_each_recipient() {
    for (step, reply) in [(Step::Rcpt, "450 4.7.1 greylisted"), (Step::Text, "451 4.7.1 greylisted")] {
        let server = Server::plain().await;
        let transport = transport(&[server.url()], &[("smtp.skip_relay_for", "1h")]);
        server.plan(Plan::says(step, reply));
        for _ in 0..5 {
            let outcome = send(&transport, &envelope("a@mail.example")).await;
            assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        }
        server.plan(Plan::default());
        assert_eq!(send(&transport, &envelope("b@mail.example")).await, Outcome::Sent);
    }
}

#[tokio::test]
async fn the_channel_waits_when_no_relay_is_left() {
    let (first, second) = (Server::plain().await, Server::plain().await);
    for (plan, leave) in [
        // Each of them has to defer two messages.
        (Plan::says(Step::Text, TOO_FAST), 4),
        // Or it is unreachable.
        (Plan::at(Step::Greeting, Act::Close), 2),
    ] {
        first.plan(Plan::says(Step::Text, TOO_FAST));
        second.plan(plan);
        let transport = transport(&[first.url(), second.url()], &[("smtp.skip_relay_for", "1h")]);
        for n in 0..8 {
            let outcome = send(&transport, &envelope("a@mail.example")).await;
            assert!(if n < leave { of_this_one(&outcome) } else { pauses(&outcome) }, "{n}: {outcome:?}");
        }
    }
}
