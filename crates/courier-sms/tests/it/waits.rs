//! Waits: the segment budget, and pauses requested by the provider.

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope, Transport};
use posthaste_rig::eventually_async;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bench::{envelope, send, transport};
use super::provider::{Provider, Reply, rate_limited};

#[tokio::test]
async fn the_rate_counts_segments() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[("sms.segments_per_second", "1")]);
    assert_eq!(twilio.capabilities().rate, Some(1.0));
    // Five segments of Cyrillic: the next message waits five seconds.
    let started = Instant::now();
    let long = envelope("+79160000001", &"ы".repeat(67 * 5));
    assert_eq!(send(&twilio, &long).await, Outcome::Sent);
    let Outcome::Throttled { scope: ThrottleScope::Recipient, wait } =
        send(&twilio, &envelope("+79160000002", "x")).await
    else {
        panic!("it went")
    };
    let five = Duration::from_secs(5);
    assert!(wait <= five && wait + started.elapsed() >= five, "{wait:?}");
    assert_eq!(provider.messages().len(), 1);
    posthaste_rig::eventually_async("its turn", async || {
        match send(&twilio, &envelope("+79160000002", "x")).await {
            Outcome::Sent => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_short_wait_is_sat_out() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[("sms.segments_per_second", "10")]);
    let started = Instant::now();
    for number in ["+79160000001", "+79160000002", "+79160000003"] {
        assert_eq!(send(&twilio, &envelope(number, "x")).await, Outcome::Sent);
    }
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn requests_that_were_on_the_wire_together_make_one_pause_of_the_channel() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    provider.answer(|_| {
        let Reply::Say(status, headers, body) = rate_limited(60) else { panic!("it says") };
        Reply::Late(Duration::from_millis(200), status, headers, body)
    });
    let messages: Vec<_> = (0..20).map(|n| envelope(&format!("+791600000{n:02}"), "x")).collect();
    let outcomes = futures_of(&twilio, &messages).await;
    let of = |wanted: ThrottleScope| {
        outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Throttled { scope, .. } if *scope == wanted))
            .count()
    };
    assert_eq!((of(ThrottleScope::Channel), of(ThrottleScope::Recipient)), (1, 19), "{outcomes:?}");
    // A later message waits for the rest of the pause, without a request.
    let Outcome::Throttled { scope: ThrottleScope::Recipient, wait } = send(&twilio, &messages[0]).await
    else {
        panic!("it went")
    };
    assert!(wait <= Duration::from_secs(60), "{wait:?}");
    assert_eq!(provider.messages().len(), 20);
}

#[tokio::test]
async fn a_refusal_after_a_pause_makes_another_one() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    provider.answer(|_| rate_limited(1));
    let message = envelope("+79160000001", "x");
    let refused =
        |outcome: &Outcome| matches!(outcome, Outcome::Throttled { scope: ThrottleScope::Channel, .. });
    assert!(refused(&send(&twilio, &message).await));
    eventually_async("a message that goes when the rest is over", async || {
        match send(&twilio, &message).await {
            outcome if refused(&outcome) => Ok(()),
            outcome => Err(format!("{outcome:?}")),
        }
    })
    .await;
    assert_eq!(provider.messages().len(), 2);
}

#[tokio::test]
async fn nobody_who_waited_for_a_turn_goes_in_a_pause() {
    // On a slow machine all turns come before the first response: such a run shows nothing.
    eventually_async("an answer before the last turn", async || {
        if turns_before_the_pause().await < WAITING { Ok(()) } else { Err("all turns came before it") }
    })
    .await;
}

const WAITING: usize = 5;

/// The number of messages whose turn came before the pause; no more were sent.
async fn turns_before_the_pause() -> usize {
    let provider = Provider::start().await;
    let twilio = Arc::new(transport(&provider, &[("sms.segments_per_second", "20")]));
    provider.answer(|_| rate_limited(60));
    // The first is sent at once, and each further one a twentieth of a second later.
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for n in 0..WAITING {
        let twilio = Arc::clone(&twilio);
        calls.spawn(async move { send(&twilio, &envelope(&format!("+7916000000{n}"), "x")).await });
    }
    let mut outcomes: Vec<Outcome> = calls.join_next().await.into_iter().map(Result::unwrap).collect();
    let turns = 1 + (started.elapsed().as_millis() / 50) as usize;
    outcomes.extend(calls.join_all().await);
    let waits = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Throttled { .. })).count();
    assert_eq!(waits, WAITING, "{outcomes:?}");
    let gone = provider.messages().len();
    assert!(gone <= turns, "{gone} went, and {turns} had their turn before the pause");
    // A message that comes now is not sent either.
    assert!(matches!(send(&twilio, &envelope("+79160000009", "x")).await, Outcome::Throttled { .. }));
    assert_eq!(provider.messages().len(), gone);
    turns
}

#[tokio::test]
async fn a_wait_of_ages_is_one_of_a_day() {
    let provider = Provider::start().await;
    let day = Duration::from_secs(24 * 3600);
    for seconds in [9_200_000_000_000_000_000, u64::MAX] {
        let twilio = transport(&provider, &[]);
        provider.answer(move |_| rate_limited(seconds));
        // Two at once: the second wait is compared with the first.
        let messages = [envelope("+79160000001", "x"), envelope("+79160000002", "x")];
        for outcome in futures_of(&twilio, &messages).await {
            let Outcome::Throttled { wait, .. } = outcome else { panic!("{outcome:?}") };
            assert!(wait <= day && wait > day - posthaste_rig::patience(), "{wait:?}");
        }
    }
}

async fn futures_of(
    twilio: &posthaste_courier_sms::SmsTransport,
    messages: &[posthaste_courier::Envelope],
) -> Vec<Outcome> {
    let deadline = Instant::now() + posthaste_rig::patience();
    let mut calls: Vec<_> =
        messages.iter().map(|one| twilio.send(std::slice::from_ref(one), deadline)).collect();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; calls.len()];
    std::future::poll_fn(|context| {
        for (call, outcome) in calls.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let std::task::Poll::Ready(mut ended) = call.as_mut().poll(context)
            {
                *outcome = ended.pop();
            }
        }
        if outcomes.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outcomes.into_iter().map(Option::unwrap).collect()
}
