//! A cluster with a primary that is dead and not replaced: reachable partitions are served, and the others are
//! reported as missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use posthaste_rig::eventually_async;
use posthaste_rig::servers::Cluster;
use posthaste_store::{Role, Settings, Store};
use serde_json::Value;

use crate::client::{Answer, ask, get};
use crate::intake::*;
use crate::intake_unknown::{master_key, serve};

const PARTITIONS: u16 = 16;

async fn orders_of(address: SocketAddr, key: &str) -> Result<Value, String> {
    let answer = get("/v1/orders?limit=200").key(key).send(address).await;
    if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{answer:?}")) }
}

#[tokio::test]
async fn reachable_partitions_are_served_while_a_primary_is_dead() {
    // No replica takes over while the test runs.
    let start = || Cluster::start(3, 1, Duration::from_secs(300));
    let mut cluster = tokio::task::spawn_blocking(start).await.expect("a task").expect("a cluster");
    let settings = Settings { url: cluster.url().into(), partitions: PARTITIONS, ..Settings::default() };
    let (tool, _) = Store::connect(settings, Role::Tool).await.expect("a store");
    let key = master_key(&tool).await;
    let partitions = PARTITIONS.to_string();
    // Keys are looked up at every request.
    let more = [("redis.partitions", partitions.as_str()), ("keys.cache_for", "1ms")];
    let address = serve(&cluster.url(), &more).await;
    let mut reported: BTreeMap<u16, String> = BTreeMap::new();
    while reported.len() < usize::from(PARTITIONS) {
        let answer = post(&key, &order(1)).send(address).await;
        assert!(answer.status < 300, "{answer:?}");
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let order_id = id.replace('.', ":").parse().expect("an order id");
        reported.insert(tool.partition_of(&order_id), id);
    }
    let whole = orders_of(address, &key).await.expect("a page");
    assert_eq!(whole["partitions_missing"], serde_json::json!([]), "{whole}");
    // Including the first partition, which holds keys and suppression lists.
    let victim = (0..3).find(|at| tool.node_of(0) == Some(cluster.address(*at))).expect("a primary");
    let gone: Vec<u16> = (0..PARTITIONS).filter(|p| tool.node_of(*p) == tool.node_of(0)).collect();
    cluster.node(victim).wait_for_replicas(1).expect("its replica has it all");
    cluster.node_mut(victim).kill9().expect("it dies");
    let page = eventually_async("the page lists the missing partitions", async || {
        let page = orders_of(address, &key).await?;
        let missing = page.get("partitions_missing").cloned().unwrap_or_default();
        if missing == serde_json::json!(gone) { Ok(page) } else { Err(missing.to_string()) }
    })
    .await;
    let items = page["items"].as_array().expect("items");
    let reported_by: Vec<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
    for (p, id) in &reported {
        assert_eq!(reported_by.contains(&id.as_str()), !gone.contains(p), "{p}");
        let answer = get(&format!("/v1/orders/{id}")).key(&key).send(address).await;
        if gone.contains(p) {
            assert_eq!((answer.status, answer.problem().as_str()), (503, "storage_unavailable"), "{p}");
        } else {
            assert_eq!(answer.status, 200, "{p}: {answer:?}");
        }
    }
    // An unknown key is still distinguished from one that can't be looked up.
    let other =
        get("/v1/orders").key("ph_0123456789abcdef_00000000000000000000000000000000").send(address).await;
    assert_eq!(other.status, 401, "{other:?}");
    cluster.node_mut(victim).restart().expect("it comes back");
    sees_all_partitions_again(address, &key).await;
}

/// A cluster without replicas, so that nothing takes over, and a service on it.
async fn three_primaries() -> (Cluster, Store, SocketAddr, String) {
    let start = || Cluster::start(3, 0, Duration::from_secs(300));
    let cluster = tokio::task::spawn_blocking(start).await.expect("a task").expect("a cluster");
    let settings = Settings { url: cluster.url().into(), partitions: PARTITIONS, ..Settings::default() };
    let (tool, _) = Store::connect(settings, Role::Tool).await.expect("a store");
    let key = master_key(&tool).await;
    let partitions = PARTITIONS.to_string();
    let address = serve(&cluster.url(), &[("redis.partitions", partitions.as_str())]).await;
    (cluster, tool, address, key)
}

/// A primary that holds some partitions but not the first one, and the list of them.
fn without_the_first(cluster: &Cluster, tool: &Store) -> (usize, Vec<u16>) {
    let here = |at: usize, p: u16| tool.node_of(p) == Some(cluster.address(at));
    let victim = (0..3).find(|at| !here(*at, 0) && (1..PARTITIONS).any(|p| here(*at, p)));
    let victim = victim.expect("a primary");
    (victim, (0..PARTITIONS).filter(|p| here(victim, *p)).collect())
}

async fn is_noticed(address: SocketAddr, key: &str, gone: &[u16]) {
    eventually_async("the service has noticed", async || {
        let page = orders_of(address, key).await?;
        let missing = page.get("partitions_missing").cloned().unwrap_or_default();
        if missing == serde_json::json!(gone) { Ok(()) } else { Err(missing.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn new_orders_go_to_reachable_partitions() {
    let (mut cluster, tool, address, key) = three_primaries().await;
    let (victim, gone) = without_the_first(&cluster, &tool);
    // All partitions are used while all are reachable.
    let mut before = BTreeSet::new();
    while before.len() < usize::from(PARTITIONS) {
        let answer = post(&key, &order(1)).send(address).await;
        assert!(answer.status < 300, "{answer:?}");
        before.insert(partition(&tool, &answer.json()));
    }
    let keyed = |key_of: &str, body: &Value| post(&key, body).header("idempotency-key", key_of);
    // A key whose own record is elsewhere, and whose order is in a partition that becomes unreachable.
    let mut tied = None;
    for n in 0..1_000 {
        let name = format!("k{n}");
        let answer = keyed(&name, &order(1)).send(address).await;
        assert!(answer.status < 300, "{answer:?}");
        if gone.contains(&partition(&tool, &answer.json())) {
            tied = Some((name, answer.json()["id"].clone()));
            break;
        }
    }
    let (tied, tied_id) = tied.expect("a key");
    // Stopped cleanly, so that it still has what it acknowledged when it returns; data lost by a killed node is not
    // tested here.
    cluster.node_mut(victim).stop().expect("it ends");
    is_noticed(address, &key, &gone).await;
    let mut ids = BTreeSet::new();
    for _ in 0..60 {
        let answer = post(&key, &order(1)).send(address).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let body = answer.json();
        assert!(!gone.contains(&partition(&tool, &body)), "{body}");
        ids.insert(body["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids.len(), 60);
    // The same for a batch, an upload, a retry and an id made beforehand.
    let line = order(1).to_string();
    let batch =
        upload(&key, "/v1/orders/batch", [line.as_str(); 20].join("\n").as_bytes()).send(address).await;
    assert_eq!(batch.text().matches("\"order\":").count(), 20, "{batch:?}");
    let head = serde_json::json!({"sender": {"id": "u1"}, "text": "Hello"});
    for _ in 0..5 {
        let body = lines(&head, (0..3).map(recipient));
        let answer = upload(&key, "/v1/orders", &body).send(address).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let made = ask("POST", "/v1/order-ids").key(&key).json("{\"sender_id\": \"u1\"}").send(address).await;
        assert!(!gone.contains(&partition(&tool, &made.json())), "{made:?}");
    }
    // Requests bound to the unreachable partition must be retried, and nothing is stored.
    let id = (1..).map(|n| format!("u1.{n}")).find(|id| gone.contains(&of_id(&tool, id))).expect("an id");
    let path = format!("/v1/orders/{id}");
    let body = order(1).to_string();
    let put = || ask("PUT", &path).key(&key).json(&body);
    must_be_retried(&put().send(address).await);
    let again = keyed(&tied, &order(1)).send(address).await;
    must_be_retried(&again);
    // The record of a key is in a slot determined by its name: some are unreachable, all others work.
    let (mut served, mut away) = (0, 0);
    for n in 0..40 {
        let answer = keyed(&format!("new{n}"), &order(1)).send(address).await;
        if answer.status == 503 {
            must_be_retried(&answer);
            away += 1;
        } else {
            assert!((200..300).contains(&answer.status), "{answer:?}");
            assert!(!gone.contains(&partition(&tool, &answer.json())));
            served += 1;
        }
    }
    assert!(served > 0 && away > 0, "{served} served, {away} away");
    cluster.node_mut(victim).restart().expect("it comes back");
    sees_all_partitions_again(address, &key).await;
    let put = put().send(address).await;
    assert!((200..300).contains(&put.status), "{put:?}");
    let again = keyed(&tied, &order(1)).send(address).await;
    assert_eq!((again.status < 300, again.json()["id"].clone()), (true, tied_id), "{again:?}");
}

fn of_id(tool: &Store, id: &str) -> u16 {
    tool.partition_of(&id.replace('.', ":").parse().expect("an order id"))
}

/// The partition of the order in a response.
fn partition(tool: &Store, answer: &Value) -> u16 {
    of_id(tool, answer["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")))
}

#[track_caller]
fn must_be_retried(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let code = answer.problem();
    assert!(["storage_unavailable", "outcome_unknown"].contains(&code.as_str()), "{answer:?}");
}

async fn sees_all_partitions_again(address: SocketAddr, key: &str) {
    eventually_async("nothing is missing", async || {
        let page = orders_of(address, key).await?;
        if page["partitions_missing"] == serde_json::json!([]) { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
}
