//! The settings of the sandbox: one type for each section of `defaults.toml`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use posthaste_ops::{shutdown, telemetry};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, MagicSettings};

/// The documented defaults of the process, in TOML.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// Keys whose values are never shown and may be read from a file.
pub(crate) const SECRETS: &[&str] = &[
    "sandbox.smtp.auth.users",
    "sandbox.telegram.tokens",
    "sandbox.vk.tokens",
    "sandbox.twilio.auth_token",
    "sandbox.twilio.keys",
    "sandbox.gateway.secrets",
];

/// All settings of the process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProcessSettings {
    /// The fake providers and the outbox.
    pub sandbox: Settings,
    /// Log lines.
    pub log: telemetry::Settings,
    /// How the process ends.
    pub stop: shutdown::Settings,
}

/// The section `sandbox`. [`Settings::default`] listens on loopback, on ports the system picks; the process has fixed ports,
/// see [`DEFAULTS`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The SMTP server.
    pub smtp: SmtpServerSettings,
    /// The fake Telegram API.
    pub telegram: crate::telegram::Settings,
    /// The fake VK API.
    pub vk: crate::vk::Settings,
    /// The fake Twilio API.
    pub twilio: crate::twilio::Settings,
    /// The fake generic SMS gateway.
    pub gateway: crate::gateway::Settings,
    /// The fake receiver of webhooks.
    pub webhook: crate::webhook::Settings,
    /// The HTTP port with the outbox, and what is kept in memory.
    pub outbox: OutboxSettings,
    /// The record file.
    pub record: RecordSettings,
    /// Magic addresses.
    pub magic: MagicSettings,
    /// Initial faults.
    pub faults: Vec<Fault>,
}

/// The SMTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SmtpServerSettings {
    /// Listen address for plain connections, which may use STARTTLS.
    pub listen: SocketAddr,
    /// Listen address for implicit TLS.
    pub listen_tls: SocketAddr,
    /// Host name in the greeting and in the certificate.
    pub host: String,
    /// How strictly it applies the rules of SMTP.
    pub tolerance: Tolerance,
    /// Extensions that are switched off.
    pub without: Vec<Extension>,
    /// Largest message in bytes; announced with SIZE.
    pub max_message_bytes: usize,
    /// Most recipients in one message; further ones are refused with 452 4.5.3.
    pub max_recipients: usize,
    /// Most connections at a time; further ones are refused with 421.
    pub max_connections: usize,
    /// Messages per connection; the next one is refused with 421. 0 means no limit.
    pub messages_per_connection: u64,
    /// Most bytes of incoming messages over all connections; above this, 452 is answered.
    pub receiving_bytes: usize,
    /// How long a client may be idle before it is answered 421.
    #[serde(with = "posthaste_ops::config::duration")]
    pub idle_for: Duration,
    /// Longest a hang lasts; then the connection closes.
    #[serde(with = "posthaste_ops::config::duration")]
    pub hang_for: Duration,
    /// Delay before it sends replies, to simulate a distant server.
    #[serde(with = "posthaste_ops::config::duration")]
    pub reply_after: Duration,
    /// Authentication.
    pub auth: AuthSettings,
}

/// Authentication of SMTP clients.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthSettings {
    /// Whether MAIL is refused (530) before AUTH.
    pub required: bool,
    /// Whether AUTH is offered on encrypted connections only.
    pub only_over_tls: bool,
    /// Names and passwords; if empty, any are accepted.
    pub users: BTreeMap<String, SecretString>,
}

/// How strictly the server applies the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// Only CR LF ends a line; refuses bare CR or LF, NUL, lines above 1,000 bytes, 8-bit bytes that were not announced,
    /// and clients that speak out of turn.
    Strict,
    /// Only CR LF ends a line of a message; accepts the rest.
    #[default]
    Normal,
    /// Like servers open to SMTP smuggling: bare LF and bare CR end lines too, also around the final dot.
    Lenient,
}

/// An extension of SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Extension {
    /// SIZE (RFC 1870).
    Size,
    /// PIPELINING (RFC 2920).
    Pipelining,
    /// 8BITMIME (RFC 6152).
    #[serde(rename = "8bitmime")]
    EightBitMime,
    /// SMTPUTF8 (RFC 6531).
    SmtpUtf8,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    EnhancedStatusCodes,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954).
    Auth,
}

/// The HTTP port and the memory behind it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OutboxSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Host names the outbox answers to, beside IP addresses and `localhost`. Others are refused, so that a web page
    /// cannot point a name of its own here and read the messages (DNS rebinding).
    pub hosts: Vec<String>,
    /// Most bytes of attempts kept; the oldest are dropped first.
    pub keep_bytes: usize,
    /// Most attempts kept.
    pub keep_attempts: usize,
    /// The message header that names its order.
    pub order_header: String,
}

/// The record file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RecordSettings {
    /// The file, one JSON object per line and attempt; no file if left out.
    pub file: Option<PathBuf>,
}

impl Default for SmtpServerSettings {
    fn default() -> Self {
        Self {
            listen: any_port(),
            listen_tls: any_port(),
            host: "sandbox.test".into(),
            tolerance: Tolerance::default(),
            without: Vec::new(),
            max_message_bytes: 25 * 1024 * 1024,
            max_recipients: 100,
            max_connections: 1_024,
            messages_per_connection: 0,
            receiving_bytes: 256 * 1024 * 1024,
            idle_for: Duration::from_secs(300),
            hang_for: Duration::from_secs(900),
            reply_after: Duration::ZERO,
            auth: AuthSettings::default(),
        }
    }
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            listen: any_port(),
            hosts: Vec::new(),
            keep_bytes: 256 * 1024 * 1024,
            keep_attempts: 200_000,
            order_header: "X-Posthaste-Order".into(),
        }
    }
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
