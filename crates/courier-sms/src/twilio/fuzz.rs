//! Responses and callbacks of Twilio.

use std::sync::{Arc, LazyLock};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use posthaste_courier::AttemptId;
use posthaste_courier::http_request::HttpResponse;
use url::form_urlencoded;

use super::send::{Body, STATUS};
use super::signature::{Sent, signed};
use super::{Inner, TwilioProvider};
use crate::fuzz::settings;
use crate::number;
use crate::sender_health::SenderHealth;

static TWILIO: LazyLock<Arc<Inner>> = LazyLock::new(|| {
    let settings = settings(&[
        ("sms.listen", "127.0.0.1:0"),
        ("sms.public_url", "https://example.org"),
        ("twilio.account_sid", "AC0123456789abcdef0123456789abcdef"),
        ("twilio.auth_token", "0123456789abcdef0123456789abcdef"),
        ("twilio.from", "+12025550199"),
    ]);
    let (channel, sender) = ("sms".parse().expect("a channel"), Arc::new(SenderHealth::new(1.0)));
    TwilioProvider::new(&settings, channel, sender).unwrap_or_else(|_| panic!("settings")).0
});

/// A response to a new message.
pub fn twilio_answers(data: &[u8]) {
    let body = Body::new(&HttpResponse { status: 201, retry_after: None, body: data.to_vec() });
    let _ = (body.sid(), body.status(), body.code("code"), body.code("error_code"));
}

/// A callback: a content type, LF, and a body. An unsigned one is rejected whatever it contains; a signed one is read.
pub fn twilio_callbacks(data: &[u8]) {
    let (kind, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let mut headers = HeaderMap::new();
    if let Ok(kind) = HeaderValue::from_bytes(kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let path = format!("{STATUS}u1.1.0.0.1");
    let uri: Uri = path.parse().expect("a path");
    assert!(TWILIO.prove(&uri, &headers, body).is_err(), "accepted without a signature");
    for given in [&b"AAAA"[..], kind, body] {
        if let Ok(given) = HeaderValue::from_bytes(given) {
            headers.insert("x-twilio-signature", given);
            assert!(TWILIO.prove(&uri, &headers, body).is_err(), "accepted with a wrong signature");
        }
    }
    let Some((_, signature)) = &TWILIO.receipts else { return };
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let signed = signature.sign(&signed(&format!("https://example.org{path}"), &Sent::Form(&fields)));
    headers.insert("x-twilio-signature", HeaderValue::from_str(&STANDARD.encode(signed)).expect("base64"));
    // For a body that is not a form the URL must contain the digest, which this one lacks.
    let Ok(reported) = TWILIO.prove(&uri, &headers, body) else { return };
    TWILIO.read(reported.get("MessageStatus"), Some(reported.get("ErrorCode")));
    let _ = TWILIO.words.wish(reported.get("OptOutType"), reported.get("Body"));
    let _ = (number::is_number(reported.get("From")), reported.get("MessageSid").parse::<AttemptId>());
}
