//! The sweeper: expires orders without a courier, removes abandoned uploads and orders past their retention, and
//! repairs indexes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Capabilities, Settings};
use posthaste_model::{Address, Channel, Content, Delivery, OnUnknown, OrderId, Priority, Reason, State};
use posthaste_ops::metrics::Metrics;
use posthaste_rig::RespReply;
use posthaste_store::NewOrderHead;

use super::house::{House, Order, Running, brisk, email};
use super::pace::value;
use super::script::Script;

async fn courier(house: &House, settings: Settings) -> Running {
    house.courier(Script::accepting(Capabilities::default()), settings).await
}

fn keys(house: &House, pattern: &str) -> Vec<String> {
    let reply = house.command(&["KEYS", pattern]);
    reply.items().iter().filter_map(|key| key.text().map(str::to_owned)).collect()
}

#[tokio::test]
async fn an_order_on_a_channel_without_courier_expires() {
    let house = House::open().await;
    let sms: Channel = "sms".parse().unwrap();
    let span = Duration::from_millis(300);
    let small = house.tell(&Order { channel: sms.clone(), span, ..Order::default() }).await;
    let big = house.tell(&Order { deliveries: 700, channel: sms.clone(), span, ..Order::default() }).await;
    let kept = house.tell(&Order { channel: sms, ..Order::default() }).await;
    let courier = courier(&house, brisk()).await;
    for order in [&small, &big] {
        house.ended(order).await;
        for delivery in house.outcomes(order).await {
            assert_eq!((delivery.state, delivery.reason), (State::Expired, Reason::Expired));
        }
    }
    assert_eq!(house.outcome(&kept).await.state, State::Pending);
    assert_eq!(house.size("ready:{0}:sms:bulk"), 1);
    courier.stopped().await;
}

#[tokio::test]
async fn an_abandoned_upload_is_removed() {
    let house = House::open().await;
    let order_id: OrderId = "u1:42".parse().unwrap();
    let head = NewOrderHead {
        order_id: order_id.clone(),
        due: None,
        priority: Priority::Bulk,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: Duration::from_secs(3600),
        content: Content::default(),
    };
    let mut writer = house.store.open_order(head).unwrap();
    for index in 0..10_000 {
        let address = Address::new(format!("{index}@example.org"));
        let delivery = Delivery { index, recipient: String::new(), name: String::new(), address };
        writer.push(&email(), delivery).await.unwrap();
    }
    eventually_async("staged parcels", async || match keys(&house, "parcel:*").len() {
        n if n >= 8 => Ok(()),
        n => Err(n),
    })
    .await;
    drop(writer);
    let courier = courier(&house, brisk()).await;
    // Idle for more than 15 minutes.
    let now = house.store.server_time().await.unwrap().0;
    house.command(&["ZADD", "staging:{0}", &(now - 16 * 60_000).to_string(), "u1:42"]);
    eventually_async("no key of the order is left", async || match keys(&house, "*u1:42*") {
        left if left.is_empty() && house.size("staging:{0}") == 0 => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    courier.stopped().await;
}

const DAY_MS: u64 = 86_400_000;

/// Moves the time an order was accepted and the day it ended into the past, by hand.
fn make_old(house: &House, order_id: &OrderId, days: u64, today: u64) {
    let history = format!("history:{{0}}:{order_id}");
    let reply = house.command(&["HGET", &history, "h"]);
    let mut head = reply.bytes().unwrap().to_vec();
    let accepted = ((today - days) * DAY_MS).to_be_bytes();
    head[4..10].copy_from_slice(&accepted[2..]);
    house.server.command(&[b"HSET", history.as_bytes(), b"h", &head]).unwrap();
    let (from, to) = (format!("retire:{{0}}:{today}"), format!("retire:{{0}}:{}", today - days));
    assert_eq!(house.command(&["LREM", &from, "1", order_id.as_str()]).int(), Some(1));
    house.command(&["RPUSH", &to, order_id.as_str()]);
}

#[tokio::test]
async fn orders_past_their_retention_are_removed() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let courier = courier(&house, Settings { retention_days: 30, ..brisk() }).await;
    let old = [house.deliveries(1).await, house.deliveries(700).await];
    let young = [house.deliveries(1).await, house.deliveries(3).await];
    for order in old.iter().chain(&young) {
        house.ended(order).await;
    }
    let today = house.store.server_time().await.unwrap().0 / DAY_MS;
    // A day's list is purged when the day and its retention are over. The first order is the first in the list.
    make_old(&house, &young[0], 30, today);
    for order in &old {
        make_old(&house, order, 31, today);
    }
    eventually_async("no key of the old orders is left", async || {
        let left: Vec<String> = old.iter().flat_map(|order| keys(&house, &format!("*{order}*"))).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let listed = house.command(&["LRANGE", "orders:{0}", "0", "-1"]);
    assert_eq!(listed.items().len(), 2, "the list of orders contains only the remaining orders");
    for order in &young {
        assert!(house.view(order).await.finished.is_some());
    }
    eventually_async("the metric is updated", async || {
        match value(&metrics, "posthaste_orders_purged_total{channel=\"email\"}") {
            Some(2.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    courier.stopped().await;
}

#[tokio::test]
async fn a_parcel_missing_from_its_index_is_put_back() {
    let house = House::open().await;
    let order = house.deliveries(1).await;
    assert!(matches!(
        house.command(&["ZREM", "ready:{0}:email:bulk", &format!("{order}:0")]),
        RespReply::Int(1)
    ));
    let courier = courier(&house, brisk()).await;
    house.ended(&order).await;
    assert_eq!(house.outcome(&order).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn index_members_without_an_order_are_removed() {
    let house = House::open().await;
    for index in ["ready:{0}:email:bulk", "leased:{0}:email", "unresolved:{0}:email"] {
        house.command(&["ZADD", index, "1", "u9:1:0"]);
    }
    let courier = courier(&house, brisk()).await;
    for index in ["ready:{0}:email:bulk", "leased:{0}:email", "unresolved:{0}:email"] {
        eventually_async(&format!("an empty {index}"), async || match house.size(index) {
            0 => Ok(()),
            n => Err(n),
        })
        .await;
    }
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    courier.stopped().await;
}

/// An order whose history claims 2,000,000 deliveries. No parcel of it was begun, so none needs a record.
async fn two_million_deliveries(house: &House, channel: &Channel) -> OrderId {
    let order = house.tell(&Order { deliveries: 700, channel: channel.clone(), ..Order::default() }).await;
    let history = format!("history:{{0}}:{order}");
    let deliveries = 2_000_000_u32.to_be_bytes();
    let mut head = house.command(&["HGET", &history, "h"]).bytes().unwrap().to_vec();
    let at = head.len() - 4;
    head[at..].copy_from_slice(&deliveries);
    let counters = [&deliveries[..], &[0; 40]].concat();
    let field = format!("c:{channel}");
    let history = history.as_bytes();
    house
        .server
        .command(&[b"HSET", history, b"h", &head, field.as_bytes(), &counters, b"l", b"2000000"])
        .unwrap();
    order
}

#[tokio::test]
async fn the_indexes_of_an_order_of_two_million_deliveries_are_repaired() {
    let house = House::open().await;
    let sms: Channel = "sms".parse().unwrap();
    let order = two_million_deliveries(&house, &sms).await;
    house.command(&["DEL", "ready:{0}:sms:bulk"]);
    let courier = courier(&house, brisk()).await;
    let mended = eventually_async("every parcel back", async || match house.size("ready:{0}:sms:bulk") {
        4_000 => Ok(4_000),
        parcels => Err(parcels),
    })
    .await;
    assert_eq!(mended, 4_000);
    let last = format!("{order}:3999");
    assert!(house.command(&["ZSCORE", "ready:{0}:sms:bulk", &last]).text().is_some());
    courier.stopped().await;
}
