//! Daily limits of orders, and quiet hours.

use posthaste_model::UnixMs;
use posthaste_queue::timestamp::ApiTime;
use serde_json::{Value, json};

use crate::client::{ask, get};
use crate::intake::*;
use crate::service::Service;

fn of(role: &str) -> Value {
    with(order(1), "sender", json!({"id": "u1", "role": role}))
}

#[tokio::test]
async fn a_role_has_a_daily_limit_of_orders() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    let limit = async || service.ask(get("/v1/senders/u1/daily-limit?role=trainer").key(&key)).await.json();
    assert_eq!((limit().await["used"].clone(), limit().await["limit"].clone()), (json!(0), json!(4)));
    for _ in 0..4 {
        assert_eq!(give(&service, &key, &of("trainer")).await.status, 200);
    }
    let full = written(&service.redis);
    let answer = give(&service, &key, &of("trainer")).await;
    is_refused(&answer, 429, "daily_limit_exceeded", "a fifth order");
    // A client that obeys Retry-After would sleep until the next day.
    assert_eq!(answer.header("retry-after"), None, "{answer:?}");
    let full_day = answer.json();
    assert_eq!(
        (full_day["limit"].as_u64(), full_day["remaining"].as_u64()),
        (Some(4), Some(0)),
        "{full_day}"
    );
    assert_eq!(full_day["resets_at"], limit().await["resets_at"], "{full_day}");
    assert!(full_day["detail"].as_str().is_some_and(|text| text.contains("resets at 2")), "{full_day}");
    let keyed = post(&key, &of("trainer")).header("idempotency-key", "k");
    is_refused(&service.ask(keyed).await, 429, "daily_limit_exceeded", "with a key");
    assert_eq!(written(&service.redis), full, "nothing is written");
    let reported = limit().await;
    assert_eq!((reported["used"].clone(), reported["limit"].clone()), (json!(4), json!(4)));
    assert_eq!(reported["remaining"], 0, "{reported}");
    let left = ApiTime::read(reported["resets_at"].as_str().expect("a time")).expect("a time").0;
    let left = left.since(service.store.server_time().await.expect("the time"));
    assert!(left.as_secs() <= 86_400, "{reported}");
    // Another sender has its own daily limit, and a sender without a role has none.
    let other = with(order(1), "sender", json!({"id": "u2", "role": "trainer"}));
    assert_eq!(give(&service, &key, &other).await.status, 200);
    assert_eq!(give(&service, &key, &order(1)).await.status, 200);
}

#[tokio::test]
async fn a_repeated_order_does_not_count_twice() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    let put = |n: u32| {
        let path: &'static str = Box::leak(format!("/v1/orders/u1.{n}").into_boxed_str());
        ask("PUT", path).key(&key).json(&of("trainer").to_string())
    };
    for n in [1, 1, 2, 2, 3, 3, 4, 4] {
        assert_eq!(service.ask(put(n)).await.status, 200);
    }
    for n in 1..=4 {
        assert_eq!(service.ask(put(n)).await.status, 200, "even if the limit is reached");
    }
    is_refused(&service.ask(put(5)).await, 429, "daily_limit_exceeded", "a fifth order");
}

#[tokio::test]
async fn a_refused_order_gives_its_place_back() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    assert_eq!(
        service.ask(ask("PUT", "/v1/orders/u1.1").key(&key).json(&of("staff").to_string())).await.status,
        200
    );
    let other = with(of("staff"), "text", json!("Another"));
    for _ in 0..20 {
        let answer = service.ask(ask("PUT", "/v1/orders/u1.1").key(&key).json(&other.to_string())).await;
        is_refused(&answer, 409, "order_already_exists", "another order");
    }
    let head = json!({"sender": {"id": "u1", "role": "staff"}, "text": "Hello"});
    let mut body = lines(&head, (0..6_000).map(recipient));
    body.extend_from_slice(b"{\n");
    for _ in 0..20 {
        let answer = service.ask(upload(&key, "/v1/orders", &body)).await;
        is_refused(&answer, 400, "malformed_json", "a bad upload");
    }
    let reported = service.ask(get("/v1/senders/u1/daily-limit?role=staff").key(&key)).await.json();
    assert_eq!(reported["used"], 1, "{reported}");
}

#[tokio::test]
async fn places_of_orders_never_stored_are_recovered_when_the_day_is_full() {
    let service = Service::with(&[day_zone()]).await;
    let key = service.master().await;
    for _ in 0..3 {
        assert_eq!(give(&service, &key, &of("trainer")).await.status, 200);
    }
    let now = service.store.server_time().await.expect("the time").0;
    // Taken eleven minutes ago by a request that failed.
    let long_ago = (now - 11 * 60_000).to_string();
    service.redis.command(&["ZADD", "limit:{u1}", &long_ago, "u1:17"]).expect("a place");
    assert_eq!(give(&service, &key, &of("trainer")).await.status, 200);
    is_refused(&give(&service, &key, &of("trainer")).await, 429, "daily_limit_exceeded", "a fifth order");
}

/// Noon in UTC, a few days ahead.
async fn a_noon(service: &Service) -> UnixMs {
    let now = service.store.server_time().await.expect("the time").0;
    UnixMs((now / 86_400_000 + 3) * 86_400_000 + 12 * 3_600_000)
}

#[tokio::test]
async fn quiet_hours_move_orders_due_in_them() {
    let settings =
        [("quiet_hours.enabled", "true"), ("quiet_hours.from", "11:00"), ("quiet_hours.to", "14:00")];
    let service = Service::with(&settings).await;
    let key = service.master().await;
    let noon = a_noon(&service).await;
    let at = |moment: UnixMs| with(order(1), "deliver_at", json!(ApiTime(moment).to_string()));
    let answer = give(&service, &key, &at(noon)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let reported = answer.json();
    assert_eq!(reported["delay_reason"], "quiet_hours", "{reported}");
    let due = ApiTime::read(reported["deliver_at"].as_str().expect("a time")).expect("a time").0;
    let (first, last) = (noon.0 + 2 * 3_600_000, noon.0 + 2 * 3_600_000 + 359_000);
    assert!((first..=last).contains(&due.0), "{reported}");
    let morning = give(&service, &key, &at(UnixMs(noon.0 - 2 * 3_600_000))).await.json();
    assert_eq!(morning["delay_reason"], json!(null), "{morning}");
    let urgent = give(&service, &key, &with(at(noon), "priority", json!("urgent"))).await.json();
    assert_eq!(
        (urgent["delay_reason"].clone(), urgent["deliver_at"].clone()),
        (json!(null), json!(ApiTime(noon).to_string()))
    );
    // The order would expire before the time it is moved to.
    let before = written(&service.redis);
    let short = with(at(noon), "expires_at", json!(ApiTime(UnixMs(noon.0 + 3_600_000)).to_string()));
    let answer = give(&service, &key, &short).await;
    is_refused(&answer, 422, "validation_failed", "an end in the quiet hours");
    assert_eq!(first_error(&answer), ("/expires_at".to_owned(), "expires_before_delivery".to_owned()));
    assert_eq!(written(&service.redis), before);
    // The same id is always moved to the same time, and a repeat of a moved order keeps that time.
    let put = || ask("PUT", "/v1/orders/u1.7").key(&key).json(&at(noon).to_string());
    let (one, two) = (service.ask(put()).await.json(), service.ask(put()).await.json());
    assert_eq!((one["delay_reason"].as_str(), &one), (Some("quiet_hours"), &two));
    // A time set by PATCH is moved out of the quiet hours too.
    let body = json!({"deliver_at": ApiTime(noon).to_string()}).to_string();
    let id = morning["id"].as_str().expect("an id");
    let moved = service.ask(ask("PATCH", &format!("/v1/orders/{id}")).key(&key).json(&body)).await.json();
    assert_eq!(moved["delay_reason"], "quiet_hours", "{moved}");
}
