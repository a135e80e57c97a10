//! Cancelling, moving, and repeating rows.

use std::time::Duration;

use posthaste_model::{Channel, CourierId, Reason, Suffix, UnixMs, Verdict};
use posthaste_queue::moment::Moment;
use posthaste_store::{ClaimAsk, ClaimReply, ParcelRef, Report, Scope, Settlement};
use serde_json::{Value, json};

use crate::client::{Answer, ask, get};
use crate::intake::*;
use crate::service::{Service, email};

/// Sends the rows of the order for now as a courier would: the first `failed`, the second `sent`, further ones not at all.
pub(crate) async fn deliver(service: &Service, verdicts: &[(u16, Verdict)]) -> Suffix {
    deliver_over(service, &email(), verdicts).await
}

/// The same by the courier of another channel.
pub(crate) async fn deliver_over(
    service: &Service,
    channel: &Channel,
    verdicts: &[(u16, Verdict)],
) -> Suffix {
    let store = service.tool().await;
    let courier: CourierId = "c1".parse().expect("an id");
    let window = Duration::from_secs(60);
    let mut number = 0;
    let (taken, fence) = posthaste_rig::eventually_async("there is a parcel", async || {
        number += 1;
        let ask = ClaimAsk {
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
            ClaimReply::Taken(taken) if !taken.parcels.is_empty() => Ok((taken, answer.fence)),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let parcel = ParcelRef { member: taken.parcels[0].member.clone(), fence };
    let begun: Vec<(u16, u8)> = verdicts.iter().map(|(row, _)| (*row, 1)).collect();
    store.begin(0, channel, window, 0, &[(parcel.clone(), begun)]).await.expect("begun");
    let reports = verdicts
        .iter()
        .map(|(row, verdict)| Report {
            row: *row,
            attempt: 1,
            verdict: *verdict,
            reason: Reason::Rejected,
            value: 0,
        })
        .collect();
    let suffix = parcel.member.suffix.clone();
    store.settle(0, channel, &[Settlement { parcel, leave: true, reports }]).await.expect("settled");
    suffix
}

async fn retry(service: &Service, key: &str, id: &str, body: Value) -> Answer {
    service.ask(ask("POST", &format!("/v1/orders/{id}/retry")).key(key).json(&body.to_string())).await
}

#[tokio::test]
async fn an_order_is_cancelled_once_and_the_same_answer_comes_again() {
    let service = Service::start().await;
    let key = service.master().await;
    let due = Moment(service.in_an_hour().await).to_string();
    let id = give(&service, &key, &with(order(3), "deliver_at", json!(due))).await.json()["order_id"].clone();
    let path = format!("/v1/orders/{}/cancel", id.as_str().expect("an id"));
    for _ in 0..2 {
        let answer = service.ask(ask("POST", &path).key(&key)).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"cancelled": 3, "too_late": 0})));
    }
    let moved = json!({"deliver_at": due}).to_string();
    let path = format!("/v1/orders/{}", id.as_str().expect("an id"));
    let answer = service.ask(ask("PATCH", &path).key(&key).json(&moved)).await;
    is_refused(&answer, 409, "order_state", "it was cancelled");
    assert_eq!(answer.json()["state"], "cancelled");
    let other = service.key(&[Scope::Enqueue], Some("u2")).await;
    for path in [format!("{path}/cancel"), "/v1/orders/u1.5/cancel".to_owned()] {
        is_refused(&service.ask(ask("POST", &path).key(&other)).await, 404, "order_not_found", "another's");
    }
    let nothing = service.ask(ask("POST", "/v1/orders/u1.5/cancel").key(&key)).await;
    is_refused(&nothing, 404, "order_not_found", "no such order");
}

#[tokio::test]
async fn what_is_final_is_told_and_what_is_out_is_too_late() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(2)).await;
    let suffix = deliver(&service, &[(0, Verdict::Sent)]).await;
    let path = format!("/v1/orders/{}/cancel", suffix.order_id());
    let answer = service.ask(ask("POST", &path).key(&key)).await;
    assert_eq!(answer.json(), json!({"cancelled": 1, "too_late": 1}), "{answer:?}");
    give(&service, &key, &order(1)).await;
    let suffix = deliver(&service, &[(0, Verdict::Sent)]).await;
    let path = format!("/v1/orders/{}/cancel", suffix.order_id());
    let answer = service.ask(ask("POST", &path).key(&key)).await;
    is_refused(&answer, 409, "order_state", "all is sent");
    assert_eq!(answer.json()["state"], "finished");
}

#[tokio::test]
async fn an_order_is_moved_until_its_time_has_come() {
    let service = Service::start().await;
    let key = service.master().await;
    let hour = service.in_an_hour().await;
    let later = UnixMs(hour.0 + 3_600_000);
    let id =
        give(&service, &key, &with(order(1), "deliver_at", json!(Moment(hour).to_string()))).await.json();
    let path = format!("/v1/orders/{}", id["order_id"].as_str().expect("an id"));
    let patch = |body: &Value| ask("PATCH", &path).key(&key).json(&body.to_string());
    for _ in 0..2 {
        let moved = service.ask(patch(&json!({"deliver_at": Moment(later).to_string()}))).await;
        assert_eq!((moved.status, moved.json()["due_at"].clone()), (200, json!(Moment(later).to_string())));
    }
    for (body, code) in [
        (json!({"deliver_at": CANARY}), "invalid_order"),
        (json!({"deliver_at": "9999-01-01T00:00:00Z"}), "invalid_order"),
        (
            json!({"deliver_at": Moment(later).to_string(), "not_after": Moment(hour).to_string()}),
            "invalid_order",
        ),
        (json!({"deliver_at": 5}), "invalid_body"),
        (json!({}), "invalid_body"),
        (json!({"deliver_at": Moment(later).to_string(), CANARY: 1}), "invalid_body"),
    ] {
        is_refused(&service.ask(patch(&body)).await, 422, code, &body.to_string());
    }
    let read = service.ask(get(&path).key(&key)).await.json();
    assert_eq!(read["due_at"], Moment(later).to_string(), "refusals change nothing");
    let now = give(&service, &key, &order(1)).await.json();
    let path = format!("/v1/orders/{}", now["order_id"].as_str().expect("an id"));
    let body = json!({"deliver_at": Moment(later).to_string()}).to_string();
    let answer = service.ask(ask("PATCH", &path).key(&key).json(&body)).await;
    is_refused(&answer, 409, "order_state", "its time has come");
    assert_eq!(answer.json()["state"], "running");
}

#[tokio::test]
async fn rows_that_failed_are_repeated_as_a_linked_order() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(4)).await;
    let verdicts = [(0, Verdict::Failed), (1, Verdict::Sent), (2, Verdict::Failed)];
    let old = deliver(&service, &verdicts).await.order_id();
    let answer = retry(&service, &key, &old, json!({"states": ["failed"]})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = answer.json();
    assert_eq!((told["recipients"].clone(), told["retry_of"].clone()), (json!(2), json!(old)), "{told}");
    let new = told["order_id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{new}")));
    let read = service.ask(get(&format!("/v1/orders/{new}")).key(&key)).await.json();
    assert_eq!((read["retry_of"].clone(), read["totals"]["accepted"].clone()), (json!(old), json!(2)));
    let rows = service.ask(get(&format!("/v1/orders/{new}/recipients?limit=10")).key(&key)).await.json();
    let ids: Vec<_> =
        rows["items"].as_array().expect("rows").iter().map(|row| row["recipient_id"].clone()).collect();
    assert_eq!(ids, [json!("r0"), json!("r2")]);
    // Named ones: also what got through, when that is said.
    let named = retry(&service, &key, &old, json!({"recipient_ids": ["r0", "r1"]})).await.json();
    assert_eq!(named["recipients"], 1, "{named}");
    let through = json!({"recipient_ids": ["r1", "r9"], "states": ["sent"]});
    assert_eq!(retry(&service, &key, &old, through).await.json()["recipients"], 1);
}

#[tokio::test]
async fn retries_that_are_wrong_or_repeated() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(2)).await;
    let old = deliver(&service, &[(0, Verdict::Failed)]).await.order_id();
    let before = written(&service.redis);
    for (body, status, code) in [
        (json!({"states": ["sent"]}), 422, "invalid_order"),
        (json!({"states": ["pending"]}), 422, "invalid_order"),
        (json!({"states": [CANARY]}), 422, "invalid_order"),
        (json!({"states": []}), 422, "invalid_order"),
        (json!({"recipient_ids": []}), 422, "invalid_order"),
        (json!({"recipient_ids": [format!("{CANARY} x")]}), 422, "invalid_order"),
        (json!({"deliver_at": CANARY}), 422, "invalid_order"),
        (json!({"states": 5}), 422, "invalid_body"),
        (json!({CANARY: 5}), 422, "invalid_body"),
        (json!({"states": ["unknown"]}), 409, "nothing_to_retry"),
        (json!({"recipient_ids": ["nobody"]}), 409, "nothing_to_retry"),
    ] {
        is_refused(&retry(&service, &key, &old, body.clone()).await, status, code, &body.to_string());
    }
    let other = service.key(&[Scope::Enqueue], Some("u2")).await;
    is_refused(&retry(&service, &other, &old, json!({})).await, 404, "order_not_found", "another's");
    is_refused(&retry(&service, &key, "u1.5", json!({})).await, 404, "order_not_found", "no such order");
    let mut after = written(&service.redis);
    after.retain(|name| !name.starts_with("key"));
    assert_eq!(after, before.into_iter().filter(|name| !name.starts_with("key")).collect::<Vec<_>>());

    let path = format!("/v1/orders/{old}/retry");
    let keyed =
        |body: &Value| ask("POST", &path).key(&key).header("idempotency-key", "k").json(&body.to_string());
    let first = service.ask(keyed(&json!({"states": ["failed"]}))).await;
    let again = service.ask(keyed(&json!({"states": ["failed"]}))).await;
    assert_eq!((first.status, first.json()), (202, again.json()), "{first:?}");
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    let other = service.ask(keyed(&json!({}))).await;
    is_refused(&other, 422, "idempotency_key_reused", "another request");
}
