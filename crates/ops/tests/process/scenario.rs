//! The scenarios of the child.

use std::io::{self, Write};
use std::process::ExitCode;

use posthaste_ops::config::{HumanDuration, SECTIONS, Sources};
use posthaste_ops::exit::{Exit, ExitFailure, run as run_process};
use posthaste_ops::shutdown::{self, Shutdown};
use posthaste_ops::telemetry::{self, LogFormat};
use serde::Deserialize;

/// Runs the scenario the way our processes run.
pub(crate) fn run(name: &str) -> ExitCode {
    run_process("probe", || async move {
        match name {
            "done" => Ok(Exit::Done),
            "interrupted" => Ok(Exit::Interrupted),
            "usage" => Err(ExitFailure::usage("the flag is unknown")),
            "refused" => {
                Err(ExitFailure::refused(Refused { source: io::Error::other("this database is foreign") }))
            }
            "unavailable" => Err(ExitFailure::unavailable("no answer")),
            "software" => Err(ExitFailure::software("a state that cannot be")),
            "settings" => settings(),
            "panic_fixed" => panic!("the table is empty"),
            "panic_with_values" => panic!("no row for {}", std::hint::black_box("a@b.c")),
            "panic_in_a_task" => panic_in_a_task().await,
            "log_facade" => log_facade(),
            "human_lines" => human_lines(),
            "hold_until_hard" => hold(60_000, true).await,
            "finish_on_soft" => hold(60_000, false).await,
            "short_drain" => hold(50, true).await,
            "stuck_thread" => {
                tokio::task::spawn_blocking(|| {
                    loop {
                        std::thread::park();
                    }
                });
                Ok(Exit::Done)
            }
            other => Err(ExitFailure::usage(format!("there is no scenario {other}"))),
        }
    })
}

/// An error that repeats a URL.
#[derive(Debug, thiserror::Error)]
#[error("cannot start: cannot reach redis://:hunter2@h:1")]
struct Refused {
    source: io::Error,
}

#[derive(Deserialize)]
struct Settings {
    #[expect(dead_code, reason = "the start is refused")]
    log: telemetry::Settings,
    #[expect(dead_code, reason = "the start is refused")]
    admin: posthaste_ops::admin::Settings,
    #[expect(dead_code, reason = "the start is refused")]
    stop: shutdown::Settings,
}

fn settings() -> Result<Exit, ExitFailure> {
    Sources::new(SECTIONS).flag("--drain-for", "stop.drain_for", Some("20")).load::<Settings>()?;
    Ok(Exit::Done)
}

fn lines(format: LogFormat) -> Result<(), ExitFailure> {
    let settings = telemetry::Settings { format, filter: "info".to_owned() };
    telemetry::install(&settings)?;
    // A second time, as with two tests in one process.
    Ok(telemetry::install(&settings)?)
}

fn stop(drain_for: u64) -> Result<Shutdown, ExitFailure> {
    let settings = shutdown::Settings {
        drain_for: HumanDuration::from_millis(drain_for),
        hand_back_for: HumanDuration::from_millis(60_000),
    };
    Shutdown::on_signals(&settings).map_err(ExitFailure::software)
}

async fn panic_in_a_task() -> Result<Exit, ExitFailure> {
    lines(LogFormat::Json)?;
    let stop = stop(60_000)?;
    stop.spawn("work", async { panic!("the table is empty") });
    Ok(stop.ended().await.into())
}

fn log_facade() -> Result<Exit, ExitFailure> {
    lines(LogFormat::Json)?;
    log::info!(target: "other", "from the facade");
    log::debug!(target: "other", "not asked for");
    Ok(Exit::Done)
}

fn human_lines() -> Result<Exit, ExitFailure> {
    lines(LogFormat::Human)?;
    tracing::info!(rows = 3, "for people");
    Ok(Exit::Done)
}

/// Works until the soft stage, or through it until the hard one, and prints each step on standard output.
async fn hold(drain_for: u64, until_hard: bool) -> Result<Exit, ExitFailure> {
    let stop = stop(drain_for)?;
    let (soft, hard) = (stop.soft.clone(), stop.hard.clone());
    stop.spawn("work", async move {
        tell("up");
        soft.cancelled().await;
        tell("soft");
        if until_hard {
            hard.cancelled().await;
            tell("hard");
        }
    });
    Ok(stop.ended().await.into())
}

fn tell(step: &str) {
    writeln!(io::stdout(), "{step}").expect("the test reads on");
}
