//! Suppressions: listed, looked up, added and deleted by authorised keys.

use std::collections::BTreeSet;

use posthaste_model::{Address, Reason};
use posthaste_store::{ConsentNotice, KeyScope, Suppress, Suppressed, SuppressionSource};
use serde_json::{Value, json};

use crate::client::{Answer, ask, get};
use crate::service::Service;

const PATH: &str = "/v1/suppressions";
const LOOKUP: &str = "/v1/suppressions/lookup";
const DELETE: &str = "/v1/suppressions/delete";

async fn post(service: &Service, key: &str, path: &str, body: &Value) -> Answer {
    service.ask(ask("POST", path).key(key).json(&body.to_string())).await
}

fn of_channel(addresses: &[&str]) -> Value {
    json!({"channel": "email", "addresses": addresses})
}

fn of_sender(sender: &str, addresses: &[&str]) -> Value {
    json!({"channel": "email", "addresses": addresses, "sender_id": sender})
}

/// For each address, whether it is suppressed.
async fn suppressed(service: &Service, key: &str, body: &Value) -> Vec<bool> {
    let answer = post(service, key, LOOKUP, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.json()["items"].as_array().expect("items").clone();
    items.iter().map(|item| item["suppressed"].as_bool().expect("a word")).collect()
}

/// All suppression keys of the database, which no refused request may change.
fn stored(service: &Service) -> String {
    let lists = service.redis.command(&["KEYS", "suppressed:*"]).expect("a reply");
    let dump = |key: &posthaste_rig::RespReply| {
        let key = key.text().expect("a key").to_owned();
        format!("{key} {:?}", service.redis.command(&["HGETALL", &key]).expect("a reply"))
    };
    lists.items().iter().map(dump).collect()
}

#[tokio::test]
async fn an_address_is_suppressed_looked_up_and_deleted() {
    let service = Service::start().await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    let both = of_channel(&["ann@example.org", "bob@example.org"]);
    assert_eq!(suppressed(&service, &admin, &both).await, [false, false]);
    let put = post(&service, &admin, PATH, &of_channel(&["Ann@Example.org"])).await;
    assert_eq!((put.status, put.json()), (200, json!({"added_count": 1, "unchanged_count": 0})));
    let put = post(&service, &admin, PATH, &both).await;
    assert_eq!(put.json(), json!({"added_count": 1, "unchanged_count": 1}));

    let found = post(&service, &admin, LOOKUP, &of_channel(&["ANN@example.org", "eve@example.org"])).await;
    assert_eq!(found.header("cache-control").as_deref(), Some("no-store"));
    let found = found.json();
    assert_eq!(found["items"][1], json!({"index": 1, "suppressed": false, "entries": []}));
    let entry = &found["items"][0]["entries"][0];
    let reported = ["scope", "reason", "source"].map(|name| entry[name].as_str().expect("a word"));
    assert_eq!(reported, ["channel", "manual", "operator"]);
    assert_eq!((&entry["active"], &entry["provider_code"]), (&json!(true), &Value::Null));
    assert!(entry["created_at"].as_str().expect("a time").contains('T'), "{entry}");

    let id = entry["id"].as_str().expect("an id");
    let one = format!("{PATH}/email/{id}");
    assert_eq!(service.ask(ask("DELETE", &one).key(&admin)).await.status, 204);
    let again = service.ask(ask("DELETE", &one).key(&admin)).await;
    assert_eq!((again.status, again.problem().as_str()), (404, "suppression_not_found"));
    assert_eq!(suppressed(&service, &admin, &both).await, [false, true]);
    let deleted = post(&service, &admin, DELETE, &both).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"deleted_count": 1, "not_found_count": 1})));
    assert_eq!(suppressed(&service, &admin, &both).await, [false, false]);
    // An operator may suppress an address again at once.
    assert_eq!(
        post(&service, &admin, PATH, &both).await.json(),
        json!({"added_count": 2, "unchanged_count": 0})
    );
}

#[tokio::test]
async fn a_sender_has_its_own_list_and_sees_no_other() {
    let service = Service::start().await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    let bound = service.key(&[KeyScope::Read, KeyScope::Write], Some("u1")).await;
    let other = service.key(&[KeyScope::Read, KeyScope::Write], Some("u2")).await;
    let any = service.key(&[KeyScope::Read, KeyScope::Write, KeyScope::AnySender], None).await;
    let ann = ["ann@example.org"];
    // Without a sender, a bound key uses its own list.
    assert_eq!(post(&service, &bound, PATH, &of_channel(&ann)).await.json()["added_count"], 1);
    assert_eq!(suppressed(&service, &bound, &of_channel(&ann)).await, [true]);
    assert_eq!(suppressed(&service, &any, &of_sender("u1", &ann)).await, [true]);
    assert_eq!(suppressed(&service, &admin, &of_sender("u1", &ann)).await, [true]);
    assert_eq!(suppressed(&service, &other, &of_channel(&ann)).await, [false]);
    assert_eq!(suppressed(&service, &admin, &of_channel(&ann)).await, [false]);
    // A key can't delete from another sender's list, or from the channel's.
    assert_eq!(post(&service, &other, DELETE, &of_channel(&ann)).await.json()["deleted_count"], 0);
    for path in [PATH, LOOKUP, DELETE] {
        let refused = post(&service, &other, path, &of_sender("u1", &ann)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "sender_not_allowed"), "{path}");
        let refused = post(&service, &any, path, &of_channel(&ann)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "insufficient_scope"), "{path}");
    }
    post(&service, &admin, PATH, &of_channel(&ann)).await;
    assert_eq!(post(&service, &bound, DELETE, &of_channel(&ann)).await.json()["deleted_count"], 1);
    // The channel's list also applies to the sender, and shows up in the lookup.
    let found = post(&service, &bound, LOOKUP, &of_channel(&ann)).await.json();
    assert_eq!(found["items"][0]["entries"].as_array().expect("entries").len(), 1, "{found}");
    assert_eq!(found["items"][0]["entries"][0]["scope"], "channel");
    // A key that may read may not change, and vice versa.
    let reads = service.key(&[KeyScope::Read], Some("u1")).await;
    let sends = service.key(&[KeyScope::Write], Some("u1")).await;
    for (key, path, status) in [
        (&reads, LOOKUP, 200),
        (&reads, PATH, 403),
        (&reads, DELETE, 403),
        (&sends, LOOKUP, 403),
        (&sends, DELETE, 200),
    ] {
        assert_eq!(post(&service, key, path, &of_channel(&ann)).await.status, status, "{path}");
    }
    for key in [&bound, &any] {
        assert_eq!(service.ask(get("/v1/suppressions?channel=email").key(key)).await.status, 403);
    }
}

#[tokio::test]
async fn all_entries_are_listed_page_by_page() {
    let service = Service::start().await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    let entry = |n: u32| Suppress {
        sender: n.is_multiple_of(2).then(|| "u1".parse().expect("a sender")),
        address: Address::new(format!("r{n}@example.org")),
        reason: Reason::Provider(550),
        source: SuppressionSource::Bounce,
        after: if n == 0 { 3 } else { 1 },
        notice: ConsentNotice::received(tokio::time::Instant::now()),
    };
    let all: Vec<_> = (0..700).map(entry).collect();
    let put = service.store.suppress(&"email".parse().expect("a channel"), &all).await.expect("stored");
    assert_eq!(put.iter().filter(|put| **put == Suppressed::Added).count(), 699);
    let (mut seen, mut path, mut states) =
        (BTreeSet::new(), "/v1/suppressions?channel=email&limit=200".to_owned(), BTreeSet::new());
    loop {
        let page = service.ask(get(&path).key(&admin)).await;
        assert_eq!(page.status, 200, "{page:?}");
        let listed = page.json();
        for item in listed["items"].as_array().expect("items") {
            seen.insert(item["id"].as_str().expect("an id").to_owned());
            states.insert(
                format!("{} {} {} {}", item["scope"], item["active"], item["reason"], item["provider_code"])
                    .replace('"', ""),
            );
        }
        let Some(cursor) = listed["next_cursor"].as_str() else { break };
        path = format!("/v1/suppressions?channel=email&limit=200&cursor={cursor}");
        assert_eq!(page.header("link"), Some(format!("<{path}>; rel=\"next\"")));
    }
    assert_eq!(seen.len(), 700);
    let expected = [
        "channel true provider_error 550",
        "sender false provider_error 550",
        "sender true provider_error 550",
    ];
    assert_eq!(states.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(service.ask(get("/v1/suppressions?channel=sms").key(&admin)).await.json()["items"], json!([]));
}

#[tokio::test]
async fn invalid_requests_are_reported_by_place_and_change_nothing() {
    let service = Service::start().await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    post(&service, &admin, PATH, &of_channel(&["ann@example.org"])).await;
    let before = stored(&service);
    let many: Vec<_> = (0..501).map(|n| format!("canary{n}@example.org")).collect();
    for (body, pointer) in [
        (json!({"channel": "email"}), ""),
        (json!({"channel": "email", "addresses": []}), "/addresses"),
        (json!({"channel": "email", "addresses": many}), "/addresses"),
        (json!({"channel": "email", "addresses": "canary@example.org"}), "/addresses"),
        (json!({"channel": "email", "addresses": ["ann@example.org", "canary"]}), "/addresses/1"),
        (json!({"channel": "email", "addresses": ["ann@example.org", null]}), "/addresses/1"),
        (json!({"channel": "email", "addresses": [["canary"]]}), "/addresses/0"),
        (json!({"channel": "email", "addresses": [17]}), "/addresses/0"),
        (json!({"channel": "sms", "addresses": ["canary-phone"]}), "/addresses/0"),
        (json!({"channel": "canary channel", "addresses": ["a@example.org"]}), "/channel"),
        (json!({"channel": "x}:email", "addresses": ["a@example.org"]}), "/channel"),
        (
            json!({"channel": "email", "addresses": ["a@example.org"], "sender_id": "canary {0}"}),
            "/sender_id",
        ),
        (json!({"channel": "email", "addresses": ["a@example.org"], "canary": 1}), ""),
        (json!({"channel": "email", "addresses": ["a\u{0}canary@example.org"]}), ""),
    ] {
        for path in [PATH, LOOKUP, DELETE] {
            let refused = post(&service, &admin, path, &body).await;
            assert_eq!(refused.status, 422, "{path} {body}: {refused:?}");
            assert!(!refused.text().contains("canary"), "{refused:?}");
            let problem = refused.json();
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{path} {body}: {problem}");
        }
    }
    // Addresses can't be added for a channel that orders may not use; existing entries may still be deleted.
    let pager = json!({"channel": "pager", "addresses": ["17"]});
    assert_eq!(post(&service, &admin, PATH, &pager).await.status, 422);
    assert_eq!(post(&service, &admin, DELETE, &pager).await.status, 200);
    for query in [
        "",
        "?channel=",
        "?channel=can%7Dary",
        "?channel=email&cursor=canary",
        "?channel=email&cursor=0",
        "?channel=email&limit=0",
        "?channel=email&limit=1001",
        "?channel=email&channel=sms",
        "?channel=email&address=canary",
    ] {
        let refused = service.ask(get(&format!("{PATH}{query}")).key(&admin)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid_parameter"), "{query}");
        assert!(!refused.text().contains("canary"), "{refused:?}");
    }
    for path in
        ["email/canary", "email/5BDCC146BF60754E6A042426089575C7", "x%7D/5bdcc146bf60754e6a042426089575c7"]
    {
        let refused = service.ask(ask("DELETE", &format!("{PATH}/{path}")).key(&admin)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid_parameter"), "{path}");
    }
    assert_eq!(stored(&service), before);
}

#[tokio::test]
async fn no_address_is_in_the_database_a_response_or_an_id() {
    let service = Service::start().await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    let body = of_channel(&["canary-ann@example.org"]);
    let mut reported = String::new();
    for path in [PATH, LOOKUP, DELETE, PATH] {
        reported += &post(&service, &admin, path, &body).await.text();
    }
    reported += &service.ask(get("/v1/suppressions?channel=email").key(&admin)).await.text();
    assert!(reported.contains("manual") && !reported.contains("canary"), "{reported}");
    let stored = stored(&service);
    assert!(stored.contains("suppressed:{0}:email") && !stored.contains("canary"), "{stored}");
}

#[tokio::test]
async fn a_change_whose_reply_is_lost_is_reported_as_such() {
    let mut service = Service::with(&[("redis.call_timeout", "2s")]).await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    assert_eq!(service.ask(get("/v1/suppressions?channel=email").key(&admin)).await.status, 200);
    service.redis.kill9().expect("killed");
    let reported = post(&service, &admin, PATH, &of_channel(&["ann@example.org"])).await;
    assert_eq!(reported.status, 503, "{reported:?}");
    assert!(reported.header("retry-after").is_some(), "{reported:?}");
}

#[tokio::test]
async fn strictness_applies_to_new_entries_not_to_existing_ones() {
    let service = Service::with(&[("orders.phone_strictness", "valid")]).await;
    let admin = service.key(&[KeyScope::Admin], None).await;
    // The length is valid, but the range is unassigned: it may have been stored before the setting was changed.
    let unused = json!({"channel": "sms", "addresses": ["+7 000 123 45 67"]});
    let added = post(&service, &admin, PATH, &unused).await;
    assert_eq!((added.status, added.json()["errors"][0]["code"].as_str()), (422, Some("invalid_phone")));
    assert_eq!(suppressed(&service, &admin, &unused).await, [false]);
    assert_eq!(
        post(&service, &admin, DELETE, &unused).await.json(),
        json!({"deleted_count": 0, "not_found_count": 1})
    );
}
