//! Settings of the fake Twilio API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::fake_provider::{Bounds, MessageFault, any_port};

/// Settings of the fake Twilio API. [`Settings::default`] listens on loopback, on a port the system picks; account and
/// token are `AC00000000000000000000000000000001` and `sandboxauthtoken`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Listen address.
    pub listen: SocketAddr,
    /// The account: AC and 32 hexadecimal digits.
    pub account: String,
    /// Its primary token: request password and signature key.
    pub auth_token: SecretString,
    /// API keys and their secrets, also accepted as name and password.
    pub keys: BTreeMap<String, SecretString>,
    /// Numbers and names that messages may be sent from; if empty, any are accepted.
    pub senders: Vec<String>,
    /// Most requests in flight; further ones are refused with 429 and code 20429.
    pub concurrency: usize,
    /// Most unsent messages per sender; further ones are refused with 21611.
    pub queue: usize,
    /// Segments per sender and second; the queue drains at this rate. 0 means no limit.
    pub segments_per_second: u32,
    /// How long a message is queued, then sending, then sent, before the next status.
    #[serde(with = "posthaste_ops::config::duration")]
    pub queued_for: Duration,
    /// See `queued_for`.
    #[serde(with = "posthaste_ops::config::duration")]
    pub sending_for: Duration,
    /// See `queued_for`.
    #[serde(with = "posthaste_ops::config::duration")]
    pub sent_for: Duration,
    /// How many tries a callback gets when the answer is 5xx or missing, and the wait between tries.
    pub callback_tries: u32,
    /// See `callback_tries`.
    #[serde(with = "posthaste_ops::config::duration")]
    pub callback_wait: Duration,
    /// Timeout of a callback's answer.
    #[serde(with = "posthaste_ops::config::duration")]
    pub callback_within: Duration,
    /// Public host names in callback URLs and the loopback address of each, as a proxy in front of the receiver would
    /// map them.
    pub reach: BTreeMap<String, SocketAddr>,
    /// Where replies from people are posted, such as STOP.
    pub inbound_url: Option<String>,
    /// Messages kept for queries.
    pub keep_messages: usize,
    /// Initial faults.
    pub faults: Vec<MessageFault>,
    /// Whether magic numbers are active.
    pub magic: bool,
    /// Delay before each answer, to simulate a distant server.
    #[serde(with = "posthaste_ops::config::duration")]
    pub reply_after: Duration,
    /// Limits on what it holds.
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
