//! The settings of the service: one type for each section of `defaults.toml`.

use std::ffi::OsString;
use std::path::PathBuf;

use posthaste_model::channels;
use posthaste_ops::address::ListenAddress;
use posthaste_ops::config::{ByteSize, ConfigError, HumanDuration, Loaded, SECTIONS, Sources};
use posthaste_ops::{admin, shutdown, telemetry};
use serde::Deserialize;

use crate::intake::settings::{DailyLimitSettings, OrderSettings, QuietHoursSettings, SmsLimitSettings};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// Keys whose values are never shown and may be read from a file.
pub const SECRETS: &[&str] = &["redis.url", "redis.password", "redis.address_key"];

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database.
    pub redis: posthaste_store::Settings,
    /// The port for clients.
    pub http: Http,
    /// Requests of one API key.
    pub rate: Rate,
    /// Key lookups.
    pub keys: Keys,
    /// Long polls and event streams.
    pub trackers: Trackers,
    /// What orders may contain.
    pub orders: OrderSettings,
    /// When orders are held back.
    pub quiet_hours: QuietHoursSettings,
    /// Orders per day for each role.
    pub daily_limits: DailyLimitSettings,
    /// Limits on SMS.
    pub sms_limits: SmsLimitSettings,
    /// Log lines.
    pub log: telemetry::Settings,
    /// The admin port.
    pub admin: admin::Settings,
    /// How the process ends.
    pub stop: shutdown::Settings,
}

/// The section `http`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen.
    pub address: ListenAddress,
    /// Maximum open connections.
    pub max_connections: usize,
    /// Time for the head of a request; also limits idle connections.
    pub header_time: HumanDuration,
    /// Maximum bytes of a request head.
    pub header_bytes: ByteSize,
    /// Time for a body, before it is extended by received bytes.
    pub body_time: HumanDuration,
    /// Received bytes that extend the time for a body by one second.
    pub body_bytes_per_second: ByteSize,
    /// Maximum memory for bodies.
    pub body_memory: ByteSize,
    /// How long a client may stop reading a response.
    pub write_time: HumanDuration,
    /// Maximum requests processed at the same time.
    pub max_requests: usize,
    /// How long connections may take to finish when the service stops.
    pub linger: HumanDuration,
}

/// The section `rate`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests per second.
    pub per_second: u32,
    /// Size of a burst.
    pub burst: u32,
}

/// The section `keys`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// How long a looked-up key is cached.
    pub cache_for: HumanDuration,
    /// The share of request places, trackers, body memory and checking threads that one key may use.
    pub share: Share,
}

/// A share of a whole: more than 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(f64);

impl Share {
    /// As a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = &'static str;

    fn try_from(share: f64) -> Result<Self, Self::Error> {
        if share > 0.0 && share <= 1.0 { Ok(Self(share)) } else { Err("must be more than 0 and at most 1") }
    }
}

/// The section `trackers`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trackers {
    /// Maximum open trackers.
    pub max_open: usize,
    /// Minimum time between two snapshots of one order.
    pub pause: HumanDuration,
    /// Maximum time between two reads of one order.
    pub check_every: HumanDuration,
    /// Time between two heartbeats of an event stream.
    pub heartbeat: HumanDuration,
}

/// The command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Settings file (TOML).
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address to listen on for clients, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    pub http_address: Option<ListenAddress>,
    /// Address to listen on for /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub admin_address: Option<ListenAddress>,
    /// Once the ports are open, write their addresses to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

impl Args {
    /// The effective settings, given these environment variables.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<Settings>, ConfigError> {
        let mut sources = Sources::new(DEFAULTS)
            .defaults(SECTIONS)
            .elsewhere(channels::sections())
            .secrets(SECRETS)
            .reserved(&["POSTHASTE_CONFIG"])
            .environment(environment)
            .flag("--http-address", "http.address", self.http_address.as_ref())
            .flag("--admin-address", "admin.address", self.admin_address.as_ref());
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        sources.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_flags_win() {
        let loaded = Args::default().load([]).expect("the defaults");
        assert_eq!(loaded.settings.trackers.max_open, 5_000);
        let args = Args { http_address: Some("127.0.0.1:0".parse().expect("an address")), ..Args::default() };
        let loaded = args.load([("POSTHASTE_HTTP__ADDRESS".into(), "127.0.0.1:1".into())]).expect("settings");
        assert_eq!(loaded.settings.http.address.to_string(), "127.0.0.1:0");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let refused =
            Args::default().load([("POSTHASTE_HTTP__ADRESS".into(), "x".into())]).expect_err("a typo");
        assert!(refused.to_string().contains("http.adress"), "{refused}");
    }
}
