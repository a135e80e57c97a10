//! Messages per second into a transport that answers at once: orders wait in `ready`, then a courier starts.

use std::time::{Duration, Instant};

use posthaste_rig::servers::PrivateServer;

use crate::Common;
use crate::courier::Process;
use crate::figures::{Figures, per_second};
use crate::orders::{connect, tell_big, tell_many};

/// Measures draining.
pub(crate) async fn measure(messages: u32, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        let server = common.server()?;
        crate::limits::measure(&server, &mut figures)?;
        let store = connect(&server).await?;
        tell_many(&store, u64::from(messages), 256, |_| None).await?;
        drain(&server, messages, &format!("{messages} orders of one delivery"), "1", &mut figures).await?;
        tell_big(&store, messages, None).await?;
        drain(&server, messages, &format!("one order of {messages} deliveries"), "1", &mut figures).await?;
        tell_big(&store, messages, None).await?;
        drain(
            &server,
            messages,
            &format!("one order of {messages} deliveries, 100 per call"),
            "100",
            &mut figures,
        )
        .await?;
        store.disconnect().await;
    }
    figures.print(&format!("Drain ({})", common.describe()));
    Ok(())
}

async fn drain(
    server: &PrivateServer,
    messages: u32,
    what: &str,
    batch: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let before = server.cpu_seconds()?;
    let ended = ended(server)?;
    let start = Instant::now();
    let concurrency = if batch == "1" { "2000" } else { "32" };
    let courier = Process::start(&server.url(), &["--concurrency", concurrency, "--batch", batch])?;
    let started = Instant::now();
    let target = ended + if what.starts_with("one ") { 1 } else { u64::from(messages) };
    while self::ended(server)? < target {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let n = u64::from(messages);
    figures.add(format!("{what}: messages per second"), per_second(n, seconds));
    figures.add(
        format!("{what}: server CPU, µs per message"),
        (server.cpu_seconds()? - before) * 1e6 / per_second(n, 1.0),
    );
    figures.add(
        format!("{what}: courier CPU, µs per message"),
        courier.cpu_seconds()? * 1e6 / per_second(n, 1.0),
    );
    figures.add(format!("{what}: courier start, ms"), (started - start).as_secs_f64() * 1e3);
    courier.stop()?;
    Ok(())
}

/// Orders that have ended so far.
pub(crate) fn ended(server: &PrivateServer) -> anyhow::Result<u64> {
    let mut sum = 0;
    let seconds = std::time::Duration::from_secs(86_400).as_secs();
    let now = posthaste_model::Clock::now(&posthaste_model::SystemClock).0 / 1_000 / seconds;
    for day in [now - 1, now] {
        let count = server.command(&["LLEN", &format!("retire:{{0}}:{day}")])?.int().unwrap_or(0);
        sum += u64::try_from(count)?;
    }
    Ok(sum)
}
