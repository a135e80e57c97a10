//! The fake Twilio API over real sockets, with a real client and a real receiver of callbacks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use posthaste_rig::eventually_async;
use serde_json::Value;

use super::*;
use crate::fake_provider::client;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const WORD: &str = "sandboxauthtoken";
const TO: &str = "+15005550100";

type ReceivedCallback = (String, Vec<(String, String)>, String);

/// The receiver of callbacks.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<ReceivedCallback>>>,
    /// How many more 503 answers it gives.
    refusing: Arc<Mutex<usize>>,
}

impl Receiver {
    /// Starts one; returns its URL.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(hear).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn received(&self) -> Vec<ReceivedCallback> {
        self.received.lock().unwrap().clone()
    }

    fn statuses(&self) -> Vec<String> {
        self.received().iter().map(|(_, form, _)| field(form, "MessageStatus")).collect()
    }

    async fn until(&self, count: usize) -> Vec<String> {
        eventually_async(&format!("{count} callbacks"), async || {
            let statuses = self.statuses();
            if statuses.len() >= count { Ok(statuses) } else { Err(statuses.join(" ")) }
        })
        .await
    }
}

async fn hear(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let signature = headers["x-twilio-signature"].to_str().unwrap().to_owned();
    let host = headers["host"].to_str().unwrap();
    receiver.received.lock().unwrap().push((format!("http://{host}{uri}"), form, signature));
    let mut refusing = receiver.refusing.lock().unwrap();
    match refusing.checked_sub(1) {
        Some(left) => {
            *refusing = left;
            StatusCode::SERVICE_UNAVAILABLE
        }
        None => StatusCode::NO_CONTENT,
    }
}

fn field(form: &[(String, String)], name: &str) -> String {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn is_signed((url, form, signature): &ReceivedCallback) -> bool {
    let pairs: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    super::signature(WORD, url, &pairs) == *signature
}

fn quick() -> Settings {
    let step = Duration::from_millis(5);
    Settings {
        queued_for: step,
        sending_for: step,
        sent_for: step,
        callback_wait: step,
        ..Settings::default()
    }
}

async fn started() -> TwilioServer {
    TwilioServer::start(quick()).await.unwrap()
}

async fn post(server: &TwilioServer, form: &[(&str, &str)], word: &str) -> reqwest::Result<(u16, Value)> {
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json", server.url());
    let answer = client().post(url).basic_auth(ACCOUNT, Some(word)).form(form).send().await?;
    let status = answer.status().as_u16();
    Ok((status, serde_json::from_str(&answer.text().await?).unwrap_or(Value::Null)))
}

async fn send(server: &TwilioServer, to: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let form: Vec<_> =
        [("To", to), ("From", "+15005550006"), ("Body", "Hello")].iter().chain(more).copied().collect();
    post(server, &form, WORD).await.unwrap()
}

async fn get(server: &TwilioServer, path: &str) -> (u16, Value) {
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT}{path}", server.url());
    let answer = client().get(url).basic_auth(ACCOUNT, Some(WORD)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_message_is_created_advances_and_calls_back_with_signatures() {
    let (server, receiver) = (started().await, Receiver::default());
    let url = format!("{}/sms/status/gym.17.0.3.1?x=%20y", receiver.start().await);
    let (status, message) = send(&server, TO, &[("StatusCallback", &url)]).await;
    assert_eq!((status, &message["status"], &message["num_segments"]), (201, &"queued".into(), &"1".into()));
    assert_eq!(
        (&message["price"], &message["error_code"], &message["date_sent"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let sid = message["sid"].as_str().unwrap().to_owned();
    assert!(sid.starts_with("SM") && sid.len() == 34, "{sid}");
    assert!(message["date_created"].as_str().unwrap().ends_with(" +0000"), "{message}");
    assert_eq!(receiver.until(3).await, ["sending", "sent", "delivered"]);
    for received in receiver.received() {
        assert!(is_signed(&received), "{received:?}");
        assert_eq!(
            (received.0.as_str(), field(&received.1, "MessageSid"), field(&received.1, "To")),
            (url.as_str(), sid.clone(), TO.into())
        );
    }
    let (_, now) = get(&server, &format!("/Messages/{sid}.json")).await;
    assert_eq!((&now["status"], now["date_sent"].is_string()), (&"delivered".into(), true));
    let request = &server.messages()[0];
    assert_eq!((request.to(), request.text.expose(), request.account.as_str()), (TO, "Hello", ACCOUNT));
    assert_eq!(request.recipients[0].id.as_deref(), Some(sid.as_str()));
}

#[tokio::test]
async fn a_service_takes_it_as_accepted() {
    let server = started().await;
    let service = format!("MG{}", "0".repeat(32));
    let form = [("To", TO), ("MessagingServiceSid", service.as_str()), ("Body", "Привет")];
    let (status, message) = post(&server, &form, WORD).await.unwrap();
    assert_eq!(
        (status, &message["status"], &message["num_segments"]),
        (201, &"accepted".into(), &"0".into())
    );
    assert_eq!((&message["from"], &message["messaging_service_sid"]), (&Value::Null, &service.into()));
}

#[tokio::test]
async fn refuses_what_twilio_refuses_with_its_codes() {
    let server =
        TwilioServer::start(Settings { senders: vec!["+15005550006".into(), "Club".into()], ..quick() })
            .await
            .unwrap();
    let long = "x".repeat(1_601);
    let from = ("From", "+15005550006");
    for (form, code) in [
        (vec![from, ("Body", "x")], 21_604),
        (vec![("To", TO), ("Body", "x")], 21_603),
        (vec![("To", TO), from], 21_602),
        (vec![("To", "12345"), from, ("Body", "x")], 21_211),
        (vec![("To", "+15005550001"), from, ("Body", "x")], 21_211),
        (vec![("To", "+15005550009"), from, ("Body", "x")], 21_614),
        (vec![("To", "+15005550004"), from, ("Body", "x")], 21_610),
        (vec![("To", TO), ("From", "not a sender!"), ("Body", "x")], 21_212),
        (vec![("To", TO), ("From", "+15005550001"), ("Body", "x")], 21_212),
        (vec![("To", TO), ("From", "+15005550099"), ("Body", "x")], 21_606),
        (vec![("To", TO), ("From", "+15005550008"), ("Body", "x")], 21_611),
        (vec![("To", "+15005550006"), from, ("Body", "x")], 21_266),
        (vec![("To", TO), from, ("Body", &long)], 21_617),
        (vec![("To", TO), from, ("Body", "x"), ("StatusCallback", "nowhere")], 21_609),
    ] {
        let (status, answer) = post(&server, &form, WORD).await.unwrap();
        assert_eq!(
            (status, &answer["code"], &answer["status"]),
            (400, &code.into(), &400.into()),
            "{form:?}"
        );
        assert!(
            answer["message"].is_string()
                && answer["more_info"].as_str().unwrap().ends_with(&code.to_string())
        );
    }
    assert_eq!(server.messages().len(), 0);
}

#[tokio::test]
async fn credentials_paths_and_methods() {
    let server = TwilioServer::start(Settings { keys: [("SK1".into(), "key".into())].into(), ..quick() })
        .await
        .unwrap();
    let form = [("To", TO), ("From", "+15005550006"), ("Body", "x")];
    let (status, answer) = post(&server, &form, "wrong").await.unwrap();
    assert_eq!((status, &answer["code"]), (401, &20_003.into()));
    assert_eq!(get(&server, ".json").await.1["status"], "active");
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT}.json", server.url());
    let keyed = client().get(&url).basic_auth("SK1", Some("key")).send().await.unwrap();
    assert_eq!(keyed.status().as_u16(), 200);
    assert_eq!(client().get(&url).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(get(&server, "/Messages/SM1.json").await.0, 404);
    assert_eq!(get(&server, "/Calls.json").await.0, 404);
    server.revoke(true);
    assert_eq!(get(&server, ".json").await.0, 401);
    server.revoke(false);
    assert_eq!(get(&server, ".json").await.0, 200);
    assert!(matches!(
        TwilioServer::start(Settings { account: "AC1".into(), ..quick() }).await,
        Err(FakeServerError::Setting(_))
    ));
}

#[tokio::test]
async fn messages_are_listed_filtered_and_paged() {
    let server = started().await;
    for to in [TO, "+15005550101", TO] {
        send(&server, to, &[]).await;
    }
    let listed = |query: &'static str| get(&server, query);
    let sids = |page: &Value| page["messages"].as_array().unwrap().len();
    assert_eq!(sids(&listed("/Messages.json?To=%2B15005550100").await.1), 2);
    assert_eq!(sids(&listed("/Messages.json?From=%2B15005550006&DateSent%3E=2020-01-01").await.1), 3);
    assert_eq!(sids(&listed("/Messages.json?DateSent>=2020-01-01T00:00:00Z&To=%2B15005550101").await.1), 1);
    assert_eq!(sids(&listed("/Messages.json?DateSent%3C=2020-01-01").await.1), 0);
    assert_eq!(sids(&listed("/Messages.json?DateSent=2020-01-01").await.1), 0);
    let (_, first) = listed("/Messages.json?PageSize=2").await;
    assert_eq!(
        (sids(&first), &first["page_size"], &first["previous_page_uri"]),
        (2, &2.into(), &Value::Null)
    );
    let next =
        first["next_page_uri"].as_str().unwrap().replace(&format!("/2010-04-01/Accounts/{ACCOUNT}"), "");
    let (_, second) = get(&server, &next).await;
    assert_eq!((sids(&second), &second["next_page_uri"]), (1, &Value::Null));
    assert_eq!(listed("/Messages.json?PageSize=many").await.0, 400);
    assert_eq!(listed("/Messages.json?DateSent=yesterday").await.0, 400);
    assert_eq!(listed("/Messages.json?Page=99999999999999999&PageSize=1000").await.0, 400);
}

#[tokio::test]
async fn too_many_at_once_get_429_and_the_queue_is_bounded() {
    let slow = Settings { concurrency: 1, reply_after: Duration::from_secs(4), ..quick() };
    let server = TwilioServer::start(slow).await.unwrap();
    let (first, second) = tokio::join!(send(&server, TO, &[]), send(&server, TO, &[]));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 429]);
    let limited = Settings { queue: 2, queued_for: Duration::from_secs(3_600), ..quick() };
    let server = TwilioServer::start(limited).await.unwrap();
    for expected in [201, 201, 400] {
        let (status, answer) = send(&server, TO, &[]).await;
        assert_eq!(status, expected, "{answer}");
    }
    server.add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 60 }).times(1)).unwrap();
    assert_eq!((send(&server, TO, &[]).await.0, send(&server, TO, &[]).await.0), (429, 429));
    assert_eq!(server.requests().last().unwrap().fate, RequestFate::InBan);
}

#[tokio::test]
async fn a_message_that_does_not_arrive_says_so() {
    let (server, receiver) = (started().await, Receiver::default());
    let url = receiver.start().await;
    send(&server, "+15007730003", &[("StatusCallback", &url)]).await;
    assert_eq!(receiver.until(3).await, ["sending", "sent", "undelivered"]);
    assert_eq!(field(&receiver.received()[2].1, "ErrorCode"), "30003");
    receiver.received.lock().unwrap().clear();
    send(&server, "+15007830008", &[("StatusCallback", &url)]).await;
    assert_eq!(receiver.until(1).await, ["failed"]);
    receiver.received.lock().unwrap().clear();
    server.add_fault(MessageFault::new(MessageAction::End { status: "sent".into(), code: None })).unwrap();
    send(&server, TO, &[("StatusCallback", &url)]).await;
    assert_eq!(receiver.until(2).await, ["sending", "sent"]);
}

#[tokio::test]
async fn callbacks_go_wrong_on_request() {
    let (server, receiver) = (started().await, Receiver::default());
    let url = receiver.start().await;
    let callback = [("StatusCallback", url.as_str())];
    // Early: all of them have arrived when the request is answered.
    send(&server, "+15007902001", &callback).await;
    assert_eq!(receiver.statuses(), ["sending", "sent", "delivered"]);
    receiver.received.lock().unwrap().clear();
    send(&server, "+15007902002", &callback).await;
    assert_eq!(receiver.until(6).await, ["sending", "sending", "sent", "sent", "delivered", "delivered"]);
    receiver.received.lock().unwrap().clear();
    send(&server, "+15007902003", &callback).await;
    assert_eq!(receiver.until(3).await, ["delivered", "sent", "sending"]);
    receiver.received.lock().unwrap().clear();
    send(&server, "+15007902004", &callback).await;
    receiver.until(6).await;
    let signed: Vec<bool> = receiver.received().iter().map(is_signed).collect();
    assert_eq!(
        (signed, receiver.statuses()[0].as_str()),
        (vec![false, true, false, true, false, true], "failed")
    );
    receiver.received.lock().unwrap().clear();
    let (_, message) = send(&server, "+15007902005", &callback).await;
    let path = format!("/Messages/{}.json", message["sid"].as_str().unwrap());
    eventually_async("it is delivered", async || match get(&server, &path).await.1["status"].as_str() {
        Some("delivered") => Ok(()),
        status => Err(format!("{status:?}")),
    })
    .await;
    assert_eq!(receiver.received().len(), 0, "lost");
}

#[tokio::test]
async fn a_callback_is_tried_again_after_5xx() {
    let (server, receiver) = (started().await, Receiver::default());
    *receiver.refusing.lock().unwrap() = 2;
    let url = receiver.start().await;
    send(&server, TO, &[("StatusCallback", &url)]).await;
    assert_eq!(receiver.until(5).await, ["sending", "sending", "sending", "sent", "delivered"]);
}

#[tokio::test]
async fn people_reply_stop_and_start() {
    let receiver = Receiver::default();
    let url = format!("{}/inbound", receiver.start().await);
    let server = TwilioServer::start(Settings { inbound_url: Some(url), ..quick() }).await.unwrap();
    assert_eq!(send(&server, TO, &[]).await.0, 201);
    let replied = server.reply(TO, " stop ").await.unwrap();
    assert_eq!((replied.opted_out, replied.webhook), (true, "told"));
    let received = receiver.received().remove(0);
    assert!(is_signed(&received));
    let form = &received.1;
    assert_eq!(
        (field(form, "From"), field(form, "To"), field(form, "Body")),
        (TO.into(), "+15005550006".into(), " stop ".into())
    );
    assert_eq!((field(form, "OptOutType"), field(form, "NumMedia")), ("STOP".into(), "0".into()));
    let (status, answer) = send(&server, TO, &[]).await;
    assert_eq!((status, &answer["code"]), (400, &21_610.into()));
    assert!(server.reply(TO, "please stop").await.unwrap().opted_out, "more than one word changes nothing");
    assert!(!server.reply(TO, "START").await.unwrap().opted_out);
    assert_eq!(send(&server, TO, &[]).await.0, 201);
    assert_eq!(server.reply("nobody", "STOP").await, None);
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let server = started().await;
    for (action, taken, status) in [
        (MessageAction::Reset, 0, None),
        (MessageAction::TakeAndReset, 1, None),
        (MessageAction::TakeAndCut, 1, None),
        (MessageAction::Html { status: 503 }, 0, Some(503)),
        (MessageAction::Malformed, 0, Some(200)),
        (MessageAction::Slow { by: Duration::from_millis(20) }, 1, Some(201)),
        (MessageAction::Refuse { code: 20_500, description: String::new() }, 0, Some(500)),
        (MessageAction::Refuse { code: 21_408, description: "Not there".into() }, 0, Some(400)),
    ] {
        server.clear();
        server.add_fault(MessageFault::new(action.clone()).to("+1500555010*").times(1)).unwrap();
        let form = [("To", TO), ("From", "+15005550006"), ("Body", "x")];
        let answer = post(&server, &form, WORD).await;
        assert_eq!(answer.ok().map(|(status, _)| status), status, "{action:?}");
        assert_eq!((server.messages().len(), server.reached(TO)), (taken, taken), "{action:?}");
    }
    assert!(server.add_fault(MessageFault::new(MessageAction::RefuseCall { code: 1 })).is_err());
    assert!(
        server
            .add_fault(MessageFault::new(MessageAction::End { status: "lost".into(), code: None }))
            .is_err()
    );
}
