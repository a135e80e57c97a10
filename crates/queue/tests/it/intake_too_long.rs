//! Messages that are too long for their channels: refused where nobody could get one, reported where some can't; and
//! mailboxes that differ only in case.

use serde_json::{Value, json};

use crate::intake::*;
use crate::service::Service;

/// An order with a text of this length to somebody on these channels.
fn long(length: usize, channels: &[&str]) -> Value {
    let all = json!({"email": ["a@example.org"], "sms": ["+12025550123"], "telegram": [1001], "vk": [2001]});
    let contacts: Value = channels.iter().map(|name| ((*name).to_owned(), all[name].clone())).collect();
    json!({"sender": {"id": "u1"}, "text": "я".repeat(length), "recipients": [{"id": "a", "contacts": contacts}]})
}

async fn service() -> (Service, String) {
    let service = Service::with(&[("orders.phone_countries", "*")]).await;
    let key = service.master().await;
    (service, key)
}

#[tokio::test]
async fn an_order_that_nobody_could_get_is_refused_with_the_place() {
    let (service, key) = service().await;
    let before = written(&service.redis);
    let overridden = |length: usize| {
        let order = with(long(10, &["sms"]), "overrides", json!({"sms": {"text": "x".repeat(length)}}));
        with(order, "text", json!("x"))
    };
    for (order, pointers) in [
        (long(1601, &["sms"]), &["/text"][..]),
        (long(4097, &["vk"]), &["/text"]),
        (with(long(4090, &["vk"]), "subject", json!("Сбор в 9")), &["/text"]),
        (long(4200, &["sms", "vk"]), &["/text", "/text"]),
        (overridden(1601), &["/overrides/sms/text"]),
    ] {
        let answer = give(&service, &key, &order).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "validation_failed"), "{answer:?}");
        let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        assert_eq!(found, pointers, "{answer:?}");
        assert!(errors.iter().all(|error| error["code"] == "too_long"), "{answer:?}");
    }
    assert_eq!(written(&service.redis), before, "bad input writes nothing");
    for order in [long(1600, &["sms"]), long(4096, &["vk"]), overridden(1600), long(65_536, &["telegram"])] {
        let answer = give(&service, &key, &order).await;
        assert_eq!((answer.status, &answer.json()["warnings"]), (200, &json!([])), "{answer:?}");
    }
}

#[tokio::test]
async fn an_order_that_some_could_get_is_accepted_with_a_counted_warning() {
    let (service, key) = service().await;
    let order = long(4200, &["email", "sms", "telegram", "vk"]);
    let dry =
        service.ask(crate::client::ask("POST", "/v1/orders?dry_run=true").key(&key).json(&order.to_string()));
    let lines = lines(
        &json!({"sender": {"id": "u1"}, "text": order["text"]}),
        [order["recipients"][0].clone(), json!({"contacts": {"vk": [2002]}})],
    );
    let uploaded = service.ask(upload(&key, "/v1/orders", &lines));
    for (answer, vk) in [(give(&service, &key, &order).await, 1), (dry.await, 1), (uploaded.await, 2)] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let warnings = answer.json()["warnings"].clone();
        let reported: Vec<_> = warnings.as_array().into_iter().flatten().collect();
        let brief: Vec<_> = reported
            .iter()
            .map(|one| (one["channel"].as_str(), one["delivery_count"].as_u64(), one["pointer"].as_str()))
            .collect();
        assert_eq!(brief, [(Some("sms"), Some(1), Some("/text")), (Some("vk"), Some(vk), Some("/text"))]);
        assert!(reported.iter().all(|one| one["code"] == "text_too_long"), "{warnings}");
        let detail = reported[0]["detail"].as_str().unwrap_or_default();
        assert!(
            detail.contains("at most 1600 characters") && detail.contains("/overrides/sms/text"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn the_html_counts_for_the_size_of_an_email() {
    let service = Service::with(&[("orders.max_email_size", "64KiB")]).await;
    let key = service.master().await;
    let html = |length: usize| with(order(1), "html", json!("<p>".repeat(length)));
    assert_eq!(give(&service, &key, &html(10_000)).await.status, 200);
    let answer = give(&service, &key, &html(20_000)).await;
    assert_eq!(
        (answer.status, answer.json()["errors"][0]["pointer"].as_str()),
        (422, Some("/html")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn mailboxes_that_differ_in_case_get_one_message() {
    let (service, key) = service().await;
    let body = json!({"sender": {"id": "u1"}, "text": "Hello", "recipients": [
        {"contacts": {"email": ["Anna@example.org"]}}, {"contacts": {"email": ["anna@example.org"]}},
        {"contacts": {"email": ["ANNA@Example.org"]}}, {"contacts": {"email": ["boris@example.org"]}}]});
    let dry =
        service.ask(crate::client::ask("POST", "/v1/orders?dry_run=true").key(&key).json(&body.to_string()));
    for answer in [give(&service, &key, &body).await, dry.await] {
        let recipients = &answer.json()["recipients"];
        assert_eq!(recipients["delivery_counts"], json!({"email": 2}), "{answer:?}");
        assert_eq!(recipients["duplicates"]["address_count"], 2, "{answer:?}");
    }
}
