//! A layer of settings (a table and its origin), and the merge of all layers.
//!
//! Layers are grouped by rank (the defaults, each file, the environment, the flags). figment merges the tables and remembers
//! which layer each value came from.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::duration_size::HumanDuration;
use super::error::ConfigError;
use super::origin::{Origin, SettingEntry};
use super::secret_file::{self, SecretFolders};
use crate::redact;

/// Durations that may be zero: do not wait, do not spread, ask at once.
const MAY_BE_ZERO: &[&str] = &[
    "redis.wait_at_start",
    "quiet_hours.jitter",
    "twilio.lookup_after",
    "sandbox.magic.greylist_for",
    "sandbox.magic.slow_by",
    "sandbox.twilio.callback_wait",
    "sandbox.twilio.queued_for",
    "sandbox.twilio.sending_for",
    "sandbox.twilio.sent_for",
    "sandbox.vk.random_for",
];

/// A table of settings from one place.
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) dict: Dict,
}

/// Layers of one rank.
pub(super) type Group = Vec<Layer>;

/// The merged table, and the origin of each value by its tag.
pub(super) struct Merged {
    figment: Figment,
    origins: Vec<Origin>,
    pub(super) root: Value,
}

/// Passes one layer to figment; the name in its metadata is the index of its origin.
struct Numbered<'a> {
    number: usize,
    dict: &'a Dict,
}

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.number.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Merges groups given from lowest to highest rank.
pub(super) fn merge(groups: Vec<Group>) -> Merged {
    let mut figment = Figment::new();
    let mut origins = Vec::new();
    for layer in groups.into_iter().flatten() {
        figment = figment.merge(Numbered { number: origins.len(), dict: &layer.dict });
        origins.push(layer.origin);
    }
    // Our providers never fail, so there always is a merged table.
    let dict = figment.data().ok().and_then(|mut map| map.remove(&Profile::Default)).unwrap_or_default();
    Merged { figment, origins, root: Value::from(dict) }
}

impl Merged {
    /// The origin of the value with this tag. A table that no source contains has the defaults as its origin.
    pub(super) fn origin(&self, tag: Tag) -> &Origin {
        let number = self.figment.get_metadata(tag).and_then(|metadata| metadata.name.parse::<usize>().ok());
        number.and_then(|number| self.origins.get(number)).unwrap_or(&Origin::Defaults)
    }

    /// Whether the value came as text although its setting may be of another type.
    pub(super) fn is_text(&self, tag: Tag) -> bool {
        matches!(self.origin(tag), Origin::Environment(_) | Origin::Flag(_) | Origin::SecretFile { .. })
    }

    /// A duration that is zero although its default is not: its key and origin.
    pub(super) fn zero_duration(&self, defaults: &[&Dict]) -> Option<(String, Origin)> {
        let is_zero = |text: &str| text.parse::<HumanDuration>().is_ok_and(|time| time.get().is_zero());
        let entries = self.entries(&[]);
        let zero = entries.into_iter().find(|entry| {
            let default = defaults.iter().rev().find_map(|dict| value(dict, &entry.key)?.as_str());
            // If the default is zero, zero has a meaning.
            let is_time = default.is_some_and(|text| text.parse::<HumanDuration>().is_ok() && !is_zero(text));
            is_time && is_zero(&entry.shown) && !MAY_BE_ZERO.contains(&entry.key.as_str())
        });
        zero.map(|entry| (entry.key, entry.origin))
    }

    /// Every leaf in order of its key, secrets masked.
    pub(super) fn entries(&self, secrets: &[&str]) -> Vec<SettingEntry> {
        let mut entries = Vec::new();
        self.collect(&self.root, &mut Vec::new(), secrets, &mut entries);
        entries
    }

    fn collect<'a>(
        &self,
        value: &'a Value,
        path: &mut Vec<&'a str>,
        secrets: &[&str],
        entries: &mut Vec<SettingEntry>,
    ) {
        if let Value::Dict(_, dict) = value {
            for (key, value) in dict {
                path.push(key);
                self.collect(value, path, secrets, entries);
                path.pop();
            }
            return;
        }
        let key = path.join(".");
        let shown = if is_secret(&key, secrets) {
            "***".to_owned()
        } else {
            redact::credentials(&show(value)).into_owned()
        };
        entries.push(SettingEntry { key, shown, origin: self.origin(value.tag()).clone() });
    }
}

/// Whether a dotted key is one of these secrets, or a part of one that is a table or a list.
pub(super) fn is_secret(key: &str, secrets: &[&str]) -> bool {
    let is_part = |rest: &str| rest.is_empty() || rest.starts_with('.');
    secrets.iter().any(|secret| key.strip_prefix(secret).is_some_and(is_part))
}

fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Array(_, items) => items.iter().map(show).collect::<Vec<_>>().join(", "),
        // Numbers and booleans; a table inside a list is shown as JSON.
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// The section of the one setting that is needed before the others are read.
const SECRETS: &str = "secrets";
const FOLDER: &str = "folder";

/// The setting `secrets.folder` of the highest rank; empty means none.
fn secrets_folder(groups: &[Group]) -> Result<Option<PathBuf>, ConfigError> {
    let mut found = None;
    for layer in groups.iter().flatten() {
        let refuse = |key: &str, what: &str| ConfigError::Setting {
            key: format!("{SECRETS}.{key}"),
            what: what.to_owned(),
            origin: layer.origin.clone(),
        };
        let section = layer.dict.get(SECRETS).and_then(Value::as_dict);
        for (key, value) in section.into_iter().flatten() {
            match value.as_str() {
                Some("") if key == FOLDER => found = None,
                Some(path) if key == FOLDER && Path::new(path).is_absolute() => {
                    found = Some(PathBuf::from(path))
                }
                _ if key == FOLDER => return Err(refuse(key, "expected the absolute path of a folder")),
                _ => return Err(refuse(key, "unknown key")),
            }
        }
    }
    Ok(found)
}

/// Replaces `…_file` settings of secrets by the contents of the files.
///
/// Only the highest rank that sets a secret, in either form, counts; so a file that is not used is not read.
pub(super) fn read_secrets(groups: &mut [Group], secrets: &[&str]) -> Result<(), ConfigError> {
    let folders = SecretFolders::new(secrets_folder(groups)?);
    for key in secrets {
        let by_file = format!("{key}_file");
        let mut settled = false;
        for group in groups.iter_mut().rev() {
            let direct = find(group, key);
            let Some((index, path)) = take(group, &by_file) else {
                settled = settled || direct.is_some();
                continue;
            };
            if settled {
                continue;
            }
            let named_by = group[index].origin.clone();
            if let Some(first) = direct {
                return Err(ConfigError::Twice { key: (*key).to_owned(), first, second: named_by });
            }
            let Some(path) = path.into_string() else {
                let what = "expected a file path".to_owned();
                return Err(ConfigError::Setting { key: by_file, what, origin: named_by });
            };
            let text = secret_file::read(key, Path::new(&path), &named_by, &folders)?;
            let origin = Origin::SecretFile { path: path.into(), named_by: Box::new(named_by) };
            group.push(Layer { origin, dict: super::environment::leaf(key, text) });
            settled = true;
        }
    }
    Ok(())
}

/// The origin of a key in a group.
fn find(group: &Group, key: &str) -> Option<Origin> {
    group.iter().find(|layer| value(&layer.dict, key).is_some()).map(|layer| layer.origin.clone())
}

/// Removes a key from a group. Returns the index of its layer and the value.
fn take(group: &mut Group, key: &str) -> Option<(usize, Value)> {
    let (section, name) = split(key);
    group.iter_mut().enumerate().find_map(|(index, layer)| {
        let table = match section {
            Some(section) => lookup_mut(&mut layer.dict, section)?,
            None => &mut layer.dict,
        };
        table.remove(name).map(|value| (index, value))
    })
}

fn split(key: &str) -> (Option<&str>, &str) {
    key.rsplit_once('.').map_or((None, key), |(section, name)| (Some(section), name))
}

/// The value at a dotted key.
pub(super) fn value<'a>(dict: &'a Dict, key: &str) -> Option<&'a Value> {
    let (section, name) = split(key);
    let mut sections = section.into_iter().flat_map(|section| section.split('.'));
    sections.try_fold(dict, |dict, part| dict.get(part)?.as_dict())?.get(name)
}

fn lookup_mut<'a>(dict: &'a mut Dict, section: &str) -> Option<&'a mut Dict> {
    section.split('.').try_fold(dict, |dict, part| match dict.get_mut(part)? {
        Value::Dict(_, inner) => Some(inner),
        _ => None,
    })
}
