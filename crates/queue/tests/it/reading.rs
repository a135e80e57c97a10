//! Lists, orders, deliveries, couriers.

use std::time::Duration;

use posthaste_store::KeyScope;

use crate::client::get;
use crate::service::{Service, order_id};

#[tokio::test]
async fn an_order_is_shown_with_its_version() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 17);
    service.order(&order, 3, Some(service.in_an_hour().await)).await;
    let path = format!("/v1/orders/{}", order.wire_id());
    let answer = service.ask(get(&path).key(&key)).await;
    let view = answer.json();
    assert_eq!(view["id"], "u1.17", "{view}");
    assert_eq!((&view["status"], &view["priority"]), (&"scheduled".into(), &"bulk".into()));
    assert_eq!((&view["source"], &view["sender_id"]), (&"timetable".into(), &"u1".into()));
    assert_eq!(
        (&view["channel_counts"]["email"]["pending"], &view["counts"]["total"]),
        (&3.into(), &3.into())
    );
    assert!(view["cancelled_at"].is_null() && view["finished_at"].is_null(), "{view}");
    let spelled = service.ask(get("/v1/orders/history:u1:17").key(&key)).await;
    assert_eq!(spelled.json(), view, "the other spelling returns the same");

    let etag = answer.header("etag").expect("a version");
    for sent in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
        let again = service.ask(get(&path).key(&key).header("if-none-match", &sent)).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{sent}");
        assert_eq!(again.header("etag"), Some(etag.clone()));
    }
    service.store.cancel(0, &order).await.expect("cancelled");
    let changed = service.ask(get(&path).key(&key).header("if-none-match", &etag)).await;
    assert_eq!((changed.status, &changed.json()["status"]), (200, &"cancelled".into()));
    assert_eq!(changed.json()["counts"]["cancelled"], 3);
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let due = service.in_an_hour().await;
    for n in 1..=5 {
        service.order(&order_id("u1", n), 1, Some(due)).await;
        service.order(&order_id("u2", n), 1, Some(due)).await;
    }
    service.store.cancel(0, &order_id("u1", 2)).await.expect("cancelled");
    let mut seen = Vec::new();
    let mut path = "/v1/orders?limit=2".to_owned();
    loop {
        let answer = service.ask(get(&path).key(&key)).await;
        let page = answer.json();
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 2, "{page}");
        seen.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        let link = answer.header("link");
        assert_eq!(link.is_some(), page["next_cursor"].is_string(), "{answer:?}");
        let Some(link) = link else { break };
        let (target, rel) = link.split_once(">; ").expect("a link");
        assert_eq!(rel, "rel=\"next\"");
        path = target.trim_start_matches('<').to_owned();
    }
    assert_eq!(seen, ["u1.5", "u1.4", "u1.3", "u1.2", "u1.1"]);

    let ids = async |query: &str| {
        let page = service.ask(get(&format!("/v1/orders?{query}")).key(&key)).await.json();
        page["items"].as_array().unwrap_or_else(|| panic!("{page}")).len()
    };
    assert_eq!(ids("status=cancelled").await, 1);
    assert_eq!(ids("status=scheduled,running").await, 4);
    assert_eq!(ids("created_after=2099-01-01T00:00:00Z").await, 0);
    assert_eq!(ids("created_before=2099-01-01T00:00:00Z&sender_id=u1").await, 5);
    let first = service.ask(get("/v1/orders?limit=1").key(&key)).await.json();
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let master = service.master().await;
    let foreign = format!("/v1/orders?sender_id=u2&cursor={cursor}");
    let answer = service.ask(get(&foreign).key(&master)).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (422, "invalid_parameter"),
        "the cursor belongs to another list"
    );
}

#[tokio::test]
async fn deliveries_are_returned_as_pages_or_as_ndjson() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1_200, Some(service.in_an_hour().await)).await;
    let base = format!("/v1/orders/{}/deliveries", order.wire_id());
    let mut deliveries = Vec::new();
    let mut path = format!("{base}?limit=500&status=pending&channel=email");
    loop {
        let answer = service.ask(get(&path).key(&key)).await;
        let page = answer.json();
        deliveries.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
        let Some(link) = answer.header("link") else { break };
        path = link.trim_start_matches('<').split('>').next().expect("a target").to_owned();
    }
    assert_eq!(deliveries.len(), 1_200);
    let delivery = &deliveries[700];
    assert_eq!(
        (&delivery["recipient_index"], &delivery["recipient_id"]),
        (&700.into(), &"r700".into()),
        "{delivery}"
    );
    assert_eq!((&delivery["channel"], &delivery["address"]), (&"email".into(), &"r700@example.org".into()));
    assert_eq!(
        (&delivery["status"], &delivery["attempt_count"], &delivery["waiting_for"]),
        (&"pending".into(), &0.into(), &"schedule".into())
    );
    assert!(
        delivery["next_attempt_at"].is_string()
            && delivery["reason"].is_null()
            && delivery["updated_at"].is_null(),
        "{delivery}"
    );

    let lines = service.ask(get(&base).key(&key).header("accept", "application/x-ndjson")).await;
    assert_eq!(lines.header("content-type").as_deref(), Some("application/x-ndjson"));
    let text = lines.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(lines, deliveries, "the same deliveries, one per line");
    let none = service.ask(get(&format!("{base}?status=failed")).key(&key)).await.json();
    assert_eq!(none["items"], serde_json::json!([]));
    let image = service.ask(get(&base).key(&key).header("accept", "image/png")).await;
    assert_eq!((image.status, image.problem().as_str()), (406, "not_acceptable"));
}

#[tokio::test]
async fn a_delivery_shows_what_it_waits_for() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let order = order_id("u1", 1);
    service.order(&order, 1, None).await;
    let path = format!("/v1/orders/{}/deliveries", order.wire_id());
    let page = service.ask(get(&path).key(&key)).await.json();
    assert_eq!(page["items"][0]["waiting_for"], "no_courier", "{page}");
    let couriers = service.ask(get("/v1/couriers").key(&key)).await.json();
    assert_eq!(couriers["items"][0]["channel"], "email", "{couriers}");
    assert_eq!(couriers["items"][0]["online"], false);
    let courier = service.courier().await;
    let couriers = service.ask(get("/v1/couriers").key(&key)).await.json();
    assert_eq!(couriers["items"][0]["online"], true, "{couriers}");
    assert!(couriers["items"][0]["last_seen_at"].is_string());
    let page = service.ask(get(&path).key(&key)).await.json();
    assert_eq!(page["items"][0]["waiting_for"], "courier", "{page}");
    courier.disconnect().await;
}

#[tokio::test]
async fn an_order_moved_out_of_the_quiet_hours_waits_for_their_end() {
    // Quiet all day except for one hour that is far off: whenever the test runs, the order is moved.
    let service = Service::start().await;
    let now = service.store.server_time().await.expect("the time");
    let hour = now.0 / 3_600_000 % 24;
    let (from, to) = (format!("{hour:02}:00"), format!("{:02}:00", (hour + 4) % 24));
    let quiet = Service::with(&[
        ("quiet_hours.enabled", "true"),
        ("quiet_hours.from", &from),
        ("quiet_hours.to", &to),
    ])
    .await;
    let key = quiet.key(&[KeyScope::Read, KeyScope::Write], Some("u1")).await;
    let body = r#"{"sender":{"id":"u1"},"recipients":[{"id":"r","contacts":{"email":["a@example.org"]}}],"text":"x","priority":"bulk"}"#;
    let made = quiet.ask(crate::client::ask("POST", "/v1/orders").key(&key).json(body)).await;
    assert_eq!(made.status, 202, "{made:?}");
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let page = quiet.ask(get(&format!("/v1/orders/{id}/deliveries")).key(&key)).await.json();
    assert_eq!(page["items"][0]["waiting_for"], "quiet_hours", "{page}");
    assert!(page["items"][0]["next_attempt_at"].is_string(), "{page}");
    let order = order_id("u1", 5);
    quiet.order(&order, 1, Some(now.after(Duration::from_secs(50 * 3600)))).await;
    let page = quiet.ask(get("/v1/orders/u1.5/deliveries").key(&key)).await.json();
    assert_eq!(page["items"][0]["waiting_for"], "schedule", "this one was not moved: {page}");
}

#[tokio::test]
async fn an_order_shows_whether_its_channel_has_receipts() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read], Some("u1")).await;
    let (with, without) = (order_id("u1", 1), order_id("u1", 2));
    service.order(&with, 1, None).await;
    let courier = service.courier_with(true).await;
    let order = service.ask(get(&format!("/v1/orders/{}", with.wire_id())).key(&key)).await.json();
    assert_eq!(order["delivery_receipts"], serde_json::json!({"email": true}), "{order}");
    let couriers = service.ask(get("/v1/couriers").key(&key)).await.json();
    assert_eq!(couriers["items"][0]["delivery_receipts"], true, "{couriers}");
    courier.disconnect().await;

    let another = Service::start().await;
    let key = another.key(&[KeyScope::Read], Some("u1")).await;
    another.order(&without, 1, None).await;
    let list = another.ask(get("/v1/orders").key(&key)).await.json();
    assert_eq!(
        list["items"][0]["delivery_receipts"],
        serde_json::json!({"email": null}),
        "no courier has reported it: {list}"
    );
}

#[tokio::test]
async fn an_order_gives_back_what_it_says_and_its_metadata() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read, KeyScope::Write], Some("u1")).await;
    let body = serde_json::json!({"sender": {"id": "u1"}, "text": "Hello", "subject": "News",
        "overrides": {"sms": {"text": "Hi"}}, "metadata": {"case": 17, "who": "Анна"},
        "recipients": [{"id": "r", "contacts": {"email": ["a@example.org"]}}]});
    let made = service.ask(crate::client::ask("POST", "/v1/orders").key(&key).json(&body.to_string())).await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let order = service.ask(get(&format!("/v1/orders/{id}")).key(&key)).await.json();
    assert_eq!(order["metadata"], body["metadata"], "{order}");
    assert_eq!(
        order["content"],
        serde_json::json!({"text": "Hello", "subject": "News", "html": null, "overrides": {"sms": {"text": "Hi"}},
            "sender_name": null, "from_email": null, "reply_to": null}),
        "{order}"
    );
    let list = service.ask(get("/v1/orders").key(&key)).await.json();
    assert_eq!(list["items"][0]["metadata"], body["metadata"], "{list}");
    let plain = order_id("u1", 1);
    service.order(&plain, 1, None).await;
    let order = service.ask(get(&format!("/v1/orders/{}", plain.wire_id())).key(&key)).await.json();
    assert_eq!(order["metadata"], serde_json::Value::Null, "{order}");
}

#[tokio::test]
async fn deliveries_of_one_recipient_are_found_by_id() {
    let service = Service::start().await;
    let key = service.key(&[KeyScope::Read, KeyScope::Write], Some("u1")).await;
    let people: Vec<_> = (0..30)
        .map(|n| serde_json::json!({"id": format!("r{n}"), "contacts": {"email": [format!("a{n}@example.org")]}}))
        .collect();
    let body = serde_json::json!({"sender": {"id": "u1"}, "text": "Hello", "recipients": people});
    let made = service.ask(crate::client::ask("POST", "/v1/orders").key(&key).json(&body.to_string())).await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    for (query, found) in
        [("recipient_id=r17", 1), ("recipient_id=r17&limit=1", 1), ("recipient_id=nobody", 0)]
    {
        let page = service.ask(get(&format!("/v1/orders/{id}/deliveries?{query}")).key(&key)).await.json();
        assert_eq!(page["items"].as_array().map(Vec::len), Some(found), "{query}: {page}");
        assert!(found == 0 || page["items"][0]["recipient_id"] == "r17", "{query}: {page}");
    }
    let wrong = service.ask(get(&format!("/v1/orders/{id}/deliveries?recipient_id=a%40b")).key(&key)).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "invalid_parameter"));
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/recipient_id", "{wrong:?}");
    let unknown = service.ask(get(&format!("/v1/orders/{id}/deliveries?recipient=r17")).key(&key)).await;
    assert_eq!(unknown.json()["errors"][0]["pointer"], "/recipient", "{unknown:?}");
}
