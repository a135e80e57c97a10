//! Unreadable records: damaged ones are parked, those of a later version are left to a newer program. Neither blocks
//! other orders, nothing of them is begun, and no try is spent.

use std::sync::Arc;

use posthaste_courier::Capabilities;
use posthaste_model::{OrderId, State};

use super::house::{House, brisk, eventually_async};
use super::script::Script;

/// Checks that all deliveries of an order are still pending.
async fn untouched(house: &House, order: &OrderId, deliveries: u32) {
    let counters = house.counters(order).await;
    assert_eq!(counters[State::Pending], deliveries, "none of it is lost");
}

async fn is_parked(house: &House, order: &OrderId, why: &str) {
    let name = format!("email:{order}:0");
    eventually_async("the parcel is parked", async || {
        let reply = house.command(&["HGET", "parked_why:{0}", &name]);
        if reply.text() == Some(why) { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    assert!(house.command(&["ZSCORE", "parked:{0}:email", &format!("{order}:0")]).text().is_some());
    let ready = house.command(&["ZSCORE", "ready:{0}:email:bulk", &format!("{order}:0")]);
    assert!(ready.text().is_none(), "{ready:?}");
}

/// Damages each record that is loaded for a big order; the parcel is parked with the right reason.
#[tokio::test]
async fn a_damaged_parcel_is_parked_and_stops_nobody() {
    let house = House::open().await;
    let script = Script::accepting(Capabilities::default());
    let spoil = |order: &OrderId, damage: usize| {
        let key = |family: &str| format!("{family}:{{0}}:{order}:email:0");
        let text = format!("text:{{0}}:{order}");
        match damage {
            0 => house.command(&["DEL", &key("parcel")]),
            1 => house.command(&["SET", &key("parcel"), "\u{1}rubbish"]),
            2 => house.command(&["DEL", &text]),
            3 => house.command(&["SET", &text, "\u{1}\u{1}\u{7f}"]),
            4 => house.command(&["SETRANGE", &key("outcome"), "0", "\u{0}\u{9}"]),
            _ => house.command(&["SET", &key("outcome"), "rubbish"]),
        };
    };
    let whys = ["deliveries", "deliveries", "content", "content", "outcomes", "outcomes"];
    let mut bad = Vec::new();
    for damage in 0..whys.len() {
        let order = house.deliveries(90).await;
        spoil(&order, damage);
        bad.push(order);
    }
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let good = house.deliveries(90).await;
    house.ended(&good).await;
    for (order, why) in bad.iter().zip(whys) {
        is_parked(&house, order, why).await;
    }
    for order in &bad[..4] {
        untouched(&house, order, 90).await;
    }
    assert_eq!(house.size("leased:{0}:email"), 0);
    courier.stopped().await;
}

/// Damaged text that no script can detect, in an order whose delivery the claim has already begun.
#[tokio::test]
async fn a_delivery_begun_with_its_claim_that_cannot_be_read_is_parked_unspent() {
    let house = House::open().await;
    let bad = house.deliveries(1).await;
    let key = format!("history:{{0}}:{bad}");
    // The text's second letter is not valid UTF-8 any more.
    let piece = house.command(&["HGET", &key, "b0"]).bytes().expect("a piece").to_vec();
    let mut spoilt = piece.clone();
    spoilt[4] = 0xff;
    house.command_of_bytes(&[b"HSET", key.as_bytes(), b"b0", &spoilt]);
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    is_parked(&house, &bad, "content").await;
    assert!(script.seen().is_empty(), "nothing of it was sent");
    let good = house.deliveries(1).await;
    house.ended(&good).await;
    // Repaired and released, it is sent like any other.
    house.command_of_bytes(&[b"HSET", key.as_bytes(), b"b0", &piece]);
    assert_eq!(house.store.release_parked(&bad).await.expect("released"), 1);
    house.ended(&bad).await;
    assert_eq!(house.counters(&bad).await[State::Sent], 1);
    courier.stopped().await;
}

/// Records of an invented next version: another version of the text or of the parcel, or an unknown field.
#[tokio::test]
async fn records_of_a_later_version_are_left_to_a_newer_program() {
    let house = House::open().await;
    let small = house.deliveries(1).await;
    let big = [house.deliveries(90).await, house.deliveries(90).await, house.deliveries(90).await];
    let key = format!("history:{{0}}:{small}");
    let piece = house.command(&["HGET", &key, "b0"]).bytes().expect("a piece").to_vec();
    let mut later = piece.clone();
    later[2] = 12;
    house.command_of_bytes(&[b"HSET", key.as_bytes(), b"b0", &later]);
    house.command(&["SETRANGE", &format!("text:{{0}}:{}", big[0]), "0", "\u{2}"]);
    house.command(&["SETRANGE", &format!("text:{{0}}:{}", big[1]), "1", "\u{c}"]);
    house.command(&["SETRANGE", &format!("parcel:{{0}}:{}:email:0", big[2]), "0", "\u{2}"]);
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let good = house.deliveries(90).await;
    house.ended(&good).await;
    for (order, deliveries) in [(&small, 1), (&big[0], 90), (&big[1], 90), (&big[2], 90)] {
        let parcel_id = format!("{order}:0");
        let soon = house.store.server_time().await.expect("the time").0;
        eventually_async("the parcel waits for a newer program", async || {
            let reply = house.command(&["ZSCORE", "ready:{0}:email:bulk", &parcel_id]);
            match reply.text().and_then(|score| score.parse::<u64>().ok()) {
                Some(ready) if ready > soon => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert_eq!(house.size("parked:{0}:email"), 0, "a later version is not damaged");
        let record = house.command(&["HGET", &format!("history:{{0}}:{order}"), "o"]);
        assert!(record.text().is_none(), "nothing was begun: {record:?}");
        if order != &small {
            untouched(&house, order, deliveries).await;
            let record = house.command(&["EXISTS", &format!("outcome:{{0}}:{order}:email:0")]);
            assert_eq!(record.int(), Some(0), "nothing was begun");
        }
    }
    // A program that can read the record sends it: here the same program, once the original record is restored.
    house.command_of_bytes(&[b"HSET", key.as_bytes(), b"b0", &piece]);
    house.command(&["ZADD", "ready:{0}:email:bulk", "XX", "1", &format!("{small}:0")]);
    house.ended(&small).await;
    courier.stopped().await;
}

/// Unreadable records in each place that housekeeping reads do not keep it from repairing other partitions and
/// orders.
#[tokio::test]
async fn housekeeping_goes_on_around_what_cannot_be_read() {
    let house = House::with_partitions(4).await;
    let mut bad = Vec::new();
    for _ in 0..16 {
        let order = house.deliveries(1).await;
        let p = house.store.partition_of(&order);
        house.command(&["SET", &format!("history:{{{p}}}:{order}"), "of another type"]);
        bad.push((p, order));
    }
    for p in 0..4 {
        house.command(&["RPUSH", &format!("orders:{{{p}}}"), "nobody's"]);
        house.command(&["HSET", &format!("channels:{{{p}}}"), "No channel", "x"]);
    }
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    // In every partition, rounds that meet the bad records still find the orders missing from their index.
    let mut fallen = Vec::new();
    for _ in 0..16 {
        let order = house
            .tell(&super::house::Order {
                due_in: Some(std::time::Duration::from_secs(3600)),
                ..Default::default()
            })
            .await;
        let p = house.store.partition_of(&order);
        assert_eq!(house.command(&["ZREM", &format!("due:{{{p}}}:bulk"), &order.to_string()]).int(), Some(1));
        fallen.push((p, order));
    }
    for (p, order) in &fallen {
        eventually_async("the fallen order is back", async || {
            let reply = house.command(&["ZSCORE", &format!("due:{{{p}}}:bulk"), &order.to_string()]);
            if reply.text().is_some() { Ok(()) } else { Err(format!("{reply:?}")) }
        })
        .await;
    }
    for (p, order) in &bad {
        eventually_async("the bad order is parked", async || {
            let all = house.store.parked_of(order).await.map_err(|error| error.to_string())?;
            if all.iter().any(|entry| entry.why == "type") { Ok(()) } else { Err(format!("{p}: {all:?}")) }
        })
        .await;
    }
    courier.stopped().await;
}
