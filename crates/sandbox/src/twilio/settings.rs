//! Settings of the stand-in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::standin::{Bounds, Fault, any_port};

/// Settings of the stand-in. [`Settings::default`] listens on loopback, on a port the system chooses; account and token are
/// `AC00000000000000000000000000000001` and `sandboxauthtoken`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The account: AC and 32 hexadecimal digits.
    pub account: String,
    /// Its primary token: password of requests, and key of signatures.
    pub auth_token: SecretString,
    /// API keys and their secrets, also taken as name and password.
    pub keys: BTreeMap<String, SecretString>,
    /// Numbers and names messages may be from; with none, any.
    pub senders: Vec<String>,
    /// Requests in flight at most; further ones are answered 429 with code 20429.
    pub concurrency: usize,
    /// Messages of one sender that are not sent yet, at most; further ones are refused with 21611.
    pub queue: usize,
    /// Segments of one sender in a second; the queue drains this fast. 0 for no limit.
    pub segments_per_second: u32,
    /// How long a message is queued, then sending, then sent, before the next status.
    #[serde(with = "humantime_serde")]
    pub queued_for: Duration,
    /// See `queued_for`.
    #[serde(with = "humantime_serde")]
    pub sending_for: Duration,
    /// See `queued_for`.
    #[serde(with = "humantime_serde")]
    pub sent_for: Duration,
    /// How often a callback is tried that is answered with 5xx or not at all, and how long it waits between.
    pub callback_tries: u32,
    /// See `callback_tries`.
    #[serde(with = "humantime_serde")]
    pub callback_wait: Duration,
    /// How long a callback's answer may take.
    #[serde(with = "humantime_serde")]
    pub callback_within: Duration,
    /// Public names of callbacks, and the loopback address each is reached at: as a proxy in front of the receiver would.
    pub reach: BTreeMap<String, SocketAddr>,
    /// Where replies of people go, such as STOP.
    pub inbound_url: Option<String>,
    /// Messages kept to be asked for.
    pub keep_messages: usize,
    /// Faults from the start.
    pub faults: Vec<Fault>,
    /// Whether magic numbers have their way.
    pub magic: bool,
    /// How long it waits before each answer, as a far server would.
    #[serde(with = "humantime_serde")]
    pub reply_after: Duration,
    /// How much it holds.
    pub bounds: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: any_port(),
            account: "AC00000000000000000000000000000001".into(),
            auth_token: "sandboxauthtoken".into(),
            keys: BTreeMap::new(),
            senders: Vec::new(),
            concurrency: 100,
            queue: 36_000,
            segments_per_second: 0,
            queued_for: Duration::from_millis(50),
            sending_for: Duration::from_millis(50),
            sent_for: Duration::from_millis(200),
            callback_tries: 3,
            callback_wait: Duration::from_secs(1),
            callback_within: Duration::from_secs(15),
            reach: BTreeMap::new(),
            inbound_url: None,
            keep_messages: 100_000,
            faults: Vec::new(),
            magic: true,
            reply_after: Duration::ZERO,
            bounds: Bounds::default(),
        }
    }
}
