//! Reads a settings file. A file that holds a secret must not be readable by everyone.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use figment::value::{Dict, Value};

use super::layer::value;
use super::secret_file::OTHERS;
use crate::redact;

/// A settings file larger than this is refused.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The text of a settings file, and whether everyone may read or write it.
pub(super) fn read(path: &Path) -> io::Result<(String, bool)> {
    let file = File::open(path)?;
    let is_open = file.metadata()?.permissions().mode() & OTHERS != 0;
    let mut text = String::new();
    file.take(FILE_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok((text, is_open))
}

/// The first of these keys whose value in the file is a secret, and not the default.
pub(super) fn secret_of<'a>(
    dict: &Dict,
    secrets: &[&'a str],
    is_default: impl Fn(&str, &Value) -> bool,
) -> Option<&'a str> {
    let guarded = |key: &str, value: &Value| is_secret(value) && !is_default(key, value);
    secrets.iter().copied().find(|key| value(dict, key).is_some_and(|value| guarded(key, value)))
}

/// A URL is a secret only if it contains credentials; an empty text is not a secret.
fn is_secret(value: &Value) -> bool {
    match value {
        Value::String(_, text) if text.contains("://") => redact::credentials(text) != text.as_str(),
        Value::String(_, text) => !text.is_empty(),
        Value::Array(_, items) => items.iter().any(is_secret),
        Value::Dict(_, dict) => dict.values().any(is_secret),
        _ => true,
    }
}
