//! Long texts: parts are sent in order, each as an attempt of its own.

use posthaste_courier::{Envelope, Outcome};
use posthaste_model::Reason;

use super::bench::{envelope, send, transport};
use super::provider::{Provider, half};

fn long() -> String {
    (0..1200).map(|number| format!("word{number:04}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_part_is_one_request_and_the_last_one_settles_the_message() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    let text = long();
    let mut message = envelope("7", &text);
    let mut outcomes = Vec::new();
    for attempt in 1..=3 {
        let outcome = send(&telegram, Envelope { attempt, ..message.clone() }).await;
        if let Outcome::Part(through) = outcome {
            message.token = Some(through);
        }
        outcomes.push(outcome);
    }
    assert_eq!(outcomes, [Outcome::Part(1), Outcome::Part(2), Outcome::Sent]);
    let texts: Vec<String> = provider.messages().iter().map(super::provider::Request::text).collect();
    assert_eq!(texts.join(" "), text);
    assert!(texts.iter().all(|part| part.len() <= 4096));
    // The last outcome was not recorded: nothing is sent a second time.
    let again = Envelope { token: Some(3), repeat: true, ..message };
    assert_eq!(send(&telegram, again).await, Outcome::Sent);
    assert_eq!(provider.messages().len(), 3);
}

#[tokio::test]
async fn a_part_of_unknown_outcome_is_repeated_alone() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    let message = envelope("7", &long());
    assert_eq!(send(&telegram, message.clone()).await, Outcome::Part(1));
    provider.script(vec![half()]);
    let second = Envelope { attempt: 2, token: Some(1), ..message };
    assert_eq!(send(&telegram, second.clone()).await, Outcome::Unknown(Reason::ConnectionLost));
    let repeat = Envelope { attempt: 3, repeat: true, ..second };
    assert_eq!(send(&telegram, repeat).await, Outcome::Part(2));
    let texts: Vec<String> = provider.messages().iter().map(super::provider::Request::text).collect();
    assert_eq!(texts.len(), 3);
    assert_ne!(texts[0], texts[1]);
    assert_eq!(texts[1], texts[2]);
}

#[tokio::test]
async fn a_text_of_too_many_parts_is_refused_whole() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("max_parts", "2")]);
    assert_eq!(send(&telegram, envelope("7", &long())).await, Outcome::Failed(Reason::Rejected.into()));
    assert_eq!(send(&telegram, envelope("7", " \n ")).await, Outcome::Failed(Reason::Rejected.into()));
    assert_eq!(provider.log().len(), 0);
}
