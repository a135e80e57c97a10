//! Accepted orders: what is stored, what the response says, and repeats.

use serde_json::json;

use crate::client::{ask, get};
use crate::intake::*;
use crate::service::Service;

/// Settings of a service, each with its value.
type Given<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn an_order_for_now_is_stored_and_reported() {
    let service = Service::start().await;
    let key = service.master().await;
    let answer = give(&service, &key, &order(3)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reported = answer.json();
    let id = reported["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("u1."), "{reported}");
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{id}")));
    assert_eq!(reported["status"], "running");
    assert_eq!(reported["durability"], "fast");
    assert_eq!(reported["created_at"], reported["deliver_at"]);
    assert_eq!(reported["delay_reason"], json!(null));
    assert_eq!(reported["recipients"]["accepted_count"], 3);
    assert_eq!(reported["recipients"]["delivery_counts"], json!({"email": 3}));
    assert_eq!(reported["channels_without_courier"], json!(["email"]));
    let read = service.ask(get(&format!("/v1/orders/{id}")).key(&key)).await.json();
    assert_eq!(read["counts"]["total"], 3, "{read}");
    assert_eq!(read["sender_id"], "u1");
}

#[tokio::test]
async fn an_order_for_later_waits() {
    let service = Service::start().await;
    let key = service.master().await;
    let due = posthaste_queue::timestamp::ApiTime(service.in_an_hour().await).to_string();
    let answer = give(&service, &key, &with(order(1), "deliver_at", json!(due))).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("scheduled")), "{answer:?}");
    assert_eq!(answer.json()["deliver_at"], due);
    // A past due time means now.
    let past = posthaste_queue::timestamp::ApiTime(posthaste_model::UnixMs(
        service.in_an_hour().await.0 - 2 * 3_600_000,
    ));
    let answer = give(&service, &key, &with(order(1), "deliver_at", json!(past.to_string()))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn addresses_are_normalised_and_merged() {
    let service = Service::with(&[("orders.phone_region", "RU")]).await;
    let key = service.master().await;
    let body = json!({
        "sender": {"id": "u1"}, "text": "Hello", "address_mode": "all",
        "recipients": [
            {"id": "a", "name": "Ann", "contacts": {
                "email": ["Ann@Example.ORG", "ann@пример.рф"], "sms": ["8 (999) 123-45-67"],
                "telegram": [123, "@Some_Name"], "vk": [45]}},
            {"id": "b", "contacts": {"email": ["Ann@EXAMPLE.org"], "sms": ["+7 999 123 45 67"]}},
            {"id": "a", "contacts": {"email": ["other@example.org"]}},
            {"id": "c"},
        ],
    });
    let answer = give(&service, &key, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reported = answer.json();
    let recipients = &reported["recipients"];
    assert_eq!(recipients["accepted_count"], 3);
    assert_eq!(recipients["delivery_counts"], json!({"email": 2, "sms": 1, "telegram": 2, "vk": 1}));
    assert_eq!(
        recipients["duplicates"],
        json!({"recipient_count": 1, "locations": [{"pointer": "/recipients/2"}], "address_count": 2})
    );
    assert_eq!(recipients["no_contact"], json!({"email": 1, "sms": 1, "telegram": 2, "vk": 2}));
    let id = reported["id"].as_str().expect("an id");
    let deliveries =
        service.ask(get(&format!("/v1/orders/{id}/deliveries?limit=100")).key(&key)).await.json();
    let mut addresses: Vec<_> = deliveries["items"]
        .as_array()
        .expect("deliveries")
        .iter()
        .map(|delivery| delivery["address"].as_str().expect("one"))
        .collect();
    addresses.sort_unstable();
    let wanted = ["+79991234567", "123", "45", "@some_name", "Ann@example.org", "ann@xn--e1afmkfd.xn--p1ai"];
    assert_eq!(addresses, wanted);
}

#[tokio::test]
async fn messages_go_to_allowed_countries_and_never_to_costly_numbers() {
    let numbers = [
        "+79991234567",
        "+77011234567",
        "+12025550123",
        "+447400123456",
        "+78091234567",
        "+881612345678",
        "+870301234567",
        "+979123456789",
    ];
    let (country, number) = (Some("country_not_allowed"), Some("number_not_allowed"));
    let costly = [number; 4];
    let head: [(Given<'_>, [Option<&str>; 4]); 5] = [
        // No country is configured.
        (&[], [country; 4]),
        (&[("orders.phone_region", "RU")], [None, country, country, country]),
        (
            &[("orders.phone_region", "RU"), ("orders.phone_countries", "US")],
            [country, country, None, country],
        ),
        (&[("orders.phone_countries", "RU,KZ,GB")], [None, None, country, None]),
        (&[("orders.phone_countries", "*")], [None; 4]),
    ];
    for (settings, wanted) in head {
        let service = Service::with(settings).await;
        let key = service.master().await;
        let people: Vec<_> = numbers
            .iter()
            .map(|number| json!({"contacts": {"sms": [number], "email": ["a@example.org"]}}))
            .collect();
        let body = with(with(order(1), "recipients", json!(people)), "on_invalid", json!("skip"));
        let reported = give(&service, &key, &body).await;
        assert_eq!(reported.status, 200, "{settings:?}: {reported:?}");
        let skipped = reported.json()["recipients"]["skipped"].clone();
        let code = |at: usize| {
            let place = format!("/recipients/{at}/contacts/sms/0");
            let field_error = skipped
                .as_array()
                .and_then(|all| all.iter().find(|field_error| field_error["pointer"] == *place))?;
            field_error["code"].as_str().map(str::to_owned)
        };
        for (at, wanted) in wanted.iter().chain(&costly).enumerate() {
            assert_eq!(code(at).as_deref(), *wanted, "{settings:?} {}", numbers[at]);
        }
        // On its own it refuses the order, and nothing of the number is repeated.
        let alone = json!([{"contacts": {"sms": [numbers[5]]}}]);
        let reported = give(&service, &key, &with(order(1), "recipients", alone)).await;
        is_refused(&reported, 422, "validation_failed", "a satellite phone");
        assert!(!reported.text().contains("881612"), "{reported:?}");
    }
}

#[tokio::test]
async fn invalid_recipients_are_named_or_skipped() {
    let service = Service::with(&[("orders.phone_countries", "RU")]).await;
    let key = service.master().await;
    let before = written(&service.redis);
    let mut body = order(2);
    body["recipients"] = json!([
        {"id": "a", "contacts": {"email": ["a@example.org"]}},
        {"id": "b", "contacts": {"email": [format!("{CANARY} @example.org")], "sms": ["+79991234567"]}},
        {"id": format!("{CANARY} x"), "contacts": {"email": ["c@example.org"]}},
        {"id": "d", "contacts": {"email": [5]}},
        7,
        {"id": "e", "contacts": {"pager": ["1"]}},
    ]);
    let answer = give(&service, &key, &body).await;
    is_refused(&answer, 422, "validation_failed", "bad recipients");
    let places: Vec<_> = answer.json()["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| {
            (
                error["pointer"].as_str().expect("one").to_owned(),
                error["code"].as_str().expect("one").to_owned(),
            )
        })
        .collect();
    let wanted = [
        ("/recipients/1/contacts/email/0", "invalid_email"),
        ("/recipients/2/id", "invalid_id"),
        ("/recipients/3/contacts/email/0", "wrong_type"),
        ("/recipients/4", "wrong_type"),
        ("/recipients/5/contacts", "unknown_channel"),
    ];
    let kept: Vec<_> = places.iter().map(|(place, code)| (place.as_str(), code.as_str())).collect();
    assert_eq!(kept, wanted);
    assert_eq!(written(&service.redis), before, "nothing is written");

    let answer = give(&service, &key, &with(body, "on_invalid", json!("skip"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reported = answer.json();
    assert_eq!(reported["recipients"]["accepted_count"], 2, "{reported}");
    assert_eq!(reported["recipients"]["delivery_counts"], json!({"email": 1, "sms": 1}));
    assert_eq!(reported["recipients"]["skipped_count"], 5);
    assert_eq!(reported["recipients"]["skipped"][0]["pointer"], "/recipients/1/contacts/email/0");
    assert!(!answer.text().contains(CANARY));
}

#[tokio::test]
async fn the_same_order_under_an_id_is_a_repeat_and_another_is_a_conflict() {
    let service = Service::start().await;
    let key = service.key(&[posthaste_store::KeyScope::Write], Some("u1")).await;
    let id = service.ask(ask("POST", "/v1/order-ids").key(&key).json("{}")).await.json();
    let path = format!("/v1/orders/{}", id["id"].as_str().expect("an id"));
    let put = |body: &serde_json::Value| ask("PUT", &path).key(&key).json(&body.to_string());
    let first = service.ask(put(&order(2))).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None), "{first:?}");
    let stored = written(&service.redis);
    let again = service.ask(put(&order(2))).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed").as_deref()),
        (200, Some("true")),
        "{again:?}"
    );
    assert_eq!(again.json(), first.json());
    // As an upload it is the same order.
    let mut head = order(2);
    let recipients = head["recipients"].take();
    head.as_object_mut().expect("an object").remove("recipients");
    let body = lines(&head, recipients.as_array().expect("a list").clone());
    let as_lines = ask("PUT", &path).key(&key).header("content-type", "application/x-ndjson").body(&body);
    let again = service.ask(as_lines).await;
    assert_eq!(again.json(), first.json());
    let other = service.ask(put(&with(order(2), "text", json!(CANARY)))).await;
    is_refused(&other, 409, "order_already_exists", "another text");
    let other = service.ask(put(&order(3))).await;
    is_refused(&other, 409, "order_already_exists", "another recipient");
    assert_eq!(written(&service.redis), stored);
}

#[tokio::test]
async fn a_dry_run_reports_everything_and_writes_nothing() {
    let service = Service::start().await;
    let key = service.master().await;
    let before = written(&service.redis);
    let mut body = order(3);
    body["recipients"].as_array_mut().expect("a list").push(recipient(1));
    body["recipients"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"id": "x", "contacts": {"email": ["R0@example.org", "r0@example.org"]}}));
    body["address_mode"] = json!("all");
    let answer = service.ask(ask("POST", "/v1/orders?dry_run=true").key(&key).json(&body.to_string())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reported = answer.json();
    assert_eq!((reported["status"].clone(), reported["dry_run"].clone()), (json!(null), json!(true)));
    // R0@ and r0@ are the mailbox of the first recipient.
    assert_eq!(reported["recipients"]["delivery_counts"], json!({"email": 3}));
    assert_eq!(reported["recipients"]["duplicates"]["recipient_count"], 1);
    assert_eq!(reported["recipients"]["duplicates"]["address_count"], 2);
    assert_eq!(answer.header("location"), None);
    let head = json!({"sender": {"id": "u1"}, "text": "Hello"});
    let many = lines(&head, (0..9_000).map(recipient));
    let answer = service.ask(upload(&key, "/v1/orders?dry_run=true", &many)).await;
    assert_eq!(answer.json()["recipients"]["delivery_counts"], json!({"email": 9_000}), "{answer:?}");
    let bad = with(order(1), "text", json!(" "));
    let answer = service.ask(ask("POST", "/v1/orders?dry_run=true").key(&key).json(&bad.to_string())).await;
    is_refused(&answer, 422, "validation_failed", "an empty text");
    assert_eq!(written(&service.redis), before);
}

#[tokio::test]
async fn senders_and_roles_must_match_the_key() {
    let service = Service::start().await;
    let bound = service.key(&[posthaste_store::KeyScope::Write], Some("u1")).await;
    let reader = service.key(&[posthaste_store::KeyScope::Read], Some("u1")).await;
    let before = written(&service.redis);
    let other = with(order(1), "sender", json!({"id": "u2"}));
    is_refused(&give(&service, &bound, &other).await, 403, "sender_not_allowed", "another sender");
    let role = with(order(1), "sender", json!({"id": "u1", "role": "staff"}));
    is_refused(&give(&service, &bound, &role).await, 403, "sender_not_allowed", "a role");
    is_refused(&give(&service, &reader, &order(1)).await, 403, "insufficient_scope", "a reader");
    let put = ask("PUT", "/v1/orders/u2.5").key(&bound).json(&order(1).to_string());
    is_refused(&service.ask(put).await, 403, "sender_not_allowed", "another's id");
    let master = service.master().await;
    let unknown = with(order(1), "sender", json!({"id": "u1", "role": CANARY}));
    is_refused(&give(&service, &master, &unknown).await, 403, "role_not_allowed", "an unknown role");
    let mut nobody = order(1);
    nobody.as_object_mut().expect("an object").remove("sender");
    is_refused(&give(&service, &master, &nobody).await, 422, "validation_failed", "no sender");
    let mut after = written(&service.redis);
    after.retain(|name| !before.contains(name));
    assert!(after.iter().all(|name| name.starts_with("key")), "{after:?}");
    let answer = give(&service, &bound, &nobody).await;
    assert_eq!(answer.status, 200, "the key names the sender: {answer:?}");
}
