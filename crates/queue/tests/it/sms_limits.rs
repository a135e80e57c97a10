//! Limits on SMS: segments per day, messages per hour for one key and to numbers of one block.

use posthaste_model::{Clock, OutcomeKind, SystemClock};
use posthaste_rig::eventually_async;
use posthaste_store::KeyScope;
use serde_json::{Value, json};

use crate::client::{Answer, ask};
use crate::intake::*;
use crate::intake_change::deliver_over;
use crate::service::Service;

const COUNTRIES: (&str, &str) = ("orders.phone_countries", "RU");

/// A service with only these limits, in an hour that is not about to end.
async fn service(limits: &[(&str, &str)]) -> Service {
    eventually_async("an hour that is not about to end", async || match SystemClock.now().0 % 3_600_000 {
        late @ 3_540_000.. => Err(late),
        _ => Ok(()),
    })
    .await;
    let zone = day_zone();
    let none = ["segments_a_day", "messages_an_hour", "to_prefix_an_hour"];
    let none: Vec<String> = none.iter().map(|name| format!("sms_limits.{name}")).collect();
    let mut all = vec![COUNTRIES, (zone.0, zone.1)];
    all.extend(
        none.iter()
            .filter(|name| !limits.iter().any(|(known, _)| known == name))
            .map(|name| (name.as_str(), "0")),
    );
    all.extend_from_slice(limits);
    Service::with(&all).await
}

/// To this many numbers of the block that starts with `block`.
fn to(block: &str, count: usize) -> Value {
    let people =
        (0..count).map(|n| json!({"id": format!("r{n}"), "contacts": {"sms": [format!("{block}{n:04}")]}}));
    with(order(1), "recipients", people.collect())
}

#[track_caller]
fn refused_by(answer: &Answer, limit: &str, most: u64) {
    is_refused(answer, 429, "sms_limit_exceeded", limit);
    assert_eq!(
        (&answer.json()["limit"], &answer.json()["most"]),
        (&json!(limit), &json!(most)),
        "{answer:?}"
    );
    match answer.header("retry-after") {
        // A client that obeys it would sleep until the next day.
        None => assert_eq!(limit, "segments_a_day", "{answer:?}"),
        Some(wait) => {
            assert_ne!(limit, "segments_a_day", "{answer:?}");
            assert!((1..=3_600).contains(&wait.parse::<u64>().expect("seconds")), "{wait}");
        }
    }
    assert!(answer.json()["resets_at"].is_string(), "{answer:?}");
    assert!(!answer.text().contains("7999"), "{answer:?}");
}

#[tokio::test]
async fn segments_per_day_are_limited_for_all_keys_together() {
    let service = service(&[("sms_limits.segments_a_day", "10")]).await;
    let (one, other) = (service.master().await, service.master().await);
    // Two segments each: 71 letters outside the GSM alphabet.
    let long = with(to("+7999000", 3), "text", json!("ы".repeat(71)));
    assert_eq!(give(&service, &one, &long).await.status, 200);
    assert_eq!(give(&service, &other, &to("+7999001", 4)).await.status, 200);
    let full = written(&service.redis);
    for key in [&one, &other] {
        refused_by(&give(&service, key, &to("+7999002", 1)).await, "segments_a_day", 10);
        let keyed = post(key, &to("+7999002", 1)).header("idempotency-key", "k");
        refused_by(&service.ask(keyed).await, "segments_a_day", 10);
    }
    let many: Vec<Value> = to("+7999003", 5_000)["recipients"].as_array().expect("people").clone();
    let head = json!({"sender": {"id": "u1"}, "text": "Hello"});
    refused_by(&service.ask(upload(&one, "/v1/orders", &lines(&head, many))).await, "segments_a_day", 10);
    assert_eq!(written(&service.redis), full, "nothing is written");
    // Other channels have no such limit, and neither has a dry run.
    assert_eq!(give(&service, &one, &order(20)).await.status, 200);
    let dry = ask("POST", "/v1/orders?dry_run=true").key(&one).json(&to("+7999002", 9).to_string());
    assert_eq!(service.ask(dry).await.status, 200);
}

#[tokio::test]
async fn an_order_counts_once_and_a_refused_one_does_not() {
    let service = service(&[("sms_limits.segments_a_day", "10")]).await;
    let key = service.master().await;
    let put = |n: u32, body: &Value| {
        let path: &'static str = Box::leak(format!("/v1/orders/u1.{n}").into_boxed_str());
        ask("PUT", path).key(&key).json(&body.to_string())
    };
    for _ in 0..3 {
        assert_eq!(service.ask(put(1, &to("+7999000", 6))).await.status, 200);
    }
    // Too many for what is left, and then one that fits.
    refused_by(&service.ask(put(2, &to("+7999001", 5))).await, "segments_a_day", 10);
    // Refused for another reason after its share was taken: another order has the id.
    is_refused(&service.ask(put(1, &to("+7999000", 3))).await, 409, "order_already_exists", "another body");
    assert_eq!(service.ask(put(2, &to("+7999001", 4))).await.status, 200);
    for n in [1, 2] {
        let body = if n == 1 { to("+7999000", 6) } else { to("+7999001", 4) };
        assert_eq!(service.ask(put(n, &body)).await.status, 200, "repeated when the limit is reached");
    }
    refused_by(&service.ask(put(3, &to("+7999002", 1))).await, "segments_a_day", 10);
}

#[tokio::test]
async fn a_retry_counts_too() {
    let service = service(&[("sms_limits.segments_a_day", "5")]).await;
    let key = service.master().await;
    assert_eq!(give(&service, &key, &to("+7999000", 2)).await.status, 200);
    let failed = [(0, OutcomeKind::Failed), (1, OutcomeKind::Failed)];
    let old = deliver_over(&service, &"sms".parse().expect("a channel"), &failed).await.wire_id();
    let path = format!("/v1/orders/{old}/retry");
    let retry = || ask("POST", &path).key(&key).json("{}");
    // 4 of 5, and then 6: the deliveries are only known when they are stored.
    for status in [202, 202] {
        let answer = service.ask(retry()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let full = written(&service.redis);
    refused_by(&service.ask(retry()).await, "segments_a_day", 5);
    assert_eq!(written(&service.redis), full, "nothing is written");
}

#[tokio::test]
async fn one_key_never_uses_up_the_hourly_limit_of_another() {
    let service = service(&[("sms_limits.messages_an_hour", "5")]).await;
    let (one, other) = (
        service.key(&[KeyScope::Write], Some("u1")).await,
        service.key(&[KeyScope::Write], Some("u1")).await,
    );
    assert_eq!(give(&service, &one, &to("+7999000", 5)).await.status, 200);
    refused_by(&give(&service, &one, &to("+7999001", 1)).await, "messages_an_hour", 5);
    assert_eq!(give(&service, &other, &to("+7999001", 5)).await.status, 200);
    refused_by(&give(&service, &other, &to("+7999002", 1)).await, "messages_an_hour", 5);
}

#[tokio::test]
async fn messages_to_a_block_of_numbers_are_limited_for_all_keys_together() {
    let service = service(&[("sms_limits.to_prefix_an_hour", "4")]).await;
    let (one, other) = (service.master().await, service.master().await);
    assert_eq!(give(&service, &one, &to("+7999000", 4)).await.status, 200);
    for key in [&one, &other] {
        refused_by(&give(&service, key, &to("+7999000", 1)).await, "to_prefix_an_hour", 4);
    }
    assert_eq!(give(&service, &other, &to("+7999001", 4)).await.status, 200);
    refused_by(&give(&service, &other, &to("+7999002", 5)).await, "to_prefix_an_hour", 4);
}
