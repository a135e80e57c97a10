//! Receipts of Twilio at the public listener: verified, stored, and only then acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use hmac::{Hmac, Mac};
use posthaste_courier::conformance::ServedTransport;
use posthaste_courier::recording_sink::{RecordingSink, SinkState};
use posthaste_courier::{DeliveryReceipt, Envelope, Outcome, ReceiptStatus, SuppressAfter, Transport};
use posthaste_courier_sms::SmsTransport;
use posthaste_model::{ProviderCode, Reason};
use posthaste_ops::metrics::Metrics;
use posthaste_rig::{eventually_async, unix_http};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::bench::{CANARY, envelope, send, transport};
use super::provider::{ACCOUNT, Provider, Reply};

pub(crate) const PUBLIC: &str = "https://sms.example.org/in";
const SID: &str = "SM0123456789abcdef0123456789abcdef";

/// A transport with an open public listener.
pub(crate) struct Place {
    pub(crate) provider: Arc<Provider>,
    pub(crate) sms: Arc<SmsTransport>,
    pub(crate) sink: Arc<RecordingSink>,
    folder: tempfile::TempDir,
    served: ServedTransport<SmsTransport>,
}

impl Place {
    pub(crate) async fn open() -> Self {
        let provider = Provider::start().await;
        Self::with(Arc::clone(&provider), |changes| transport(&provider, changes)).await
    }

    /// With a transport of these settings and those of the listener.
    pub(crate) async fn with(
        provider: Arc<Provider>,
        make: impl FnOnce(&[(&str, &str)]) -> SmsTransport,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("unix:{}", folder.path().join("s").display());
        let sms = Arc::new(make(&[("sms.listen", &listen), ("sms.public_url", PUBLIC)]));
        let sink = Arc::<RecordingSink>::default();
        let served = ServedTransport::start(Arc::clone(&sms), Arc::clone(&sink));
        let place = Self { provider, sms, sink, folder, served };
        unix_http::wait_socket(&place.socket()).await;
        place
    }

    fn socket(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("s")
    }

    /// Sends raw bytes; returns status and body of the response.
    pub(crate) async fn raw(&self, request: &[u8]) -> (u16, String) {
        unix_http::exchange(&self.socket(), request).await
    }

    pub(crate) async fn post(&self, path: &str, kind: &str, signature: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: evil.example.org\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             x-twilio-signature: {signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    /// A form as Twilio sends and signs it.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let signature = sign(&format!("{PUBLIC}{path}"), fields);
        self.post(path, FORM, &signature, encode(fields).as_bytes()).await
    }

    /// A receipt.
    pub(crate) async fn receipt(&self, message: &Envelope, status: &str, code: &str) -> u16 {
        let mut fields = vec![
            ("MessageSid", SID),
            ("SmsSid", SID),
            ("AccountSid", ACCOUNT),
            ("MessageStatus", status),
            ("SmsStatus", status),
            ("From", "+12025550199"),
            ("To", "+79160000001"),
            ("ApiVersion", "2010-04-01"),
            ("RawDlrDoneDate", ""),
            ("SomethingNew", " ы "),
        ];
        if !code.is_empty() {
            fields.push(("ErrorCode", code));
        }
        self.form(&path_of(message), &fields).await.0
    }

    pub(crate) async fn close(self) {
        self.served.stopped().await.unwrap();
    }
}

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

fn path_of(message: &Envelope) -> String {
    format!("/twilio/status/{}", message.id())
}

fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The signature, computed from the documentation and not with the code of the channel.
pub(crate) fn sign(url: &str, fields: &[(&str, &str)]) -> String {
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    fields.dedup();
    let text: String = fields.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let mac = Hmac::<sha1::Sha1>::new_from_slice(CANARY.as_bytes()).unwrap().chain_update(text);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn receipt(
    message: &Envelope,
    word: ReceiptStatus,
    reason: Reason,
    suppress_after: Option<SuppressAfter>,
) -> DeliveryReceipt {
    DeliveryReceipt { attempt: message.id(), word, reason: reason.into(), suppress_after }
}

#[tokio::test]
async fn receipts_of_every_kind_reach_the_feedback() {
    let place = Place::open().await;
    let message = envelope("+79160000001", "x");
    // Before the response, out of order, twice: the history decides which one prevails.
    for (status, code, mut wanted) in [
        ("delivered", "", receipt(&message, ReceiptStatus::Delivered, Reason::None, None)),
        ("sent", "", receipt(&message, ReceiptStatus::Sent, Reason::None, None)),
        ("queued", "", receipt(&message, ReceiptStatus::Sent, Reason::None, None)),
        ("accepted", "", receipt(&message, ReceiptStatus::Sent, Reason::None, None)),
        ("delivered", "0", receipt(&message, ReceiptStatus::Delivered, Reason::None, None)),
        ("read", "", receipt(&message, ReceiptStatus::Delivered, Reason::None, None)),
        (
            "undelivered",
            "30003",
            receipt(&message, ReceiptStatus::Failed, Reason::Undelivered, Some(SuppressAfter::After(5))),
        ),
        (
            "failed",
            "30006",
            receipt(&message, ReceiptStatus::Failed, Reason::InvalidAddress, Some(SuppressAfter::Now)),
        ),
        (
            "failed",
            "21610",
            receipt(&message, ReceiptStatus::Failed, Reason::OptedOut, Some(SuppressAfter::Now)),
        ),
        ("failed", "30007", receipt(&message, ReceiptStatus::Failed, Reason::Provider(30007), None)),
        ("failed", "", receipt(&message, ReceiptStatus::Failed, Reason::Rejected, None)),
        ("undelivered", "0", receipt(&message, ReceiptStatus::Failed, Reason::Undelivered, None)),
        ("canceled", "", receipt(&message, ReceiptStatus::Failed, Reason::Undelivered, None)),
    ] {
        assert_eq!(place.receipt(&message, status, code).await, 204, "{status}");
        if wanted.word == ReceiptStatus::Failed {
            wanted.reason.code = ProviderCode::of_number(code.parse().unwrap_or(0));
        }
        assert_eq!(place.sink.receipts().last(), Some(&wanted), "{status} {code}");
    }
    let reported = place.sink.receipts().len();
    for status in ["received", "receiving", "something_new", ""] {
        assert_eq!(place.receipt(&message, status, "").await, 204, "{status}");
    }
    assert_eq!(place.sink.receipts().len(), reported);
    place.close().await;
}

#[tokio::test]
async fn a_receipt_may_come_before_the_answer_and_after_it() {
    let place = Place::open().await;
    let message = envelope("+79160000001", "x");
    place.provider.answer(|_| Reply::Hang);
    let (sms, sending) = (Arc::clone(&place.sms), message.clone());
    let sent = tokio::spawn(async move { send(&sms, &sending).await });
    eventually_async("the request", async || place.provider.messages().first().cloned().ok_or("none")).await;
    assert_eq!(place.receipt(&message, "sent", "").await, 204);
    sent.abort();
    assert!(sent.await.is_err());
    assert_eq!(place.sink.receipts(), [receipt(&message, ReceiptStatus::Sent, Reason::None, None)]);
    // The receipt now tells the order of the message, here and in all processes.
    assert_eq!(place.sink.record().names[SID].0, message.order_id);
    place.provider.accept();
    assert_eq!(send(&place.sms, &envelope("+79160000001", "y")).await, Outcome::Sent);
    assert_eq!(place.receipt(&message, "delivered", "").await, 204);
    place.close().await;
}

#[tokio::test]
async fn an_attempt_that_never_was_is_thanked_for_and_changes_nothing() {
    let place = Place::open().await;
    let stranger = envelope("+79160000001", "x");
    place.sink.record().unknown_attempts.insert(stranger.id());
    assert_eq!(place.receipt(&stranger, "delivered", "").await, 204);
    for path in ["/twilio/status/x", "/twilio/status/u.1.0.0.256", "/twilio/status/%7B0%7D.1.0.0.1"] {
        assert_eq!(place.form(path, &[("MessageStatus", "delivered")]).await.0, 204, "{path}");
    }
    assert_eq!(place.sink.receipts().len(), 1);
    place.close().await;
}

#[tokio::test]
async fn what_is_not_stored_is_not_thanked_for() {
    let place = Place::open().await;
    let message = envelope("+79160000001", "x");
    place.sink.set(SinkState::Unavailable);
    assert_eq!(place.receipt(&message, "delivered", "").await, 503);
    place.sink.set(SinkState::Storing);
    assert_eq!(place.receipt(&message, "delivered", "").await, 204);
    assert_eq!(place.sink.receipts().len(), 1);
    place.close().await;
}

#[tokio::test]
async fn forged_receipts_are_refused_and_nothing_is_stored() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let place = Place::open().await;
    let (message, other) = (envelope("+79160000001", "x"), envelope("+79160000002", "x"));
    let fields = [("MessageStatus", "failed"), ("ErrorCode", "21610")];
    let (path, body) = (path_of(&message), encode(&fields));
    let good = sign(&format!("{PUBLIC}{path}"), &fields);
    let of_host = sign(&format!("https://evil.example.org/in{path}"), &fields);
    let of_other = sign(&format!("{PUBLIC}{}", path_of(&other)), &fields);
    for signature in ["", "AAAA", &of_host, &of_other, &good.to_lowercase()] {
        assert_eq!(place.post(&path, FORM, signature, body.as_bytes()).await.0, 403, "{signature}");
    }
    for (path, body) in [
        (path_of(&other), body.clone()),
        (format!("{path}?x=1"), body.clone()),
        (path.clone(), body.replace("failed", "delivered")),
        (path.clone(), format!("{body}&x=")),
        (path.clone(), String::new()),
    ] {
        assert_eq!(place.post(&path, FORM, &good, body.as_bytes()).await.0, 403, "{path} {body}");
    }
    let unsigned =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(place.raw(unsigned.as_bytes()).await.0, 403);
    assert_eq!(place.raw(unsigned.replace("POST", "GET").as_bytes()).await.0, 405);
    assert!(place.sink.receipts().is_empty());
    assert_eq!(place.post(&path, FORM, &good, body.as_bytes()).await.0, 204);
    let refused = "posthaste_callbacks_rejected_total{channel=\"sms\"} 11\n";
    assert!(metrics.render().contains(refused), "{}", metrics.render());
    place.close().await;
}

#[tokio::test]
async fn the_address_may_be_spelled_as_twilio_does_and_come_through_a_proxy() {
    let place = Place::open().await;
    let message = envelope("+79160000001", "x");
    let (path, fields) =
        (path_of(&message), [("MessageStatus", "sent"), ("A", ""), ("A", " b"), ("A", " b")]);
    let body = encode(&fields);
    for url in [
        format!("{PUBLIC}{path}"),
        format!("https://sms.example.org:443/in{path}"),
        format!("{PUBLIC}{path}#rc=3&rp=5xx,ct,rt"),
    ] {
        let signature = sign(&url, &fields);
        assert_eq!(place.post(&path, FORM, &signature, body.as_bytes()).await.0, 204, "{url}");
        // A proxy that keeps the path.
        let whole = format!("/in{path}");
        assert_eq!(place.post(&whole, FORM, &signature, body.as_bytes()).await.0, 204, "{url}");
    }
    let requested = format!("{path}?x=%20y");
    assert_eq!(place.form(&requested, &fields).await.0, 204);
    assert_eq!(place.sink.receipts().len(), 7);
    place.close().await;
}

#[tokio::test]
async fn a_json_receipt_is_proved_by_its_digest() {
    let place = Place::open().await;
    let message = envelope("+79160000001", "x");
    let body = br#"{"MessageStatus":"undelivered","ErrorCode":30005,"MessageSid":null}"#;
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("{}?bodySHA256={digest}", path_of(&message));
    let signature = sign(&format!("{PUBLIC}{path}"), &[]);
    let json = "application/json; charset=utf-8";
    assert_eq!(place.post(&path, json, &signature, body).await.0, 204);
    assert_eq!(
        place.sink.uncoded_receipts(),
        [receipt(&message, ReceiptStatus::Failed, Reason::InvalidAddress, Some(SuppressAfter::Now))]
    );
    assert_eq!(place.post(&path, json, &signature, b"{}").await.0, 403);
    let bare = path_of(&message);
    let signature = sign(&format!("{PUBLIC}{bare}"), &[]);
    assert_eq!(place.post(&bare, json, &signature, body).await.0, 403);
    assert_eq!(place.sink.receipts().len(), 1);
    place.close().await;
}

#[tokio::test]
async fn a_body_without_end_is_not_read() {
    let place = Place::open().await;
    let path = path_of(&envelope("+79160000001", "x"));
    let huge = vec![b'a'; 70 << 10];
    assert_eq!(place.post(&path, FORM, "AAAA", &huge).await.0, 413);
    assert!(place.sink.receipts().is_empty());
    place.close().await;
}

#[tokio::test]
async fn a_place_that_is_taken_is_reported_in_words() {
    let place = Place::open().await;
    let listen = format!("unix:{}", place.socket().display());
    let second = transport(&place.provider, &[("sms.listen", &listen), ("sms.public_url", PUBLIC)]);
    let refused = second.serve(Arc::<RecordingSink>::default(), CancellationToken::new()).await.unwrap_err();
    assert!(refused.starts_with("sms.listen: cannot listen on unix:"), "{refused}");
    place.close().await;
}

#[test]
fn no_request_breaks_the_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = runtime.block_on(Place::open());
    let path = path_of(&envelope("+79160000001", "x"));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    });
    let kinds = prop::sample::select(vec![FORM, "application/json", "text/plain", "multipart/form-data"]);
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        ".{0,99}".prop_map(|text| format!("MessageStatus={text}&ErrorCode={text}").into_bytes()),
        ".{0,99}".prop_map(|text| serde_json::json!({"MessageStatus": text, "ErrorCode": [text]})
            .to_string()
            .into_bytes()),
    ];
    let hostile = (kinds, bodies, "[ -~]{0,40}", any::<bool>(), "[!-~]{0,30}");
    runner
        .run(&hostile, |(kind, body, signature, signed, end)| {
            let path =
                format!("{path}{}", form_urlencoded::byte_serialize(end.as_bytes()).collect::<String>());
            let (status, _) = runtime.block_on(async {
                if !signed {
                    return place.post(&path, kind, &signature, &body).await;
                }
                // Twilio itself may send anything.
                let fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let signature = sign(&format!("{PUBLIC}{path}"), &fields);
                place.post(&path, FORM, &signature, &body).await
            });
            prop_assert_eq!(status, if signed { 204 } else { 403 });
            Ok(())
        })
        .unwrap();
    runtime.block_on(place.close());
}
