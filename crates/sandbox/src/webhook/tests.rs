//! The fake receiver over real sockets, with a real client.

use serde_json::{Value, json};

use super::*;
use crate::fake_provider::client;

async fn post(server: &WebhookServer, path: &str, body: &Value) -> (u16, Option<String>) {
    let answer = client().post(format!("{}{path}", server.url())).json(body).send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
    (answer.status().as_u16(), wait)
}

#[tokio::test]
async fn every_path_takes_messages_and_tells_repeats() {
    let server = WebhookServer::start(Settings::default()).await.unwrap();
    let body = json!({"id": "gym.1790000000000000000.0.3", "text": "Привет", "subject": "News"});
    for _ in 0..2 {
        assert_eq!(post(&server, "/anna?x=1", &body).await, (200, None));
    }
    let messages = server.messages();
    assert_eq!(messages[0].to(), format!("{}/anna?x=1", server.url()));
    assert_eq!(messages[0].text.expose(), "News\n\nПривет");
    assert!(messages[0].recipients[0].is_new() && !messages[1].recipients[0].is_new());
}

#[tokio::test]
async fn magic_paths_and_faults_refuse() {
    let server = WebhookServer::start(Settings::default()).await.unwrap();
    let body = json!({"id": "a.1.0.0", "text": "x"});
    for (path, status, wait) in
        [("/refuse", 400, None), ("/b/gone", 410, None), ("/busy?x", 429, Some("2")), ("/fail", 500, None)]
    {
        assert_eq!(post(&server, path, &body).await, (status, wait.map(str::to_owned)), "{path}");
    }
    server.add_fault(MessageFault::new(MessageAction::Html { status: 502 }).to("*/boris").times(1)).unwrap();
    assert_eq!(post(&server, "/boris", &body).await.0, 502);
    assert_eq!(post(&server, "/boris", &body).await.0, 200);
    assert_eq!(post(&server, "/boris", &json!({"text": "x"})).await.0, 400);
    assert_eq!(client().get(server.url()).send().await.unwrap().status(), 405);
    assert_eq!(server.messages().len(), 1);
}
