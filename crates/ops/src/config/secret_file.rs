//! Reads a secret from a file that holds nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::ConfigError;
use super::origin::Origin;

/// Larger files are refused: no credential is this long.
const LIMIT: u64 = 64 * 1024;

/// The permission bits for others to read and write.
pub(super) const OTHERS: u32 = 0o006;

/// The text of a secret file, without one trailing line end (`\n` or `\r\n`).
///
/// Refuses a file that everyone may read or write, that is empty, larger than 64 KiB, not a plain file or not UTF-8.
pub(super) fn read(key: &str, path: &Path, named_by: &Origin) -> Result<String, ConfigError> {
    let refuse = |why: &'static str, source: Option<io::Error>| ConfigError::SecretFile {
        key: key.to_owned(),
        path: path.to_owned(),
        why,
        named_by: named_by.clone(),
        source,
    };
    // Checked before opening, because opening a pipe would wait for a writer.
    let is_file = path.metadata().map_err(|error| refuse("cannot be read", Some(error)))?.is_file();
    if !is_file {
        return Err(refuse("is not a plain file", None));
    }
    let file = File::open(path).map_err(|error| refuse("cannot be read", Some(error)))?;
    let metadata = file.metadata().map_err(|error| refuse("cannot be read", Some(error)))?;
    if metadata.permissions().mode() & OTHERS != 0 {
        return Err(refuse("can be read or written by everyone; run chmod o-rw on it", None));
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
