//! The settings of the service: one type for each section of `defaults.toml`.

use std::ffi::OsString;
use std::path::PathBuf;

use posthaste_ops::address::Address;
use posthaste_ops::config::{ByteSize, ConfigError, HumanDuration, Loaded, SECTIONS, Sources};
use posthaste_ops::{admin, stop, telemetry};
use serde::Deserialize;

use crate::intake::quota::SmsLimitSettings;
use crate::intake::settings::{DailyLimitSettings, OrderSettings, QuietHoursSettings};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// Keys whose values are never shown and may be given as a file.
pub const SECRETS: &[&str] = &["redis.url", "redis.password", "redis.address_key"];

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server that holds everything.
    pub redis: posthaste_store::Settings,
    /// The port for clients.
    pub http: Http,
    /// Requests of one key.
    pub rate: Rate,
    /// Looking keys up.
    pub keys: Keys,
    /// Long polls and event streams.
    pub trackers: Trackers,
    /// What orders may be.
    pub orders: OrderSettings,
    /// When nobody is to be disturbed.
    pub quiet_hours: QuietHoursSettings,
    /// Orders a day of each role.
    pub daily_limits: DailyLimitSettings,
    /// What may be sent by SMS.
    pub sms_limits: SmsLimitSettings,
    /// Log lines.
    pub log: telemetry::Settings,
    /// The port for whoever runs the process.
    pub admin: admin::Settings,
    /// How the process ends.
    pub stop: stop::Settings,
}

/// The section `http`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen.
    pub address: Address,
    /// Connections at a time.
    pub connections: usize,
    /// Time for the head of a request; bounds idle connections too.
    pub header_time: HumanDuration,
    /// Most bytes of the head of a request.
    pub header_bytes: ByteSize,
    /// Time for a body, apart from what it earns by coming.
    pub body_time: HumanDuration,
    /// Bytes of a body that earn one more second.
    pub body_bytes_per_second: ByteSize,
    /// Bodies in memory together.
    pub body_memory: ByteSize,
    /// How long a client may take nothing of an answer.
    pub write_time: HumanDuration,
    /// Requests worked on at a time.
    pub requests: usize,
    /// How long connections may linger when the service stops.
    pub linger: HumanDuration,
}

/// The section `rate`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// The section `keys`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// How long a looked-up key is known.
    pub known_for: HumanDuration,
    /// What one key may hold of request places, trackers, body memory and checking threads.
    pub share: Share,
}

/// A share of a whole: more than 0, and 1 at most.
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
        if share > 0.0 && share <= 1.0 { Ok(Self(share)) } else { Err("must be more than 0 and 1 at most") }
    }
}

/// The section `trackers`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trackers {
    /// Open at a time.
    pub most: usize,
    /// Between two snapshots of one order at least.
    pub pause: HumanDuration,
    /// Between two looks at most.
    pub look_every: HumanDuration,
    /// Between two signs of life of an event stream.
    pub heartbeat: HumanDuration,
}

/// What the command line says.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Settings file (TOML).
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to listen for clients, as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    pub http_address: Option<Address>,
    /// Where to listen for /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub admin_address: Option<Address>,
    /// When the ports are open, write their addresses to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

impl Args {
    /// The settings as they take effect with these environment variables.
    ///
    /// # Errors
    /// The first setting found wrong.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<Settings>, ConfigError> {
        let mut sources = Sources::new(DEFAULTS)
            .defaults(SECTIONS)
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
    fn the_defaults_are_whole_and_flags_win() {
        let loaded = Args::default().load([]).expect("the defaults");
        assert_eq!(loaded.settings.trackers.most, 5_000);
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
