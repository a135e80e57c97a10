//! Writes whose reply is lost, or not confirmed in time: reported as unknown, and with the outcome when repeated.

use std::net::SocketAddr;
use std::sync::Arc;

use posthaste_model::SystemClock;
use posthaste_ops::listen::Listener;
use posthaste_queue::keys::{Wanted, mint};
use posthaste_queue::{AppState, Args, api, limits};
use posthaste_rig::proxy::{ProxiedCommand, Traffic};
use posthaste_rig::{PrivateServer, Proxy};
use posthaste_store::{KeyScope, Role, SendAs, Settings, Store};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Ask, ask, get};
use crate::intake::*;

/// A key that allows everything.
pub(crate) async fn master_key(tool: &Store) -> String {
    let wanted = Wanted {
        name: "master".to_owned(),
        scopes: KeyScope::ALL.into_iter().collect(),
        sender: None,
        role: None,
        send_as: SendAs::any(),
        expires: None,
    };
    mint(tool, &wanted).await.expect("a key").bearer.expose()
}

/// A service on this server, reached by this URL, and a key for it.
pub(crate) async fn service(
    server: &PrivateServer,
    url: &str,
    more: &[(&str, &str)],
) -> (SocketAddr, String) {
    let settings = Settings { url: server.url().into(), ..Settings::default() };
    let (tool, _) = Store::connect(settings, Role::Tool).await.expect("a store");
    let key = master_key(&tool).await;
    (serve(url, more).await, key)
}

/// A service on the server at this URL.
pub(crate) async fn serve(url: &str, more: &[(&str, &str)]) -> SocketAddr {
    let variable = |(key, value): &(&str, &str)| {
        (format!("POSTHASTE_{}", key.replace('.', "__").to_uppercase()).into(), (*value).into())
    };
    let given = [("redis.url", url), ("redis.call_timeout", "2s"), ("http.address", "127.0.0.1:0")];
    let variables: Vec<_> = given.iter().chain(more).map(variable).collect();
    let settings = Args::default().load(variables).expect("settings").settings;
    let (store, _) = Store::connect(settings.redis.clone(), Role::Queue).await.expect("a store");
    let (http, soft) = (settings.http.clone(), CancellationToken::new());
    let state = AppState::new(store, settings, Arc::new(SystemClock), soft.clone()).expect("a state");
    let listener = Listener::bind(&http.address).await.expect("a port");
    let posthaste_ops::address::ListenAddress::Tcp(address) = *listener.address() else {
        panic!("a TCP address")
    };
    tokio::spawn(listener.serve(api::router(state), limits(&http), soft));
    address
}

pub(crate) async fn behind_proxy(more: &[(&str, &str)]) -> (PrivateServer, Proxy, SocketAddr, String) {
    let server = PrivateServer::builder().max_memory(4 << 30).start().expect("a server");
    let proxy = Proxy::unix(server.endpoint(), Traffic::Resp).expect("a proxy");
    let (address, key) = service(&server, &proxy.url(), more).await;
    (server, proxy, address, key)
}

/// Whether a command stores an order or part of one.
fn stores(command: &ProxiedCommand) -> bool {
    command.is("EVALSHA") && command.contains("staging:")
}

fn keyed<'a>(key: &str) -> Ask<'a> {
    post(key, &order(3)).header("idempotency-key", "k")
}

#[track_caller]
fn is_unknown(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.problem().as_str()), (503, "outcome_unknown"), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    answer.json()["order_id"].as_str().expect("the order is named").to_owned()
}

fn histories(server: &PrivateServer) -> usize {
    written(server).iter().filter(|name| name.starts_with("history:")).count()
}

#[tokio::test]
async fn lost_replies_are_unknown_until_repeated() {
    let (server, proxy, address, key) = behind_proxy(&[]).await;
    // The server already has the scripts, so that one reply is one run.
    assert_eq!(post(&key, &order(1)).send(address).await.status, 200);
    proxy.drop_replies_of(3, stores);
    let first = keyed(&key).send(address).await;
    let id = is_unknown(&first);
    assert_eq!(proxy.report().dropped_replies, 3);
    assert_eq!(histories(&server), 2, "the order was stored");
    let again = keyed(&key).send(address).await;
    assert_eq!((again.status, again.json()["id"].clone()), (200, json!(id)), "{again:?}");
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    assert_eq!(histories(&server), 2);
}

#[tokio::test]
async fn lost_requests_are_unknown_and_stored_when_repeated() {
    let (server, proxy, address, key) = behind_proxy(&[]).await;
    assert_eq!(post(&key, &order(1)).send(address).await.status, 200);
    proxy.drop_requests_of(3, stores);
    let id = is_unknown(&keyed(&key).send(address).await);
    assert_eq!(histories(&server), 1, "the order was not stored");
    let put = ask("PUT", "/v1/orders/u1.7").key(&key).json(&order(2).to_string());
    proxy.drop_requests_of(3, stores);
    assert_eq!(is_unknown(&put.send(address).await), "u1.7");
    assert_eq!(put.send(address).await.status, 200);
    let again = keyed(&key).send(address).await;
    assert_eq!((again.status, again.json()["id"].clone()), (200, json!(id)), "{again:?}");
    assert_eq!(again.header("idempotent-replayed"), None, "the repeat was the first to be stored");
    assert_eq!(histories(&server), 3);
}

#[tokio::test]
async fn an_upload_whose_last_reply_is_lost_is_unknown_until_repeated() {
    let (server, proxy, address, key) = behind_proxy(&[]).await;
    assert_eq!(post(&key, &order(1)).send(address).await.status, 200);
    let head = json!({"sender": {"id": "u1"}, "text": "Hello"});
    let body = lines(&head, (0..9_000).map(recipient));
    let requested = || upload(&key, "/v1/orders", &body).header("idempotency-key", "k");
    proxy.drop_replies_of(3, |command| stores(command) && command.contains("history:"));
    let id = is_unknown(&requested().send(address).await);
    let again = requested().send(address).await;
    assert_eq!((again.status, again.json()["id"].clone()), (200, json!(id)), "{again:?}");
    assert_eq!(again.json()["recipients"]["delivery_counts"], json!({"email": 9_000}));
    assert_eq!(histories(&server), 2);
}

#[tokio::test]
async fn unconfirmed_writes_are_unknown_until_confirmed() {
    let server = PrivateServer::builder()
        .max_memory(4 << 30)
        .tcp()
        .line("repl-diskless-sync-delay 0")
        .start()
        .expect("a server");
    let (durable, within) = (("redis.durability", "replicated"), "redis.confirm_timeout");
    let (address, key) = service(&server, &server.url(), &[durable, (within, "300ms")]).await;
    let id = is_unknown(&keyed(&key).send(address).await);
    assert_eq!(is_unknown(&keyed(&key).send(address).await), id, "and remains unknown");
    let cancel = format!("/v1/orders/{id}/cancel");
    assert_eq!(is_unknown(&ask("POST", &cancel).key(&key).send(address).await), id);
    let read = get(&format!("/v1/orders/{id}")).key(&key).send(address).await;
    assert_eq!(read.json()["status"], "cancelled", "the order was cancelled: {read:?}");

    let replica = PrivateServer::start().expect("a replica");
    let port = server.tcp_addr().expect("an address").port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).expect("a replica");
    // Since Redis 7.2, a write is confirmed once both have written it to their files, which they do every second.
    let address = serve(&server.url(), &[durable, (within, "10s")]).await;
    let again = posthaste_rig::eventually_async("the replica has it", async || {
        let answer = keyed(&key).send(address).await;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(again.json()["id"], id);
    assert_eq!(again.json()["durability"], "replicated");
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    let cancelled = posthaste_rig::eventually_async("the replica has this too", async || {
        let answer = ask("POST", &cancel).key(&key).send(address).await;
        if answer.status == 200 { Ok(answer) } else { Err(is_unknown(&answer)) }
    })
    .await;
    assert_eq!(cancelled.json(), json!({"cancelled_count": 3, "too_late_count": 0}), "{cancelled:?}");
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_nothing() {
    let server = PrivateServer::builder().max_memory(4 << 30).start().expect("a server");
    let (address, key) = service(&server, &server.url(), &[]).await;
    assert_eq!(post(&key, &order(1)).send(address).await.status, 200);
    let before = written(&server);
    let role = with(order(3), "sender", json!({"id": "u1", "role": "staff"}));
    let requested = || post(&key, &role).header("idempotency-key", "k");
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]).expect("a limit");
    let answer = requested().send(address).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.problem(), "storage_full", "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(written(&server), before);
    server.command(&["CONFIG", "SET", "maxmemory", "4gb"]).expect("no limit");
    let answer = posthaste_rig::eventually_async("the store has memory again", async || {
        let answer = requested().send(address).await;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(answer.header("idempotent-replayed"), None);
}
