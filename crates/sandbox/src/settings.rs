//! The settings of the sandbox: defaults, then a file, then the environment, then flags.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, MagicSettings};

/// The documented defaults of the process, in TOML.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// All settings. [`Settings::default`] listens on loopback, on ports the system chooses; the process has fixed ports,
/// see [`DEFAULTS`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The SMTP server.
    pub smtp: SmtpSettings,
    /// The stand-in for Telegram.
    pub telegram: crate::telegram::Settings,
    /// The stand-in for VK.
    pub vk: crate::vk::Settings,
    /// The stand-in for Twilio.
    pub twilio: crate::twilio::Settings,
    /// The stand-in for a plain gateway of SMS.
    pub gateway: crate::gateway::Settings,
    /// The HTTP port with the outbox, and what is kept in memory.
    pub outbox: OutboxSettings,
    /// The record file.
    pub record: RecordSettings,
    /// Magic addresses.
    pub magic: MagicSettings,
    /// Faults from the start.
    pub faults: Vec<Fault>,
}

/// The SMTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SmtpSettings {
    /// Where it listens for plain connections, which may ask for STARTTLS.
    pub listen: SocketAddr,
    /// Where it listens for connections that begin with TLS.
    pub listen_tls: SocketAddr,
    /// The name it greets with, also in its certificate.
    pub host: String,
    /// How exactly it takes the rules of SMTP.
    pub tolerance: Tolerance,
    /// Extensions it does not announce and does not know.
    pub without: Vec<Extension>,
    /// Largest message in bytes; announced with SIZE.
    pub max_message_bytes: usize,
    /// Most recipients in one message, further ones are answered 452 4.5.3.
    pub max_recipients: usize,
    /// Most connections at a time, further ones are answered 421.
    pub max_connections: usize,
    /// Messages after which a connection is answered 421, 0 for no limit.
    pub messages_per_connection: u64,
    /// Most bytes of messages on their way in, over all connections; beyond it 452 is answered.
    pub receiving_bytes: usize,
    /// How long a client may say nothing before it is answered 421.
    #[serde(with = "humantime_serde")]
    pub idle_for: Duration,
    /// How long a hang lasts at most; then the connection closes.
    #[serde(with = "humantime_serde")]
    pub hang_for: Duration,
    /// How long it waits before it sends what it has to say, as a far server would.
    #[serde(with = "humantime_serde")]
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
    /// Names and passwords; if there are none, any are taken.
    pub users: BTreeMap<String, SecretString>,
}

/// How exactly the server takes the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// Only CR LF ends a line; refuses bare CR or LF, NUL, lines above 1,000 bytes, 8-bit bytes that were not announced,
    /// and clients that speak out of turn.
    Strict,
    /// Only CR LF ends a line of a message; takes what comes.
    #[default]
    Normal,
    /// As servers that can be smuggled to: bare LF and bare CR end lines too, also around the final dot.
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
    /// Names the outbox may be asked for by, beside addresses and `localhost`. Any other is refused, so that no web page
    /// can make a name of its own point here and read along.
    pub hosts: Vec<String>,
    /// Most bytes of attempts kept; the oldest go first.
    pub keep_bytes: usize,
    /// Most attempts kept.
    pub keep_attempts: usize,
    /// The header of a message that names its order.
    pub order_header: String,
}

/// The record file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RecordSettings {
    /// The file, one JSON object a line for each attempt; none if left out.
    pub file: Option<PathBuf>,
}

impl Default for SmtpSettings {
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
