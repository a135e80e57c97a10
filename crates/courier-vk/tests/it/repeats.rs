//! Repeated requests: after a lost answer, in halves, one by one; and pauses.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use posthaste_courier::{Envelope, Outcome, ThrottleScope, Transport};
use posthaste_model::Reason;
use tokio::time::Instant;

use super::bench::{envelope, send, send_one, to_many, transport};
use super::provider::{Provider, Reply, accept, half, peers, permissions, refusal};

fn all_accepted(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Sent)
}

fn sizes(provider: &Provider) -> Vec<usize> {
    provider.messages().iter().map(|request| request.calls().len()).collect()
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_is_dropped_by_vk() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let mut batch = to_many(1..=2500, "x", 1);
    provider.answer_with(|shop, request| {
        accept(shop, request);
        half()
    });
    let lost = Outcome::Unknown(Reason::ConnectionLost);
    assert!(send(&vk, &batch).await.iter().all(|outcome| *outcome == lost));
    assert_eq!(provider.api().taken().len(), 2500);
    provider.accept();
    // A repeat has the same tokens as the original, in any order.
    batch.reverse();
    for envelope in &mut batch {
        (envelope.attempt, envelope.repeat) = (2, true);
    }
    assert!(all_accepted(&send(&vk, &batch).await));
    assert_eq!((provider.api().taken().len(), sizes(&provider)), (2500, vec![25, 25]));
}

#[tokio::test]
async fn scattered_tokens_take_several_requests_of_one_call() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let batch: Vec<Envelope> = to_many(1..=60, "x", 1)
        .into_iter()
        .zip(1..)
        .map(|(envelope, token)| Envelope { token: Some(token), ..envelope })
        .collect();
    assert!(all_accepted(&send(&vk, &batch).await));
    assert_eq!(sizes(&provider), [25, 25, 10]);
}

#[tokio::test]
async fn a_program_that_is_too_much_is_halved_until_it_runs() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    provider.answer_with(|shop, request| match request.calls().len() {
        7.. => {
            // The program was interrupted after it had run: no message is duplicated.
            accept(shop, request);
            refusal(13, "")
        }
        _ => accept(shop, request),
    });
    assert!(all_accepted(&send(&vk, &to_many(1..=2500, "x", 1)).await));
    assert_eq!(provider.api().taken().len(), 2500);
    assert_eq!(sizes(&provider), [25, 12, 6, 6, 6, 6, 1]);
    // The next batch is split from the start.
    assert!(all_accepted(&send(&vk, &to_many(3001..=4000, "x", 100)).await));
    assert_eq!(sizes(&provider)[7..], [6, 4]);
}

#[tokio::test]
async fn calls_that_may_have_run_are_unknown_if_they_can_not_be_sent_again() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    provider.script(vec![refusal(13, ""), refusal(6, "")]);
    let unknown = Outcome::Unknown(Reason::ProviderUnavailable);
    assert!(send(&vk, &to_many(1..=200, "x", 1)).await.iter().all(|outcome| *outcome == unknown));
    assert_eq!(sizes(&provider), [2, 1]);
    let vk = transport(&provider, &[]);
    provider.answer(|_| refusal(13, ""));
    assert_eq!(send_one(&vk, envelope("1", "x", 1)).await, unknown);
}

#[tokio::test]
async fn a_program_vk_can_not_parse_is_sent_call_by_call() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let bad =
        |request: &super::provider::Request| request.calls().iter().any(|call| call["message"] == "bad");
    provider.answer_with(move |shop, request| match bad(request) {
        true => refusal(12, ""),
        false => accept(shop, request),
    });
    let batch: Vec<Envelope> =
        ["a", "bad", "c"].iter().zip(1..).map(|(text, n)| envelope("5", text, n)).collect();
    assert_eq!(
        send(&vk, &batch).await,
        [Outcome::Sent, Outcome::Failed(Reason::Rejected.into()), Outcome::Sent]
    );
    assert_eq!(sizes(&provider), [3, 1, 1, 1]);
}

#[tokio::test]
async fn access_denied_stops_only_for_a_token_that_may_not_send() {
    let provider = Provider::start().await;
    for (rights, stops) in [(&["messages"][..], false), (&["wall"][..], true)] {
        let vk = transport(&provider, &[]);
        provider.answer_with(move |shop, request| match request.is_message() {
            true => shop.run_with(request, &|call| (peers(call) == [1]).then_some(15)),
            false => permissions(rights),
        });
        let outcomes = send(&vk, &[envelope("1", "x", 1), envelope("1", "y", 2)]).await;
        for outcome in outcomes {
            if stops {
                assert_eq!(outcome, Outcome::Stop("vk.token lacks the right \"messages\"".to_owned()));
            } else {
                assert_eq!(outcome, Outcome::Failed(Reason::Rejected.into()));
            }
        }
    }
    // Each time the token was checked once.
    assert_eq!(provider.log().iter().filter(|request| !request.is_message()).count(), 2);
}

#[tokio::test]
async fn nothing_is_requested_during_a_pause() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    provider.script(vec![refusal(29, "")]);
    let batch: Vec<Envelope> = (1..=60).map(|n| envelope("7", "x", n)).collect();
    for batch in [&batch[..], &batch[..1]] {
        for outcome in send(&vk, batch).await {
            let Outcome::Throttled { scope: ThrottleScope::Channel, wait } = outcome else {
                panic!("{outcome:?}")
            };
            assert!((3590..=3601).contains(&wait.as_secs()), "{wait:?}");
        }
    }
    assert_eq!(provider.messages().len(), 1);
}

#[tokio::test]
async fn the_rate_is_kept_and_the_rest_waits_for_a_later_call() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[("requests_per_second", "10")]);
    let batch: Vec<Envelope> = (1..=1000).map(|n| envelope("7", "x", n)).collect();
    let start = Instant::now();
    let outcomes = vk.send(&batch, start + Duration::from_secs(4)).await;
    let sent = outcomes.iter().filter(|outcome| **outcome == Outcome::Sent).count();
    let requests = provider.messages();
    assert_eq!(sent, requests.len() * 25);
    // No request starts after half of the time is over.
    assert!((1..=21).contains(&requests.len()), "{}", requests.len());
    for outcome in &outcomes[sent..] {
        assert!(
            matches!(outcome, Outcome::NotSent { after: Some(_), reason: Reason::Throttled }),
            "{outcome:?}"
        );
    }
    for (n, request) in (0..).zip(&requests) {
        let after = request.at - start;
        assert!(after >= Duration::from_millis(100) * n, "request {n} after {after:?}");
    }
}

#[tokio::test]
async fn after_a_failure_the_rest_of_a_batch_is_not_tried() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let batch: Vec<Envelope> = (1..=60).map(|n| envelope("7", "x", n)).collect();
    for reply in [Reply::Reset, refusal(10, ""), Reply::Say(502, String::new(), String::new())] {
        let before = provider.messages().len();
        provider.script(vec![reply]);
        let outcomes = send(&vk, &batch).await;
        assert!(outcomes[..25].iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))));
        assert!(outcomes[25..].iter().all(|outcome| matches!(outcome, Outcome::NotSent { .. })));
        assert_eq!(provider.messages().len(), before + 1);
    }
    provider.close().await;
    let outcomes = send(&vk, &batch).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::NotSent { .. })), "{outcomes:?}");
    assert_eq!(provider.api().taken().len(), 0);
}

#[tokio::test]
async fn calls_at_once_do_not_mix() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let seen = Mutex::new(HashSet::new());
    provider.answer_with(move |shop, request| {
        // The requests of one of the two calls are refused, each peer separately.
        let peers = request.peers();
        seen.lock().unwrap().extend(peers.clone());
        shop.run(request, &|peer| (peer > 2500).then_some(901))
    });
    let (one, other) = (to_many(1..=2500, "x", 1), to_many(2501..=5000, "y", 100));
    let (one, other) = tokio::join!(send(&vk, &one), send(&vk, &other));
    assert!(all_accepted(&one));
    assert!(other.iter().all(|outcome| *outcome == Outcome::HardRefusal(Reason::Blocked.into())));
}

#[tokio::test]
async fn a_peer_that_makes_vk_fail_takes_no_others_with_it() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let (of_requests, of_calls) = (to_many(1..=300, "x", 1), to_many(301..=600, "y", 10));
    for (mut batch, guilty) in [(of_requests, 2), (of_calls, 302)] {
        provider.answer_with(move |shop, request| match request.peers().contains(&guilty) {
            true if guilty == 2 => refusal(10, ""),
            true => shop.run_with(request, &|call| peers(call).contains(&guilty).then_some(10)),
            false => accept(shop, request),
        });
        let unknown = Outcome::Unknown(Reason::ProviderUnavailable);
        // The failure may be temporary, so the search does not start at once.
        let before = provider.messages().len();
        assert_eq!(send(&vk, &batch).await[1], unknown);
        assert_eq!(provider.messages().len(), before + 1);
        for envelope in &mut batch {
            envelope.repeat = true;
        }
        let outcomes = send(&vk, &batch).await;
        for (at, outcome) in outcomes.iter().enumerate() {
            assert_eq!(*outcome, if at == 1 { unknown.clone() } else { Outcome::Sent }, "{at}");
        }
    }
    assert_eq!(provider.api().taken().len(), 598);
}

#[tokio::test]
async fn the_search_ends_while_vk_is_down() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    provider.answer(|_| refusal(10, ""));
    let mut batch = to_many(1..=2500, "x", 1);
    for envelope in &mut batch {
        envelope.repeat = true;
    }
    let outcomes = send(&vk, &batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Unknown(Reason::ProviderUnavailable)));
    assert!((2..=17).contains(&provider.messages().len()), "{}", provider.messages().len());
}
