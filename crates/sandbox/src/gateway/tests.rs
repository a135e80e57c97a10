//! The fake gateway over real sockets, with a real client.

use serde_json::{Value, json};

use super::*;
use crate::fake_provider::client;

async fn form(server: &GatewayServer, fields: &[(&str, &str)]) -> Value {
    let request = client().post(format!("{}/sys/send.php", server.url())).form(fields);
    request.send().await.unwrap().json().await.unwrap()
}

async fn post(server: &GatewayServer, body: &Value) -> (u16, Value) {
    let request = client().post(format!("{}/v1/messages", server.url())).bearer_auth("secret").json(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

const LOGIN: [(&str, &str); 3] = [("login", "me"), ("psw", "secret"), ("fmt", "3")];

fn fields<'a>(phones: &'a str, text: &'a str) -> Vec<(&'a str, &'a str)> {
    LOGIN.into_iter().chain([("phones", phones), ("mes", text)]).collect()
}

#[tokio::test]
async fn both_shapes_take_messages() {
    let server = GatewayServer::start(Settings::default()).await.unwrap();
    assert_eq!(form(&server, &fields("79990000001,79990000002", "Привет")).await, json!({"id": 1, "cnt": 2}));
    let body = json!({"to": "+79990000001", "from": "Club", "text": "Hello"});
    assert_eq!(post(&server, &body).await, (201, json!({"id": "2", "status": "queued"})));
    let messages = server.messages();
    assert_eq!((messages[0].recipients.len(), messages[0].text.expose()), (2, "Привет"));
    assert_eq!((messages[1].to(), messages[1].sender.expose()), ("+79990000001", "Club"));
    assert!(!format!("{messages:?}").contains("secret"));
}

#[tokio::test]
async fn refusals_come_in_each_shape() {
    let server = GatewayServer::start(Settings { secrets: vec!["secret".into()], ..Settings::default() })
        .await
        .unwrap();
    for (fields, code) in [
        (vec![("login", "me"), ("psw", "wrong"), ("phones", "79990000001"), ("mes", "x")], 2),
        (fields("79990000001", ""), 1),
        (fields("seven", "x"), 7),
        (fields("15007980003", "x"), 3),
        (LOGIN.to_vec(), 1),
    ] {
        assert_eq!(form(&server, &fields).await["error_code"], code);
    }
    for (body, status, name) in [
        (json!({"to": "seven", "text": "x"}), 422, "invalid_number"),
        (json!({"text": "x"}), 400, "invalid_parameters"),
        (json!([]), 400, "invalid_parameters"),
        (json!({"to": "+15007980009", "text": "x"}), 429, "too_many_requests"),
        (json!({"to": "+79990000001", "text": "x".repeat(1_601)}), 403, "forbidden_message"),
    ] {
        let (answered, answer) = post(&server, &body).await;
        assert_eq!((answered, &answer["error"]["code"]), (status, &json!(name)));
    }
    let balance = client().get(format!("{}/sys/balance.php?login=me&psw=secret", server.url())).send().await;
    assert!(balance.unwrap().text().await.unwrap().contains("100.00"));
    server.revoke(true);
    assert_eq!(form(&server, &fields("79990000001", "x")).await["error_code"], 2);
    assert_eq!(server.messages().len(), 0);
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let server = GatewayServer::start(Settings::default()).await.unwrap();
    for (action, taken) in
        [(MessageAction::Reset, 0), (MessageAction::TakeAndReset, 1), (MessageAction::TakeAndCut, 1)]
    {
        server.clear();
        server.add_fault(MessageFault::new(action.clone()).times(1)).unwrap();
        let request =
            client().post(format!("{}/sys/send.php", server.url())).form(&fields("79990000001", "x"));
        let answer = async { request.send().await?.bytes().await };
        answer.await.unwrap_err();
        assert_eq!(server.messages().len(), taken, "{action:?}");
    }
    server.add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 60 }).times(1)).unwrap();
    assert_eq!(form(&server, &fields("79990000001", "x")).await["error_code"], 9);
    assert_eq!(form(&server, &fields("79990000001", "x")).await["error_code"], 9);
    assert!(server.add_fault(MessageFault::new(MessageAction::Strange)).is_err());
}
