//! A courier whose transport answers at once and measures how late each message was. Prints the measurements when
//! stopped.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_courier::faulty_transports::{FaultyTransport, Misbehaviour, SendRecorder};
use posthaste_courier::{Batching, Capabilities, Courier, Envelope, Settings};
use posthaste_model::{Clock, SystemClock};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{Role, Store};
use secrecy::SecretString;

use crate::figures::quantile;

/// Options of the courier process.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// URL of the server
    #[arg(long)]
    redis: String,
    /// The channel.
    #[arg(long, default_value = "email")]
    channel: posthaste_model::Channel,
    /// Concurrent calls
    #[arg(long, default_value_t = 256)]
    concurrency: usize,
    /// Envelopes per call
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Poll interval in ms
    #[arg(long, default_value_t = 1_000)]
    poll_ms: u64,
}

/// Lateness of all messages, in microseconds.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Measured {
    pub(crate) messages: u64,
    pub(crate) early: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Measured {
    fn of(values: &mut [i64]) -> Self {
        values.sort_unstable();
        Self {
            messages: values.len() as u64,
            early: values.iter().filter(|late| **late < 0).count() as u64,
            p50: quantile(values, 0.5),
            p99: quantile(values, 0.99),
            max: quantile(values, 1.0),
        }
    }
}

/// Lateness in microseconds, one value per message.
#[derive(Default)]
struct Lateness(Mutex<Vec<i64>>);

impl SendRecorder for Lateness {
    fn leaving(&self, envelope: &Envelope) {
        let now = i64::try_from(SystemClock.now_ns() / 1_000).unwrap_or(i64::MAX);
        let due = i64::try_from(envelope.due.0 * 1_000).unwrap_or(i64::MAX);
        let mut values = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if values.len() < 2_000_000 {
            values.push(now - due);
        }
    }

    fn taken(&self, _: &Envelope) {}
}

/// Runs until stopped by a signal.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let stop = Shutdown::on_signals(&posthaste_ops::shutdown::Settings {
        drain_for: HumanDuration::from_millis(5_000),
        hand_back_for: HumanDuration::from_millis(1_000),
    })?;
    let channel = options.channel;
    let settings = posthaste_store::Settings { url: SecretString::from(options.redis), ..Default::default() };
    let (store, _) = Store::connect(settings, Role::Courier(channel.clone())).await?;
    let lateness = Arc::new(Lateness::default());
    let capabilities = Capabilities {
        concurrency: options.concurrency,
        max_concurrency: options.concurrency,
        batching: if options.batch > 1 { Batching::Any(options.batch) } else { Batching::Single },
        ..Capabilities::default()
    };
    let recorder: Arc<dyn SendRecorder> = lateness.clone();
    let courier = Courier {
        store,
        transport: Arc::new(FaultyTransport::new(channel, Misbehaviour::AtOnce, capabilities, recorder)),
        settings: Settings {
            poll: Duration::from_millis(options.poll_ms),
            claim_limit: 200,
            ..Settings::default()
        },
        courier: format!("bench-{}", std::process::id()).parse()?,
        progress: None,
        probe: Arc::new(()),
        provider: None,
    };
    println!("ready");
    courier.run(stop).await?;
    let mut values = lateness.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("{}", serde_json::to_string(&Measured::of(&mut values))?);
    Ok(())
}

/// A courier process running this same program.
pub(crate) struct Process(posthaste_rig::process::Child);

impl Process {
    /// Starts it and waits until it is working.
    pub(crate) fn start(url: &str, args: &[&str]) -> anyhow::Result<Self> {
        let mut all = vec!["courier", "--redis", url];
        all.extend(args);
        let none: [(&str, &str); 0] = [];
        let child = posthaste_rig::process::Child::spawn(std::env::current_exe()?, &all, none)?;
        child.wait_line("ready", |line| line == "ready")?;
        Ok(Self(child))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let stat = procfs::process::Process::new(i32::try_from(self.0.id())?)?.stat()?;
        Ok(stat.rss * procfs::page_size())
    }

    /// Processor seconds used so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = procfs::process::Process::new(i32::try_from(self.0.id())?)?.stat()?;
        let ticks = stat.utime + stat.stime;
        #[expect(clippy::cast_precision_loss, reason = "a count of ticks")]
        Ok(ticks as f64 / procfs::ticks_per_second() as f64)
    }

    /// Stops it; returns its measurements.
    pub(crate) fn stop(self) -> anyhow::Result<Measured> {
        self.0.signal(posthaste_rig::process::Sig::Term)?;
        let line = self.0.wait_line("the figures", |line| line.starts_with('{'))?;
        Ok(serde_json::from_str(&line)?)
    }
}
