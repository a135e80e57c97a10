//! The sweeper's walks: what nobody will come for ends, what was staged in vain goes, what is old is removed, what fell out of
//! an index is put back.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Abilities, Settings};
use posthaste_model::{Address, Channel, Content, Lane, OnUnknown, Reason, Row, State, Suffix};
use posthaste_ops::metrics::Metrics;
use posthaste_rig::Reply;
use posthaste_store::NewOrderHead;

use super::house::{House, Order, Running, brisk, email};
use super::pace::value;
use super::script::Script;

async fn courier(house: &House, settings: Settings) -> Running {
    house.courier(Script::accepting(Abilities::default()), settings).await
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
    let big = house.tell(&Order { rows: 700, channel: sms.clone(), span, ..Order::default() }).await;
    let kept = house.tell(&Order { channel: sms, ..Order::default() }).await;
    let courier = courier(&house, brisk()).await;
    for order in [&small, &big] {
        house.ended(order).await;
        for row in house.outcomes(order).await {
            assert_eq!((row.state, row.reason), (State::Expired, Reason::NotAfter));
        }
    }
    assert_eq!(house.outcome(&kept).await.state, State::Pending);
    assert_eq!(house.size("ready:{0}:sms:bulk"), 1);
    courier.stopped().await;
}

#[tokio::test]
async fn what_was_staged_in_vain_is_removed() {
    let house = House::open().await;
    let suffix: Suffix = "u1:42".parse().unwrap();
    let head = NewOrderHead {
        suffix: suffix.clone(),
        due: None,
        lane: Lane::Bulk,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: Duration::from_secs(3600),
        content: Content::default(),
    };
    let mut writer = house.store.open_order(head).unwrap();
    for index in 0..10_000 {
        let address = Address::new(format!("{index}@example.org"));
        let row = Row { index, recipient: String::new(), name: String::new(), address };
        writer.push(&email(), row).await.unwrap();
    }
    eventually_async("staged parcels", async || match keys(&house, "parcel:*").len() {
        n if n >= 8 => Ok(()),
        n => Err(n),
    })
    .await;
    drop(writer);
    let courier = courier(&house, brisk()).await;
    // Silent for more than 15 minutes.
    let now = house.store.server_time().await.unwrap().0;
    house.command(&["ZADD", "staging:{0}", &(now - 16 * 60_000).to_string(), "u1:42"]);
    eventually_async("no key of it", async || match keys(&house, "*u1:42*") {
        left if left.is_empty() && house.size("staging:{0}") == 0 => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    courier.stopped().await;
}

const DAY_MS: u64 = 86_400_000;

/// Sets back when an order was accepted, and the day it ended, by hand.
fn make_old(house: &House, suffix: &Suffix, days: u64, today: u64) {
    let history = format!("history:{{0}}:{suffix}");
    let reply = house.command(&["HGET", &history, "h"]);
    let mut head = reply.bytes().unwrap().to_vec();
    let accepted = ((today - days) * DAY_MS).to_be_bytes();
    head[4..10].copy_from_slice(&accepted[2..]);
    house.server.command(&[b"HSET", history.as_bytes(), b"h", &head]).unwrap();
    let (from, to) = (format!("retire:{{0}}:{today}"), format!("retire:{{0}}:{}", today - days));
    assert_eq!(house.command(&["LREM", &from, "1", suffix.as_str()]).int(), Some(1));
    house.command(&["RPUSH", &to, suffix.as_str()]);
}

#[tokio::test]
async fn what_is_past_its_retention_is_removed() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let courier = courier(&house, Settings { retention_days: 30, ..brisk() }).await;
    let old = [house.rows(1).await, house.rows(700).await];
    let young = [house.rows(1).await, house.rows(3).await];
    for order in old.iter().chain(&young) {
        house.ended(order).await;
    }
    let today = house.store.server_time().await.unwrap().0 / DAY_MS;
    // A day's list is retired when the day is over and the retention behind it. The first order is the first of the list.
    make_old(&house, &young[0], 30, today);
    for order in &old {
        make_old(&house, order, 31, today);
    }
    eventually_async("no key of what is old", async || {
        let left: Vec<String> = old.iter().flat_map(|order| keys(&house, &format!("*{order}*"))).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let listed = house.command(&["LRANGE", "orders:{0}", "0", "-1"]);
    assert_eq!(listed.items().len(), 2, "the list of orders names what is left");
    for order in &young {
        assert!(house.view(order).await.finished.is_some());
    }
    eventually_async("told in a metric", async || {
        match value(&metrics, "posthaste_retired_orders_total{channel=\"email\"}") {
            Some(2.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    courier.stopped().await;
}

#[tokio::test]
async fn a_parcel_that_fell_out_of_its_index_is_put_back() {
    let house = House::open().await;
    let order = house.rows(1).await;
    assert!(matches!(house.command(&["ZREM", "ready:{0}:email:bulk", &format!("{order}:0")]), Reply::Int(1)));
    let courier = courier(&house, brisk()).await;
    house.ended(&order).await;
    assert_eq!(house.outcome(&order).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn members_that_name_nothing_are_removed() {
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
    let order = house.rows(1).await;
    house.ended(&order).await;
    courier.stopped().await;
}

/// An order of 2,000,000 rows, as far as its history says: no parcel of it was begun, so none has a record.
async fn two_million_rows(house: &House, channel: &Channel) -> Suffix {
    let order = house.tell(&Order { rows: 700, channel: channel.clone(), ..Order::default() }).await;
    let history = format!("history:{{0}}:{order}");
    let rows = 2_000_000_u32.to_be_bytes();
    let mut head = house.command(&["HGET", &history, "h"]).bytes().unwrap().to_vec();
    let at = head.len() - 4;
    head[at..].copy_from_slice(&rows);
    let counters = [&rows[..], &[0; 40]].concat();
    let field = format!("c:{channel}");
    let history = history.as_bytes();
    house
        .server
        .command(&[b"HSET", history, b"h", &head, field.as_bytes(), &counters, b"l", b"2000000"])
        .unwrap();
    order
}

#[tokio::test]
async fn an_audit_goes_through_an_order_of_two_million_rows() {
    let house = House::open().await;
    let sms: Channel = "sms".parse().unwrap();
    let order = two_million_rows(&house, &sms).await;
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
