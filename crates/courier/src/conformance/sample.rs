//! What the tests of a channel build a transport from, without a process, and what they send.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use posthaste_model::{Address, Clock, Content, Delivery, OrderId, SystemClock, Text, channels};
use posthaste_ops::config::{self, ConfigError, Sources};
use serde::Deserialize;

use crate::process::{DEFAULTS, Section};
use crate::program::CourierArgs;
use crate::transport::Envelope;

#[derive(Deserialize)]
struct Shared {
    courier: Section,
}

/// The settings a channel's transport is built from, its own and the section `courier`, with these in place of the defaults:
/// a file, then dotted keys with values as in the environment; of two values of one key the later one counts. The
/// environment of the tests plays no part.
///
/// # Errors
/// The first invalid setting.
pub fn settings<A: CourierArgs>(
    file: Option<&Path>,
    changes: &[(impl AsRef<str>, &str)],
) -> Result<(A::Settings, Section), ConfigError> {
    let changes: BTreeMap<&str, &str> = changes.iter().map(|(key, value)| (key.as_ref(), *value)).collect();
    let sources = || {
        let variable = |key: &str| format!("POSTHASTE_{}", key.replace('.', "__").to_ascii_uppercase());
        let sources = Sources::new(config::SECTIONS)
            .defaults(DEFAULTS)
            .defaults(A::PROCESS.defaults)
            .elsewhere(channels::sections())
            .secrets(A::PROCESS.secrets)
            .environment(changes.iter().map(|(key, value)| (variable(key).into(), (*value).into())));
        match file {
            Some(file) => sources.file(file),
            None => sources,
        }
    };
    let own = sources().load::<A::Settings>()?.settings;
    let courier = sources().load::<Shared>()?.settings.courier;
    Ok((own, courier))
}

/// A channel's transport with these settings; see [`settings`].
///
/// # Errors
/// The first invalid setting.
pub fn transport<A: CourierArgs>(
    file: Option<&Path>,
    changes: &[(impl AsRef<str>, &str)],
) -> Result<A::Transport, Box<dyn Error + Send + Sync>> {
    let (settings, courier) = settings::<A>(file, changes)?;
    Ok((A::TRANSPORT)(settings, &courier, A::PROCESS.channel()?)?)
}

/// Changes of one section, given by its own keys, with dotted keys.
#[must_use]
pub fn in_section<'a>(name: &str, changes: &[(&str, &'a str)]) -> Vec<(String, &'a str)> {
    changes.iter().map(|(key, value)| (format!("{name}.{key}"), *value)).collect()
}

/// A sample delivery as number `n` of its order, to this address.
#[must_use]
pub fn delivery(n: u32, to: impl Into<String>) -> Delivery {
    Delivery { index: n, recipient: format!("r{n}"), name: String::new(), address: Address::new(to.into()) }
}

/// The first attempt of a message to this address, the only one of its order, due now. No other message of the test
/// program has the order's id.
///
/// # Panics
/// Never: the sender's id is valid.
#[must_use]
pub fn envelope(to: &str, text: &str) -> Envelope {
    static ORDERS: AtomicU64 = AtomicU64::new(0);
    let sender = "u1".parse().expect("a valid id");
    let order_id = OrderId::new(&sender, SystemClock.now_ns() + ORDERS.fetch_add(1, Ordering::Relaxed));
    Envelope {
        order_id,
        parcel: 0,
        delivery: 0,
        attempt: 1,
        to: delivery(0, to),
        content: Arc::new(content(text)),
        due: SystemClock.now(),
        token: None,
        tries: 0,
        repeat: false,
    }
}

/// A message of this text alone.
#[must_use]
pub fn content(text: impl Into<String>) -> Content {
    Content { text: Text::new(text), ..Content::default() }
}
