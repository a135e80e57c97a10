//! The fake Bot API over real sockets, addressed byte by byte.

use std::time::Duration;

use posthaste_rig::eventually_async;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

mod nesting;

const TOKEN: &str = "42:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr";

/// A client with one connection.
struct Client(TcpStream);

impl Client {
    async fn connect(server: &TelegramServer) -> Self {
        Self(TcpStream::connect(server.address()).await.unwrap())
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Status, head and body of the next answer; `None` when the connection ends before it is whole.
    async fn hear(&mut self) -> Option<(u16, String, String)> {
        let mut text = Vec::new();
        loop {
            let whole = String::from_utf8_lossy(&text).into_owned();
            if let Some((head, body)) = whole.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
                if body.len() >= length.parse::<usize>().unwrap() {
                    return Some((head[9..12].parse().unwrap(), head.to_owned(), body.to_owned()));
                }
            }
            self.0.read_buf(&mut text).await.ok().filter(|read| *read > 0)?;
        }
    }

    async fn post(&mut self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.say(&(head + &body)).await;
        let (status, _, body) = self.hear().await?;
        Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
    }

    /// Sends `x` to a chat.
    async fn send(&mut self, chat: i64) -> Option<(u16, Value)> {
        self.post(&format!("/bot{TOKEN}/sendMessage"), &json!({"chat_id": chat, "text": "x"})).await
    }
}

async fn started() -> TelegramServer {
    TelegramServer::start(Settings::default()).await.unwrap()
}

#[tokio::test]
async fn a_message_is_taken_and_written_down_with_all_its_bytes() {
    let server = started().await;
    let mut client = Client::connect(&server).await;
    let body =
        json!({"chat_id": 7, "text": " hello ", "entities": [{"type": "bold", "offset": 0, "length": 5}]});
    let (status, answer) = client.post(&format!("/bot{TOKEN}/SendMessage"), &body).await.unwrap();
    assert_eq!((status, &answer["ok"], &answer["result"]["text"]), (200, &json!(true), &json!("hello")));
    assert_eq!(answer["result"]["chat"], json!({"id": 7, "type": "private", "first_name": "Somebody"}));
    let messages = server.messages();
    let message = &messages[0];
    assert_eq!(
        (message.account.as_str(), message.method.as_str(), message.fate),
        ("42", "sendmessage", RequestFate::Done)
    );
    assert_eq!((message.to(), message.text.expose()), ("7", " hello "));
    assert!(message.raw.starts_with(b"POST /bot42:") && message.raw.ends_with(body.to_string().as_bytes()));
    let shown = format!("{message:?}");
    assert!(!shown.contains("AAbb") && !shown.contains("hello"), "{shown}");
}

#[tokio::test]
async fn a_form_a_query_the_test_centre_and_pipelining_are_understood() {
    let server = started().await;
    let mut client = Client::connect(&server).await;
    let form = "chat_id=-1001&text=a+%26+b&entities=%5B%5D";
    let length = form.len();
    let kind = "content-type: application/x-www-form-urlencoded";
    client
        .say(&format!(
            "POST /bot{TOKEN}/test/sendMessage HTTP/1.1\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{form}"
        ))
        .await;
    assert_eq!(client.hear().await.unwrap().0, 200);
    let ask = format!("GET /bot{TOKEN}/sendMessage?chat_id=@channel&text=42 HTTP/1.1\r\n\r\n");
    client.say(&format!("{ask}GET /bot{TOKEN}/getMe HTTP/1.1\r\n\r\n")).await;
    assert_eq!(client.hear().await.unwrap().0, 200);
    let texts: Vec<_> = server.messages().iter().map(|message| message.text.expose().to_owned()).collect();
    assert_eq!(texts, ["a & b", "42"]);
}

#[tokio::test]
async fn refuses_what_the_real_api_refuses() {
    let server = started().await;
    let mut client = Client::connect(&server).await;
    let long = "x".repeat(4097);
    for (body, words) in [
        (json!({"text": "x"}), "chat_id is empty"),
        (json!({"chat_id": 0, "text": "x"}), "chat not found"),
        (json!({"chat_id": "@a", "text": "x"}), "chat not found"),
        (json!({"chat_id": 7}), "message text is empty"),
        (json!({"chat_id": 7, "text": " \n"}), "message text is empty"),
        (json!({"chat_id": 7, "text": long}), "message is too long"),
        (
            json!({"chat_id": 7, "text": "x", "entities": [{"type": "bold", "offset": 1, "length": 1}]}),
            "can't parse entities",
        ),
        (json!({"chat_id": 7, "text": "x", "entities": "bold"}), "can't parse entities"),
    ] {
        let (status, answer) = client.post(&format!("/bot{TOKEN}/sendMessage"), &body).await.unwrap();
        assert_eq!((status, &answer["error_code"]), (400, &json!(400)));
        assert!(answer["description"].as_str().unwrap().contains(words), "{answer}");
    }
    for (path, code) in
        [("/", 404), ("/bot42:x/sendPoll", 404), ("/bot42/getMe", 404), ("/botx:y/getMe", 404)]
    {
        assert_eq!(client.post(path, &json!({})).await.unwrap().0, code, "{path}");
    }
    assert_eq!(server.messages().len(), 0);
}

#[tokio::test]
async fn tokens_are_known_and_revoked() {
    let settings = Settings { tokens: vec![TOKEN.into()], ..Settings::default() };
    let server = TelegramServer::start(settings).await.unwrap();
    let mut client = Client::connect(&server).await;
    let me = client.post(&format!("/bot{TOKEN}/getMe"), &json!({})).await.unwrap();
    assert_eq!((me.0, &me.1["result"]["id"]), (200, &json!(42)));
    assert_eq!(client.post("/bot43:other/getMe", &json!({})).await.unwrap().0, 401);
    server.revoke(42, true);
    let refused = client.send(7).await.unwrap();
    assert_eq!((refused.0, &refused.1["description"]), (401, &json!("Unauthorized")));
    server.revoke(42, false);
    assert_eq!(client.send(7).await.unwrap().0, 200);
}

#[tokio::test]
async fn limits_are_answered_with_the_wait() {
    let server = started().await;
    let mut client = Client::connect(&server).await;
    // On a slow machine six messages may take longer than the limit's window; then send them to another chat.
    let mut chat = 100;
    let (status, answer) = eventually_async("six messages within a second", async || {
        chat += 1;
        let begun = std::time::Instant::now();
        for _ in 0..5 {
            assert_eq!(client.send(chat).await.unwrap().0, 200);
        }
        let answered = client.send(chat).await.unwrap();
        if begun.elapsed() < Duration::from_secs(1) { Ok(answered) } else { Err(begun.elapsed().as_millis()) }
    })
    .await;
    assert_eq!(status, 429);
    assert!((1..=3).contains(&answer["parameters"]["retry_after"].as_u64().unwrap()), "{answer}");
    // Another chat is not affected.
    assert_eq!(client.send(8).await.unwrap().0, 200);
    server.add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 30 }).to("9")).unwrap();
    assert_eq!(client.send(9).await.unwrap().0, 429);
    // The ban covers the whole bot.
    let (status, answer) = client.send(10).await.unwrap();
    assert_eq!(status, 429);
    let requests = server.requests();
    let [.., first, second] = &requests[..] else { panic!("no requests") };
    assert_eq!((first.fate, second.fate), (RequestFate::Refused(429), RequestFate::InBan));
    let passed = (second.instant - first.instant).as_secs();
    let wait = answer["parameters"]["retry_after"].as_u64().unwrap();
    assert!((29 - passed..=30).contains(&wait), "{wait} after {passed}");
    server.set_limits(BotLimits::none());
    for _ in 0..50 {
        assert_eq!(client.send(7).await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn the_retry_after_header_has_the_wait() {
    let server = started().await;
    server.add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 7 })).unwrap();
    let mut client = Client::connect(&server).await;
    client
        .say(&format!("GET /bot{TOKEN}/sendMessage?chat_id=7&text=x HTTP/1.1\r\nconnection: close\r\n\r\n"))
        .await;
    let (_, head, _) = client.hear().await.unwrap();
    assert!(head.contains("\r\nretry-after: 7\r\n") && head.contains("\r\nconnection: close"), "{head}");
}

#[tokio::test]
async fn faults_do_what_they_say_as_often_as_they_say() {
    let server = started().await;
    server.set_limits(BotLimits::none());
    let fault = |action| MessageFault::new(action).to("7").times(1);
    for (action, taken, status) in [
        (MessageAction::Reset, 0, None),
        (MessageAction::TakeAndReset, 1, None),
        (MessageAction::TakeAndCut, 1, None),
        (MessageAction::Html { status: 502 }, 0, Some(502)),
        (MessageAction::Malformed, 0, Some(200)),
        (MessageAction::Strange, 1, Some(200)),
        (MessageAction::Slow { by: Duration::from_millis(20) }, 1, Some(200)),
        (MessageAction::Migrate { to: -100 }, 0, Some(400)),
        (MessageAction::Refuse { code: 403, description: "Forbidden: x".to_owned() }, 0, Some(403)),
    ] {
        server.clear();
        server.add_fault(fault(action.clone())).unwrap();
        let mut client = Client::connect(&server).await;
        let answer = client.send(7).await;
        assert_eq!(answer.map(|(status, _)| status), status, "{action:?}");
        assert_eq!(server.messages().len(), taken, "{action:?}");
        // The fault is used up.
        assert_eq!(Client::connect(&server).await.send(7).await.unwrap().0, 200);
    }
    server.clear_faults();
    server.add_fault(MessageFault::new(MessageAction::Html { status: 500 }).by("42").every(3)).unwrap();
    let mut client = Client::connect(&server).await;
    let mut statuses = Vec::new();
    for chat in 100..106 {
        statuses.push(client.send(chat).await.unwrap().0);
    }
    assert_eq!(statuses, [200, 200, 500, 200, 200, 500]);
}

#[tokio::test]
async fn a_hang_answers_nothing_and_keeps_the_connection() {
    let server = started().await;
    let mut client = Client::connect(&server).await;
    let hanging = tokio::time::timeout(Duration::from_millis(50), client.send(600_001));
    assert!(hanging.await.is_err());
    let fate = eventually_async("the request", async || match server.requests().first() {
        Some(request) => Ok(request.fate),
        None => Err("none"),
    });
    assert_eq!(fate.await, RequestFate::Cut);
    server.stop().await;
    assert_eq!(client.hear().await, None);
}

#[tokio::test]
async fn magic_chats_do_what_the_table_says() {
    let server = started().await;
    for magic in MAGIC_CHATS {
        // A ban would affect the next ones.
        server.set_limits(BotLimits::none());
        let mut client = Client::connect(&server).await;
        // One that hangs never answers, however long the test waits.
        let hangs = magic.does.starts_with("hangs");
        let wait = if hangs { Duration::from_millis(50) } else { posthaste_rig::patience() };
        let answer = tokio::time::timeout(wait, client.send(magic.name.parse().unwrap())).await;
        assert_eq!(answer.is_err(), hangs, "{}", magic.does);
        let status = answer.ok().flatten().map(|(status, _)| status.to_string());
        match status {
            Some(status) if status == "200" => assert!(magic.does.contains("answers")),
            Some(status) => assert!(magic.does.starts_with(&status), "{} {status}", magic.does),
            None => assert!(
                ["hangs", "resets", "accepts the message and resets"]
                    .iter()
                    .any(|word| magic.does.starts_with(word)),
                "{}",
                magic.does
            ),
        }
    }
}

#[tokio::test]
async fn invalid_faults_are_refused_and_valid_ones_read_from_json() {
    let server = started().await;
    for action in [
        MessageAction::Refuse { code: 200, description: String::new() },
        MessageAction::Refuse { code: 400, description: "x".repeat(1_001) },
        MessageAction::Html { status: 99 },
        MessageAction::Throttle { retry_after: 0 },
        MessageAction::RefuseCall { code: 7 },
    ] {
        server.add_fault(MessageFault::new(action)).unwrap_err();
    }
    let settings = Settings {
        faults: vec![MessageFault::new(MessageAction::Html { status: 99 })],
        ..Settings::default()
    };
    assert!(matches!(TelegramServer::start(settings).await, Err(FakeServerError::Fault(_))));
    let read: MessageFault =
        serde_json::from_str(r#"{"to":"7","action":{"slow":{"by":"2s"}},"times":3}"#).unwrap();
    assert_eq!(read, MessageFault::new(MessageAction::Slow { by: Duration::from_secs(2) }).to("7").times(3));
    serde_json::from_str::<MessageFault>(r#"{"action":"dance"}"#).unwrap_err();
}

#[tokio::test]
async fn hostile_bytes_end_the_connection_and_nothing_else() {
    let server = started().await;
    for (bytes, status) in [
        ("nonsense\r\n\r\n".to_owned(), Some(400)),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), Some(411)),
        ("POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(), Some(400)),
        ("POST / HTTP/1.1\r\ncontent-length: 3000000\r\n\r\n".to_owned(), Some(413)),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(70_000)), Some(431)),
    ] {
        let mut client = Client::connect(&server).await;
        client.say(&bytes).await;
        assert_eq!(
            client.hear().await.map(|(status, ..)| status),
            status,
            "{}",
            &bytes[..20.min(bytes.len())]
        );
    }
    assert_eq!(Client::connect(&server).await.send(7).await.unwrap().0, 200);
    let fates: Vec<RequestFate> = server.requests().iter().map(|request| request.fate).collect();
    assert_eq!(fates, [[RequestFate::Broken; 5].as_slice(), &[RequestFate::Done]].concat());
}

#[tokio::test]
async fn a_broken_request_is_recorded() {
    let server = started().await;
    let half = format!("POST /bot{TOKEN}/sendMessage HTTP/1.1\r\ncontent-length: 40\r\n\r\n{{\"chat_id\": 7");
    let broken = async |last: &str| {
        eventually_async("what broke", async || match server.requests().pop() {
            Some(request)
                if request.fate == RequestFate::Broken && request.raw.ends_with(last.as_bytes()) =>
            {
                Ok(request)
            }
            other => Err(format!("{other:?}")),
        })
        .await
    };
    // A client that leaves in the middle; the request before it stands alone.
    let before = tokio::time::Instant::now();
    let mut client = Client::connect(&server).await;
    client.send(7).await.unwrap();
    client.say(&half).await;
    drop(client);
    let request = broken(&half).await;
    assert_eq!((request.raw.len(), request.is_message, request.connection), (half.len(), false, 1));
    assert!(request.instant >= before && request.at.0 > 0 && !request.is_taken());
    assert!(!format!("{request:?}").contains("AAbb"));
    // A request behind one that ends the connection.
    server.add_fault(MessageFault::new(MessageAction::Reset).times(1)).unwrap();
    let mut client = Client::connect(&server).await;
    let behind = "GET /behind HTTP/1.1\r\n\r\n";
    client.say(&format!("GET /bot{TOKEN}/sendMessage?chat_id=7&text=x HTTP/1.1\r\n\r\n{behind}")).await;
    assert_eq!(client.hear().await, None);
    broken(behind).await;
    // And the case where the server leaves.
    let mut client = Client::connect(&server).await;
    client.say("POST /cut").await;
    // The server may not have read it yet.
    eventually_async("it came", async || {
        server.down().await;
        server.up().await;
        if server.requests().iter().any(|request| *request.raw == *b"POST /cut") {
            return Ok(());
        }
        client = Client::connect(&server).await;
        client.say("POST /cut").await;
        Err("not yet")
    })
    .await;
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn kept_requests_are_bounded() {
    let server = TelegramServer::start(Settings {
        bounds: Bounds { keep_requests: 3, ..Bounds::default() },
        limits: BotLimits::none(),
        ..Settings::default()
    })
    .await
    .unwrap();
    let mut client = Client::connect(&server).await;
    for chat in 1..=5 {
        client.send(chat).await.unwrap();
    }
    let ids: Vec<u64> = server.requests().iter().map(|request| request.id).collect();
    assert_eq!((ids, server.seen()), (vec![3, 4, 5], 5));
    server.clear();
    assert_eq!((server.requests().len(), server.seen()), (0, 5));
}
