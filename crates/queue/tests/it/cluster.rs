//! A cluster with a primary that is dead and not replaced: what is elsewhere is served, and what is there is told as such.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use posthaste_rig::eventually_async;
use posthaste_rig::servers::Cluster;
use posthaste_store::{Role, Settings, Store};
use serde_json::Value;

use crate::client::get;
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
    assert_eq!(cluster.node(victim).command(&["WAIT", "1", "5000"]).expect("a reply").int(), Some(1));
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
    eventually_async("nothing is missing", async || {
        let page = orders_of(address, &key).await?;
        if page.get("partitions_missing").is_none() { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
}
