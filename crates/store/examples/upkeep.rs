//! How fast deliveries expire and orders are removed, step by step, as housekeeping does it; on a private server.
//!
//! `cargo run --release -p posthaste-store --example upkeep [orders]`

#![expect(clippy::print_stdout, reason = "an example shows its figures")]

use std::error::Error;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{
    Address, Channel, Clock, Content, Delivery, OnUnknown, OrderId, Priority, SystemClock, Text,
};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{Index, NewOrder, NewOrderHead, PurgedOrders, Role, Settings, Store};

const DAY_MS: u64 = 86_400_000;

fn order(number: u64, start: u64, deliveries: u32, channel: &Channel) -> Result<NewOrder, Box<dyn Error>> {
    let delivery = |index| Delivery {
        index,
        recipient: format!("r{index}"),
        name: String::new(),
        address: Address::new(format!("r{index}@example.org")),
    };
    let head = NewOrderHead {
        order_id: OrderId::new(&"u1".parse()?, start + number),
        due: None,
        priority: Priority::Bulk,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: Duration::from_millis(1),
        content: Content {
            text: Text::new("A text of some length, as messages have it".to_owned()),
            ..Content::default()
        },
    };
    let deliveries = (0..deliveries).map(|index| (channel.clone(), delivery(index))).collect();
    Ok(NewOrder { head, digest: [7; 12], deliveries, no_contact: Vec::new() })
}

/// Calls until nothing is left: how long it took, and the longest step.
struct Steps {
    start: Instant,
    longest: Duration,
    count: u32,
}

impl Steps {
    fn new() -> Self {
        Self { start: Instant::now(), longest: Duration::ZERO, count: 0 }
    }

    fn step(&mut self, began: Instant) {
        self.longest = self.longest.max(began.elapsed());
        self.count += 1;
    }

    fn show(&self, what: &str, number: u64) {
        let seconds = self.start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = number as f64 / seconds;
        println!(
            "{what}: {number} in {seconds:.2} s, {rate:.0} a second, {} steps, the longest {:?}",
            self.count, self.longest
        );
    }
}

/// Ends expired deliveries: this many deliveries of this many parcels.
async fn expire(
    store: &Store,
    channel: &Channel,
    what: &str,
    (deliveries, parcels): (u64, u64),
) -> Result<(), Box<dyn Error>> {
    let (mut steps, mut rank, mut ended) = (Steps::new(), 0, 0);
    loop {
        let began = Instant::now();
        let closed = store.expire_parcels(0, channel, Index::Ready(Priority::Bulk), rank, 200).await?.reply;
        steps.step(began);
        ended += closed.closed;
        match closed.next {
            Some(next) => rank = next,
            None => break,
        }
    }
    if ended != parcels {
        return Err(format!("{ended} parcels ended, not {parcels}").into());
    }
    steps.show(what, deliveries);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let orders: u64 = std::env::args().nth(1).map_or(Ok(50_000), |text| text.parse())?;
    let server = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start()?;
    let settings = Settings { url: server.url().into(), ..Settings::default() };
    let store = Store::connect(settings, Role::Tool).await?.0;
    let channel: Channel = "email".parse()?;
    let start = SystemClock.now_ns();

    let small = (0..orders).map(|number| order(number, start, 1, &channel)).collect::<Result<Vec<_>, _>>()?;
    let accept = |order| Box::pin(store.accept(order));
    let _: Vec<_> = stream::iter(&small).map(accept).buffer_unordered(64).try_collect().await?;
    expire(&store, &channel, "deliveries expired, orders of one delivery", (orders, orders)).await?;

    let big = (0..40)
        .map(|number| order(orders + number, start, 5_000, &channel))
        .collect::<Result<Vec<_>, _>>()?;
    let _: Vec<_> = stream::iter(&big).map(accept).buffer_unordered(8).try_collect().await?;
    // Big orders are promoted step by step.
    while store.promote_due(0).await?.reply.next.is_some() {}
    expire(&store, &channel, "deliveries expired, orders of 5,000 deliveries", (200_000, 400)).await?;

    let today = store.server_time().await?.0 / DAY_MS;
    let (from, to) = (format!("retire:{{0}}:{today}"), format!("retire:{{0}}:{}", today - 100));
    server.command(&["RENAME", &from, &to])?;
    let mut steps = Steps::new();
    let mut removed = 0;
    loop {
        let began = Instant::now();
        let retired = store.purge_orders(0, today - 100, 90).await?.reply;
        steps.step(began);
        match retired {
            PurgedOrders::More(some) => removed += some,
            PurgedOrders::Done(some) => {
                removed += some;
                break;
            }
            PurgedOrders::TooEarly => return Err("the day is not over".into()),
        }
    }
    steps.show("orders removed", removed);
    Ok(())
}
