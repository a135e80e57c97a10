//! Settings of a sample process, for the configuration tests.

use std::ffi::OsString;

use posthaste_ops::config::{ByteSize, ConfigError, HumanDuration, Loaded, Sources};
use secrecy::SecretString;
use serde::Deserialize;

/// The defaults text of the sample.
pub(crate) const DEFAULTS: &str = r#"
[redis]
# Where the server is.
url = "redis://127.0.0.1"
timeout = "2s"
nodes = []

[work]
batch = 100
share = 0.5
urgent = true
buffer = "64MiB"
mode = "fast"
steps = [1, 10]
"#;

/// The sample's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) redis: Redis,
    pub(crate) work: Work,
}

/// A section with a secret.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    pub(crate) url: String,
    pub(crate) timeout: HumanDuration,
    pub(crate) nodes: Vec<String>,
    pub(crate) password: Option<SecretString>,
}

/// A section with a value of each kind. It does not forbid unknown keys itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Work {
    pub(crate) batch: u16,
    pub(crate) share: f64,
    pub(crate) urgent: bool,
    pub(crate) buffer: ByteSize,
    pub(crate) mode: Mode,
    pub(crate) limit: Option<u32>,
    pub(crate) steps: Vec<u16>,
}

/// A choice.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Fast,
    Strict,
}

/// The sample's sources, without file, variables or flags.
pub(crate) fn sources() -> Sources {
    Sources::new(DEFAULTS).elsewhere(["smtp", "dkim"]).secrets(&["redis.password"])
}

/// Variables as the environment would give them.
pub(crate) fn variables(given: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    given.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Loads the sample with these variables.
pub(crate) fn with(given: &[(&str, &str)]) -> Result<Loaded<Settings>, ConfigError> {
    sources().environment(variables(given)).load()
}

/// The error's text with the texts of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
