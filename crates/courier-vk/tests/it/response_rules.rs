//! The outcome of messages for every answer of VK, in each place where the answer may report it.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use posthaste_courier::response_rules::ResponseAction;
use posthaste_courier::{Envelope, Outcome, ThrottleScope};
use posthaste_courier_vk::VkTransport;
use posthaste_courier_vk::response_rules::{About, TABLE, VkAction, VkClassification, VkRules, api_error};
use posthaste_model::Reason;
use serde_json::{Value, json};

use super::bench::{coded, envelope, send, send_one, to_many, transport};
use super::provider::{Provider, Reply, accept, peers, refusal};

fn rules() -> VkRules {
    VkRules::embedded(&TABLE).unwrap()
}

fn judge(rules: &VkRules, code: u32, about: About) -> VkClassification<'_> {
    rules.classify(&api_error(code, about))
}

/// Every code that a rule names, and one that no rule names.
fn codes() -> Vec<u32> {
    let answers = rules();
    let named: Vec<u32> = (0..12_000).filter(|code| answers.names(&code.to_string())).collect();
    assert!(named.len() > 70, "{}", named.len());
    named.into_iter().chain([7777]).collect()
}

/// Whether the outcome of a single message matches a rule.
fn fits(action: ResponseAction<VkAction>, outcome: &Outcome, reason: Reason) -> bool {
    match action {
        ResponseAction::Wait => matches!(outcome, Outcome::Throttled { scope: ThrottleScope::Channel, .. }),
        ResponseAction::Retry => {
            matches!(outcome, Outcome::Retry { reason: said, .. } if said.reason == reason)
        }
        ResponseAction::Special(VkAction::Split) | ResponseAction::Unknown => {
            *outcome == Outcome::Unknown(reason)
        }
        // The fake provider's token is valid.
        ResponseAction::Special(VkAction::Apart | VkAction::Look) | ResponseAction::Reject => {
            *outcome == Outcome::Failed(reason.into())
        }
        ResponseAction::Suppress => *outcome == Outcome::HardRefusal(reason.into()),
        ResponseAction::Stop => matches!(outcome, Outcome::Stop(_)),
        // The table has no strikes.
        ResponseAction::Strike => false,
    }
}

async fn each_code(about: About, answer: impl Fn(&Provider, u32) -> Vec<Envelope>) {
    let (provider, answers) = (Provider::start().await, rules());
    let mut vk = transport(&provider, &[]);
    for code in codes() {
        let batch = answer(&provider, code);
        let classification = judge(&answers, code, about);
        for outcome in send(&vk, &batch).await {
            assert!(
                fits(classification.action, &outcome, classification.reason),
                "{code} at {about:?}: {outcome:?}"
            );
            if let Outcome::Throttled { wait, .. } = outcome {
                assert!(
                    (classification.wait()..=classification.wait() + Duration::from_secs(1)).contains(&wait),
                    "{code}"
                );
            }
        }
        if classification.action == ResponseAction::Wait {
            // The old transport pauses now.
            vk = transport(&provider, &[]);
        }
    }
}

#[tokio::test]
async fn every_code_about_a_peer_has_its_outcome() {
    each_code(About::Peer, |provider, code| {
        provider.answer_with(move |shop, request| shop.run(request, &|_| Some(code)));
        to_many(1..=3, "x", 1)
    })
    .await;
}

#[tokio::test]
async fn every_code_about_a_call_to_one_has_its_outcome() {
    each_code(About::One, |provider, code| {
        provider.answer_with(move |shop, request| shop.run_with(request, &|_| Some(code)));
        vec![envelope("1", "x", 1), envelope("1", "y", 2)]
    })
    .await;
}

#[tokio::test]
async fn every_code_about_a_request_has_its_outcome() {
    each_code(About::Request, |provider, code| {
        provider.answer_with(move |shop, request| match request.is_message() {
            true => refusal(code, &request.form["code"]),
            false => accept(shop, request),
        });
        to_many(1..=3, "x", 1)
    })
    .await;
}

#[tokio::test]
async fn every_code_about_a_call_to_many_is_decided_or_the_one_at_fault_is_found() {
    let (provider, answers) = (Provider::start().await, rules());
    let mut vk = transport(&provider, &[]);
    for code in codes() {
        let classification = judge(&answers, code, About::Many);
        // Any call that includes peer 2 fails as a whole.
        provider.answer_with(move |shop, request| {
            shop.run_with(request, &|call| peers(call).contains(&2).then_some(code))
        });
        let outcomes = send(&vk, &to_many(1..=3, "x", 1)).await;
        if matches!(classification.action, ResponseAction::Special(VkAction::Apart | VkAction::Look)) {
            let alone = judge(&answers, code, About::One);
            assert_eq!([&outcomes[0], &outcomes[2]], [&Outcome::Sent; 2], "{code}");
            assert!(fits(alone.action, &outcomes[1], alone.reason), "{code}: {outcomes:?}");
        } else {
            let all =
                outcomes.iter().all(|outcome| fits(classification.action, outcome, classification.reason));
            assert!(all, "{code}: {outcomes:?}");
        }
        if classification.action == ResponseAction::Wait {
            vk = transport(&provider, &[]);
        }
    }
}

#[tokio::test]
async fn an_error_may_be_a_sentence() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let items = json!([[
        {"peer_id": 1, "error": "Can't send messages for users without permission"},
        {"peer_id": 2, "message_id": 4},
    ]]);
    provider.script(vec![Reply::json(200, &json!({ "response": items }))]);
    // The answer does not mention the third peer.
    assert_eq!(
        send(&vk, &to_many(1..=3, "x", 1)).await,
        [
            Outcome::Failed(Reason::Rejected.into()),
            Outcome::Sent,
            Outcome::Unknown(Reason::InvalidProviderResponse)
        ]
    );
}

fn error(code: u32) -> Value {
    json!({"method": "messages.send", "error_code": code, "error_msg": "no"})
}

async fn three(vk: &VkTransport, provider: &Provider, places: Value, errors: Value) -> Vec<Outcome> {
    provider.script(vec![Reply::json(200, &json!({"response": places, "execute_errors": errors}))]);
    let batch: Vec<Envelope> = (1..=3).map(|n| envelope("7", "x", n)).collect();
    send(vk, &batch).await
}

#[tokio::test]
async fn errors_are_matched_only_if_their_number_is_right() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let taken = json!([{"peer_id": 7, "message_id": 1}]);
    let unknown = Outcome::Unknown(Reason::InvalidProviderResponse);
    let places = json!([false, taken, false]);
    assert_eq!(
        three(&vk, &provider, places.clone(), json!([error(901), error(917)])).await,
        [
            Outcome::HardRefusal(Reason::Blocked.into()),
            Outcome::Sent,
            Outcome::Failed(Reason::Rejected.into())
        ]
    );
    for errors in [json!([error(901)]), json!([error(901), error(917), error(7)]), json!([]), json!(null)] {
        let outcomes = three(&vk, &provider, places.clone(), errors.clone()).await;
        assert_eq!(outcomes, [unknown.clone(), Outcome::Sent, unknown.clone()], "{errors}");
    }
    // More or fewer places than calls can't be matched.
    for places in [json!([taken, taken]), json!([taken, taken, taken, taken])] {
        assert_eq!(three(&vk, &provider, places, json!([])).await, [&unknown; 3].map(Clone::clone));
    }
    // The old form of an answer for one peer, and no answer at all.
    let places = json!([1234, null, 0]);
    let outcomes = three(&vk, &provider, places, json!([])).await;
    assert_eq!(outcomes, [Outcome::Sent, unknown.clone(), unknown]);
}

#[tokio::test]
async fn a_wait_that_matches_no_call_still_pauses_the_channel() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let outcomes = three(&vk, &provider, json!([false, false, 5]), json!([error(6)])).await;
    assert_eq!(outcomes[2], Outcome::Sent);
    assert!(matches!(
        send_one(&vk, envelope("7", "x", 9)).await,
        Outcome::Throttled { scope: ThrottleScope::Channel, .. }
    ));
    assert_eq!(provider.messages().len(), 1);
}

#[tokio::test]
async fn an_answer_of_another_server_is_judged_by_its_status() {
    let provider = Provider::start().await;
    for (status, body, outcome) in [
        (502, "<html>Bad Gateway</html>", Outcome::Unknown(Reason::ProviderUnavailable)),
        (500, r#"{"error":{"error_code":901}}"#, Outcome::Unknown(Reason::ProviderUnavailable)),
        (200, r#"{"response":[[{"peer"#, Outcome::Unknown(Reason::InvalidProviderResponse)),
        (200, "", Outcome::Unknown(Reason::InvalidProviderResponse)),
        (302, "", Outcome::Retry { after: None, reason: Reason::InvalidProviderResponse.into() }),
        (403, "<html>", Outcome::Retry { after: None, reason: Reason::InvalidProviderResponse.into() }),
        (413, "<html>", Outcome::Unknown(Reason::InvalidProviderResponse)),
        (404, "<html>", Outcome::Stop("vk.api_url or vk.proxy does not lead to the VK API (404)".to_owned())),
    ] {
        let vk = transport(&provider, &[]);
        provider.script(vec![Reply::Say(status, String::new(), body.to_owned())]);
        assert_eq!(send_one(&vk, envelope("7", "x", 1)).await, outcome, "{status} {body}");
    }
    let vk = transport(&provider, &[]);
    provider.script(vec![Reply::Say(429, "retry-after: 40\r\n".to_owned(), String::new())]);
    let Outcome::Throttled { wait, .. } = send_one(&vk, envelope("7", "x", 1)).await else {
        panic!("no wait")
    };
    assert!(wait >= Duration::from_secs(40));
}

#[tokio::test]
async fn the_error_code_of_a_refusal_is_kept() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let taken = json!([{"peer_id": 7, "message_id": 1}]);
    let (places, errors) = (json!([false, taken, false]), json!([error(901), error(917)]));
    provider.script(vec![Reply::json(200, &json!({"response": places, "execute_errors": errors}))]);
    let batch: Vec<Envelope> = (1..=3).map(|n| envelope("7", "x", n)).collect();
    let outcomes = coded(&vk, &batch).await;
    let codes: Vec<String> = outcomes.iter().map(|outcome| outcome.code().to_string()).collect();
    assert_eq!(codes, ["901", "", "917"], "{outcomes:?}");
}
