//! API keys, their rate, and the return of places and idempotency keys.

use std::time::Duration;

use posthaste_model::{SenderId, UnixMs};
use posthaste_store::{
    BoundIdempotencyKey, DailyPlaces, KeyCreated, KeyId, KeyRevoked, KeyScope, NewKey, NothingStored,
    RateDecision, Role, SecretHash, SendAs, Store,
};

use crate::house::*;

fn id(n: u32) -> KeyId {
    format!("key{n:09}").parse().unwrap()
}

fn key(n: u32) -> NewKey {
    NewKey {
        id: id(n),
        name: "ci".into(),
        hash: SecretHash::new([u8::try_from(n).unwrap(); 32]),
        scopes: [KeyScope::Read].into_iter().collect(),
        sender: Some("u1".parse().unwrap()),
        role: Some("staff".into()),
        send_as: SendAs::any(),
        expires: None,
    }
}

#[tokio::test]
async fn a_key_is_created_used_and_revoked() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.find_key(&id(1)).await.unwrap(), None);
    assert_eq!(store.list_keys().await.unwrap(), []);
    assert_eq!(store.revoke_key(&id(1)).await.unwrap(), KeyRevoked::NotFound);
    assert!(!store.touch_key(&id(1)).await.unwrap());

    let KeyCreated::Created(created) = store.create_key(&key(1)).await.unwrap() else { panic!("not kept") };
    assert_eq!(store.create_key(&key(1)).await.unwrap(), KeyCreated::AlreadyDone(created));
    assert!(store.touch_key(&id(1)).await.unwrap());
    let record = store.find_key(&id(1)).await.unwrap().unwrap();
    assert!(record.hash.same(&key(1).hash) && record.scopes.contains(KeyScope::Read));
    assert_eq!((record.role.as_deref(), record.created), (Some("staff"), created));
    assert!(record.last_used >= Some(created) && record.live_at(created));

    // Another process sees the same.
    let other = tool(&server).await;
    let KeyRevoked::Revoked(at) = other.revoke_key(&id(1)).await.unwrap() else { panic!("not ended") };
    assert_eq!(other.revoke_key(&id(1)).await.unwrap(), KeyRevoked::AlreadyDone(at));
    assert!(!store.find_key(&id(1)).await.unwrap().unwrap().live_at(at));
}

#[tokio::test]
async fn keys_are_listed_newest_first() {
    let server = server();
    let store = tool(&server).await;
    for n in 1..=3 {
        let name = format!("k{n}");
        store.create_key(&NewKey { name, ..key(n) }).await.unwrap();
        // As if it had been created some time before the next.
        server.command(&["ZADD", "keys:{0}", &n.to_string(), id(n).as_str()]).unwrap();
    }
    let ids = async |store: &Store| {
        let keys = store.list_keys().await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&store).await, [id(3), id(2), id(1)]);
    // An unreadable record does not hide the others.
    server.command(&["HDEL", "key:{0}:key000000002", "hash"]).unwrap();
    assert_eq!(ids(&store).await, [id(3), id(1)]);
    assert!(store.find_key(&id(2)).await.is_err());
}

#[tokio::test]
async fn all_processes_share_one_rate() {
    let server = server();
    let (first, second) = (tool(&server).await, tool(&server).await);
    let thousand = async |store: &Store| store.limit_rate(&id(1), 1_000, 1, 2_000).await.unwrap();
    assert!(matches!(thousand(&first).await, RateDecision::Allowed { left: 1_000..1_999, .. }));
    assert!(matches!(thousand(&second).await, RateDecision::Allowed { left: 0..999, .. }));
    for store in [&first, &second] {
        assert!(
            matches!(thousand(store).await, RateDecision::RetryAfter(wait) if wait <= Duration::from_secs(1_000))
        );
    }
    assert_eq!(first.limit_rate(&id(1), 2_001, 1, 2_000).await.unwrap(), RateDecision::ExceedsBurst);
}

#[tokio::test]
async fn taken_places_are_counted_and_returned() {
    let server = server();
    let store = tool(&server).await;
    let (sender, ttl): (SenderId, _) = ("u1".parse().unwrap(), Duration::from_secs(60));
    assert_eq!(store.day(&sender, UnixMs(0)).await.unwrap(), 0);
    for n in 1..=2 {
        let reserved = store.take_daily_places(&sender, &order_id(n), 5, UnixMs(0)).await.unwrap();
        assert!(matches!(reserved, DailyPlaces::Ok { .. }));
    }
    assert_eq!(store.day(&sender, UnixMs(0)).await.unwrap(), 2);
    assert_eq!(store.day(&sender, store.server_time().await.unwrap().after(ttl)).await.unwrap(), 0);

    let proof = NothingStored::never_tried();
    let unbind = async |n| store.free_idempotency_key(&sender, "abc", &order_id(n), &proof).await.unwrap();
    let bind = async |n, digest| {
        store.bind_idempotency_key(&sender, "abc", &order_id(n), [digest; 12], ttl).await.unwrap()
    };
    let bound = async || store.bound(&sender, "abc").await.unwrap();
    assert!(!unbind(1).await);
    assert_eq!(bound().await, None);
    assert_eq!(bind(1, 1).await, BoundIdempotencyKey::Bound);
    assert!(!unbind(2).await);
    assert!(unbind(1).await);
    assert_eq!(bind(2, 2).await, BoundIdempotencyKey::Bound);
    // It stays when it is shared with a repeat.
    assert_eq!(bind(3, 2).await, BoundIdempotencyKey::AlreadyDone(order_id(2)));
    assert!(!unbind(2).await);
    assert_eq!(bound().await, Some((order_id(2), [2; 12])));
}

#[tokio::test]
async fn couriers_of_all_partitions_are_found() {
    let server = server();
    let settings = posthaste_store::Settings { partitions: 3, ..settings(&server.url()) };
    let (store, _) = Store::connect(settings.clone(), Role::Queue).await.unwrap();
    assert_eq!(store.couriers().await.unwrap(), []);
    let (_courier, _) = Store::connect(settings, Role::Courier(email())).await.unwrap();
    let old = store.server_time().await.unwrap().0 - 60_000;
    for (p, channel, at) in [(0, "sms", 0), (1, "vk", old), (2, "vk", old - 5), (0, "email", 5)] {
        server.command(&["HSET", &format!("channels:{{{p}}}"), channel, &at.to_string()]).unwrap();
    }
    let seen = store.couriers().await.unwrap();
    let reported: Vec<_> = seen.iter().map(|seen| (seen.channel.as_str(), seen.present)).collect();
    assert_eq!(reported, [("email", true), ("sms", false), ("vk", false)]);
    assert_eq!((seen[1].last_seen, seen[2].last_seen), (None, Some(UnixMs(old))));
}
