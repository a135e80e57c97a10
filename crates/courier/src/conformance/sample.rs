//! What the tests of a channel build a transport from, without a process, and what they send.

use std::path::Path;
use std::sync::Arc;

use posthaste_model::{Address, Clock, Content, Delivery, OrderId, SystemClock, Text, channels};
use posthaste_ops::config::{self, ConfigError, Sources};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process::{DEFAULTS, Process, Section};
use crate::transport::Envelope;

#[derive(Deserialize)]
struct Shared {
    courier: Section,
}

/// The settings a channel's transport is built from, its own and the section `courier`, with these in place of the defaults:
/// a file, then dotted keys with values as in the environment. The environment of the tests plays no part.
///
/// # Errors
/// The first invalid setting.
pub fn settings<S: DeserializeOwned>(
    process: &Process,
    file: Option<&Path>,
    changes: &[(&str, &str)],
) -> Result<(S, Section), ConfigError> {
    let sources = || {
        let variable = |key: &str| format!("POSTHASTE_{}", key.replace('.', "__").to_ascii_uppercase());
        let sources = Sources::new(config::SECTIONS)
            .defaults(DEFAULTS)
            .defaults(process.defaults)
            .elsewhere(channels::sections())
            .secrets(process.secrets)
            .environment(changes.iter().map(|(key, value)| (variable(key).into(), (*value).into())));
        match file {
            Some(file) => sources.file(file),
            None => sources,
        }
    };
    let own = sources().load::<S>()?.settings;
    let courier = sources().load::<Shared>()?.settings.courier;
    Ok((own, courier))
}

/// The first attempt of a message to this address, the only one of its order, due now.
#[must_use]
pub fn envelope(order_id: OrderId, to: &str, text: &str) -> Envelope {
    Envelope {
        order_id,
        parcel: 0,
        delivery: 0,
        attempt: 1,
        to: Delivery { index: 0, recipient: "r0".to_owned(), name: String::new(), address: Address::new(to) },
        content: Arc::new(Content { text: Text::new(text), ..Content::default() }),
        due: SystemClock.now(),
        token: None,
        tries: 0,
        repeat: false,
    }
}
