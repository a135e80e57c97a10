//! Tokens, numbers and texts appear in requests only: not in the log at its most verbose level, not in outcomes and
//! errors.

use std::time::Duration;

use posthaste_courier::Transport;
use posthaste_courier::recording_sink::SinkState;
use posthaste_rig::CapturedLogs;
use serde_json::json;
use tokio::time::Instant;

use super::bench::{CANARY, envelope, examples, for_smsc, send, transport, try_transport};
use super::callbacks::{FORM, Place};
use super::provider::{Provider, Reply, half, rate_limited, refusal};

const NUMBER: &str = "+77007700770077";
const TEXT: &str = "the canary sings at nine";

#[tokio::test]
async fn nothing_shows_a_token_a_number_or_a_text() {
    let log = CapturedLogs::by_all();
    let place = Place::open().await;
    let (provider, twilio) = (&place.provider, &place.sms);
    let gateway = {
        let url = provider.url();
        let own = for_smsc(&url);
        let changes: Vec<_> = own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        try_transport(Some(&format!("{}/smsc.toml", examples())), &changes).unwrap()
    };
    let mut shown = String::new();
    let echo = |code: serde_json::Value| {
        let said = format!("{TEXT} for {NUMBER} by {CANARY}");
        Reply::json(
            400,
            &json!({"code": code, "message": said, "error": said, "error_code": said, "status": 400}),
        )
    };
    for reply in [
        echo(json!(21408)),
        echo(json!(TEXT)),
        refusal(400, 21610),
        refusal(401, 20003),
        refusal(500, 20500),
        rate_limited(1),
        Reply::Say(302, format!("location: http://127.0.0.1:1/{CANARY}\r\n"), String::new()),
        Reply::Say(200, String::new(), format!("<html>{CANARY}</html>")),
        Reply::json(200, &json!({"id": 1, "sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"})),
        Reply::Late(Duration::from_millis(5), 200, String::new(), String::new()),
        half(),
        Reply::Reset,
    ] {
        provider.answer(move |_| reply.clone());
        for sms in [twilio.as_ref(), &gateway] {
            let message = envelope(NUMBER, TEXT);
            shown += &format!("{:?} {:?}\n", send(sms, &message).await, sms.check().await);
            let later = message.due.after(Duration::from_secs(120));
            shown += &format!("{:?}\n", sms.look_up(&message, message.due, later).await);
        }
    }
    provider.answer(|_| Reply::Hang);
    let soon = Instant::now() + Duration::from_millis(50);
    shown += &format!("{:?}\n", twilio.send(&[envelope(NUMBER, TEXT)], soon).await);
    for (kind, status) in [("failed", 503), ("delivered", 204)] {
        place.sink.set(if status == 503 { SinkState::Unavailable } else { SinkState::Storing });
        let fields = [
            ("MessageStatus", kind),
            ("ErrorCode", "30034"),
            ("To", NUMBER),
            ("Body", TEXT),
            ("From", NUMBER),
        ];
        let path = format!("/twilio/status/{}", envelope(NUMBER, TEXT).id());
        assert_eq!(place.form(&path, &fields).await.0, status);
        let stop = [("From", NUMBER), ("Body", "STOP"), ("To", NUMBER)];
        assert_eq!(place.form("/twilio/inbound", &stop).await.0, if status == 503 { 503 } else { 200 });
    }
    let forged = format!("MessageStatus={TEXT}&To={NUMBER}");
    assert_eq!(place.post("/twilio/inbound", FORM, "AAAA", forged.as_bytes()).await.0, 403);
    provider.close().await;
    shown += &format!("{:?} {:?}\n", send(twilio, &envelope(NUMBER, TEXT)).await, twilio.check().await);
    for key in ["twilio.auth_token", "twilio.api_key_secret"] {
        let broken = format!("{CANARY}\n{CANARY}");
        let other = Provider::start().await;
        let url = other.url();
        let mut changes = super::bench::for_twilio(&url);
        changes.extend([(key, broken.as_str()), ("twilio.api_key_sid", "")]);
        shown += &format!("{:?}\n", try_transport(None, &changes).err());
    }
    let sample = Provider::start().await;
    let ok = transport(&sample, &[]);
    assert!(matches!(send(&ok, &envelope(NUMBER, TEXT)).await, posthaste_courier::Outcome::Sent));
    place.close().await;
    let said = log.text();
    // The log was recorded, including that of the libraries.
    assert!(
        said.contains("Twilio rejected a message")
            && said.contains("opted out")
            && said.contains("rejected requests without Twilio's signature")
            && said.contains("hyper"),
        "{said}"
    );
    log.assert_hides(&shown, &[CANARY, NUMBER, &NUMBER[1..], TEXT]);
}
