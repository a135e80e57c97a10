//! A cluster with a primary that is dead and not replaced: what is elsewhere is served, and what is there is told as such.

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
async fn what_is_elsewhere_is_served_while_a_primary_is_dead() {
    // Nobody takes over while the test runs.
    let start = || Cluster::start(3, 1, Duration::from_secs(300));
    let mut cluster = tokio::task::spawn_blocking(start).await.expect("a task").expect("a cluster");
    let settings = Settings { url: cluster.url().into(), partitions: PARTITIONS, ..Settings::default() };
    let (tool, _) = Store::connect(settings, Role::Tool).await.expect("a store");
    let key = master_key(&tool).await;
    let partitions = PARTITIONS.to_string();
    // Keys are looked up at every request.
    let more = [("redis.partitions", partitions.as_str()), ("keys.known_for", "1ms")];
    let address = serve(&cluster.url(), &more).await;
    let mut told: BTreeMap<u16, String> = BTreeMap::new();
    while told.len() < usize::from(PARTITIONS) {
        let answer = post(&key, &order(1)).send(address).await;
        assert!(answer.status < 300, "{answer:?}");
        let id = answer.json()["order_id"].as_str().expect("an id").to_owned();
        let suffix = id.replace('.', ":").parse().expect("a suffix");
        told.insert(tool.partition_of(&suffix), id);
    }
    let whole = orders_of(address, &key).await.expect("a page");
    assert!(whole.get("partitions_missing").is_none(), "{whole}");
    // With the first partition, where keys and suppression lists are.
    let victim = (0..3).find(|at| tool.node_of(0) == Some(cluster.address(*at))).expect("a primary");
    let gone: Vec<u16> = (0..PARTITIONS).filter(|p| tool.node_of(*p) == tool.node_of(0)).collect();
    cluster.node(victim).wait_for_replicas(1).expect("its replica has it all");
    cluster.node_mut(victim).kill9().expect("it dies");
    let page = eventually_async("the page tells what is missing", async || {
        let page = orders_of(address, &key).await?;
        let missing = page.get("partitions_missing").cloned().unwrap_or_default();
        if missing == serde_json::json!(gone) { Ok(page) } else { Err(missing.to_string()) }
    })
    .await;
    let items = page["items"].as_array().expect("items");
    let told_by: Vec<&str> = items.iter().filter_map(|item| item["order_id"].as_str()).collect();
    for (p, id) in &told {
        assert_eq!(told_by.contains(&id.as_str()), !gone.contains(p), "{p}");
        let answer = get(&format!("/v1/orders/{id}")).key(&key).send(address).await;
        if gone.contains(p) {
            assert_eq!((answer.status, answer.problem().as_str()), (503, "store_unavailable"), "{p}");
        } else {
            assert_eq!(answer.status, 200, "{p}: {answer:?}");
        }
    }
    // A key that nobody knows is still told from one that can't be looked up.
    let other =
        get("/v1/orders").key("ph_0123456789abcdef_00000000000000000000000000000000").send(address).await;
    assert_eq!(other.status, 401, "{other:?}");
    cluster.node_mut(victim).restart().expect("it comes back");
    is_noticed_to_be_back(address, &key).await;
}

/// A cluster without replicas in which nobody takes over, and a service on it.
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

/// A primary that holds some partitions but not the first one, and which they are.
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
async fn new_orders_are_given_to_the_partitions_that_are_there() {
    let (mut cluster, tool, address, key) = three_primaries().await;
    let (victim, gone) = without_the_first(&cluster, &tool);
    // All partitions are used while all are there.
    let mut before = BTreeSet::new();
    while before.len() < usize::from(PARTITIONS) {
        let answer = post(&key, &order(1)).send(address).await;
        assert!(answer.status < 300, "{answer:?}");
        before.insert(partition(&tool, &answer.json()));
    }
    let keyed = |key_of: &str, body: &Value| post(&key, body).header("idempotency-key", key_of);
    // A key whose own record is elsewhere and whose order is in a partition that goes away.
    let mut tied = None;
    for n in 0..1_000 {
        let name = format!("k{n}");
        let answer = keyed(&name, &order(1)).send(address).await;
        assert!(answer.status < 300, "{answer:?}");
        if gone.contains(&partition(&tool, &answer.json())) {
            tied = Some((name, answer.json()["order_id"].clone()));
            break;
        }
    }
    let (tied, tied_id) = tied.expect("a key");
    // Politely, so that it has what it acknowledged when it returns: what a killed one forgets is another matter.
    cluster.node_mut(victim).stop().expect("it ends");
    is_noticed(address, &key, &gone).await;
    let mut ids = BTreeSet::new();
    for _ in 0..60 {
        let answer = post(&key, &order(1)).send(address).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let body = answer.json();
        assert!(!gone.contains(&partition(&tool, &body)), "{body}");
        ids.insert(body["order_id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids.len(), 60);
    // A batch, an upload, a retry and an id made beforehand likewise.
    let line = order(1).to_string();
    let batch =
        upload(&key, "/v1/orders/batch", [line.as_str(); 20].join("\n").as_bytes()).send(address).await;
    assert_eq!(batch.text().matches("\"order_id\"").count(), 20, "{batch:?}");
    let head = serde_json::json!({"sender": {"id": "u1"}, "text": "Hello"});
    for _ in 0..5 {
        let body = lines(&head, (0..3).map(recipient));
        let answer = upload(&key, "/v1/orders", &body).send(address).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let made = ask("POST", "/v1/order-ids").key(&key).json("{\"sender_id\": \"u1\"}").send(address).await;
        assert!(!gone.contains(&partition(&tool, &made.json())), "{made:?}");
    }
    // What can't be elsewhere is told to come again, and refused without being stored.
    let id = (1..).map(|n| format!("u1.{n}")).find(|id| gone.contains(&of_id(&tool, id))).expect("an id");
    let path = format!("/v1/orders/{id}");
    let body = order(1).to_string();
    let put = || ask("PUT", &path).key(&key).json(&body);
    is_told_to_come_again(&put().send(address).await);
    let again = keyed(&tied, &order(1)).send(address).await;
    is_told_to_come_again(&again);
    // A key is at a place of its own, which its name decides: some are away, all others work.
    let (mut served, mut away) = (0, 0);
    for n in 0..40 {
        let answer = keyed(&format!("new{n}"), &order(1)).send(address).await;
        if answer.status == 503 {
            is_told_to_come_again(&answer);
            away += 1;
        } else {
            assert!((200..300).contains(&answer.status), "{answer:?}");
            assert!(!gone.contains(&partition(&tool, &answer.json())));
            served += 1;
        }
    }
    assert!(served > 0 && away > 0, "{served} served, {away} away");
    cluster.node_mut(victim).restart().expect("it comes back");
    is_noticed_to_be_back(address, &key).await;
    let put = put().send(address).await;
    assert!((200..300).contains(&put.status), "{put:?}");
    let again = keyed(&tied, &order(1)).send(address).await;
    assert_eq!((again.status < 300, again.json()["order_id"].clone()), (true, tied_id), "{again:?}");
}

fn of_id(tool: &Store, id: &str) -> u16 {
    tool.partition_of(&id.replace('.', ":").parse().expect("a suffix"))
}

/// The partition of the order an answer names.
fn partition(tool: &Store, answer: &Value) -> u16 {
    of_id(tool, answer["order_id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")))
}

#[track_caller]
fn is_told_to_come_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let code = answer.problem();
    assert!(["store_unavailable", "outcome_unknown"].contains(&code.as_str()), "{answer:?}");
}

async fn is_noticed_to_be_back(address: SocketAddr, key: &str) {
    eventually_async("nothing is missing", async || {
        let page = orders_of(address, key).await?;
        if page.get("partitions_missing").is_none() { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
}
