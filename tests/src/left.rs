//! What may remain in the server when every order has ended: records, lists, and nothing in any index.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_rig::resp::{Connection, RespReply};

use crate::scene::Scene;

/// Families of keys that remain, however the orders ended.
const LASTING: [&str; 15] = [
    "epoch",
    "fence",
    "runs",
    "schema",
    "channels",
    "token",
    "request",
    "couriers",
    "courier_states",
    "courier_ends",
    "orders",
    "sender",
    "address_key",
    "suppressed",
    "consent",
];
/// Families of records of one order.
const OF_ORDERS: [&str; 4] = ["history", "text", "parcel", "outcome"];

/// Reports every key that should not be there, and every list that does not name each order once.
///
/// # Errors
/// When the server does not answer.
pub(crate) fn check(scene: &Scene, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let mut server = scene.server.connect()?;
    let orders: BTreeSet<&str> = scene.accepted.iter().map(|accepted| accepted.order_id.as_str()).collect();
    let mut retired = BTreeMap::new();
    for key in keys(&mut server)? {
        let family = key.split(':').next().unwrap_or_default();
        if key.contains("canary") {
            faults.push(format!("the key {key} contains personal data"));
        }
        match family {
            "retire" => count(&mut server, &key, &mut retired)?,
            "orders" | "sender" => {
                let mut listed = BTreeMap::new();
                count(&mut server, &key, &mut listed)?;
                compare(&key, &listed, &orders, faults);
            }
            _ if LASTING.contains(&family) => {}
            _ if OF_ORDERS.contains(&family) && orders.contains(order_of(&key)) => {}
            _ => faults.push(format!("the key {key} is left over")),
        }
    }
    compare("retire", &retired, &orders, faults);
    Ok(())
}

/// The order id in the key of a record: `<family>:{p}:<sender>:<ns>…`.
fn order_of(key: &str) -> &str {
    let order_id = key.splitn(3, ':').nth(2).unwrap_or_default();
    let end = order_id.match_indices(':').nth(1).map_or(order_id.len(), |(at, _)| at);
    &order_id[..end]
}

/// All keys of the server.
///
/// # Errors
/// When the server does not answer.
pub fn keys(server: &mut Connection) -> anyhow::Result<BTreeSet<String>> {
    let (mut keys, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let reply = server.command(&["SCAN", cursor.as_str(), "COUNT", "1000"])?;
        let [next, found] = reply.items() else { anyhow::bail!("SCAN answered {reply:?}") };
        keys.extend(found.items().iter().filter_map(RespReply::text).map(str::to_owned));
        next.text().unwrap_or_default().clone_into(&mut cursor);
        if cursor == "0" {
            return Ok(keys);
        }
    }
}

fn count(server: &mut Connection, key: &str, times: &mut BTreeMap<String, u32>) -> anyhow::Result<()> {
    for entry in server.command(&["LRANGE", key, "0", "-1"])?.items() {
        *times.entry(entry.text().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(())
}

fn compare(list: &str, listed: &BTreeMap<String, u32>, orders: &BTreeSet<&str>, faults: &mut Vec<String>) {
    let missing = orders.iter().filter(|order| !listed.contains_key(**order)).count();
    let strange = listed.keys().filter(|order| !orders.contains(order.as_str())).count();
    let twice = listed.values().filter(|times| **times > 1).count();
    if missing + strange + twice > 0 {
        faults.push(format!("{list}: {missing} orders missing, {strange} strange, {twice} more than once"));
    }
}
