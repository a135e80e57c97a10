//! The fake VK API over real sockets, with a real client.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::fake_provider::client;

const TOKEN: &str = "vk1.a.canary-token";

async fn started() -> VkServer {
    VkServer::start(Settings { per_second: usize::MAX, ..Settings::default() }).await.unwrap()
}

/// The form of a request, without and with token.
async fn raw(
    server: &VkServer,
    method: &str,
    form: &[(&str, &str)],
    bearer: &str,
) -> reqwest::Result<(u16, String)> {
    let request = client().post(format!("{}/method/{method}", server.url())).form(form);
    let answer = request.bearer_auth(bearer).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn call(server: &VkServer, method: &str, form: &[(&str, &str)]) -> Value {
    let form: Vec<_> = form.iter().copied().chain([("v", "5.199")]).collect();
    let (status, body) = raw(server, method, &form, TOKEN).await.unwrap();
    assert_eq!(status, 200, "errors come with 200 too: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn send(server: &VkServer, peers: &str, random: &str) -> Value {
    call(
        server,
        "messages.send",
        &[("peer_ids", peers), ("random_id", random), ("message", "Hello & привет")],
    )
    .await
}

fn code(answer: &Value) -> u64 {
    answer["error"]["error_code"].as_u64().unwrap_or_else(|| panic!("an error: {answer}"))
}

/// A program of these calls.
fn program(calls: &[Value]) -> String {
    let calls: Vec<String> = calls.iter().map(|call| format!("API.messages.send({call})")).collect();
    format!("return [{}];", calls.join(","))
}

#[tokio::test]
async fn peers_are_answered_one_by_one_and_everything_is_written_down() {
    let server = started().await;
    let answer = send(&server, "7,999000901,2000000005", "11").await;
    let items = answer["response"].as_array().unwrap();
    assert_eq!(items[0], json!({"peer_id": 7, "message_id": 1, "conversation_message_id": 1}));
    assert_eq!((&items[1]["peer_id"], &items[1]["error"]["code"]), (&json!(999_000_901), &json!(901)));
    assert!(items[1].get("message_id").is_none() && items[1]["error"]["description"].is_string());
    assert_eq!(items[2]["message_id"], 2);
    let request = &server.messages()[0];
    assert_eq!(
        (request.method.as_str(), request.text.expose(), request.fate),
        ("messages.send", "Hello & привет", RequestFate::Done)
    );
    let codes: Vec<u16> = request.recipients.iter().map(|to| to.code).collect();
    assert_eq!((codes, request.recipients[2].id.as_deref()), (vec![200, 901, 200], Some("2")));
    assert!(
        request.raw.starts_with(b"POST /method/messages.send HTTP/1.1\r\n")
            && request.raw.ends_with(b"v=5.199")
    );
    let shown = format!("{request:?}");
    assert!(!shown.contains("canary") && !shown.contains("Hello"), "{shown}");
}

#[tokio::test]
async fn one_peer_is_answered_with_a_number_or_an_error() {
    let server = started().await;
    let one = |peer| [("peer_id", peer), ("random_id", "5"), ("message", "x")];
    assert_eq!(call(&server, "messages.send", &one("7")).await, json!({"response": 1}));
    let refused = call(&server, "messages.send", &one("999000902")).await;
    assert_eq!(code(&refused), 902);
    let parameters = refused["error"]["request_params"].as_array().unwrap();
    assert!(parameters.contains(&json!({"key": "message", "value": "x"})), "{refused}");
    assert!(parameters.contains(&json!({"key": "method", "value": "messages.send"})));
    assert!(!refused.to_string().contains("canary"));
}

#[tokio::test]
async fn a_repeat_with_the_same_random_id_is_dropped_and_answered_the_same() {
    let server = started().await;
    let first = send(&server, "7,8", "11").await;
    assert_eq!(send(&server, "7,8", "11").await, first);
    assert_eq!((server.reached("7"), server.messages().len()), (1, 2));
    assert_eq!(server.messages()[1].recipients[0].code, 208);
    // Another peer with the same id is another message; so is 0, which is not an id.
    send(&server, "9", "11").await;
    send(&server, "9", "0").await;
    send(&server, "9", "0").await;
    assert_eq!(server.reached("9"), 3);
    let short = Settings { random_for: Duration::ZERO, ..Settings::default() };
    let server = VkServer::start(short).await.unwrap();
    send(&server, "7", "11").await;
    send(&server, "7", "11").await;
    assert_eq!(server.reached("7"), 2, "after its time it is forgotten");
}

#[tokio::test]
async fn refuses_what_vk_refuses() {
    let server = started().await;
    let many = (1..=101).map(|peer| peer.to_string()).collect::<Vec<_>>().join(",");
    let long = "я".repeat(4_097);
    let ok = "я".repeat(4_096);
    for (form, error) in [
        (vec![("peer_ids", "7"), ("random_id", "1")], 100),
        (vec![("peer_ids", "7"), ("message", "x")], 100),
        (vec![("message", "x"), ("random_id", "1")], 100),
        (vec![("peer_ids", "seven"), ("message", "x"), ("random_id", "1")], 100),
        (vec![("peer_ids", "7,,8"), ("message", "x"), ("random_id", "1")], 100),
        (vec![("peer_ids", &many), ("message", "x"), ("random_id", "1")], 100),
        (vec![("peer_ids", "7"), ("message", &long), ("random_id", "1")], 914),
    ] {
        assert_eq!(code(&call(&server, "messages.send", &form).await), error);
    }
    let fits =
        call(&server, "messages.send", &[("peer_ids", "7"), ("message", &ok), ("random_id", "1")]).await;
    assert_eq!(fits["response"][0]["message_id"], 1);
    assert_eq!(code(&call(&server, "messages.shout", &[]).await), 3);
    // No version, no token, a body of JSON.
    let refused =
        |answer: reqwest::Result<(u16, String)>| code(&serde_json::from_str(&answer.unwrap().1).unwrap());
    assert_eq!(refused(raw(&server, "messages.send", &[("peer_id", "7")], TOKEN).await), 8);
    assert_eq!(refused(raw(&server, "messages.send", &[("v", "5.199")], "").await), 5);
    let json = json!({"peer_id": 7, "message": "x", "random_id": 1, "v": "5.199"});
    let request = client().post(format!("{}/method/messages.send", server.url())).bearer_auth(TOKEN);
    let answer: Value = request.json(&json).send().await.unwrap().json().await.unwrap();
    assert_eq!(code(&answer), 8, "parameters never come as JSON");
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn tokens_are_known_and_revoked_and_come_as_header_or_parameter() {
    let settings = Settings { tokens: vec![TOKEN.into()], group: 77, ..Settings::default() };
    let server = VkServer::start(settings).await.unwrap();
    assert_eq!(call(&server, "groups.getById", &[]).await["response"]["groups"][0]["id"], 77);
    let rights = call(&server, "groups.getTokenPermissions", &[]).await;
    assert_eq!(rights["response"]["mask"], 4_096 + 262_144);
    assert_eq!(rights["response"]["permissions"][0]["name"], "messages");
    let form = [("access_token", TOKEN), ("v", "5.199")];
    let answer = client().post(format!("{}/method/groups.getById", server.url())).form(&form).send().await;
    assert!(answer.unwrap().text().await.unwrap().contains("\"response\""));
    let other: Value =
        serde_json::from_str(&raw(&server, "groups.getById", &form[1..], "other").await.unwrap().1).unwrap();
    assert_eq!(code(&other), 5);
    server.revoke(TOKEN, true);
    assert_eq!(code(&send(&server, "7", "1").await), 5);
    server.revoke(TOKEN, false);
    assert!(send(&server, "7", "1").await["response"].is_array());
}

#[tokio::test]
async fn execute_runs_calls_and_pairs_what_fails() {
    let server = started().await;
    let text = "\"});return 1;//{}[]\\ \u{2028}";
    let calls: Vec<Value> = ["7,8", "998000010", "9", "1,999000900"]
        .iter()
        .enumerate()
        .map(|(at, peers)| json!({"peer_ids": peers, "message": text, "random_id": at + 1}))
        .collect();
    let answer = call(&server, "execute", &[("code", &program(&calls))]).await;
    let values = answer["response"].as_array().unwrap();
    assert_eq!((values[0].as_array().unwrap().len(), &values[1]), (2, &json!(false)));
    assert_eq!(values[3][1]["error"]["code"], 900);
    assert_eq!(
        answer["execute_errors"],
        json!([{"method": "messages.send", "error_code": 10, "error_msg": "Internal server error"}])
    );
    let request = &server.messages()[0];
    let codes: Vec<u16> = request.recipients.iter().map(|to| to.code).collect();
    assert_eq!((codes, request.text.expose()), (vec![200, 200, 10, 200, 200, 900], text));
    // Code that cannot be run.
    assert_eq!(code(&call(&server, "execute", &[("code", "while (1) {}")]).await), 12);
    let many = vec![json!({"peer_id": 1, "message": "x", "random_id": 1}); 26];
    assert_eq!(code(&call(&server, "execute", &[("code", &program(&many))]).await), 13);
    assert_eq!(code(&call(&server, "execute", &[]).await), 100);
    let other = call(&server, "execute", &[("code", "return [API.users.get({})];")]).await;
    assert_eq!((&other["response"], &other["execute_errors"][0]["error_code"]), (&json!([false]), &json!(3)));
}

#[tokio::test]
async fn two_thousand_five_hundred_people_are_one_request_and_little_work() {
    let server = started().await;
    let calls: Vec<Value> = (0..25)
        .map(|call| {
            let peers: Vec<i64> = (1..=100).map(|peer| 1_000_000 + call * 100 + peer).collect();
            json!({"peer_ids": peers, "message": "Hello", "random_id": call + 1})
        })
        .collect();
    let code = program(&calls);
    let begun = Instant::now();
    let answer = call(&server, "execute", &[("code", &code)]).await;
    let took = begun.elapsed();
    let answered: usize =
        answer["response"].as_array().unwrap().iter().map(|call| call.as_array().unwrap().len()).sum();
    assert_eq!((answered, server.messages()[0].recipients.len(), server.seen()), (2_500, 2_500, 1));
    assert!(took < posthaste_rig::patience(), "{took:?}");
}

#[tokio::test]
async fn a_token_above_its_rate_gets_error_6() {
    let server = VkServer::start(Settings { per_second: 3, ..Settings::default() }).await.unwrap();
    let mut answers = Vec::new();
    for random in 1..=4 {
        answers.push(send(&server, "7", &random.to_string()).await);
    }
    // The four took less than a second, or the machine is too slow to tell.
    let requests = server.requests();
    if requests[3].instant - requests[0].instant < Duration::from_secs(1) {
        assert_eq!((code(&answers[3]), requests[3].fate), (6, RequestFate::Refused(6)));
    }
    assert!(answers[..3].iter().all(|answer| answer["response"].is_array()));
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let server = started().await;
    let fault = |action| MessageFault::new(action).to("7").times(1);
    for (action, taken, status) in [
        (MessageAction::Reset, 0, None),
        (MessageAction::TakeAndReset, 1, None),
        (MessageAction::TakeAndCut, 1, None),
        (MessageAction::Html { status: 502 }, 0, Some(502)),
        (MessageAction::Malformed, 0, Some(200)),
        (MessageAction::Slow { by: Duration::from_millis(20) }, 1, Some(200)),
        (MessageAction::Refuse { code: 10, description: String::new() }, 0, Some(200)),
        (MessageAction::RefuseCall { code: 7 }, 0, Some(200)),
        (MessageAction::RefuseRecipient { code: 901 }, 0, Some(200)),
    ] {
        server.clear();
        server.add_fault(fault(action.clone())).unwrap();
        let form = [("peer_ids", "7"), ("random_id", "0"), ("message", "x"), ("v", "5.199")];
        let answer = raw(&server, "messages.send", &form, TOKEN).await;
        assert_eq!(answer.ok().map(|(status, _)| status), status, "{action:?}");
        assert_eq!((server.messages().len(), server.reached("7")), (taken, taken), "{action:?}");
        assert!(send(&server, "7", "0").await["response"].is_array(), "it is used up: {action:?}");
    }
    server.add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 60 }).to("9")).unwrap();
    assert_eq!(code(&send(&server, "8,9", "0").await), 6);
    assert_eq!(code(&send(&server, "10", "0").await), 6, "the ban covers the token");
    assert_eq!(server.requests().last().unwrap().fate, RequestFate::InBan);
    assert!(server.add_fault(MessageFault::new(MessageAction::Migrate { to: 1 })).is_err());
    assert!(server.add_fault(MessageFault::new(MessageAction::RefuseCall { code: 0 })).is_err());
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_its_random_id() {
    let server = started().await;
    server.add_fault(MessageFault::new(MessageAction::TakeAndReset).times(1)).unwrap();
    let form = [("peer_ids", "7"), ("random_id", "5"), ("message", "x"), ("v", "5.199")];
    raw(&server, "messages.send", &form, TOKEN).await.unwrap_err();
    assert_eq!(server.messages()[0].fate, RequestFate::Taken);
    assert_eq!(send(&server, "7", "5").await["response"][0]["message_id"], 1);
    assert_eq!(server.reached("7"), 1);
}

#[tokio::test]
async fn magic_peers_do_what_the_table_says() {
    let server = started().await;
    for (peer, error) in [("999000006", 6), ("999000014", 14), ("999000005", 5)] {
        assert_eq!(code(&send(&server, peer, "1").await), error);
    }
    assert_eq!(send(&server, "999003610", "1").await["response"][0]["error"]["code"], 3_610);
    assert!(
        call(&server, "messages.send", &[("peer_id", "999000014"), ("random_id", "1"), ("message", "x")])
            .await["error"]["captcha_sid"]
            .is_string()
    );
    for peer in ["997000001", "997000002", "997000003", "997000006"] {
        let form = [("peer_ids", peer), ("random_id", "1"), ("message", "x"), ("v", "5.199")];
        let answer =
            tokio::time::timeout(Duration::from_millis(100), raw(&server, "messages.send", &form, TOKEN))
                .await;
        assert!(answer.is_err() || answer.unwrap().is_err(), "{peer}");
    }
    let plain = Settings { magic: false, ..Settings::default() };
    let server = VkServer::start(plain).await.unwrap();
    assert_eq!(send(&server, "999000006", "1").await["response"][0]["message_id"], 1);
}

#[tokio::test]
async fn can_be_taken_down_and_up_again() {
    let server = started().await;
    send(&server, "7", "1").await;
    server.down().await;
    let form = [("v", "5.199")];
    assert!(raw(&server, "groups.getById", &form, TOKEN).await.unwrap_err().is_connect());
    let seen = server.seen();
    server.up().await;
    send(&server, "7", "2").await;
    assert_eq!((server.seen() - seen, server.reached("7")), (1, 2));
    server.set_reply_after(Duration::from_millis(100));
    let begun = Instant::now();
    send(&server, "7", "3").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
}
