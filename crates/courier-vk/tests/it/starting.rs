//! What is refused before anything is opened, and what a check of the provider finds.

use posthaste_courier::Transport;
use serde_json::json;

use super::bench::{TOKEN, transport, try_transport};
use super::provider::{Provider, Reply, permissions, refusal};

const CANARY: &str = "CANARYcanary";

fn refused(changes: &[(&str, &str)]) -> String {
    let Err(refused) = try_transport(changes) else { panic!("taken: {changes:?}") };
    refused.to_string()
}

#[tokio::test]
async fn invalid_settings_are_reported_by_name() {
    let broken = format!("{TOKEN} x");
    for (key, value, words) in [
        ("token", "", "vk.token: missing"),
        ("token", broken.as_str(), "vk.token: is not a token"),
        ("version", "5.199&x", "vk.version: must be"),
        ("api_url", "http://api.vk.com", "vk.api_url: must be https://"),
        ("api_url", "api.vk.com", "vk.api_url: is not a URL"),
        ("requests_per_second", "0.01", "vk.requests_per_second: must be"),
        ("groups_per_request", "26", "vk.groups_per_request: must be"),
        ("groups_per_request", "0", "vk.groups_per_request: must be"),
        ("connect_within", "31s", "vk.connect_within: must be"),
        ("intent", "newsletter", "vk.intent: must be"),
        ("proxy", "not a proxy", "vk.proxy: is not"),
    ] {
        let changes = if key == "token" { vec![(key, value)] } else { vec![("token", TOKEN), (key, value)] };
        let reported = refused(&changes);
        assert!(reported.starts_with(words), "{key}={value}: {reported}");
        assert!(!reported.contains(CANARY));
    }
    try_transport(&[("token", TOKEN)]).unwrap();
}

#[tokio::test]
async fn an_incomplete_callback_endpoint_is_refused() {
    let whole = [
        ("token", TOKEN),
        ("listen", "127.0.0.1:0"),
        ("path", "/vk/CANARYcanary0123"),
        ("confirmation", "a1b2c3"),
        ("secret", "CANARYcanary0123"),
        ("group_id", "42"),
    ];
    try_transport(&whole).unwrap();
    for (key, value, words) in [
        ("listen", "nowhere", "vk.listen: "),
        ("path", "", "vk.path: must begin"),
        ("path", "/vk/{CANARYcanary0123}", "vk.path: must begin"),
        ("path", "/vk/CANARYcanary", "vk.path: must end"),
        ("confirmation", "", "vk.confirmation: missing"),
        ("secret", "", "vk.secret: missing"),
        ("secret", "a", "vk.secret: is too short"),
        ("secret", "CANARYcanary012", "vk.secret: is too short"),
        ("group_id", "0", "vk.group_id: missing"),
    ] {
        let mut changes = whole.to_vec();
        changes.retain(|(name, _)| *name != key);
        changes.push((key, value));
        let reported = refused(&changes);
        assert!(reported.starts_with(words) && !reported.contains(CANARY), "{key}={value}: {reported}");
    }
}

#[tokio::test]
async fn a_wrong_token_and_one_without_its_right_are_reported_by_check() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    vk.check().await.unwrap();
    let masked = |mask: u64| Reply::json(200, &json!({"response": {"mask": mask}}));
    for (reply, words) in [
        (refusal(5, TOKEN), "127.0.0.1 refuses vk.token (error 5)"),
        (refusal(27, TOKEN), "127.0.0.1 refuses vk.token (error 27)"),
        (permissions(&["wall", "photos"]), "vk.token lacks the right \"messages\""),
        (masked(8192), "vk.token lacks the right \"messages\""),
        (refusal(10, TOKEN), "127.0.0.1 answers with error 10"),
        (
            Reply::Say(200, String::new(), "<html>".to_owned()),
            "127.0.0.1 does not answer as the VK API; check vk.api_url",
        ),
        (Reply::Reset, "127.0.0.1 can't be reached or does not answer"),
    ] {
        provider.answer(move |_| reply.clone());
        assert_eq!(vk.check().await.unwrap_err(), words);
    }
    for reply in [masked(4096), permissions(&["messages"]), refusal(6, "")] {
        provider.answer(move |_| reply.clone());
        vk.check().await.unwrap();
    }
    provider.close().await;
    assert_eq!(vk.check().await.unwrap_err(), "127.0.0.1 can't be reached or does not answer");
    assert_eq!(provider.messages().len(), 0);
}
