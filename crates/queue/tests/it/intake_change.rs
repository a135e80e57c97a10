//! Cancelling, moving, and retrying deliveries.

use std::time::Duration;

use posthaste_model::{Channel, CourierId, OrderId, OutcomeKind, Reason, UnixMs};
use posthaste_queue::timestamp::ApiTime;
use posthaste_store::{AttemptReport, ClaimReply, ClaimRequest, KeyScope, ParcelRef, Settlement};
use serde_json::{Value, json};

use crate::client::{Answer, ask, get};
use crate::intake::*;
use crate::service::{Service, email};

/// Sends the deliveries of the order that is due as a courier would, with these outcomes: for example the first
/// `failed`, the second `sent`, and no others.
pub(crate) async fn deliver(service: &Service, decisions: &[(u16, OutcomeKind)]) -> OrderId {
    deliver_over(service, &email(), decisions).await
}

/// The same by the courier of another channel.
pub(crate) async fn deliver_over(
    service: &Service,
    channel: &Channel,
    decisions: &[(u16, OutcomeKind)],
) -> OrderId {
    let report = |(delivery, outcome): &(u16, OutcomeKind)| AttemptReport {
        delivery: *delivery,
        attempt: 1,
        outcome: *outcome,
        reason: Reason::Rejected,
        value: 0,
    };
    report_over(service, channel, decisions.iter().map(report).collect()).await
}

/// Begins deliveries of the order that is due, as a courier of the channel would, and reports these outcomes.
pub(crate) async fn report_over(
    service: &Service,
    channel: &Channel,
    reports: Vec<AttemptReport>,
) -> OrderId {
    let store = service.tool().await;
    let courier: CourierId = "c1".parse().expect("an id");
    let window = Duration::from_secs(60);
    let mut number = 0;
    let (taken, fence) = posthaste_rig::eventually_async("there is a parcel", async || {
        number += 1;
        let ask = ClaimRequest {
            channel,
            courier: &courier,
            number,
            lease: window,
            limit: 50,
            bulk_limit: 50,
            begin: 0,
            send_window: window,
            empty_handed: false,
        };
        let answer = store.claim(0, &ask).await.map_err(|error| error.to_string())?;
        match answer.reply {
            ClaimReply::Claimed(taken) if !taken.parcels.is_empty() => Ok((taken, answer.fence)),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let begun: Vec<(u16, u8)> = reports.iter().map(|report| (report.delivery, 1)).collect();
    store.begin(0, channel, window, 0, &[(parcel.clone(), begun)]).await.expect("begun");
    let order_id = parcel.parcel_id.order_id.clone();
    store.settle(0, channel, &[Settlement { parcel, leave: true, reports }]).await.expect("settled");
    order_id
}

async fn retry(service: &Service, key: &str, id: &str, body: Value) -> Answer {
    service.ask(ask("POST", &format!("/v1/orders/{id}/retry")).key(key).json(&body.to_string())).await
}

#[tokio::test]
async fn an_order_is_cancelled_once_and_repeats_get_the_same_response() {
    let service = Service::start().await;
    let key = service.master().await;
    let due = ApiTime(service.in_an_hour().await).to_string();
    let id = give(&service, &key, &with(order(3), "deliver_at", json!(due))).await.json()["id"].clone();
    let path = format!("/v1/orders/{}/cancel", id.as_str().expect("an id"));
    for _ in 0..2 {
        let answer = service.ask(ask("POST", &path).key(&key)).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"cancelled_count": 3, "too_late_count": 0})));
    }
    let moved = json!({"deliver_at": due}).to_string();
    let path = format!("/v1/orders/{}", id.as_str().expect("an id"));
    let answer = service.ask(ask("PATCH", &path).key(&key).json(&moved)).await;
    is_refused(&answer, 409, "order_unexpected_status", "it was cancelled");
    assert_eq!(answer.json()["order_status"], "cancelled");
    let other = service.key(&[KeyScope::Write], Some("u2")).await;
    for path in [format!("{path}/cancel"), "/v1/orders/u1.5/cancel".to_owned()] {
        is_refused(&service.ask(ask("POST", &path).key(&other)).await, 404, "order_not_found", "another's");
    }
    let nothing = service.ask(ask("POST", "/v1/orders/u1.5/cancel").key(&key)).await;
    is_refused(&nothing, 404, "order_not_found", "no such order");
}

#[tokio::test]
async fn final_orders_are_refused_and_deliveries_being_sent_are_too_late() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(2)).await;
    let order_id = deliver(&service, &[(0, OutcomeKind::Sent)]).await;
    let path = format!("/v1/orders/{}/cancel", order_id.wire_id());
    let answer = service.ask(ask("POST", &path).key(&key)).await;
    assert_eq!(answer.json(), json!({"cancelled_count": 1, "too_late_count": 1}), "{answer:?}");
    give(&service, &key, &order(1)).await;
    let order_id = deliver(&service, &[(0, OutcomeKind::Sent)]).await;
    let path = format!("/v1/orders/{}/cancel", order_id.wire_id());
    let answer = service.ask(ask("POST", &path).key(&key)).await;
    is_refused(&answer, 409, "order_unexpected_status", "all is sent");
    assert_eq!(answer.json()["order_status"], "finished");
}

#[tokio::test]
async fn an_order_can_be_moved_until_it_is_due() {
    let service = Service::start().await;
    let key = service.master().await;
    let hour = service.in_an_hour().await;
    let later = UnixMs(hour.0 + 3_600_000);
    let id =
        give(&service, &key, &with(order(1), "deliver_at", json!(ApiTime(hour).to_string()))).await.json();
    let path = format!("/v1/orders/{}", id["id"].as_str().expect("an id"));
    let patch = |body: &Value| ask("PATCH", &path).key(&key).json(&body.to_string());
    for _ in 0..2 {
        let moved = service.ask(patch(&json!({"deliver_at": ApiTime(later).to_string()}))).await;
        assert_eq!(
            (moved.status, moved.json()["deliver_at"].clone()),
            (200, json!(ApiTime(later).to_string()))
        );
    }
    for (body, code) in [
        (json!({"deliver_at": CANARY}), "validation_failed"),
        (json!({"deliver_at": "9999-01-01T00:00:00Z"}), "validation_failed"),
        (
            json!({"deliver_at": ApiTime(later).to_string(), "expires_at": ApiTime(hour).to_string()}),
            "validation_failed",
        ),
        (json!({"deliver_at": 5}), "validation_failed"),
        (json!({}), "validation_failed"),
        (json!({"deliver_at": ApiTime(later).to_string(), CANARY: 1}), "validation_failed"),
    ] {
        is_refused(&service.ask(patch(&body)).await, 422, code, &body.to_string());
    }
    let read = service.ask(get(&path).key(&key)).await.json();
    assert_eq!(read["deliver_at"], ApiTime(later).to_string(), "refusals change nothing");
    let now = give(&service, &key, &order(1)).await.json();
    let path = format!("/v1/orders/{}", now["id"].as_str().expect("an id"));
    let body = json!({"deliver_at": ApiTime(later).to_string()}).to_string();
    let answer = service.ask(ask("PATCH", &path).key(&key).json(&body)).await;
    is_refused(&answer, 409, "order_unexpected_status", "its time has come");
    assert_eq!(answer.json()["order_status"], "running");
}

#[tokio::test]
async fn failed_deliveries_are_retried_as_a_linked_order() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(4)).await;
    let decisions = [(0, OutcomeKind::Failed), (1, OutcomeKind::Sent), (2, OutcomeKind::Failed)];
    let old = deliver(&service, &decisions).await.wire_id();
    let answer = retry(&service, &key, &old, json!({"statuses": ["failed"]})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let reported = answer.json();
    assert_eq!(
        (reported["delivery_count"].clone(), reported["retry_of"].clone()),
        (json!(2), json!(old)),
        "{reported}"
    );
    let new = reported["id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{new}")));
    let read = service.ask(get(&format!("/v1/orders/{new}")).key(&key)).await.json();
    assert_eq!((read["retry_of"].clone(), read["counts"]["total"].clone()), (json!(old), json!(2)));
    let deliveries =
        service.ask(get(&format!("/v1/orders/{new}/deliveries?limit=10")).key(&key)).await.json();
    let ids: Vec<_> = deliveries["items"]
        .as_array()
        .expect("deliveries")
        .iter()
        .map(|delivery| delivery["recipient_id"].clone())
        .collect();
    assert_eq!(ids, [json!("r0"), json!("r2")]);
    // Named recipients: also those that got the message, if the states say so.
    let named = retry(&service, &key, &old, json!({"recipient_ids": ["r0", "r1"]})).await.json();
    assert_eq!(named["delivery_count"], 1, "{named}");
    let through = json!({"recipient_ids": ["r1", "r9"], "statuses": ["sent"]});
    assert_eq!(retry(&service, &key, &old, through).await.json()["delivery_count"], 1);
}

#[tokio::test]
async fn retries_may_be_refused_or_repeated() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(2)).await;
    let old = deliver(&service, &[(0, OutcomeKind::Failed)]).await.wire_id();
    let before = written(&service.redis);
    for (body, status, code) in [
        (json!({"statuses": ["sent"]}), 422, "validation_failed"),
        (json!({"statuses": ["pending"]}), 422, "validation_failed"),
        (json!({"statuses": [CANARY]}), 422, "validation_failed"),
        (json!({"statuses": []}), 422, "validation_failed"),
        (json!({"recipient_ids": []}), 422, "validation_failed"),
        (json!({"recipient_ids": [format!("{CANARY} x")]}), 422, "validation_failed"),
        (json!({"deliver_at": CANARY}), 422, "validation_failed"),
        (json!({"statuses": 5}), 422, "validation_failed"),
        (json!({CANARY: 5}), 422, "validation_failed"),
        (json!({"statuses": ["unknown"]}), 409, "nothing_to_retry"),
        (json!({"recipient_ids": ["nobody"]}), 409, "nothing_to_retry"),
    ] {
        is_refused(&retry(&service, &key, &old, body.clone()).await, status, code, &body.to_string());
    }
    let other = service.key(&[KeyScope::Write], Some("u2")).await;
    is_refused(&retry(&service, &other, &old, json!({})).await, 404, "order_not_found", "another's");
    is_refused(&retry(&service, &key, "u1.5", json!({})).await, 404, "order_not_found", "no such order");
    let mut after = written(&service.redis);
    after.retain(|name| !name.starts_with("key"));
    assert_eq!(after, before.into_iter().filter(|name| !name.starts_with("key")).collect::<Vec<_>>());

    let path = format!("/v1/orders/{old}/retry");
    let keyed =
        |body: &Value| ask("POST", &path).key(&key).header("idempotency-key", "k").json(&body.to_string());
    let first = service.ask(keyed(&json!({"statuses": ["failed"]}))).await;
    let again = service.ask(keyed(&json!({"statuses": ["failed"]}))).await;
    assert_eq!((first.status, first.json()), (202, again.json()), "{first:?}");
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    let other = service.ask(keyed(&json!({}))).await;
    is_refused(&other, 422, "idempotency_key_reused", "another request");
}

#[tokio::test]
async fn a_retry_leaves_out_suppressed_addresses_and_says_how_many_and_what_to_do() {
    let service = Service::start().await;
    let key = service.master().await;
    let sent = order(4);
    give(&service, &key, &sent).await;
    // 0 was refused for good and listed, 1 was refused for now, 2 was never tried, 3 was sent.
    let decisions = [
        (0, OutcomeKind::Failed),
        (1, OutcomeKind::Failed),
        (2, OutcomeKind::Suppressed),
        (3, OutcomeKind::Sent),
    ];
    let old = deliver(&service, &decisions).await.wire_id();
    let address =
        |n: usize| sent["recipients"][n]["contacts"]["email"][0].as_str().expect("an address").to_owned();
    let body = |n: usize| json!({"channel": "email", "addresses": [address(n)]}).to_string();
    for n in [0, 2] {
        let put = service.ask(ask("POST", "/v1/suppressions").key(&key).json(&body(n))).await;
        assert!((200..300).contains(&put.status), "{put:?}");
    }
    let retried = retry(&service, &key, &old, json!({})).await;
    assert_eq!(retried.status, 202, "{retried:?}");
    let reported = retried.json();
    assert_eq!((&reported["delivery_count"], &reported["suppressed_count"]), (&json!(1), &json!(2)));
    for (chosen, count) in
        [(json!({"statuses": ["suppressed"]}), 1), (json!({"recipient_ids": ["r0", "r2", "r3"]}), 2)]
    {
        let refused = retry(&service, &key, &old, chosen).await;
        is_refused(&refused, 409, "nothing_to_retry", "only suppressed ones match");
        let problem = refused.json();
        let shown = format!("{count} suppressed: remove them from the suppression list first, then retry");
        assert_eq!((&problem["suppressed_count"], &problem["detail"]), (&json!(count), &json!(shown)));
    }
    // Taken off the list, it is retried.
    let deleted = service.ask(ask("POST", "/v1/suppressions/delete").key(&key).json(&body(2))).await;
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    let retried = retry(&service, &key, &old, json!({"statuses": ["suppressed"]})).await.json();
    assert_eq!((&retried["delivery_count"], &retried["suppressed_count"]), (&json!(1), &Value::Null));
}
