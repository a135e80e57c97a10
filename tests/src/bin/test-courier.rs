//! A courier with a recording test transport: a real process for scenarios to kill.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use posthaste_courier::adversary::{Adversary, Manner, Recorder};
use posthaste_courier::{Abilities, Courier, Envelope, Point, Policy, Probe, Settings};
use posthaste_model::{Channel, Clock, CourierId, SystemClock};
use posthaste_ops::exit::{Exit, Failure};
use posthaste_ops::stop::Stop;
use posthaste_store::{Role, Store};
use secrecy::SecretString;

/// A courier with a recording test transport.
#[derive(Parser)]
struct Options {
    /// The server.
    #[arg(long)]
    redis: String,
    /// The channel.
    #[arg(long, default_value = "email")]
    channel: Channel,
    /// at-once, slow:MS, hanging, throttling:EVERY:MS, unknown:PERCENT, panics:WORD, aborts:WORD, retry-first, stopped.
    #[arg(long, default_value = "at-once")]
    manner: String,
    /// Where every envelope is written down, a line as it leaves and a line when it is taken.
    #[arg(long)]
    record: PathBuf,
    /// Ends the process by SIGKILL at this step: before-claim, after-claim, after-begin, mid-send, after-taken, after-settle.
    #[arg(long)]
    kill_at: Option<String>,
    /// At which visit of the step.
    #[arg(long, default_value_t = 1)]
    kill_nth: u64,
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
    /// What becomes of unknowns when the order leaves it to the channel: retry or hold.
    #[arg(long, default_value = "hold")]
    on_unknown: String,
    #[arg(long, default_value_t = 5_000)]
    drain_ms: u64,
}

/// Writes lines and ends the process where it was told to.
struct Witness {
    file: Mutex<File>,
    kill_at: Option<String>,
    kill_nth: u64,
    visits: AtomicU64,
}

impl Witness {
    fn line(&self, what: &str, envelope: &Envelope) {
        let now = SystemClock.now_ns() / 1_000;
        let Envelope { suffix, parcel, row, attempt, .. } = envelope;
        let index = envelope.to.index;
        let line = format!("{what} {suffix} {parcel} {row} {attempt} {index} {now}\n");
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // One write a line: a kill in between leaves whole lines.
        let _ = file.write_all(line.as_bytes());
    }

    fn visit(&self, step: &str) {
        if self.kill_at.as_deref() == Some(step)
            && self.visits.fetch_add(1, Ordering::SeqCst) + 1 == self.kill_nth
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

impl Recorder for Witness {
    fn leaving(&self, envelope: &Envelope) {
        self.line("leaving", envelope);
        self.visit("mid-send");
    }

    fn taken(&self, envelope: &Envelope) {
        self.line("taken", envelope);
        self.visit("after-taken");
    }
}

impl Probe for Witness {
    fn reached(&self, point: Point) {
        self.visit(match point {
            Point::BeforeClaim => "before-claim",
            Point::AfterClaim => "after-claim",
            Point::AfterBegin => "after-begin",
            Point::AfterSettle => "after-settle",
        });
    }
}

fn manner(text: &str) -> anyhow::Result<Manner> {
    let mut parts = text.split(':');
    let word = parts.next().unwrap_or_default();
    let mut number = || -> anyhow::Result<u64> { Ok(parts.next().unwrap_or_default().parse()?) };
    Ok(match word {
        "at-once" => Manner::AtOnce,
        "slow" => Manner::Slow(Duration::from_millis(number()?)),
        "hanging" => Manner::Hanging,
        "throttling" => Manner::Throttling { every: number()?, wait: Duration::from_millis(number()?) },
        "unknown" => Manner::UnknownShare(u8::try_from(number()?)?),
        "panics" => Manner::PanicsOn(parts.next().unwrap_or_default().to_owned()),
        "aborts" => Manner::AbortsOn(parts.next().unwrap_or_default().to_owned()),
        "retry-first" => Manner::RetryFirst,
        "stopped" => Manner::Stopped,
        _ => anyhow::bail!("no such manner"),
    })
}

async fn work(options: Options) -> Result<Exit, Failure> {
    posthaste_ops::telemetry::install(&posthaste_ops::telemetry::Settings {
        format: posthaste_ops::telemetry::Format::Human,
        filter: "info".to_owned(),
    })?;
    let stop = Stop::on_signals(&posthaste_ops::stop::Settings {
        drain_for: posthaste_ops::config::HumanDuration::from_millis(options.drain_ms),
        hand_back_for: posthaste_ops::config::HumanDuration::from_millis(1_000),
    })
    .map_err(Failure::software)?;
    let settings = posthaste_store::Settings {
        url: SecretString::from(options.redis),
        call_timeout: Duration::from_secs(2),
        ..Default::default()
    };
    let role = Role::Courier(options.channel.clone());
    let (store, _) = Store::connect(settings, role).await.map_err(Failure::unavailable)?;
    let file =
        OpenOptions::new().create(true).append(true).open(&options.record).map_err(Failure::software)?;
    let witness = Arc::new(Witness {
        file: Mutex::new(file),
        kill_at: options.kill_at,
        kill_nth: options.kill_nth,
        visits: AtomicU64::new(0),
    });
    let abilities = Abilities {
        concurrency: options.concurrency,
        max_concurrency: options.concurrency.max(256),
        send_window: Duration::from_millis(options.send_window_ms),
        on_unknown: if options.on_unknown == "retry" { Policy::RetryOnce } else { Policy::Hold },
        ..Abilities::default()
    };
    let manner = manner(&options.manner).map_err(Failure::usage)?;
    let courier = format!("c{}-{}", std::process::id(), SystemClock.now_ns());
    let courier: CourierId = courier.parse().map_err(Failure::software)?;
    let lease = Duration::from_millis(options.lease_ms);
    println!("ready");
    let courier = Courier {
        store,
        transport: Arc::new(Adversary::new(options.channel, manner, abilities, witness.clone())),
        settings: Settings {
            lease,
            renew_every: lease / 4,
            poll: Duration::from_millis(options.poll_ms),
            sweep_every: Duration::from_millis(options.sweep_ms),
            backoff_base: Duration::from_millis(200),
            hearing_every: Duration::from_secs(2),
            ..Settings::default()
        },
        courier,
        progress: None,
        probe: witness,
    };
    courier.run(stop).await.map_err(Failure::refused)?;
    Ok(Exit::Done)
}

fn main() -> ExitCode {
    let options = Options::parse();
    posthaste_ops::exit::run("test-courier", || work(options))
}
