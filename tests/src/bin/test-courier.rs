//! A courier with a recording test transport: a real process for scenarios to kill.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clap::Parser;
use posthaste_courier::faulty_transports::{FaultyTransport, Misbehaviour, SendRecorder};
use posthaste_courier::{Capabilities, Courier, Envelope, Point, Probe, Settings, UnknownHandling};
use posthaste_model::{Channel, Clock, CourierId, SystemClock};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::exit::{Exit, ExitFailure};
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{Role, Store};
use rustix::process::{Signal, getpid, kill_process};
use secrecy::SecretString;

/// A courier with a recording test transport
#[derive(Parser)]
struct Options {
    /// URL of the server
    #[arg(long)]
    redis: String,
    /// Channel
    #[arg(long, default_value = "email")]
    channel: Channel,
    /// at-once, slow:MS, hanging, throttling:EVERY:MS, unknown:PERCENT, panics:WORD, aborts:WORD, retry-first, stopped,
    /// stopped-while:FILE.
    #[arg(long, default_value = "at-once")]
    misbehaviour: String,
    /// File that records every envelope: a line as it leaves and a line when it is taken
    #[arg(long)]
    record: PathBuf,
    /// Kill the process (SIGKILL) at this step: before-claim, after-claim, after-begin, mid-send, after-taken,
    /// after-settle
    #[arg(long)]
    kill_at: Option<String>,
    /// Freeze the process (SIGSTOP) at this step, once
    #[arg(long, conflicts_with = "kill_at")]
    freeze_at: Option<String>,
    /// Stop the process (SIGTERM) at this step, once
    #[arg(long, conflicts_with_all = ["kill_at", "freeze_at"])]
    stop_at: Option<String>,
    /// The visit of the step at which that happens
    #[arg(long, default_value_t = 1)]
    nth: u64,
    #[arg(long, default_value_t = 2_000)]
    lease_ms: u64,
    #[arg(long, default_value_t = 3_000)]
    send_window_ms: u64,
    #[arg(long, default_value_t = 300)]
    poll_ms: u64,
    #[arg(long, default_value_t = 500)]
    sweep_ms: u64,
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// How unknowns are resolved when the order leaves it to the channel: retry or hold
    #[arg(long, default_value = "hold")]
    on_unknown: String,
    #[arg(long, default_value_t = 5_000)]
    drain_ms: u64,
}

/// Writes lines, and ends or freezes the process at the configured step.
struct SendLog {
    channel: Channel,
    file: Mutex<File>,
    step: Option<(String, Signal)>,
    nth: u64,
    visits: AtomicU64,
}

impl SendLog {
    fn line(&self, what: &str, envelope: &Envelope) {
        let now = SystemClock.now_ns() / 1_000;
        let Envelope { order_id, parcel, delivery, attempt, .. } = envelope;
        let line = format!("{what} {order_id} {} {parcel} {delivery} {attempt} {now} .\n", self.channel);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write per line: a kill in between leaves whole lines.
        let _ = file.write_all(line.as_bytes());
    }

    fn visit(&self, step: &str) {
        if let Some((at, signal)) = &self.step
            && at == step
            && self.visits.fetch_add(1, Ordering::SeqCst) + 1 == self.nth
        {
            if *signal == Signal::STOP {
                say("freezing");
            }
            let _ = kill_process(getpid(), *signal);
            // The kernel takes a moment to stop the other threads; nothing may happen meanwhile.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl SendRecorder for SendLog {
    fn leaving(&self, envelope: &Envelope) {
        self.line("leaving", envelope);
        self.visit("mid-send");
    }

    fn taken(&self, envelope: &Envelope) {
        self.line("taken", envelope);
        self.visit("after-taken");
    }
}

impl Probe for SendLog {
    fn reached(&self, point: Point) {
        self.visit(match point {
            Point::BeforeClaim => "before-claim",
            Point::AfterClaim => "after-claim",
            Point::AfterBegin => "after-begin",
            Point::AfterSettle => "after-settle",
            Point::BeforePark => "before-park",
        });
    }
}

/// A line for the test that waits for it.
fn say(line: &str) {
    // The reader may be gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn misbehaviour(text: &str) -> anyhow::Result<Misbehaviour> {
    let mut parts = text.split(':');
    let word = parts.next().unwrap_or_default();
    let mut rest = || parts.next().unwrap_or_default();
    Ok(match word {
        "at-once" => Misbehaviour::AtOnce,
        "slow" => Misbehaviour::Slow(Duration::from_millis(rest().parse()?)),
        "hanging" => Misbehaviour::Hanging,
        "throttling" => {
            Misbehaviour::Throttling { every: rest().parse()?, wait: Duration::from_millis(rest().parse()?) }
        }
        "unknown" => Misbehaviour::UnknownShare(rest().parse()?),
        "panics" => Misbehaviour::PanicsOn(rest().to_owned()),
        "aborts" => Misbehaviour::AbortsOn(rest().to_owned()),
        "retry-first" => Misbehaviour::RetryFirst,
        "stopped" => Misbehaviour::Stopped,
        "stopped-while" => Misbehaviour::StoppedWhile(rest().into()),
        _ => anyhow::bail!("unknown misbehaviour; see --help"),
    })
}

fn send_log(options: &Options) -> Result<SendLog, ExitFailure> {
    let file =
        OpenOptions::new().create(true).append(true).open(&options.record).map_err(ExitFailure::software)?;
    let killed = options.kill_at.clone().map(|step| (step, Signal::KILL));
    let frozen = options.freeze_at.clone().map(|step| (step, Signal::STOP));
    let stopped = options.stop_at.clone().map(|step| (step, Signal::TERM));
    Ok(SendLog {
        channel: options.channel.clone(),
        file: Mutex::new(file),
        step: killed.or(frozen).or(stopped),
        nth: options.nth,
        visits: AtomicU64::new(0),
    })
}

fn courier(options: &Options, store: Store) -> Result<Courier, ExitFailure> {
    let send_log = Arc::new(send_log(options)?);
    let capabilities = Capabilities {
        concurrency: options.concurrency,
        max_concurrency: options.concurrency,
        send_window: Duration::from_millis(options.send_window_ms),
        on_unknown: if options.on_unknown == "retry" {
            UnknownHandling::RetryOnce
        } else {
            UnknownHandling::Hold
        },
        ..Capabilities::default()
    };
    let misbehaviour = misbehaviour(&options.misbehaviour).map_err(ExitFailure::usage)?;
    let id = format!("c{}-{}", std::process::id(), SystemClock.now_ns());
    let id: CourierId = id.parse().map_err(ExitFailure::software)?;
    let lease = Duration::from_millis(options.lease_ms);
    Ok(Courier {
        store,
        transport: Arc::new(FaultyTransport::new(
            options.channel.clone(),
            misbehaviour,
            capabilities,
            send_log.clone(),
        )),
        settings: Settings {
            lease,
            renew_every: lease / 4,
            max_unsettled: options.concurrency,
            poll: Duration::from_millis(options.poll_ms),
            sweep_every: Duration::from_millis(options.sweep_ms),
            backoff_base: Duration::from_millis(200),
            hearing_every: Duration::from_secs(2),
            check_every: Duration::from_millis(300),
            ..Settings::default()
        },
        courier: id,
        provider: None,
        progress: None,
        probe: send_log,
    })
}

async fn work(options: Options) -> Result<Exit, ExitFailure> {
    posthaste_ops::telemetry::install(&posthaste_ops::telemetry::Settings {
        format: posthaste_ops::telemetry::LogFormat::Human,
        filter: "info".to_owned(),
    })?;
    let stop = Shutdown::on_signals(&posthaste_ops::shutdown::Settings {
        drain_for: HumanDuration::from_millis(options.drain_ms),
        hand_back_for: HumanDuration::from_millis(10_000),
    })
    .map_err(ExitFailure::software)?;
    let settings = posthaste_store::Settings {
        url: SecretString::from(options.redis.clone()),
        call_timeout: Duration::from_secs(5),
        ..Default::default()
    };
    let role = Role::Courier(options.channel.clone());
    let (store, _) = Store::connect(settings, role).await.map_err(ExitFailure::unavailable)?;
    let courier = courier(&options, store)?;
    say("ready");
    let failed = Arc::new(OnceLock::new());
    let (reported, until) = (Arc::clone(&failed), stop.clone());
    stop.spawn("courier", async move {
        if let Err(error) = courier.run(until).await {
            let _ = reported.set(error);
        }
    });
    let ended = stop.ended().await;
    match Arc::into_inner(failed).and_then(OnceLock::into_inner) {
        Some(error) => Err(ExitFailure::refused(error)),
        None => Ok(ended.into()),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    posthaste_ops::exit::run("test-courier", || work(options))
}
