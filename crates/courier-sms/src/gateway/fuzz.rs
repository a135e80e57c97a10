//! Responses and receipts of a gateway.

use std::sync::{Arc, LazyLock};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use posthaste_courier::http_request::HttpResponse;

use super::receipts::{self, Receipts};
use super::response_parser::ResponseParser;
use crate::fuzz::settings;
use crate::sender_health::SenderHealth;

/// A response: the first byte selects the status.
pub fn gateway_answers(data: &[u8]) {
    static JUDGES: LazyLock<[ResponseParser; 2]> = LazyLock::new(|| {
        let judge =
            |changes: &[(&str, &str)]| ResponseParser::read(&settings(changes).gateway).expect("settings");
        [
            judge(&[("gateway.accepted_pointer", "/sid"), ("gateway.code_pointer", "/error/code")]),
            judge(&[("gateway.accepted_text", "OK"), ("gateway.code_after", "ERROR = ")]),
        ]
    });
    let Some((first, body)) = data.split_first() else { return };
    let status = 200 + u16::from(*first) * 2;
    for judge in &*JUDGES {
        judge.judge(&HttpResponse { status, retry_after: None, body: body.to_vec() });
    }
}

/// A receipt: a content type, LF, and a body. Only addresses made here are accepted.
pub fn gateway_receipts(data: &[u8]) {
    static RECEIPTS: LazyLock<Receipts> = LazyLock::new(|| {
        let settings = settings(&[
            ("sms.provider", "gateway"),
            ("sms.listen", "127.0.0.1:0"),
            ("sms.public_url", "https://example.org"),
            ("gateway.callback_key", "0123456789abcdef0123456789abcdef"),
            ("gateway.status_field", "status"),
        ]);
        let (channel, sender) = ("sms".parse().expect("a channel"), Arc::new(SenderHealth::new(1.0)));
        let read = Receipts::read(&settings, &channel, &sender);
        read.unwrap_or_else(|_| panic!("settings")).expect("a place")
    });
    let (kind, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let mut headers = HeaderMap::new();
    if let Ok(kind) = HeaderValue::from_bytes(kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let text = String::from_utf8_lossy(body);
    assert!(!RECEIPTS.proves(&text, &text) && !RECEIPTS.proves("u1.1.0.0.1", &text));
    RECEIPTS.word(&receipts::fields(&headers, body));
}
