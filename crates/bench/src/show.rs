//! A demonstration of the engine: one message to many people over all channels, one courier process each, on a
//! private server. The transports discard the messages: no provider is called.

use std::time::{Duration, Instant};

use posthaste_model::{CHANNELS, Channel, Counters, OrderId, State};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::Store;

use crate::courier::Process;
use crate::orders::{connect, delivery, head};

/// Creates the order, starts the couriers, and shows the history until it has ended.
#[expect(clippy::print_stdout, reason = "its output is for people")]
pub(crate) async fn run(people: u32) -> anyhow::Result<()> {
    let server = PrivateServer::builder().fsync(Fsync::EverySecond).start()?;
    let store = connect(&server).await?;
    println!("A private server is at {}", server.url());

    let start = Instant::now();
    let order = head(None)?;
    let order_id = order.order_id.clone();
    let mut writer = store.open_order(order)?;
    for index in 0..people {
        for channel in CHANNELS {
            writer.push(&channel.name.parse()?, delivery(index)).await?;
        }
    }
    let accepted = writer.finish([3; 12], &[]).await?;
    println!(
        "Order {} to {people} people over {} channels accepted in {:?}",
        order_id.wire_id(),
        CHANNELS.len(),
        start.elapsed()
    );
    println!(
        "Durability of the acceptance: {:?}. No courier runs yet; the order waits.",
        accepted.durability
    );

    let mut couriers = Vec::new();
    let start = Instant::now();
    for channel in CHANNELS {
        couriers.push(Process::start(&server.url(), &["--channel", channel.name])?);
    }
    println!("{} couriers, one process each, are working", CHANNELS.len());
    loop {
        let (finished, counters) = history(&store, &order_id).await?;
        let line: Vec<String> =
            counters.iter().map(|(channel, counters)| reported(channel, counters)).collect();
        println!("{:>6.2} s  {}", start.elapsed().as_secs_f64(), line.join("  "));
        if finished {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("Every delivery has a final state.");
    for courier in couriers {
        courier.stop()?;
    }
    store.disconnect().await;
    Ok(())
}

async fn history(store: &Store, order_id: &OrderId) -> anyhow::Result<(bool, Vec<(Channel, Counters)>)> {
    let order = store.load_order(store.partition_of(order_id), order_id).await?;
    let order = order.ok_or_else(|| anyhow::anyhow!("the order has no history"))?;
    Ok((order.finished.is_some(), order.counters))
}

fn reported(channel: &Channel, counters: &Counters) -> String {
    let open = counters[State::Pending] + counters[State::Sending];
    format!("{channel}: {} sent, {open} to go", counters[State::Sent])
}
