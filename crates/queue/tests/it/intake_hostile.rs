//! Orders that are refused: each gets a client error, nothing is written, nothing is repeated, nothing is a 5xx.

use serde_json::{Value, json};

use crate::client::{ask, raw};
use crate::intake::*;
use crate::service::Service;

#[tokio::test]
async fn bodies_that_are_not_orders_are_refused() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let deep = format!("{{\"metadata\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_recipient = format!("{{\"recipients\":[{}1{}]}}", "[".repeat(10_000), "]".repeat(10_000));
    let twice =
        "{\"sender\":{\"id\":\"u1\"},\"text\":\"a\",\"recipients\":[{\"id\":\"a\",\"id\":\"canary7f3a\"}]}";
    for (body, status, code) in [
        ("", 400, "malformed_json"),
        ("null", 400, "malformed_json"),
        ("[]", 400, "malformed_json"),
        ("\"canary7f3a\"", 400, "malformed_json"),
        ("{\"text\":\"canary7f3a\"", 400, "malformed_json"),
        ("{\"text\":\"a\",\"text\":\"canary7f3a\"}", 400, "malformed_json"),
        (twice, 400, "malformed_json"),
        ("\u{feff}{}", 400, "malformed_json"),
        ("{\"text\":\"\\ud800\"}", 400, "malformed_json"),
        (deep.as_str(), 400, "malformed_json"),
        (deep_recipient.as_str(), 400, "malformed_json"),
        ("{\"canary7f3a\":true}", 422, "validation_failed"),
        ("{\"status\":\"delivered\"}", 422, "validation_failed"),
        ("{\"fence\":9}", 422, "validation_failed"),
        ("{\"text\":1e400}", 422, "validation_failed"),
        ("{\"text\":9007199254740993}", 422, "validation_failed"),
        ("{\"recipients\":\"canary7f3a\"}", 422, "validation_failed"),
        ("{}", 422, "validation_failed"),
    ] {
        let answer = service.ask(ask("POST", "/v1/orders").key(&key).json(body)).await;
        is_refused(&answer, status, code, body);
    }
    let json = "application/json";
    let post = || ask("POST", "/v1/orders").key(&key);
    let broken = service.ask(post().header("content-type", json).body(b"{\"text\":\"\xc0\xaf\"}")).await;
    is_refused(&broken, 400, "malformed_json", "an overlong encoding");
    let whole = order(1).to_string();
    is_refused(&service.ask(post().body(whole.as_bytes())).await, 415, "unsupported_media_type", "no type");
    let plain = post().header("content-type", "text/plain").body(whole.as_bytes());
    is_refused(&service.ask(plain).await, 415, "unsupported_media_type", "text/plain");
    let zipped = post().header("content-encoding", "gzip,gzip").json(&whole);
    is_refused(&service.ask(zipped).await, 415, "unsupported_media_type", "gzip");
    let large = format!("{{\"text\":\"{}\"}}", CANARY.repeat(1_700_000));
    is_refused(&service.ask(post().json(&large)).await, 413, "body_too_large", "17 MB");
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn invalid_fields_are_refused() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let many = serde_json::Map::from_iter((0..10_000).map(|n| (format!("k{n}"), json!(n))));
    let cases: Vec<(&str, Value, &str, &str)> = vec![
        ("recipients", json!([]), "/recipients", "no_reachable_recipient"),
        ("recipients", json!([{"id": "a"}]), "/recipients", "no_reachable_recipient"),
        ("channels", json!([]), "/channels", "required"),
        ("channels", json!([CANARY]), "/channels/0", "unknown_channel"),
        ("channels", json!(["email", "Email "]), "/channels/1", "unknown_channel"),
        ("channels", json!(["sms"]), "/recipients", "no_reachable_recipient"),
        ("deliver_at", json!("9999-12-30T00:00:00Z"), "/deliver_at", "time_out_of_range"),
        ("deliver_at", json!("1970-01-01T00:00:00Z"), "/deliver_at", "time_out_of_range"),
        ("deliver_at", json!("57000-01-01T00:00:00Z"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("-000001-01-01T00:00:00Z"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("2026-02-30T00:00:00Z"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("2027-01-01T24:00:00Z"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("2027-01-01T00:00:00"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("2027-01-01T00:00:00+25:00"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("2027-01-01T00:00:60Z"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!("2027-03-28T02:30:00[Europe/Berlin]"), "/deliver_at", "invalid_time"),
        ("deliver_at", json!(CANARY), "/deliver_at", "invalid_time"),
        ("deliver_at", json!(1_795_000_000_000_u64), "/deliver_at", "wrong_type"),
        ("expires_at", json!("1970-01-01T00:00:00Z"), "/expires_at", "expires_before_delivery"),
        ("expires_at", json!("2099-01-01T00:00:00Z"), "/expires_at", "time_out_of_range"),
        ("expires_at", json!(0), "/expires_at", "wrong_type"),
        ("priority", json!(CANARY), "/priority", "unknown_value"),
        ("priority", json!(7), "/priority", "wrong_type"),
        ("on_unknown", json!(CANARY), "/on_unknown", "unknown_value"),
        ("address_mode", json!(CANARY), "/address_mode", "unknown_value"),
        ("on_invalid", json!(CANARY), "/on_invalid", "unknown_value"),
        ("text", json!(""), "/text", "empty_text"),
        ("text", json!(" \n\t"), "/text", "empty_text"),
        ("text", json!("\u{200b}\u{200d}"), "/text", "empty_text"),
        ("text", json!("\u{202e}\u{200f}"), "/text", "empty_text"),
        ("text", json!(format!("{CANARY}\u{0}")), "/text", "invalid_text"),
        ("text", json!(CANARY.repeat(100_000)), "/text", "too_long"),
        ("subject", json!(format!("{CANARY}\r\nBcc: v@example.org")), "/subject", "invalid_text"),
        ("source", json!(format!("{CANARY}\u{0}")), "/source", "invalid_text"),
        ("overrides", json!({CANARY: {"text": "x"}}), "/overrides", "unknown_channel"),
        ("overrides", json!({"sms": {"text": " "}}), "/overrides/sms/text", "empty_text"),
        ("metadata", json!([CANARY]), "/metadata", "wrong_type"),
        ("metadata", json!({"a": "x\u{0}"}), "/metadata", "invalid_text"),
        ("metadata", Value::Object(many), "/metadata", "too_long"),
        ("metadata", json!({"a": CANARY.repeat(100_000)}), "/metadata", "too_long"),
        ("sender", json!({"id": "u1", "name": format!("{CANARY}\r\nx")}), "/sender/name", "invalid_text"),
        (
            "sender",
            json!({"id": "u1", "from_email": format!("{CANARY}\r\n@example.org")}),
            "/sender/from_email",
            "invalid_email",
        ),
        (
            "sender",
            json!({"id": "u1", "reply_to": format!("{CANARY}\r\n@example.org")}),
            "/sender/reply_to",
            "invalid_email",
        ),
        ("id", json!("u1.5"), "/id", "not_allowed_here"),
    ];
    for (name, value, pointer, code) in cases {
        let body = with(order(1), name, value);
        let answer = give(&service, &key, &body).await;
        is_refused(&answer, 422, "validation_failed", &body.to_string());
        assert_eq!(first_error(&answer), (pointer.to_owned(), code.to_owned()), "{name}: {answer:?}");
    }
    let mut wordless = with(order(1), "overrides", json!({"sms": {"text": "Hello"}}));
    wordless.as_object_mut().expect("an object").remove("text");
    wordless["on_invalid"] = json!("skip");
    let answer = give(&service, &key, &wordless).await;
    is_refused(&answer, 422, "validation_failed", "no text for a channel");
    assert_eq!(first_error(&answer), ("/text".to_owned(), "required".to_owned()));
    for id in ["*", "{0}", "}", "a:b", "a b", "a\nb", "😀", &"x".repeat(512), "delivery:email:1"] {
        let body = with(order(1), "sender", json!({"id": id}));
        is_refused(&give(&service, &key, &body).await, 422, "validation_failed", id);
        let body =
            with(order(1), "recipients", json!([{"id": id, "contacts": {"email": ["a@example.org"]}}]));
        is_refused(&give(&service, &key, &body).await, 422, "validation_failed", id);
    }
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn invalid_addresses_are_refused() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("email", json!("a@b\r\nRCPT TO:<x@y.org>"), "invalid_email"),
        ("email", json!("\"a\r\n\"@example.org"), "invalid_email"),
        ("email", json!("-a@example.org"), "invalid_email"),
        ("email", json!(CANARY), "invalid_email"),
        ("email", json!("a@b@example.org"), "invalid_email"),
        ("email", json!(format!("{}@example.org", "a".repeat(65))), "invalid_email"),
        ("email", json!("a@example.org."), "invalid_email"),
        ("email", json!("a@[127.0.0.1]"), "invalid_email"),
        ("email", json!("user@localhost"), "invalid_email"),
        ("email", json!("почта@example.org"), "invalid_email"),
        ("email", json!("a@example.org,b@example.org"), "invalid_email"),
        ("email", json!("<a@example.org>"), "invalid_email"),
        ("sms", json!("89991234567"), "invalid_phone"),
        ("sms", json!("+٧٩٩٩١٢٣٤٥٦٧"), "invalid_phone"),
        ("sms", json!("123"), "invalid_phone"),
        ("sms", json!("+1234567890123456"), "invalid_phone"),
        ("sms", json!("+"), "invalid_phone"),
        ("sms", json!(format!("+7999{CANARY}")), "invalid_phone"),
        ("sms", json!("&phones=79991234567"), "invalid_phone"),
        ("sms", json!(79_991_234_567_u64), "wrong_type"),
        ("telegram", json!(0), "invalid_address"),
        ("telegram", json!(9_007_199_254_740_993_u64), "invalid_address"),
        ("telegram", json!(18_446_744_073_709_551_615_u64), "out_of_range"),
        ("telegram", json!(1.5), "wrong_type"),
        ("telegram", json!("@a b"), "invalid_address"),
        ("telegram", json!(CANARY), "invalid_address"),
        ("vk", json!(0), "invalid_address"),
        ("vk", json!(format!("id{CANARY}")), "invalid_address"),
        ("vk", json!(null), "wrong_type"),
    ];
    for (channel, address, code) in cases {
        let recipients = json!([{"id": "a", "contacts": {channel: [address]}}]);
        let answer = give(&service, &key, &with(order(1), "recipients", recipients.clone())).await;
        is_refused(&answer, 422, "validation_failed", &recipients.to_string());
        let place = format!("/recipients/0/contacts/{channel}/0");
        assert_eq!(first_error(&answer), (place, code.to_owned()), "{recipients}: {answer:?}");
    }
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn exceeded_limits_are_reported_with_the_limit() {
    let service = Service::with(&[("orders.max_uploaded_recipients", "5000")]).await;
    let key = service.master().await;
    let before = written(&service.redis);
    let answer = give(&service, &key, &order(10_001)).await;
    is_refused(&answer, 413, "too_many_recipients", "10,001 recipients");
    assert_eq!(answer.json()["limit"], 10_000);
    let head = json!({"sender": {"id": "u1"}, "text": "Hello"});
    let answer = service.ask(upload(&key, "/v1/orders", &lines(&head, (0..5_001).map(recipient)))).await;
    is_refused(&answer, 413, "too_many_recipients", "5,001 lines");
    assert_eq!(answer.json()["limit"], 5_000);
    let long = lines(&head, [json!({"id": "a", "name": CANARY.repeat(10_000)})]);
    is_refused(&service.ask(upload(&key, "/v1/orders", &long)).await, 413, "body_too_large", "a long line");
    assert_eq!(written(&service.redis), before, "nothing is written");
}

#[tokio::test]
async fn names_with_a_meaning_elsewhere_are_plain_text_here() {
    let service = Service::start().await;
    let key = service.master().await;
    for id in ["__proto__", "due", "lease", "constructor", "history"] {
        let body = json!({
            "sender": {"id": id}, "text": "{{ secret }} {% include %} ${x} <%",
            "metadata": {"__proto__": {"x": 1}},
            "recipients": [{"id": id, "name": "{{ secret }}", "contacts": {"email": ["a@example.org"]}}],
        });
        let answer = give(&service, &key, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.json()["id"].as_str().is_some_and(|order| order.starts_with(&format!("{id}."))));
    }
    let odd = ["\u{202e}abc", "e\u{301}\u{301}\u{301}", &"\u{301}".repeat(10_000), "\r\n.\r\nQUIT\r\n"];
    for text in odd {
        let answer = give(&service, &key, &with(order(1), "text", json!(format!("x{text}")))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let whole = order(2).to_string();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        whole.len() - 10
    );
    let answer = raw(service.address, format!("{head}{whole}").as_bytes()).await.expect("an answer");
    is_refused(&answer, 400, "malformed_json", "a short length");
    assert_eq!(written(&service.redis), before, "nothing is written");
}
