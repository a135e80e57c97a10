//! Layered settings, each with a known origin.
//!
//! From low to high rank: the built-in defaults (a commented TOML text per part), settings files, environment variables
//! `POSTHASTE_SECTION__KEY`, command-line flags. The result is deserialized into the caller's own type. An unknown key, or a
//! value of the wrong type or unit, is refused with its key, its origin and what is expected. Only whole sections of our other
//! processes are ignored, so that all of them can share a file and an environment.
//!
//! A secret (named by the caller) may also be given as a file path, in any layer: `password_file` in a settings file,
//! `POSTHASTE_REDIS__PASSWORD_FILE` in the environment. Such a file must not be readable by everyone, except where root
//! puts secrets (`/run/secrets`, `$CREDENTIALS_DIRECTORY`, the folder `secrets.folder`); nor must a settings file that holds a
//! secret itself, wherever it is. Durations must be longer than 0, unless 0 has a meaning.
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
mod duration_size;
mod environment;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod layer;
mod origin;
mod renamed;
mod secret_file;

use std::ffi::OsString;
use std::path::PathBuf;

use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use self::deserialize::{Fault, Problem, Reader};
use self::layer::{Group, Layer, Merged};

pub use self::duration_size::{ByteSize, HumanDuration, UnitError, duration};
pub use self::error::ConfigError;
pub use self::origin::{Origin, Origins, SettingEntry};
pub use self::renamed::RENAMED;

/// The defaults of this crate's own parts, as sections `log`, `admin`, `stop` and `secrets`. A process adds them with
/// [`Sources::defaults`] and reads them as [`telemetry::Settings`](crate::telemetry::Settings),
/// [`admin::Settings`](crate::admin::Settings) and [`shutdown::Settings`](crate::shutdown::Settings). One that has
/// only some of the sections adds the `DEFAULTS` of their modules.
pub const SECTIONS: &str = concat!(
    include_str!("../telemetry.toml"),
    "\n",
    include_str!("../admin.toml"),
    "\n",
    include_str!("../shutdown.toml"),
    "\n",
    include_str!("../secrets.toml"),
);

/// The sections of all processes but the couriers' own ([`Sources::elsewhere`]). Several processes may share a settings file
/// and an environment: a process ignores the sections in this list that it does not have, and the process that has them
/// checks their contents.
const ELSEWHERE: &[&str] = &[
    "redis",
    "admin",
    "log",
    "stop",
    "secrets",
    "http",
    "orders",
    "quiet_hours",
    "daily_limits",
    "sms_limits",
    "trackers",
    "rate",
    "keys",
    "courier",
    "sandbox",
    "client",
];

/// All sources of settings. Holds secrets until it is loaded, so it cannot be printed.
#[must_use]
pub struct Sources {
    defaults: Vec<&'static str>,
    files: Vec<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(String, String, String)>,
    secrets: Vec<&'static str>,
    reserved: Vec<&'static str>,
    elsewhere: Vec<&'static str>,
}

/// The settings in effect, and their origins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// The origin of each setting.
    pub origins: Origins,
}

impl Sources {
    /// Starts with the built-in defaults, a commented TOML text.
    pub fn new(defaults: &'static str) -> Self {
        Self {
            defaults: vec![defaults],
            files: Vec::new(),
            variables: Vec::new(),
            flags: Vec::new(),
            secrets: Vec::new(),
            reserved: Vec::new(),
            elsewhere: ELSEWHERE.to_vec(),
        }
    }

    /// Adds the defaults of another part; if a key is given twice, the later value wins.
    pub fn defaults(mut self, text: &'static str) -> Self {
        self.defaults.push(text);
        self
    }

    /// Names sections of other processes, which may share the files and the environment: they are ignored, unless this
    /// process has them.
    pub fn elsewhere(mut self, sections: impl IntoIterator<Item = &'static str>) -> Self {
        self.elsewhere.extend(sections);
        self
    }

    /// Names the dotted keys that are secrets: each may be read from a file, and none is ever shown. The key of a table
    /// makes all its values secret.
    pub fn secrets(mut self, keys: &[&'static str]) -> Self {
        self.secrets.extend_from_slice(keys);
        self
    }

    /// Names environment variables with our prefix that are not settings, such as the path of the settings file.
    pub fn reserved(mut self, variables: &[&'static str]) -> Self {
        self.reserved.extend_from_slice(variables);
        self
    }

    /// Adds a settings file, which must exist; of several, the later one wins.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Adds environment variables; those without our prefix are ignored. A process passes `std::env::vars_os()`.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Adds the value of a command-line flag for a dotted key, if it was given. `flag` is the flag as typed by the user.
    pub fn flag(mut self, flag: &str, key: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.flags.push((flag.to_owned(), key.to_owned(), value.to_string()));
        }
        self
    }

    /// Deserializes everything into the caller's type.
    ///
    /// Keys that the type does not know are refused, with or without `deny_unknown_fields`. (Do not use
    /// `serde(flatten)`: a type with it accepts them.)
    ///
    /// # Errors
    /// The first problem found. Do not open or bind anything after an error.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, ConfigError> {
        let (secrets, elsewhere) = (self.secrets.clone(), self.elsewhere.clone());
        let mut groups = self.groups()?;
        layer::read_secrets(&mut groups, &secrets)?;
        let defaults = groups.iter().flatten().filter(|layer| matches!(layer.origin, Origin::Defaults));
        let defaults: Vec<_> = defaults.map(|layer| layer.dict.clone()).collect();
        let merged = layer::merge(groups);
        if let Some((key, origin)) = merged.zero_duration(&defaults.iter().collect::<Vec<_>>()) {
            return Err(ConfigError::Setting { key, what: "must be longer than 0".to_owned(), origin });
        }
        let is_text = |tag| merged.is_text(tag);
        let settings = T::deserialize(Reader::new(&merged.root, &elsewhere, &is_text))
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
        let defaults = groups.len();
        for path in self.files {
            let (text, is_open) =
                file::read(&path).map_err(|source| ConfigError::File { path: path.clone(), source })?;
            let origin = Origin::File(path.clone());
            let dict = parse(&text, &origin)?;
            // What everybody can read in the built-in defaults is no secret.
            let is_default = |key: &str, value: &Value| {
                groups[..defaults].iter().flatten().any(|layer| layer::value(&layer.dict, key) == Some(value))
            };
            if is_open && let Some(key) = file::secret_of(&dict, &self.secrets, is_default) {
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
        // The parser's own text repeats the line, which may hold a secret: report only the position and the problem.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        ConfigError::Syntax { origin: origin.clone(), line, column, what: error.message().to_owned() }
    })
}

/// Turns the reader's problem into an error with key and origin.
fn explain(problem: Problem, merged: &Merged, secrets: &[&str]) -> ConfigError {
    let key = problem.path.join(".");
    let is_secret = layer::is_secret(&key, secrets);
    let what = match problem.fault {
        Fault::Missing => {
            let mut variable = environment::variable(&key);
            if is_secret {
                variable = format!("{variable}, or its file as {variable}_FILE");
            }
            return ConfigError::Missing { key, variable };
        }
        Fault::Unknown(what) => renamed::new_name(&key)
            .map_or(what, |new| format!("unknown key: this setting is now called {new}")),
        Fault::Quoting(_) if is_secret => "not valid (no details, because it is a secret)".to_owned(),
        Fault::Plain(what) | Fault::Quoting(what) => what,
    };
    let origin = problem.tag.map_or(&Origin::Defaults, |tag| merged.origin(tag)).clone();
    ConfigError::Setting { key, what, origin }
}
