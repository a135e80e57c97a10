//! Other queues beside Posthaste: the same jobs, the same nginx as provider, the same settings of the server, the same
//! number of requests at a time. A figure counts only if every message arrived exactly once.

mod drain;
mod lateness;
mod nginx;
mod ours;
mod plot;
mod processes;
mod programs;
mod stage;
mod system;
mod table;

use std::path::PathBuf;

use anyhow::Context;
use posthaste_rig::servers::Fsync;

use system::System;
use table::Results;

/// Options of the comparison.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this system, and Posthaste: bullmq, sidekiq, celery, apalis; `posthaste` for Posthaste alone. May be repeated
    #[arg(long)]
    only: Vec<String>,
    /// Messages of a drain
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Jobs that are pending while lateness is measured; 0 leaves it out
    #[arg(long, value_delimiter = ',', default_values_t = [20_000, 100_000])]
    pending: Vec<u64>,
    /// Number of rounds; each measures every system once, and the median is printed
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Where the other systems are installed
    #[arg(long, default_value = "target/peers")]
    peers: PathBuf,
    /// Where to write the table and the plots
    #[arg(long, default_value = "target/peers")]
    into: PathBuf,
}

/// Requests at a time, everywhere.
const AT_ONCE: u64 = 64;

/// Measures all systems, round after round.
pub(crate) async fn measure(options: Options) -> anyhow::Result<()> {
    let folder = std::path::absolute(&options.peers).context("the folder of the other systems")?;
    let systems = System::all(&folder, &options.only)?;
    let mut results = Results::default();
    for system in &systems {
        results.version(system.versions()?);
    }
    results.version(nginx::version()?);
    for round in 1..=options.runs {
        for fsync in [Fsync::Off, Fsync::EverySecond] {
            for system in &systems {
                say(&format!("round {round} of {}: drain, {}, {}", options.runs, aof(fsync), system.name()));
                let outcome = drain::measure(system, options.messages, fsync, &mut results).await;
                results.void_if_failed(&format!("drain, {}", aof(fsync)), system, outcome);
            }
        }
        for pending in options.pending.iter().copied().filter(|pending| *pending > 0) {
            for system in systems.iter().filter(|system| system.takes_single_orders()) {
                say(&format!("round {round} of {}: {pending} pending, {}", options.runs, system.name()));
                let outcome = lateness::measure(system, pending, &mut results).await;
                results.void_if_failed(&format!("{pending} pending"), system, outcome);
            }
        }
    }
    results.print();
    std::fs::create_dir_all(&options.into)?;
    let plots = plot::write(&results, &options.into)?;
    let text = results.page(options.messages, &options.pending, options.runs, &plots);
    let path = options.into.join("peers.md");
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("written: {} and {} plots beside it", path.display(), plots.len()));
    Ok(())
}

/// How a table names the setting.
fn aof(fsync: Fsync) -> &'static str {
    match fsync {
        Fsync::Off => "no AOF",
        Fsync::EverySecond => "AOF everysec",
        Fsync::Always => "AOF always",
    }
}

/// Progress, which is not part of the result.
#[expect(clippy::print_stderr, reason = "a run takes half an hour")]
fn say(text: &str) {
    eprintln!("{text}");
}
