//! Reads a secret from a file of its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::ConfigError;
use super::origin::Origin;

/// No credential is longer; a larger file is not one.
const LIMIT: u64 = 64 * 1024;

/// The rights to read and to write of those who are neither owner nor group.
pub(super) const OTHERS: u32 = 0o006;

/// The text of a secret's file without one trailing line end (`\n` or `\r\n`).
///
/// Refuses a file that everyone may read or write, that is empty, over 64 KiB, no plain file or not UTF-8.
pub(super) fn read(key: &str, path: &Path, named_by: &Origin) -> Result<String, ConfigError> {
    let refuse = |why: &'static str, source: Option<io::Error>| ConfigError::SecretFile {
        key: key.to_owned(),
        path: path.to_owned(),
        why,
        named_by: named_by.clone(),
        source,
    };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let is_file = path.metadata().map_err(|error| refuse("cannot be read", Some(error)))?.is_file();
    if !is_file {
        return Err(refuse("is not a plain file", None));
    }
    let file = File::open(path).map_err(|error| refuse("cannot be read", Some(error)))?;
    let metadata = file.metadata().map_err(|error| refuse("cannot be read", Some(error)))?;
    if metadata.permissions().mode() & OTHERS != 0 {
        return Err(refuse("can be read or written by everyone; take the rights away with chmod o-rw", None));
    }
    let mut text = String::new();
    let read = file.take(LIMIT + 1).read_to_string(&mut text);
    read.map_err(|error| refuse("cannot be read as text", Some(error)))?;
    if text.len() as u64 > LIMIT {
        return Err(refuse("is larger than 64 KiB", None));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(refuse("is empty", None));
    }
    Ok(text)
}
