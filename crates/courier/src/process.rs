//! The process of a channel: settings, log, admin port, database, courier, stop, exit code. A channel describes its process
//! by [`crate::program::CourierArgs`].

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use posthaste_model::{Channel, Clock, CourierId, InvalidId, SystemClock, channels};
use posthaste_ops::admin::{self, AdminPort, AdminState};
use posthaste_ops::config::{self, ConfigError, HumanDuration, Loaded, Origin, Origins, Sources};
use posthaste_ops::exit::{Exit, ExitFailure};
use posthaste_ops::health::{Check, Condition, Health};
use posthaste_ops::metrics::{Buckets, Metrics};
use posthaste_ops::shutdown::{self, Shutdown};
use posthaste_ops::{ready_file, telemetry};
use posthaste_store::{Role, ServerTrouble, ServerTroubles, Store, TypedUrlError, Work};
use serde::Deserialize;
use serde::de::DeserializeOwned;

mod exits;

use exits::{ended_by_itself, refused};

use crate::provider_check;
use crate::ready::announce;
use crate::run::{Courier, RunError};
use crate::settings::Settings;
use crate::start_error::TransportStartError;
use crate::transport::{Capabilities, Checked, Transport};

/// The documented defaults of the sections every courier has: `redis` and `courier`.
pub const DEFAULTS: &str = include_str!("process.toml");

/// Secrets of every courier.
const SECRETS: &[&str] = &["redis.url", "redis.password", "redis.address_key"];

/// Bucket bounds of histograms that the default bounds (milliseconds to a minute) do not fit.
const BUCKETS: &[Buckets<'_>] = &[(
    "posthaste_delivery_lateness_seconds",
    &[0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0],
)];

/// The name and settings of a channel's program.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// The command name: `posthaste-courier-` and the name of the channel.
    pub name: &'static str,
    /// The documented defaults of the channel's own sections.
    pub defaults: &'static str,
    /// Dotted keys of the channel's own secrets.
    pub secrets: &'static [&'static str],
}

/// Command-line arguments of every courier.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Settings file; environment variables (`POSTHASTE_SECTION__KEY`) and flags override it.
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Redis URL without a password; set the password with `POSTHASTE_REDIS__PASSWORD_FILE`.
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Listen address for /livez, /readyz and /metrics, such as 127.0.0.1:9464; port 0 picks a free port.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// What to log: a level, or levels per module.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Write this file once the courier is running: {"admin":"…"}.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

impl Args {
    /// Rejects a password typed on the command line, where every user of the computer can read it.
    fn check(&self) -> Result<(), ConfigError> {
        let Some(url) = &self.redis else { return Ok(()) };
        posthaste_store::check_typed_url(url).map_err(|why| {
            let remedy = match why {
                TypedUrlError::NoAddress(_) => "",
                TypedUrlError::Password => {
                    ": put it in a file and set POSTHASTE_REDIS__PASSWORD_FILE to its path"
                }
            };
            let origin = Origin::Flag("--redis".to_owned());
            ConfigError::Setting { key: "redis.url".to_owned(), what: format!("{why}{remedy}"), origin }
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
    pub max_deliveries: usize,
    pub max_unsettled: usize,
    pub urgent_reserve: u8,
    pub messages_per_second: f64,
    pub max_tries: u8,
    pub backoff_base: HumanDuration,
    pub backoff_cap: HumanDuration,
    pub breaker_after: u32,
    pub max_hold: HumanDuration,
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
    stop: shutdown::Settings,
    courier: Section,
}

impl Section {
    /// The channel's capabilities with the operator's `messages_per_second` and `max_tries`.
    #[must_use]
    pub fn capabilities(&self, channel: Capabilities) -> Capabilities {
        let rate = (self.messages_per_second > 0.0).then_some(self.messages_per_second);
        Capabilities { rate, max_tries: self.max_tries, ..channel }
    }

    fn settings(&self) -> Settings {
        Settings {
            lease: self.lease.get(),
            renew_every: self.renew_every.get(),
            poll: self.poll.get(),
            max_deliveries: self.max_deliveries,
            max_unsettled: self.max_unsettled,
            urgent_reserve: self.urgent_reserve,
            backoff_base: self.backoff_base.get(),
            backoff_cap: self.backoff_cap.get(),
            breaker_after: self.breaker_after,
            max_hold: self.max_hold.get(),
            sweep_every: self.sweep_every.get(),
            check_every: self.check_every.get(),
            retention_days: self.retention_days,
            ..Settings::default()
        }
    }
}

impl Process {
    /// The channel, by the name of the process.
    pub(crate) fn channel(&self) -> Result<Channel, InvalidId> {
        self.name.trim_start_matches("posthaste-courier-").parse()
    }

    /// All sources of settings, lowest precedence first; `flags` adds the channel's own flags.
    pub fn sources(&self, args: &Args, flags: &dyn Fn(Sources) -> Sources) -> Sources {
        let mut sources = Sources::new(config::SECTIONS)
            .defaults(DEFAULTS)
            .defaults(self.defaults)
            .elsewhere(channels::sections())
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

    /// Runs a courier of the channel until it is asked to stop. Invalid settings are rejected before anything is
    /// opened.
    ///
    /// # Errors
    /// An [`ExitFailure`] whose exit code says what to do: correct the settings, check the database, or restart.
    pub async fn run<S, T>(
        self,
        args: &Args,
        flags: &dyn Fn(Sources) -> Sources,
        transport: impl FnOnce(S, &Section, Channel) -> Result<T, TransportStartError>,
    ) -> Result<(), ExitFailure>
    where
        S: DeserializeOwned,
        T: Transport,
    {
        let (shared, runtime, transport) = self.make(args, flags, transport)?;
        telemetry::install(&shared.log)?;
        let metrics = Metrics::install(BUCKETS)?;
        let stop = Shutdown::on_signals(&shared.stop).map_err(ExitFailure::software)?;

        let (health, claims) = (Health::new(), Check::progress("claims", shared.courier.stale_after.get()));
        health.watch(&claims, tokio::time::Instant::now());
        let reachable = Check::condition("store");
        health.watch(&reachable, tokio::time::Instant::now());
        let condition = Check::condition("database");
        health.watch(&condition, tokio::time::Instant::now());
        let provider = Check::condition("provider");
        health.watch(&provider, tokio::time::Instant::now());
        let subject = AdminState { name: self.name, health, metrics, soft: stop.soft.clone() };
        let admin = AdminPort::start(&shared.admin, subject).await?;

        let transport: Arc<dyn Transport> = Arc::new(transport);
        let receipts = transport.capabilities().receipts;
        let role = Role::CourierWith { channel: transport.channel(), receipts };
        let troubles = ServerTroubles::new();
        let connecting = Store::connect_when_ready(shared.redis, role, troubles.clone());
        let store = tokio::select! {
            connected = connecting => connected.map_err(refused)?.0,
            never = tell_health(&troubles, &reachable, "connecting to Redis") => match never {},
            () = stop.soft.cancelled() => {
                tracing::info!(event = "process.wait_cancelled", "stopped while waiting for Redis");
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
            provider: Some(provider),
        };
        let failed = Arc::new(OnceLock::new());
        spawn(&stop, courier, transport, &failed);
        let announced = announce(args.ready_file.as_deref(), &claims, &admin);
        let ended = tokio::select! {
            biased;
            ended = stop.ended() => ended,
            () = announced => stop.ended().await,
        };
        args.ready_file.iter().for_each(|file| ready_file::remove(file));
        store.disconnect().await;
        admin.close().await;
        if let Some(error) = Arc::into_inner(failed).and_then(OnceLock::into_inner) {
            return Err(ended_by_itself(error));
        }
        match Exit::from(ended) {
            Exit::Done => Ok(()),
            Exit::Software => Err(ExitFailure::software("a task panicked; see the log above")),
            exit => Err(ExitFailure::new(
                exit,
                "calls to the provider were cut off; the outcome of their messages is unknown",
            )),
        }
    }

    /// Reads all settings as a courier of the channel would, both its own (`S`) and those shared by all couriers, and
    /// returns where each came from. Opens nothing.
    ///
    /// # Errors
    /// The first error found.
    pub fn origins<S: DeserializeOwned>(&self, args: &Args) -> Result<Origins, ConfigError> {
        args.check()?;
        let sources = || self.sources(args, &|sources| sources);
        sources().load::<Shared>()?;
        Ok(sources().load::<S>()?.origins)
    }

    /// Checks whether a courier with these settings could work: settings, credentials, connection. Sends nothing.
    ///
    /// # Errors
    /// An [`ExitFailure`] that says what to correct.
    pub async fn check<S, T>(
        self,
        args: &Args,
        flags: &dyn Fn(Sources) -> Sources,
        transport: impl FnOnce(S, &Section, Channel) -> Result<T, TransportStartError>,
    ) -> Result<Checked, ExitFailure>
    where
        S: DeserializeOwned,
        T: Transport,
    {
        let (_, _, transport) = self.make(args, flags, transport)?;
        transport.check().await.map_err(ExitFailure::unavailable)?;
        Ok(transport.unchecked().map_or_else(|| Checked::Works(transport.to_set_up()), Checked::CannotTell))
    }

    fn make<S, T>(
        &self,
        args: &Args,
        flags: &dyn Fn(Sources) -> Sources,
        transport: impl FnOnce(S, &Section, Channel) -> Result<T, TransportStartError>,
    ) -> Result<(Shared, Settings, T), ExitFailure>
    where
        S: DeserializeOwned,
        T: Transport,
    {
        args.check()?;
        let shared = self.sources(args, flags).load::<Shared>()?.settings;
        let Loaded { settings, origins, .. } = self.sources(args, flags).load::<S>()?;
        let channel = self.channel().map_err(ExitFailure::software)?;
        let made = transport(settings, &shared.courier, channel);
        let transport = made.map_err(|error| error.exit(&origins))?;
        let runtime = shared.courier.settings();
        match runtime.check(&transport.capabilities()) {
            Ok(()) => Ok((shared, runtime, transport)),
            Err(bad) => Err(origins.refuse(&format!("courier.{}", bad.key), bad.why).into()),
        }
    }
}

/// Runs the courier as a task that shutdown waits for, and checks the provider once in the background.
fn spawn(stop: &Shutdown, courier: Courier, transport: Arc<dyn Transport>, failed: &Arc<OnceLock<RunError>>) {
    let (reported, until) = (Arc::clone(failed), stop.clone());
    stop.spawn("courier", async move {
        if let Err(error) = Box::pin(courier.run(until)).await {
            let _ = reported.set(error);
        }
    });
    let soft = stop.soft.clone();
    stop.spawn("check", async move {
        tokio::select! {
            () = soft.cancelled() => {}
            () = provider_check::report(&*transport) => {}
        }
    });
}

/// Keeps a check up to date with whether the servers let a courier work; `otherwise` is the reason to report when
/// they have no trouble.
async fn tell_health(troubles: &ServerTroubles, check: &Condition, otherwise: &'static str) -> Infallible {
    let tell = |trouble: Option<ServerTrouble>| match trouble {
        Some(trouble) => check.failed(trouble.text()),
        None if otherwise.is_empty() => check.ok(),
        None => check.failed(otherwise),
    };
    troubles.follow(Work::Deliver, tell).await
}

/// A courier id unique to this run.
fn name(transport: &dyn Transport) -> Result<CourierId, ExitFailure> {
    let (channel, now) = (transport.channel(), SystemClock.now_ns());
    format!("{channel}-{now}-{:08x}", rand::random::<u32>()).parse().map_err(ExitFailure::software)
}
