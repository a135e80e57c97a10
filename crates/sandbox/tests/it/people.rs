//! What people do in their chats with a bot, through the outbox port, and the updates the bot receives.

use posthaste_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::client::start;

async fn post(url: String, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false).build().unwrap();
    let answer = client.post(url).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn does(sandbox: &Sandbox, what: Value) -> (u16, Value) {
    post(format!("http://{}/providers/telegram/people", sandbox.http()), &what).await
}

async fn call(sandbox: &Sandbox, method: &str, body: Value) -> (u16, Value) {
    post(format!("{}/bot42:canary/{method}", sandbox.telegram().url()), &body).await
}

#[tokio::test]
async fn a_person_blocks_writes_and_unblocks_over_http() {
    let sandbox = start().await;
    assert_eq!(does(&sandbox, json!({"person": 7, "does": "block"})).await.0, 422, "no bot is known");
    assert_eq!(call(&sandbox, "getMe", json!({})).await.0, 200);
    let (status, reported) = does(&sandbox, json!({"person": 7, "does": "block"})).await;
    assert_eq!((status, &reported["bot"]), (200, &json!(42)));
    let (status, refusal) = call(&sandbox, "sendMessage", json!({"chat_id": 7, "text": "x"})).await;
    assert_eq!((status, &refusal["description"]), (403, &json!("Forbidden: bot was blocked by the user")));
    assert_eq!(call(&sandbox, "sendMessage", json!({"chat_id": 8, "text": "x"})).await.0, 200);
    let (_, updates) = call(&sandbox, "getUpdates", json!({"timeout": 25})).await;
    let block = &updates["result"][0];
    assert_eq!(block["update_id"], reported["update_id"]);
    assert_eq!(block["my_chat_member"]["new_chat_member"]["status"], "kicked");
    // The next request is open when the person is back.
    let next = reported["update_id"].as_i64().unwrap() + 1;
    let (back, received) = tokio::join!(
        does(&sandbox, json!({"bot": 42, "person": 7, "does": "unblock"})),
        call(&sandbox, "getUpdates", json!({"timeout": 25, "offset": next})),
    );
    assert_eq!(back.0, 200);
    assert_eq!(received.1["result"][0]["my_chat_member"]["new_chat_member"]["status"], "member");
    assert_eq!(does(&sandbox, json!({"person": 7, "does": {"write": "/start"}})).await.0, 200);
    assert_eq!(call(&sandbox, "sendMessage", json!({"chat_id": 7, "text": "x"})).await.0, 200);
    for wrong in [
        json!({"person": -7, "does": "block"}),
        json!({"person": 7, "does": "dance"}),
        json!({"person": 7, "does": {"write": ""}}),
        json!({"person": 7}),
    ] {
        assert_eq!(does(&sandbox, wrong).await.0, 422);
    }
}

#[tokio::test]
async fn a_second_request_ends_the_first_with_a_conflict() {
    let sandbox = start().await;
    let (first, second) = tokio::join!(call(&sandbox, "getUpdates", json!({"timeout": 25})), async {
        posthaste_rig::eventually_async("the first is open", async || match sandbox.telegram().seen() {
            0 => Err("not yet"),
            _ => Ok(()),
        })
        .await;
        call(&sandbox, "getUpdates", json!({"timeout": 0})).await
    });
    assert_eq!((first.0, second.0), (409, 200));
    assert!(first.1["description"].as_str().unwrap().starts_with("Conflict: terminated by other"));
}
