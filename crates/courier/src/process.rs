//! The whole process of a channel: settings, log, admin port, database, courier, stop, exit code. A channel gives the text of
//! its defaults and makes its transport; its `main` stays five lines:
//!
//! ```no_run
//! # mod channel {
//! #     #[derive(clap::Args)]
//! #     pub struct Args {}
//! #     pub async fn run(_: Args) -> Result<(), posthaste_ops::exit::Failure> { Ok(()) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     posthaste_courier::process::main("posthaste-courier-email", channel::run)
//! }
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use clap::Parser;
use posthaste_model::{Clock, CourierId, SystemClock};
use posthaste_ops::admin::{self, Admin, Subject};
use posthaste_ops::config::{self, ConfigError, HumanDuration, Loaded, Origin, Origins, Sources};
use posthaste_ops::exit::{self, Exit, Failure};
use posthaste_ops::health::{Check, Condition, Health};
use posthaste_ops::metrics::{Buckets, Metrics};
use posthaste_ops::stop::{self, Stop};
use posthaste_ops::telemetry;
use posthaste_store::{ConnectError, Role, Store, Trouble, Troubles, TypedUrlError, Work};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ready::{announce, withdraw};
use crate::run::{Courier, RunError};
use crate::settings::Settings;
use crate::transport::{Abilities, Checked, Transport};

/// The documented defaults of the sections every courier has: `redis` and `courier`.
pub const DEFAULTS: &str = include_str!("process.toml");

/// Secrets of every courier.
const SECRETS: &[&str] = &["redis.url", "redis.password", "redis.address_key"];

/// Bounds of histograms whose name does not speak of milliseconds to a minute.
const BUCKETS: &[Buckets<'_>] = &[(
    "posthaste_lateness_seconds",
    &[0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0],
)];

/// What the program of a channel is called, and what its settings are.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// As it is typed, such as `posthaste-courier-email`.
    pub name: &'static str,
    /// The documented defaults of the channel's own sections.
    pub defaults: &'static str,
    /// Dotted keys of the channel's own secrets.
    pub secrets: &'static [&'static str],
}

/// What every courier takes on its command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Settings file; `POSTHASTE_SECTION__KEY` in the environment and flags come after it.
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the database is. A password belongs into `POSTHASTE_REDIS__PASSWORD_FILE`, not here.
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Where /livez, /readyz and /metrics are, as in 127.0.0.1:9464; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// Which events are logged: a level, or levels per module.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// A file to be written when the courier is at work: {"admin":"…"}.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

impl Args {
    /// Looks at what a setting can't tell of itself: that it was typed, where everybody on the computer can read it.
    fn check(&self) -> Result<(), ConfigError> {
        let Some(url) = &self.redis else { return Ok(()) };
        posthaste_store::check_typed_url(url).map_err(|why| {
            let mend = match why {
                TypedUrlError::NoAddress(_) => "",
                TypedUrlError::Password => {
                    ": write it into the file that POSTHASTE_REDIS__PASSWORD_FILE names"
                }
            };
            let origin = Origin::Flag("--redis".to_owned());
            ConfigError::Setting { key: "redis.url".to_owned(), what: format!("{why}{mend}"), origin }
        })
    }
}

/// The section `courier`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in process.toml")]
pub struct Section {
    pub poll: HumanDuration,
    pub lease: HumanDuration,
    pub renew_every: HumanDuration,
    pub max_rows: usize,
    pub max_unsettled: usize,
    pub urgent_reserve: u8,
    pub rate: f64,
    pub max_tries: u8,
    pub backoff_base: HumanDuration,
    pub backoff_cap: HumanDuration,
    pub breaker_after: u32,
    pub hold_through: HumanDuration,
    pub sweep_every: HumanDuration,
    pub check_every: HumanDuration,
    pub retention_days: u32,
    pub stale_after: HumanDuration,
}

/// The sections every courier has.
#[derive(Debug, Deserialize)]
struct Shared {
    redis: posthaste_store::Settings,
    admin: admin::Settings,
    log: telemetry::Settings,
    stop: stop::Settings,
    courier: Section,
}

/// What a channel makes its transport from.
#[derive(Debug)]
pub struct Making<S> {
    /// The channel's own sections.
    pub settings: S,
    /// The section `courier`.
    pub courier: Section,
    /// Where every setting came from: a setting that makes no sense is refused with [`Origins::refuse`].
    pub origins: Origins,
}

impl Section {
    /// Puts what the operator says of rate and tries into what a channel can do.
    #[must_use]
    pub fn abilities(&self, channel: Abilities) -> Abilities {
        let rate = (self.rate > 0.0).then_some(self.rate);
        Abilities { rate, max_tries: self.max_tries, ..channel }
    }

    fn settings(&self) -> Settings {
        Settings {
            lease: self.lease.get(),
            renew_every: self.renew_every.get(),
            poll: self.poll.get(),
            max_rows: self.max_rows,
            max_unsettled: self.max_unsettled,
            urgent_reserve: self.urgent_reserve,
            backoff_base: self.backoff_base.get(),
            backoff_cap: self.backoff_cap.get(),
            breaker_after: self.breaker_after,
            hold_through: self.hold_through.get(),
            sweep_every: self.sweep_every.get(),
            check_every: self.check_every.get(),
            retention_days: self.retention_days,
            ..Settings::default()
        }
    }
}

/// The command line of a process with these arguments.
#[derive(Parser)]
#[command(version)]
struct Command<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

/// The `main` of a channel: reads the command line and runs to the end.
pub fn main<A, F>(name: &'static str, run: impl FnOnce(A) -> F) -> ExitCode
where
    A: clap::Args,
    F: Future<Output = Result<(), Failure>>,
{
    let command = Command::<A>::parse();
    exit::run(name, || async { run(command.args).await.map(|()| Exit::Done) })
}

impl Process {
    /// Every place settings come from, from low to high rank; `flags` adds the channel's own flags.
    pub fn sources(&self, args: &Args, flags: &dyn Fn(Sources) -> Sources) -> Sources {
        let mut sources = Sources::new(config::SECTIONS)
            .defaults(DEFAULTS)
            .defaults(self.defaults)
            .secrets(SECRETS)
            .secrets(self.secrets)
            .reserved(&["POSTHASTE_CONFIG"])
            .environment(std::env::vars_os());
        if let Some(file) = &args.config {
            sources = sources.file(file);
        }
        let sources = sources
            .flag("--redis", "redis.url", args.redis.as_ref())
            .flag("--admin", "admin.address", args.admin.as_ref())
            .flag("--log", "log.filter", args.log.as_ref());
        flags(sources)
    }

    /// Runs a courier of the channel until it is asked to stop. Settings are refused before anything is opened.
    ///
    /// # Errors
    /// A [`Failure`] with the exit code that says what to do: mend the settings, look at the database, start again.
    pub async fn run<S, T>(
        self,
        args: &Args,
        flags: &dyn Fn(Sources) -> Sources,
        make: impl FnOnce(Making<S>) -> Result<T, Failure>,
    ) -> Result<(), Failure>
    where
        S: DeserializeOwned,
        T: Transport,
    {
        let (shared, runtime, transport) = self.make(args, flags, make)?;
        telemetry::install(&shared.log)?;
        let metrics = Metrics::install(BUCKETS)?;
        let stop = Stop::on_signals(&shared.stop).map_err(Failure::software)?;

        let (health, claims) = (Health::new(), Check::progress("claims", shared.courier.stale_after.get()));
        health.watch(&claims, tokio::time::Instant::now());
        let reachable = Check::condition("store");
        health.watch(&reachable, tokio::time::Instant::now());
        let condition = Check::condition("database");
        health.watch(&condition, tokio::time::Instant::now());
        let subject = Subject { name: self.name, health, metrics, soft: stop.soft.clone() };
        let admin = Admin::start(&shared.admin, subject).await?;

        let transport: Arc<dyn Transport> = Arc::new(transport);
        let receipts = transport.abilities().receipts;
        let role = Role::CourierWith { channel: transport.channel(), receipts };
        let troubles = Troubles::new();
        let connecting = Store::connect_when_ready(shared.redis, role, troubles.clone());
        let store = tokio::select! {
            connected = connecting => connected.map_err(refused)?.0,
            never = tell_health(&troubles, &reachable, "connecting to Redis") => match never {},
            () = stop.soft.cancelled() => {
                tracing::info!("stopped while waiting for Redis");
                return Ok(());
            }
        };
        stop.spawn("database", crate::database::watch(store.clone(), condition, stop.soft.clone()));
        let soft = stop.soft.clone();
        stop.spawn("readiness", async move {
            tokio::select! {
                () = soft.cancelled() => {}
                never = tell_health(&troubles, &reachable, "") => match never {},
            }
        });
        let courier = Courier {
            store: store.clone(),
            transport: Arc::clone(&transport),
            settings: runtime,
            courier: name(transport.as_ref())?,
            progress: Some(claims.clone()),
            probe: Arc::new(()),
        };
        let failed = Arc::new(OnceLock::new());
        spawn(&stop, courier, transport, &failed);
        let announced = announce(args.ready_file.as_deref(), &claims, &admin);
        let ended = tokio::select! {
            biased;
            ended = stop.ended() => ended,
            () = announced => stop.ended().await,
        };
        withdraw(args.ready_file.as_deref());
        store.disconnect().await;
        admin.close().await;
        if let Some(error) = Arc::into_inner(failed).and_then(OnceLock::into_inner) {
            return Err(ended_by_itself(error));
        }
        match Exit::from(ended) {
            Exit::Done => Ok(()),
            Exit::Software => Err(Failure::software("a task panicked; where is told above")),
            exit => Err(Failure::new(exit, "messages on the wire were cut off; their outcome is unknown")),
        }
    }
}

impl Process {
    /// Reads all settings as a courier of the channel would, its own (`S`) and those every courier has, and says where each
    /// came from. Opens nothing.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn origins<S: DeserializeOwned>(&self, args: &Args) -> Result<Origins, ConfigError> {
        args.check()?;
        let sources = || self.sources(args, &|sources| sources);
        sources().load::<Shared>()?;
        Ok(sources().load::<S>()?.origins)
    }

    /// Looks whether a courier with these settings could work: settings, credentials, reachability. Sends nothing.
    ///
    /// # Errors
    /// A [`Failure`] that says in words what to mend.
    pub async fn check<S, T>(
        self,
        args: &Args,
        flags: &dyn Fn(Sources) -> Sources,
        make: impl FnOnce(Making<S>) -> Result<T, Failure>,
    ) -> Result<Checked, Failure>
    where
        S: DeserializeOwned,
        T: Transport,
    {
        let (_, _, transport) = self.make(args, flags, make)?;
        transport.check().await.map_err(Failure::unavailable)?;
        Ok(transport.unchecked().map_or_else(|| Checked::Works(transport.to_set_up()), Checked::CannotTell))
    }

    fn make<S, T>(
        &self,
        args: &Args,
        flags: &dyn Fn(Sources) -> Sources,
        make: impl FnOnce(Making<S>) -> Result<T, Failure>,
    ) -> Result<(Shared, Settings, T), Failure>
    where
        S: DeserializeOwned,
        T: Transport,
    {
        args.check()?;
        let shared = self.sources(args, flags).load::<Shared>()?.settings;
        let Loaded { settings, origins, .. } = self.sources(args, flags).load::<S>()?;
        let courier = shared.courier.clone();
        let transport = make(Making { settings, courier, origins: origins.clone() })?;
        let runtime = shared.courier.settings();
        match runtime.check(&transport.abilities()) {
            Ok(()) => Ok((shared, runtime, transport)),
            Err(bad) => Err(origins.refuse(&format!("courier.{}", bad.key), bad.why).into()),
        }
    }
}

/// Runs the courier as a task the stop waits for, and beside it asks once whether the provider is there.
fn spawn(stop: &Stop, courier: Courier, transport: Arc<dyn Transport>, failed: &Arc<OnceLock<RunError>>) {
    let (told, until) = (Arc::clone(failed), stop.clone());
    stop.spawn("courier", async move {
        if let Err(error) = Box::pin(courier.run(until)).await {
            let _ = told.set(error);
        }
    });
    let soft = stop.soft.clone();
    stop.spawn("check", async move {
        tokio::select! {
            () = soft.cancelled() => {}
            found = transport.check() => match found {
                Ok(()) => match transport.unchecked() {
                    None => tracing::info!("the provider is there"),
                    Some(why) => tracing::info!(why, "it can't be told whether the provider takes the credentials"),
                },
                Err(why) => tracing::warn!(why, "the provider can't be used yet"),
            },
        }
    });
}

/// Keeps a check true to whether the servers let a courier work; `otherwise` is why not when none of them says so.
async fn tell_health(troubles: &Troubles, check: &Condition, otherwise: &'static str) -> Infallible {
    let tell = |trouble: Option<Trouble>| match trouble {
        Some(trouble) => check.failed(trouble.text()),
        None if otherwise.is_empty() => check.ok(),
        None => check.failed(otherwise),
    };
    troubles.follow(Work::Deliver, tell).await
}

/// A name of this run that no other run has.
fn name(transport: &dyn Transport) -> Result<CourierId, Failure> {
    let (channel, now) = (transport.channel(), SystemClock.now_ns());
    format!("{channel}-{now}-{:08x}", rand::random::<u32>()).parse().map_err(Failure::software)
}

fn refused(error: ConnectError) -> Failure {
    match error {
        ConnectError::Settings { .. } => Failure::usage(error),
        ConnectError::Refused(_) | ConnectError::Stop(_) => Failure::refused(error),
        ConnectError::Unreachable(_) | ConnectError::FirstPartition { .. } | ConnectError::Call(_) => {
            Failure::unavailable(error)
        }
    }
}

fn ended_by_itself(error: RunError) -> Failure {
    match error {
        RunError::Settings(_) => Failure::usage(error),
        RunError::Engine(_) => Failure::refused(error),
        RunError::Serve(_) => Failure::unavailable(error),
    }
}
