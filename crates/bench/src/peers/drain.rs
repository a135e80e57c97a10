//! Waiting jobs go out as fast as they can; and, on the way, how fast they were put into the queue and what they weigh.

use std::time::{Duration, Instant};

use anyhow::ensure;
use posthaste_rig::servers::Fsync;

use super::nginx::Arrivals;
use super::ours::through_the_store;
use super::processes::{Used, used};
use super::stage::Stage;
use super::system::{Due, Intake, Jobs, System, Worker};
use super::table::{Column, Results, Subject};
use crate::figures::per_second;

/// Without an arrival for so long a drain has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures one drain.
pub(super) async fn measure(
    system: &System,
    messages: u64,
    fsync: Fsync,
    results: &mut Results,
) -> anyhow::Result<()> {
    let stage = Stage::new(fsync).await?;
    let intake = system.open(&stage).await?;
    let jobs = Jobs { count: messages, from: 0, due: None };
    let before = stage.memory()?;
    let seconds = intake.enqueue(&stage, jobs).await?;
    let bytes = (stage.memory()? - before) / per_second(messages, 1.0);

    let mut counter = stage.nginx.counter()?;
    let worker = intake.work(&stage).await?;
    let (mut arrived, mut last) = (0, Instant::now());
    let mut begun = None;
    while arrived < messages {
        let now = counter.count()?;
        if now > arrived {
            (arrived, last) = (now, Instant::now());
            if begun.is_none() {
                begun = Some((arrived, Sample::take(&stage, &worker, &intake)?));
            }
        }
        worker.ensure_running()?;
        ensure!(
            last.elapsed() < PATIENCE,
            "{arrived} of {messages} messages arrived, then none for a minute"
        );
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    // What is written down after the last request belongs to it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ended = Sample::take(&stage, &worker, &intake)?;
    let arrivals = stage.nginx.arrivals()?;
    let rate = rate(&arrivals, messages)?;

    let subject = Subject::Drain(fsync);
    let mut add = |column, value| results.add(subject, system.name(), column, value);
    add(Column::Rate, rate);
    if let Some((first, begun)) = begun {
        let thousands = per_second(messages - first, 1_000.0);
        add(Column::WorkerCpu, (ended.worker.cpu - begun.worker.cpu) / thousands);
        add(Column::ServerCpu, (ended.server.cpu - begun.server.cpu) / thousands);
        if let Some((ended, begun)) = ended.queue.zip(begun.queue) {
            add(Column::QueueCpu, (ended.cpu - begun.cpu) / thousands);
        }
        add(Column::NginxCpu, (ended.nginx.cpu - begun.nginx.cpu) / thousands);
    }
    add(Column::WorkerPeak, megabytes(ended.worker.peak));
    add(Column::ServerPeak, megabytes(ended.server.peak));
    if let Some(queue) = ended.queue {
        add(Column::QueuePeak, megabytes(queue.peak));
    }

    let subject = Subject::Enqueue(fsync);
    results.add(subject, system.name(), Column::Enqueued, per_second(messages, seconds));
    results.add(subject, system.name(), Column::Bytes, bytes);
    drop((worker, intake));
    if matches!(system, System::Singles) {
        without_http(messages, fsync, results).await?;
    }
    Ok(())
}

/// Orders of one through the store.
async fn without_http(messages: u64, fsync: Fsync, results: &mut Results) -> anyhow::Result<()> {
    let stage = Stage::new(fsync).await?;
    let before = stage.memory()?;
    // Nobody is there to send them.
    let due = Due::tomorrow();
    let seconds = through_the_store(&stage, Jobs { count: messages, from: 0, due: Some(due) }).await?;
    let (subject, name) = (Subject::Enqueue(fsync), "Posthaste, orders of one through the store");
    results.add(subject, name, Column::Enqueued, per_second(messages, seconds));
    results.add(subject, name, Column::Bytes, (stage.memory()? - before) / per_second(messages, 1.0));
    Ok(())
}

/// Messages per second from the first arrival to the last. Fails unless each arrived.
fn rate(arrivals: &Arrivals, messages: u64) -> anyhow::Result<f64> {
    let missing = (0..messages).filter(|n| !arrivals.contains_key(n)).count();
    ensure!(missing == 0, "{missing} of {messages} messages are missing");
    ensure!(
        arrivals.len() as u64 == messages,
        "{} messages more than were told",
        arrivals.len() as u64 - messages
    );
    let (first, last) = (arrivals.values().min(), arrivals.values().max());
    let ms = last.zip(first).map_or(0, |(last, first)| last - first).max(1);
    Ok(per_second(messages.saturating_sub(1) * 1_000, per_second(ms, 1.0)))
}

/// What all processes have used at one moment.
struct Sample {
    worker: Used,
    server: Used,
    queue: Option<Used>,
    nginx: Used,
}

impl Sample {
    fn take(stage: &Stage, worker: &Worker, intake: &Intake<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            worker: worker.used()?,
            server: stage.server()?,
            queue: intake.used()?,
            nginx: used(stage.nginx.id())?,
        })
    }
}

fn megabytes(bytes: u64) -> f64 {
    per_second(bytes, 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_every_message_once() {
        let arrivals = Arrivals::from([(0, 5_000), (1, 5_500), (2, 6_000)]);
        assert!((rate(&arrivals, 3).expect("a rate") - 2.0).abs() < 1e-9);
        assert!(rate(&arrivals, 4).is_err());
        assert!(rate(&arrivals, 2).is_err());
    }
}
