//! What the child does in each scenario.

use std::io::{self, Write};
use std::process::ExitCode;

use posthaste_ops::config::{HumanDuration, SECTIONS, Sources};
use posthaste_ops::exit::{Exit, Failure, run as run_process};
use posthaste_ops::stop::{self, Stop};
use posthaste_ops::telemetry::{self, Format};
use serde::Deserialize;

/// Plays the scenario as a process of ours would run.
pub(crate) fn run(name: &str) -> ExitCode {
    run_process("probe", || async move {
        match name {
            "done" => Ok(Exit::Done),
            "interrupted" => Ok(Exit::Interrupted),
            "usage" => Err(Failure::usage("the flag is unknown")),
            "refused" => {
                Err(Failure::refused(Refused { source: io::Error::other("this database is foreign") }))
            }
            "unavailable" => Err(Failure::unavailable("no answer")),
            "software" => Err(Failure::software("a state that cannot be")),
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
            other => Err(Failure::usage(format!("there is no scenario {other}"))),
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
    stop: stop::Settings,
}

fn settings() -> Result<Exit, Failure> {
    Sources::new(SECTIONS).flag("--drain-for", "stop.drain_for", Some("20")).load::<Settings>()?;
    Ok(Exit::Done)
}

fn lines(format: Format) -> Result<(), Failure> {
    let settings = telemetry::Settings { format, filter: "info".to_owned() };
    telemetry::install(&settings)?;
    // A second time, as two tests in one process would.
    Ok(telemetry::install(&settings)?)
}

fn stop(drain_for: u64) -> Result<Stop, Failure> {
    let settings = stop::Settings {
        drain_for: HumanDuration::from_millis(drain_for),
        hand_back_for: HumanDuration::from_millis(60_000),
    };
    Stop::on_signals(&settings).map_err(Failure::software)
}

async fn panic_in_a_task() -> Result<Exit, Failure> {
    lines(Format::Json)?;
    let stop = stop(60_000)?;
    stop.spawn("work", async { panic!("the table is empty") });
    Ok(stop.ended().await.into())
}

fn log_facade() -> Result<Exit, Failure> {
    lines(Format::Json)?;
    log::info!(target: "other", "from the facade");
    log::debug!(target: "other", "not asked for");
    Ok(Exit::Done)
}

fn human_lines() -> Result<Exit, Failure> {
    lines(Format::Human)?;
    tracing::info!(rows = 3, "for people");
    Ok(Exit::Done)
}

/// Works until the soft stage, or through it until the hard one, and tells each step on standard output.
async fn hold(drain_for: u64, until_hard: bool) -> Result<Exit, Failure> {
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
