//! Reads settings from the defaults, a file, the environment and flags; later ones win. An unknown key is refused by
//! name before anything opens.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use posthaste_model::channels;
use toml::Table;

use crate::run::Args;
use crate::settings::{DEFAULTS, Settings};

/// Our section of a settings file; all processes can share one file.
const SECTION: &str = "sandbox";
/// Prefix of our environment variables.
const PREFIX: &str = "POSTHASTE_SANDBOX__";
/// Sections of the other processes, beside the couriers' own.
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
    "client",
];

/// The settings are invalid. Fix them; a restart does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("cannot read the settings file {path}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The settings file is not valid TOML.
    #[error("the settings file {path} is not valid TOML", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The settings file has an unknown section.
    #[error("the settings file {path} has an unknown section [{section}]", path = .path.display())]
    UnknownSection {
        /// The file.
        path: PathBuf,
        /// The section.
        section: String,
    },
    /// An unknown key, or a value of the wrong type or unit; the text names key and origin.
    #[error("invalid setting")]
    Wrong(#[source] Box<figment::Error>),
}

/// All settings in effect.
pub(crate) fn load(
    args: &Args,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    figment(args, environment)?.extract().map_err(|error| SettingsError::Wrong(Box::new(error)))
}

/// All layers, not yet checked.
pub(crate) fn figment(
    args: &Args,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Figment, SettingsError> {
    let defaults = DEFAULTS.parse::<Table>().map_err(|source| SettingsError::Malformed {
        path: "defaults.toml".into(),
        source: Box::new(source),
    })?;
    let mut figment = Figment::new().merge(Layer::new("the defaults", section(defaults)));
    if let Some(path) = &args.config {
        figment = figment.merge(Layer::new(format!("the file {}", path.display()), read(path)?));
    }
    Ok(figment
        .merge(Layer::new("the environment", variables(environment)))
        .merge(Layer::new("the flags", flags(args))))
}

fn read(path: &Path) -> Result<Table, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    let file = text
        .parse::<Table>()
        .map_err(|source| SettingsError::Malformed { path: path.to_owned(), source: Box::new(source) })?;
    let known = |section: &str| {
        section == SECTION || ELSEWHERE.contains(&section) || channels::sections().any(|own| own == section)
    };
    match file.keys().find(|section| !known(section)) {
        Some(section) => {
            Err(SettingsError::UnknownSection { path: path.to_owned(), section: section.clone() })
        }
        None => Ok(section(file)),
    }
}

/// Our section of a file.
fn section(mut file: Table) -> Table {
    match file.remove(SECTION) {
        Some(toml::Value::Table(section)) => section,
        _ => Table::new(),
    }
}

/// `POSTHASTE_SANDBOX__SMTP__HOST=name` is `smtp.host`. A value is parsed as TOML if possible, else it is a string.
fn variables(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Table {
    let mut all = Table::new();
    for (name, value) in environment {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let parsed = format!("value = {value}").parse::<Table>().ok();
        let parsed = parsed.and_then(|mut table| table.remove("value"));
        put(&mut all, &path.to_ascii_lowercase(), parsed.unwrap_or_else(|| value.into()));
    }
    all
}

fn flags(args: &Args) -> Table {
    let mut all = Table::new();
    let mut flag = |path: &str, value: Option<String>| {
        if let Some(value) = value {
            put(&mut all, path, value.into());
        }
    };
    flag("smtp__listen", args.smtp.map(|address| address.to_string()));
    flag("smtp__listen_tls", args.smtps.map(|address| address.to_string()));
    flag("outbox__listen", args.http.map(|address| address.to_string()));
    flag("telegram__listen", args.telegram.map(|address| address.to_string()));
    flag("vk__listen", args.vk.map(|address| address.to_string()));
    flag("twilio__listen", args.twilio.map(|address| address.to_string()));
    flag("gateway__listen", args.gateway.map(|address| address.to_string()));
    flag("webhook__listen", args.webhook.map(|address| address.to_string()));
    flag("record__file", args.record.as_ref().map(|path| path.to_string_lossy().into_owned()));
    all
}

/// Sets the value at a path whose parts are joined by `__`.
fn put(table: &mut Table, path: &str, value: toml::Value) {
    match path.split_once("__") {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((step, rest)) => {
            let inner = table.entry(step).or_insert_with(|| Table::new().into());
            // Of two conflicting variables, the longer path wins.
            if !inner.is_table() {
                *inner = Table::new().into();
            }
            if let Some(inner) = inner.as_table_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// One origin of settings.
struct Layer {
    name: String,
    table: Table,
}

impl Layer {
    fn new(name: impl Into<String>, table: Table) -> Self {
        Self { name: name.into(), table }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        let dict = Value::serialize(&self.table)?.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::time::Duration;

    use super::*;

    fn with(environment: &[(&str, &str)], args: &Args) -> Result<Settings, SettingsError> {
        load(args, environment.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn the_documented_defaults_are_those_of_the_library_but_for_the_ports() {
        let mut documented = with(&[], &Args::default()).unwrap();
        let library = Settings::default();
        let ports = [documented.smtp.listen, documented.smtp.listen_tls, documented.outbox.listen];
        assert_eq!(
            ports.map(|address| address.to_string()),
            ["127.0.0.1:1025", "127.0.0.1:1465", "127.0.0.1:8025"]
        );
        documented.smtp.listen = library.smtp.listen;
        documented.smtp.listen_tls = library.smtp.listen_tls;
        documented.outbox.listen = library.outbox.listen;
        assert_eq!(format!("{documented:?}"), format!("{library:?}"));
    }

    #[test]
    fn flags_win_over_the_environment_and_it_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("posthaste.toml");
        let text = "[sandbox.smtp]\nhost = \"a.test\"\nidle_for = \"7s\"\nmax_recipients = 7\n[redis]\nurl = \"x\"\n\
            [[sandbox.faults]]\nstage = \"rcpt\"\naction = { refuse = { code = 550, text = \"5.1.1 no\" } }\n";
        std::fs::write(&path, text).unwrap();
        let args = Args {
            config: Some(path),
            smtp: Some("127.0.0.1:7".parse().unwrap()),
            record: Some("attempts.ndjson".into()),
            ..Args::default()
        };
        let environment = [
            ("POSTHASTE_SANDBOX__SMTP__HOST", "b.test"),
            ("POSTHASTE_SANDBOX__SMTP__LISTEN", "127.0.0.1:8"),
            ("POSTHASTE_SANDBOX__SMTP__MAX_CONNECTIONS", "9"),
            ("POSTHASTE_SANDBOX__SMTP__WITHOUT", "[\"pipelining\"]"),
            ("POSTHASTE_SANDBOX__SMTP__AUTH__USERS", "{ courier = \"1234\" }"),
            ("POSTHASTE_REDIS__URL", "redis://elsewhere"),
        ];
        let settings = with(&environment, &args).unwrap();
        assert_eq!(settings.smtp.host, "b.test");
        assert_eq!(settings.smtp.listen.port(), 7);
        assert_eq!((settings.smtp.idle_for, settings.smtp.max_recipients), (Duration::from_secs(7), 7));
        assert_eq!((settings.smtp.max_connections, settings.smtp.without.len()), (9, 1));
        assert_eq!((settings.smtp.auth.users.len(), settings.faults.len()), (1, 1));
        assert_eq!(settings.record.file.as_deref(), Some(Path::new("attempts.ndjson")));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let wrong = |name, value| {
            let error = with(&[(name, value)], &Args::default()).unwrap_err();
            error.source().unwrap().to_string()
        };
        let unknown = wrong("POSTHASTE_SANDBOX__SMTP__COLOUR", "red");
        assert!(unknown.contains("colour") && unknown.contains("the environment"), "{unknown}");
        let unit = wrong("POSTHASTE_SANDBOX__SMTP__IDLE_FOR", "5 parsecs");
        assert!(unit.contains("idle_for"), "{unit}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("posthaste.toml");
        std::fs::write(&path, "[sandbx]\n").unwrap();
        let args = Args { config: Some(path.clone()), ..Args::default() };
        assert!(with(&[], &args).unwrap_err().to_string().contains("[sandbx]"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(with(&[], &args), Err(SettingsError::Unreadable { .. })));
    }
}
