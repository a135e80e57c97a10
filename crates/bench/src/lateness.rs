//! Lateness, open loop: messages are due at fixed times, whatever happened to the ones before, with many others
//! pending.

use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use posthaste_model::{Clock, SystemClock, UnixMs};
use posthaste_rig::servers::PrivateServer;
use posthaste_store::Store;

use crate::Common;
use crate::courier::{Measured, Process};
use crate::figures::{Figures, per_second, quantile};
use crate::orders::{connect, email, single, tell_many};

const MESSAGES: u64 = 2_000;
const SPAN_MS: u64 = 10_000;

/// Measures lateness.
pub(crate) async fn measure(pending: u64, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        let server = common.server()?;
        let store = connect(&server).await?;
        let far = SystemClock.now().0 + 86_400_000;
        let start = Instant::now();
        tell_many(&store, pending, 512, |n| Some(UnixMs(far + n % 3_600_000))).await?;
        figures.add("pending orders accepted per second", per_second(pending, start.elapsed().as_secs_f64()));

        let courier = Process::start(&server.url(), &[])?;
        ahead(&store).await?;
        summarise("told ahead", &courier.stop()?, &mut figures);

        let courier = Process::start(&server.url(), &[])?;
        shortly_before(&store).await?;
        summarise("accepted 100 to 900 ms before", &courier.stop()?, &mut figures);

        native(&server, &mut figures)?;
        store.disconnect().await;
    }
    figures.print(&format!("Lateness with {pending} pending ({})", common.describe()));
    Ok(())
}

/// All accepted first, then due one after the other.
async fn ahead(store: &Store) -> anyhow::Result<()> {
    let first = SystemClock.now().0 + 3_000;
    tell_many(store, MESSAGES, 64, |n| Some(UnixMs(first + n * SPAN_MS / MESSAGES))).await?;
    until(first + SPAN_MS + 1_500).await;
    Ok(())
}

/// Each accepted 100 to 900 ms before it is due.
async fn shortly_before(store: &Store) -> anyhow::Result<()> {
    let first = SystemClock.now().0 + 1_500;
    let channel = email()?;
    let mut reported = FuturesUnordered::new();
    for n in 0..MESSAGES {
        let due = first + n * SPAN_MS / MESSAGES;
        let before = 100 + (n * 7_919) % 801;
        let order = single(&channel, Some(UnixMs(due)))?;
        reported.push(async move {
            until(due - before).await;
            store.accept(&order).await.map(|_| ())
        });
    }
    while let Some(result) = reported.next().await {
        result?;
    }
    until(first + SPAN_MS + 1_500).await;
    Ok(())
}

async fn until(moment: u64) {
    tokio::time::sleep(Duration::from_millis(moment.saturating_sub(SystemClock.now().0))).await;
}

fn summarise(what: &str, measured: &Measured, figures: &mut Figures) {
    figures.add(format!("{what}: p50 ms"), measured.p50 / 1e3);
    figures.add(format!("{what}: p99 ms"), measured.p99 / 1e3);
    figures.add(format!("{what}: max ms"), measured.max / 1e3);
    figures.add(format!("{what}: delivered of {MESSAGES}"), per_second(measured.messages, 1.0));
    figures.add(format!("{what}: early"), per_second(measured.early, 1.0));
}

/// The server's own expiry meanwhile: 300 keys due within 4.5 s, with up to 20 s to receive their events.
fn native(server: &PrivateServer, figures: &mut Figures) -> anyhow::Result<()> {
    let mut listener = server.connect()?;
    listener.command(&["SUBSCRIBE", "__keyevent@0__:expired"])?;
    let now = SystemClock.now().0;
    for n in 0..300 {
        let due = (now + 500 + n * 15).to_string();
        server.command(&["SET", &format!("probe:{due}"), "0", "PXAT", &due])?;
    }
    let start = Instant::now();
    let mut late = Vec::new();
    while start.elapsed() < Duration::from_secs(20) && late.len() < 300 {
        if let Some(reply) = listener.receive_within(Duration::from_millis(200))?
            && let Some(due) =
                reply.items().last().and_then(|key| key.text()).and_then(|key| key.strip_prefix("probe:"))
        {
            let due: i64 = due.parse()?;
            late.push(i64::try_from(SystemClock.now_ns() / 1_000)? - due * 1_000);
        }
    }
    late.sort_unstable();
    figures.add("native expiry: events of 300 within 20 s", per_second(late.len() as u64, 1.0));
    if !late.is_empty() {
        figures.add("native expiry: p50 ms of those", quantile(&late, 0.5) / 1e3);
    }
    Ok(())
}
