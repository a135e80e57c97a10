//! The engine at work, to be looked at: one message to many people over four channels, a courier process each, on a private
//! server. The transports keep nothing: no provider is asked.

use std::time::{Duration, Instant};

use posthaste_model::{Channel, Counters, State, Suffix};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::Store;

use crate::courier::Process;
use crate::orders::{connect, head, row};

const CHANNELS: [&str; 4] = ["email", "sms", "telegram", "vk"];

/// Tells the order, starts the couriers, and shows the history until it has ended.
#[expect(clippy::print_stdout, reason = "to be looked at is what this is for")]
pub(crate) async fn run(people: u32) -> anyhow::Result<()> {
    let server = PrivateServer::builder().fsync(Fsync::EverySecond).start()?;
    let store = connect(&server).await?;
    println!("A private server is at {}", server.url());

    let start = Instant::now();
    let order = head(None)?;
    let suffix = order.suffix.clone();
    let mut writer = store.open_order(order)?;
    for index in 0..people {
        for channel in CHANNELS {
            writer.push(&channel.parse()?, row(index)).await?;
        }
    }
    let accepted = writer.finish([3; 12], &[]).await?;
    println!(
        "Order {} to {people} people over {} channels accepted in {:?}",
        suffix.order_id(),
        CHANNELS.len(),
        start.elapsed()
    );
    println!("\"Accepted\" means: {:?}. No courier runs yet; the order waits.", accepted.durability);

    let mut couriers = Vec::new();
    let start = Instant::now();
    for channel in CHANNELS {
        couriers.push(Process::start(&server.url(), &["--channel", channel])?);
    }
    println!("Four couriers, a process each, are at work");
    loop {
        let (finished, counters) = history(&store, &suffix).await?;
        let line: Vec<String> = counters.iter().map(|(channel, counters)| told(channel, counters)).collect();
        println!("{:>6.2} s  {}", start.elapsed().as_secs_f64(), line.join("  "));
        if finished {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("Every row has its outcome.");
    for courier in couriers {
        courier.stop()?;
    }
    store.disconnect().await;
    Ok(())
}

async fn history(store: &Store, suffix: &Suffix) -> anyhow::Result<(bool, Vec<(Channel, Counters)>)> {
    let order = store.load_order(store.partition_of(suffix), suffix).await?;
    let order = order.ok_or_else(|| anyhow::anyhow!("the order has no history"))?;
    Ok((order.finished.is_some(), order.counters))
}

fn told(channel: &Channel, counters: &Counters) -> String {
    let open = counters[State::Pending] + counters[State::Sending];
    format!("{channel}: {} sent, {open} to go", counters[State::Sent])
}
