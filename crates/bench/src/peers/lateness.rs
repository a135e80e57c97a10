//! How late messages are, open loop: due at fixed times, whatever happened to the ones before, while many others are
//! pending. From the due time to the arrival at nginx, by its clock.

use std::time::Duration;

use anyhow::{Context, ensure};
use posthaste_model::{Clock, SystemClock};
use posthaste_rig::servers::Fsync;

use super::stage::Stage;
use super::system::{Due, Jobs, System};
use super::table::{Column, Results, Subject};
use crate::figures::{per_second, quantile};

/// Messages that are measured, and the time over which they are due, in ms.
const MESSAGES: u64 = 2_000;
const SPAN: u64 = 10_000;
/// In ms: time to put them into the queue, and how late the last may be.
const AHEAD: u64 = 8_000;
const LATEST: u64 = 60_000;
/// The first number of those that are pending.
const PENDING_FROM: u64 = 5_000_000;

impl Due {
    /// Over an hour, from this time tomorrow.
    pub(super) fn tomorrow() -> Self {
        Self { first: SystemClock.now().0 + 86_400_000, span: 3_600_000 }
    }
}

/// Measures lateness with this many jobs pending.
pub(super) async fn measure(system: &System, pending: u64, results: &mut Results) -> anyhow::Result<()> {
    let stage = Stage::new(Fsync::Off).await?;
    let intake = system.open(&stage).await?;
    let before = stage.memory()?;
    let far = Jobs { count: pending, from: PENDING_FROM, due: Some(Due::tomorrow()) };
    intake.enqueue(&stage, far).await?;
    let bytes = (stage.memory()? - before) / per_second(pending, 1.0);
    let worker = intake.work(&stage).await?;
    worker.at_rest().await?;

    let first = SystemClock.now().0 + AHEAD;
    let jobs = Jobs { count: MESSAGES, from: 0, due: Some(Due { first, span: SPAN }) };
    intake.enqueue(&stage, jobs).await?;
    ensure!(SystemClock.now().0 < first, "enqueueing {MESSAGES} jobs took longer than {AHEAD} ms");
    let mut counter = stage.nginx.counter()?;
    while counter.count()? < MESSAGES && SystemClock.now().0 < first + SPAN + LATEST {
        worker.ensure_running()?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // One that comes twice would come soon.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let arrivals = stage.nginx.arrivals()?;
    ensure!(arrivals.keys().all(|n| *n < MESSAGES), "a message of tomorrow arrived");
    let mut late = Vec::new();
    for n in 0..MESSAGES {
        let due = jobs.due_of(n).context("a due time")?;
        let Some(at) = arrivals.get(&n) else { continue };
        late.push(i64::try_from(*at)? - i64::try_from(due)?);
    }
    let lost = MESSAGES - late.len() as u64;
    ensure!(lost == 0, "{lost} of {MESSAGES} messages had not arrived a minute after the last was due");
    late.sort_unstable();
    let early = late.iter().filter(|late| **late < 0).count() as u64;
    let mut add = |column, value| results.add(Subject::Lateness(pending), system.name(), column, value);
    add(Column::P50, quantile(&late, 0.5));
    add(Column::P99, quantile(&late, 0.99));
    add(Column::Latest, quantile(&late, 1.0));
    add(Column::Early, per_second(early, 1.0));
    add(Column::WorkerPeak, per_second(worker.used()?.peak, 1e6));
    add(Column::Bytes, bytes);
    Ok(())
}
