//! Layered settings, each with a known origin.
//!
//! From low to high rank: the defaults inside the program (a commented TOML text per part), settings files, environment
//! variables `POSTHASTE_SECTION__KEY`, command-line flags. The result is read into the caller's own type. An unknown
//! key or a value of the wrong type or unit is refused with its key, its origin and what would be right. Only whole
//! sections that another process of ours has are passed over, so that all of them can share a file and an environment.
//!
//! A secret (named by the caller) may also be given as the path of a file, in any layer: `password_file` in a
//! settings file, `POSTHASTE_REDIS__PASSWORD_FILE` in the environment. Such a file must not be readable by everyone, and neither
//! must a settings file that holds a secret itself. Durations must be longer than 0 unless 0 has a meaning of its own.
//!
//! ```
//! use posthaste_ops::config::{HumanDuration, Sources};
//!
//! #[derive(serde::Deserialize)]
//! struct Settings {
//!     redis: Redis,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Redis {
//!     url: String,
//!     timeout: HumanDuration,
//! }
//!
//! let defaults = "[redis]\n# How long one call may take.\ntimeout = \"2s\"\n";
//! let loaded = Sources::new(defaults)
//!     .environment([("POSTHASTE_REDIS__URL".into(), "redis://127.0.0.1".into())])
//!     .flag("--redis-timeout", "redis.timeout", Some("250ms"))
//!     .load::<Settings>()?;
//! assert_eq!(loaded.settings.redis.timeout, HumanDuration::from_millis(250));
//! assert_eq!(loaded.settings.redis.url, "redis://127.0.0.1");
//! assert_eq!(loaded.origins.of("redis.timeout").unwrap().to_string(), "flag --redis-timeout");
//! # Ok::<(), posthaste_ops::config::ConfigError>(())
//! ```

mod deserialize;
mod environment;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod layer;
mod origin;
mod secret_file;
mod units;

use std::ffi::OsString;
use std::path::PathBuf;

use figment::value::Dict;
use serde::de::DeserializeOwned;

use self::deserialize::{Fault, Problem, Reader};
use self::layer::{Group, Layer, Merged};

pub use self::error::ConfigError;
pub use self::origin::{Entry, Origin, Origins};
pub use self::units::{ByteSize, HumanDuration, UnitError};

/// The defaults of this crate's own parts, as sections `log`, `admin` and `stop`; a process adds them with
/// [`Sources::defaults`] and reads them as [`telemetry::Settings`](crate::telemetry::Settings),
/// [`admin::Settings`](crate::admin::Settings) and [`stop::Settings`](crate::stop::Settings).
pub const SECTIONS: &str = include_str!("sections.toml");

/// The sections of all processes. One settings file and one environment may serve several of them: a process passes over
/// the sections in this list that it does not have, and the process that has them looks at what is inside.
const ELSEWHERE: &[&str] = &[
    "redis",
    "admin",
    "log",
    "stop",
    "http",
    "orders",
    "quiet_hours",
    "daily_limits",
    "trackers",
    "rate",
    "keys",
    "courier",
    "smtp",
    "email",
    "dkim",
    "bounces",
    "unsubscribe",
    "telegram",
    "sms",
    "twilio",
    "gateway",
    "vk",
    "sandbox",
    "client",
];

/// All places settings are taken from. Holds secrets until it is loaded, so it cannot be printed.
#[must_use]
pub struct Sources {
    defaults: Vec<&'static str>,
    files: Vec<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(String, String, String)>,
    secrets: Vec<&'static str>,
    reserved: Vec<&'static str>,
}

/// Settings as they took effect, and where each came from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// The origin of each.
    pub origins: Origins,
}

impl Sources {
    /// Begins with the defaults inside the program, a commented TOML text.
    pub fn new(defaults: &'static str) -> Self {
        Self {
            defaults: vec![defaults],
            files: Vec::new(),
            variables: Vec::new(),
            flags: Vec::new(),
            secrets: Vec::new(),
            reserved: Vec::new(),
        }
    }

    /// Adds the defaults of another part; a key given twice takes the later value.
    pub fn defaults(mut self, text: &'static str) -> Self {
        self.defaults.push(text);
        self
    }

    /// Names the dotted keys that are secrets: each may be given by file, and none is ever shown.
    pub fn secrets(mut self, keys: &[&'static str]) -> Self {
        self.secrets.extend_from_slice(keys);
        self
    }

    /// Names environment variables with our prefix that are no settings (the path of the settings file, say).
    pub fn reserved(mut self, variables: &[&'static str]) -> Self {
        self.reserved.extend_from_slice(variables);
        self
    }

    /// Adds a settings file, which must exist; of several the later one wins.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Adds environment variables; those without our prefix are passed over. A process gives `std::env::vars_os()`.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Adds what a command-line flag says about a dotted key, if it was given. `flag` is what the user typed.
    pub fn flag(mut self, flag: &str, key: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.flags.push((flag.to_owned(), key.to_owned(), value.to_string()));
        }
        self
    }

    /// Reads everything into the caller's type.
    ///
    /// Keys the type does not know are refused, with or without `deny_unknown_fields` (but a type with
    /// `serde(flatten)` lets them pass: do not use it).
    ///
    /// # Errors
    /// The first thing found wrong; nothing is to be opened or bound after one.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, ConfigError> {
        let secrets = self.secrets.clone();
        let mut groups = self.groups()?;
        layer::read_secrets(&mut groups, &secrets)?;
        let defaults = groups.iter().flatten().filter(|layer| matches!(layer.origin, Origin::Defaults));
        let defaults: Vec<_> = defaults.map(|layer| layer.dict.clone()).collect();
        let merged = layer::merge(groups);
        if let Some((key, origin)) = merged.zero_duration(&defaults.iter().collect::<Vec<_>>()) {
            return Err(ConfigError::Setting { key, what: "must be longer than 0".to_owned(), origin });
        }
        let is_text = |tag| merged.is_text(tag);
        let settings = T::deserialize(Reader::new(&merged.root, ELSEWHERE, &is_text))
            .map_err(|problem| explain(problem, &merged, &secrets))?;
        let origins = Origins { entries: merged.entries(&secrets) };
        Ok(Loaded { settings, origins })
    }

    fn groups(self) -> Result<Vec<Group>, ConfigError> {
        let mut groups: Vec<Group> = Vec::new();
        for text in self.defaults {
            let dict = parse(text, &Origin::Defaults)?;
            groups.push(vec![Layer { origin: Origin::Defaults, dict }]);
        }
        for path in self.files {
            let (text, is_open) =
                file::read(&path).map_err(|source| ConfigError::File { path: path.clone(), source })?;
            let origin = Origin::File(path.clone());
            let dict = parse(&text, &origin)?;
            if is_open && let Some(key) = file::secret_of(&dict, &self.secrets) {
                return Err(ConfigError::OpenFile { key: key.to_owned(), path });
            }
            groups.push(vec![Layer { origin, dict }]);
        }
        groups.push(environment::layers(self.variables, &self.reserved)?);
        let flag = |(flag, key, value): (String, String, String)| Layer {
            origin: Origin::Flag(flag),
            dict: environment::leaf(&key, value),
        };
        groups.push(self.flags.into_iter().map(flag).collect());
        Ok(groups)
    }
}

fn parse(text: &str, origin: &Origin) -> Result<Dict, ConfigError> {
    toml::from_str(text).map_err(|error| {
        // The parser's own text repeats the line, which may hold a secret: say only where and what.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        ConfigError::Syntax { origin: origin.clone(), line, column, what: error.message().to_owned() }
    })
}

/// Turns the reader's problem into an error with key and origin.
fn explain(problem: Problem, merged: &Merged, secrets: &[&str]) -> ConfigError {
    let key = problem.path.join(".");
    let is_secret = secrets.contains(&key.as_str());
    let what = match problem.fault {
        Fault::Missing => {
            let mut variable = environment::variable(&key);
            if is_secret {
                variable = format!("{variable}, or its file as {variable}_FILE");
            }
            return ConfigError::Missing { key, variable };
        }
        Fault::Quoting(_) if is_secret => "not usable (why is withheld, because it is a secret)".to_owned(),
        Fault::Plain(what) | Fault::Quoting(what) => what,
    };
    let origin = problem.tag.map_or(&Origin::Defaults, |tag| merged.origin(tag)).clone();
    ConfigError::Setting { key, what, origin }
}
