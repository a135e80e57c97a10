//! The outbox with all four channels: messages over HTTP, later statuses, and faults of every fake provider.

use posthaste_rig::eventually_async;
use posthaste_sandbox::fake_provider::{MessageAction, MessageFault};
use posthaste_sandbox::{AttemptStage, Ending, Protocol, Sandbox, Settings};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Client, attempts, start};

const ACCOUNT: &str = "AC00000000000000000000000000000001";

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false).build().unwrap()
}

async fn ask(sandbox: &Sandbox, verb: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let verb = verb.parse().unwrap();
    let mut request = http().request(verb, format!("http://{}{path}", sandbox.http()));
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn get(sandbox: &Sandbox, path: &str) -> Value {
    let (status, answer) = ask(sandbox, "GET", path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn telegram(sandbox: &Sandbox, chat: i64) -> u16 {
    let url = format!("{}/bot42:canary-token/sendMessage", sandbox.telegram().url());
    let body = json!({"chat_id": chat, "text": "From <b>a</b> bot"});
    http().post(url).json(&body).send().await.unwrap().status().as_u16()
}

async fn vk(sandbox: &Sandbox, peers: &str) -> Value {
    let url = format!("{}/method/messages.send", sandbox.vk().url());
    let form = [
        ("peer_ids", peers),
        ("message", "To a community"),
        ("random_id", "0"),
        ("v", "5.199"),
        ("access_token", "canary-token"),
    ];
    http().post(url).form(&form).send().await.unwrap().json().await.unwrap()
}

async fn sms(sandbox: &Sandbox, to: &str) -> u16 {
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json", sandbox.twilio().url());
    // The fake provider's own port answers callbacks with 404, which is enough to see their result.
    let callback = format!("{}/status/gym.1790000000000000000.0.3.1", sandbox.twilio().url());
    let form =
        [("To", to), ("From", "+15005550006"), ("Body", "Short"), ("StatusCallback", callback.as_str())];
    let request = http().post(url).basic_auth(ACCOUNT, Some("sandboxauthtoken")).form(&form);
    request.send().await.unwrap().status().as_u16()
}

async fn gateway(sandbox: &Sandbox, to: &str) {
    let url = format!("{}/sys/send.php", sandbox.gateway().url());
    let form = [("login", "me"), ("psw", "canary-word"), ("phones", to), ("mes", "Plain"), ("fmt", "3")];
    http().post(url).form(&form).send().await.unwrap();
}

async fn filled() -> Sandbox {
    let sandbox = start().await;
    let mut mail = Client::ready(&sandbox).await;
    mail.message("ann@example.org").await;
    assert_eq!(mail.reply().await.0, 250);
    assert_eq!(telegram(&sandbox, 7).await, 200);
    assert_eq!(telegram(&sandbox, 403_001).await, 403);
    assert!(vk(&sandbox, "7,999000901,8").await["response"].is_array());
    assert_eq!(sms(&sandbox, "+15007730003").await, 201);
    gateway(&sandbox, "79990000001").await;
    sandbox
}

#[tokio::test]
async fn all_channels_are_listed_with_what_became_of_each() {
    let sandbox = filled().await;
    let items = get(&sandbox, "/outbox?all=true").await["items"].clone();
    let reported: Vec<(&str, &str, &str, u64)> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let word = |name: &str| item[name].as_str().unwrap();
            (word("channel"), word("provider"), word("snippet"), item["recipients_taken"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        reported,
        [
            ("sms", "gateway", "Plain", 1),
            ("sms", "twilio", "Short", 1),
            ("vk", "vk", "To a community", 2),
            ("telegram", "telegram", "From <b>a</b> bot", 0),
            ("telegram", "telegram", "From <b>a</b> bot", 1),
            ("email", "smtp", "Hello", 1),
        ]
    );
    assert_eq!(
        (&items[3]["ending"], &items[3]["code"], &items[3]["stage"]),
        (&json!("refused"), &json!(403), &json!("call"))
    );
    for (query, count) in [
        ("channel=vk", 1),
        ("channel=sms", 2),
        ("channel=telegram", 1),
        ("channel=telegram&all=true", 2),
        ("to=999000901", 1),
        ("order=gym.1790000000000000000", 1),
    ] {
        assert_eq!(get(&sandbox, &format!("/outbox/count?{query}")).await["count"], count, "{query}");
    }
    let whole = get(&sandbox, "/outbox/4").await;
    assert_eq!(whole["recipients"][1], json!({"address": "999000901", "code": 901}));
    assert_eq!(
        (&whole["recipients"][2]["message_id"], &whole["text"]),
        (&json!("2"), &json!("To a community"))
    );
    assert_eq!((&whole["http"]["method"], whole.get("smtp")), (&json!("messages.send"), None));
    // No token appears anywhere in the record.
    for id in 2..=6 {
        let whole = get(&sandbox, &format!("/outbox/{id}")).await.to_string();
        assert!(!whole.contains("canary"), "{whole}");
        let raw = get(&sandbox, &format!("/outbox/{id}/raw")).await.to_string();
        assert!(!raw.contains("canary") && raw.len() > 10, "{raw}");
    }
    assert!(!format!("{:?}", sandbox.attempts()).contains("community"));
}

#[tokio::test]
async fn statuses_of_an_sms_come_later() {
    let sandbox = filled().await;
    let last = async || get(&sandbox, "/outbox/5").await;
    let whole = eventually_async("the last status", async || match last().await {
        whole if whole["status"] == "undelivered" => Ok(whole),
        whole => Err(whole["http"].to_string()),
    })
    .await;
    let statuses: Vec<_> = whole["http"]["statuses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|later| later["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["sending", "sent", "undelivered"]);
    assert_eq!(
        (&whole["http"]["statuses"][2]["code"], &whole["http"]["statuses"][2]["callback"]),
        (&json!(30_003), &json!("refused"))
    );
    assert_eq!(whole["order"], "gym.1790000000000000000");
}

#[tokio::test]
async fn the_record_file_has_every_channel_and_later_statuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts.ndjson");
    let mut settings = Settings::default();
    settings.record.file = Some(path.clone());
    let sandbox = Sandbox::start(settings).await.unwrap();
    vk(&sandbox, "7,8").await;
    sms(&sandbox, "+15005550100").await;
    let lines = eventually_async("the last line", async || {
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.len() == 5 { Ok(lines) } else { Err(text) }
    })
    .await;
    assert_eq!((&lines[0]["channel"], &lines[0]["http"]["text"]), (&json!("vk"), &json!("To a community")));
    assert_eq!(
        (&lines[0]["recipients"][1]["address"], &lines[1]["http"]["provider"]),
        (&json!("8"), &json!("twilio"))
    );
    assert_eq!((&lines[4]["id"], &lines[4]["later"]["status"]), (&json!(2), &json!("delivered")));
    assert!(!std::fs::read_to_string(&path).unwrap().contains("canary"));
}

#[tokio::test]
async fn a_request_that_breaks_off_is_in_the_record_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.record.file = Some(folder.path().join("attempts.ndjson"));
    let sandbox = Sandbox::start(settings).await.unwrap();
    let kind = "content-type: application/x-www-form-urlencoded";
    let half = format!(
        "POST /method/messages.send HTTP/1.1\r\nauthorization: Bearer canary\r\n{kind}\r\ncontent-length: 99\r\n\r\npeer_ids=7&access_token=cana"
    );
    let mut stream = TcpStream::connect(sandbox.vk().address()).await.unwrap();
    stream.write_all(half.as_bytes()).await.unwrap();
    drop(stream);
    let attempt = attempts(&sandbox, 1).await.remove(0);
    assert_eq!((attempt.outcome.ending, attempt.recipients.len(), attempt.size), (Ending::Left, 0, 28));
    assert_eq!(&*attempt.raw, b"peer_ids=7&access_token=***");
    assert!(!attempt.is_message());
    let (whole, line) = (
        get(&sandbox, "/outbox/1").await.to_string(),
        std::fs::read_to_string(folder.path().join("attempts.ndjson")).unwrap(),
    );
    assert!(line.contains("\"ending\":\"left\"") && whole.contains("\"ending\":\"left\""), "{line}{whole}");
    assert!(!format!("{whole}{line}{}", get(&sandbox, "/view/1").await).contains("cana"), "{line}{whole}");
    assert_eq!(get(&sandbox, "/outbox").await["items"], json!([]));
}

#[tokio::test]
async fn the_pages_show_all_channels_escaped() {
    let sandbox = filled().await;
    for path in
        ["/", "/?channel=vk&all=true", "/view/2", "/view/4", "/view/5", "/?channel=%22%3E%3Cscript%3E"]
    {
        let page = get(&sandbox, path).await;
        let page = page.as_str().unwrap();
        for foreign in ["<script", "<link", "<img", "<b>", "canary"] {
            assert!(!page.contains(foreign), "{path} holds {foreign}");
        }
    }
    let page = get(&sandbox, "/").await;
    for shown in [
        "Telegram <span class=quiet>1<",
        "7 and 2 more",
        ", 2 of 3",
        "999000901",
        "+15005550001",
        "/providers/twilio/replies",
        "997000001",
    ] {
        assert!(page.as_str().unwrap().contains(shown), "{shown}");
    }
    let page = get(&sandbox, "/view/4").await;
    assert!(
        page.as_str().unwrap().contains("error 901") && page.as_str().unwrap().contains("To a community"),
        "{page}"
    );
}

#[tokio::test]
async fn faults_of_every_fake_provider_are_set_over_http() {
    let sandbox = start().await;
    let fault = json!({"to": "7", "action": {"refuse_recipient": {"code": 902}}, "times": 1});
    assert_eq!(ask(&sandbox, "POST", "/providers/vk/faults", Some(&fault)).await.0, 200);
    assert_eq!(vk(&sandbox, "7,8").await["response"][0]["error"]["code"], 902);
    let list = get(&sandbox, "/providers/vk/faults").await;
    assert_eq!((&list[0]["struck"], &list[0]["id"]), (&json!(1), &json!("fault-1")));
    assert_eq!(ask(&sandbox, "DELETE", "/providers/vk/faults/fault-1", None).await, (200, json!([])));
    assert_eq!(ask(&sandbox, "DELETE", "/providers/vk/faults/fault-1", None).await.0, 404);
    let all = json!([{"action": {"html": {"status": 503}}}]);
    assert_eq!(ask(&sandbox, "PUT", "/providers/telegram/faults", Some(&all)).await.0, 200);
    assert_eq!(telegram(&sandbox, 7).await, 503);
    assert_eq!(ask(&sandbox, "DELETE", "/providers/telegram/faults", None).await.0, 200);
    assert_eq!(telegram(&sandbox, 7).await, 200);
    assert_eq!(sandbox.telegram().faults().len(), 0);
    for (verb, path, body, status) in [
        ("POST", "/providers/vk/faults", json!({"action": "strange"}), 422),
        ("POST", "/providers/twilio/faults", json!({"action": {"html": {"status": 1}}}), 422),
        ("POST", "/providers/vk/faults", json!({"action": "dance"}), 422),
        ("PUT", "/providers/vk/faults", json!({}), 422),
        ("POST", "/providers/pigeon/faults", json!({"action": "hang"}), 404),
        ("PATCH", "/providers/vk", json!({"colour": 1}), 422),
        ("PATCH", "/providers/vk", json!({"reply_after": "2h"}), 422),
        ("POST", "/providers/twilio/replies", json!({"from": "me", "text": "STOP"}), 422),
    ] {
        let (answered, answer) = ask(&sandbox, verb, path, Some(&body)).await;
        assert_eq!(answered, status, "{verb} {path}: {answer}");
    }
    assert_eq!(get(&sandbox, "/providers").await.as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_fake_provider_goes_down_and_up_and_people_reply_over_http() {
    let sandbox = start().await;
    let view =
        ask(&sandbox, "PATCH", "/providers/telegram", Some(&json!({"down": true, "reply_after": "5ms"})))
            .await
            .1;
    assert_eq!((&view["down"], &view["reply_after_ms"]), (&json!(true), &json!(5)));
    eventually_async("it is down", async || {
        match tokio::net::TcpStream::connect(sandbox.telegram().address()).await {
            Ok(_) => Err("up"),
            Err(_) => Ok(()),
        }
    })
    .await;
    ask(&sandbox, "PATCH", "/providers/telegram", Some(&json!({"down": false}))).await;
    sandbox.telegram().up().await;
    assert_eq!(telegram(&sandbox, 7).await, 200);
    let stop = json!({"from": "+15005550100", "text": "STOP"});
    let replied = ask(&sandbox, "POST", "/providers/twilio/replies", Some(&stop)).await.1;
    assert_eq!(replied, json!({"opted_out": true, "webhook": "not_asked"}));
    assert_eq!(sms(&sandbox, "+15005550100").await, 400);
    assert_eq!(sandbox.attempts().last().unwrap().recipients[0].code, 21_610);
}

#[tokio::test]
async fn a_request_for_very_many_is_one_attempt_of_bounded_size() {
    let sandbox = start().await;
    let calls: Vec<String> = (0..25)
        .map(|call| {
            let peers: Vec<u32> = (1..=100).map(|peer| 5_000_000 + call * 100 + peer).collect();
            let call = json!({"peer_ids": peers, "message": "Hello", "random_id": call + 1});
            format!("API.messages.send({call})")
        })
        .collect();
    sandbox
        .vk()
        .add_fault(MessageFault::new(MessageAction::RefuseRecipient { code: 900 }).every(500))
        .unwrap();
    let form = [("code", format!("return [{}];", calls.join(","))), ("v", "5.199".to_owned())];
    let url = format!("{}/method/execute", sandbox.vk().url());
    http().post(url).bearer_auth("x").form(&form).send().await.unwrap();
    let attempt = sandbox.attempts().pop().unwrap();
    assert_eq!(
        (attempt.outcome.ending, attempt.outcome.stage, attempt.recipients.len()),
        (Ending::Accepted, AttemptStage::Call, 2_500)
    );
    assert!(matches!(&attempt.protocol, Protocol::Http(facts) if facts.text.expose() == "Hello"));
    let counts = sandbox.counts();
    assert_eq!(counts.channels["vk"].recipients, 2_495);
    assert!(counts.kept_bytes < 600_000, "{}", counts.kept_bytes);
    let item = &get(&sandbox, "/outbox").await["items"][0];
    assert_eq!(
        (item["recipients"].as_array().unwrap().len(), &item["recipients_total"], &item["recipients_taken"]),
        (100, &json!(2_500), &json!(2_495))
    );
    assert_eq!(get(&sandbox, "/outbox/1").await["recipients"].as_array().unwrap().len(), 2_500);
}

#[tokio::test]
async fn hostile_requests_are_answered_and_harm_nobody() {
    let sandbox = start().await;
    let servers = [
        sandbox.vk().url(),
        sandbox.twilio().url(),
        sandbox.gateway().url(),
        sandbox.telegram().url(),
        sandbox.webhook().url(),
    ];
    let deep = "[".repeat(100_000);
    let many = "a=b&".repeat(50_000);
    let bodies = [deep.as_str(), many.as_str(), "%ff%00=%zz&&&==", "{\"a\":", "\u{0}\u{ffff}"];
    for server in &servers {
        for path in [
            "/method/execute?v=5.199&access_token=x",
            "/method/messages.send?v=1&peer_ids=,,,&access_token=x",
            "/method/",
            "/",
            "/2010-04-01/Accounts//Messages.json",
            "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
            "/sys/send.php?phones=,,,",
            "/v1/messages",
            "/bot1:x/sendMessage",
            "/%00/../..",
        ] {
            for kind in ["application/x-www-form-urlencoded", "application/json", "text/plain"] {
                for body in bodies {
                    let request =
                        http().post(format!("{server}{path}")).header("content-type", kind).bearer_auth("x");
                    let answer = request.body(body.to_owned()).send().await.unwrap();
                    assert!(answer.status().as_u16() < 500, "{server}{path} {kind}: {}", answer.status());
                }
            }
        }
    }
    assert!(sandbox.counts().kept_bytes < 256 * 1024 * 1024);
    assert_eq!(sandbox.counts().totals.messages, 0);
    assert_eq!(telegram(&sandbox, 7).await, 200);
}
