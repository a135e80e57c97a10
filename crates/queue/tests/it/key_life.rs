//! The life of a key: created, shown once, used, replaced, expired, revoked.

use std::time::Duration;

use posthaste_model::{Clock, SystemClock};
use posthaste_queue::keys::{MintError, Wanted, mint};
use posthaste_rig::eventually_async;
use posthaste_store::KeyScope;

use crate::client::{ask, get};
use crate::service::Service;

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let service = Service::start().await;
    let master = service.master().await;
    let body = r#"{"name":"timetable","scopes":["read"],"sender_id":"u1","role":"trainer"}"#;
    let made = service.ask(ask("POST", "/v1/api-keys").key(&master).json(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control").as_deref(), Some("no-store"));
    let made = made.json();
    let (key, id) = (made["token"].as_str().expect("a key"), made["id"].as_str().expect("an id"));
    assert!(key.starts_with(&format!("ph_{id}_")) && key.len() == 3 + 12 + 1 + 43, "{made}");
    assert_eq!(service.ask(get("/v1/orders").key(key)).await.status, 200);

    let listed = service.ask(get("/v1/api-keys").key(&master)).await;
    let secret = &key[16..];
    assert!(!listed.text().contains(secret), "{listed:?}");
    let stored = service.redis.command(&["HGETALL", &format!("key:{{0}}:{id}")]).expect("a reply");
    assert!(!stored.items().is_empty(), "it is stored there");
    assert!(!format!("{stored:?}").contains(secret), "only the hash is stored");
    let listed = listed.json();
    let mine = listed["items"].as_array().expect("items").iter().find(|item| item["id"] == id).expect("it");
    assert_eq!(
        (&mine["name"], &mine["sender_id"], &mine["role"]),
        (&"timetable".into(), &"u1".into(), &"trainer".into())
    );
    assert_eq!(mine["scopes"], serde_json::json!(["read"]));
    eventually_async("the last use is shown", async || {
        let listed = service.ask(get("/v1/api-keys").key(&master)).await.json();
        let items = listed["items"].as_array().expect("items").clone();
        let used = items.iter().any(|item| item["id"] == id && item["last_used_at"].is_string());
        if used { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;

    let path = format!("/v1/api-keys/{id}");
    assert_eq!(service.ask(ask("DELETE", &path).key(&master)).await.status, 204);
    assert_eq!(service.ask(get("/v1/orders").key(key)).await.status, 401, "at once, here");
    assert_eq!(service.ask(ask("DELETE", &path).key(&master)).await.status, 204, "safe to repeat");
    let gone = service.ask(ask("DELETE", "/v1/api-keys/aaaaaaaaaaaa").key(&master)).await;
    assert_eq!((gone.status, gone.problem().as_str()), (404, "key_not_found"));
}

#[tokio::test]
async fn two_live_keys_may_share_a_name_but_not_three() {
    let service = Service::start().await;
    let master = service.master().await;
    let body = r#"{"name":"rotated","scopes":["read"],"sender_id":"u1"}"#;
    let make = || service.ask(ask("POST", "/v1/api-keys").key(&master).json(body));
    let (first, second, third) = (make().await, make().await, make().await);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!((third.status, third.problem().as_str()), (409, "key_name_taken"));
    let old = first.json();
    let path = format!("/v1/api-keys/{}", old["id"].as_str().expect("an id"));
    assert_eq!(service.ask(ask("DELETE", &path).key(&master)).await.status, 204);
    assert_eq!(make().await.status, 201, "the old one no longer counts");
    let key = second.json()["token"].as_str().expect("a key").to_owned();
    assert_eq!(service.ask(get("/v1/orders").key(&key)).await.status, 200);
}

#[tokio::test]
async fn a_key_expires_on_time() {
    let service = Service::start().await;
    // As short as this machine allows for using the key before it expires.
    let mut span = Duration::from_millis(1_500);
    let key = loop {
        let expires = SystemClock.now().after(span);
        let wanted = Wanted {
            name: "short".to_owned(),
            scopes: [KeyScope::Read].into_iter().collect(),
            sender: Some("u1".parse().expect("a sender")),
            expires: Some(expires),
            ..Wanted::default()
        };
        let key = mint(&service.store, &wanted).await.expect("a key").bearer.expose();
        let status = service.ask(get("/v1/orders").key(&key)).await.status;
        if SystemClock.now() < expires {
            assert_eq!(status, 200);
            break key;
        }
        span *= 2;
    };
    eventually_async("the key has expired", async || {
        match service.ask(get("/v1/orders").key(&key)).await.status {
            401 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    let master = service.master().await;
    let past = r#"{"name":"past","scopes":["admin"],"expires_at":"2020-01-01T00:00:00Z"}"#;
    let refused = service.ask(ask("POST", "/v1/api-keys").key(&master).json(past)).await;
    assert_eq!(refused.json()["errors"][0]["pointer"], "/expires_at", "{refused:?}");
}

#[tokio::test]
async fn an_unbound_key_needs_any_sender() {
    let service = Service::start().await;
    let wanted = |scopes: &[KeyScope], sender: Option<&str>| Wanted {
        name: "n".to_owned(),
        scopes: scopes.iter().copied().collect(),
        sender: sender.map(|sender| sender.parse().expect("a sender")),
        ..Wanted::default()
    };
    let unbound = mint(&service.store, &wanted(&[KeyScope::Read], None)).await.expect_err("unbound");
    assert!(matches!(unbound, MintError::Unbound), "{unbound}");
    let bound = mint(&service.store, &wanted(&KeyScope::ALL, Some("u1"))).await.expect_err("bound");
    assert!(matches!(bound, MintError::Bound), "{bound}");
    let powerless = mint(&service.store, &wanted(&[], None)).await.expect_err("powerless");
    assert!(matches!(powerless, MintError::Powerless), "{powerless}");
    let keys: std::collections::HashSet<String> = {
        let mut keys = std::collections::HashSet::new();
        for _ in 0..20 {
            keys.insert(service.key(&[KeyScope::Admin], None).await);
        }
        keys
    };
    assert_eq!(keys.len(), 20, "all keys differ");
}
