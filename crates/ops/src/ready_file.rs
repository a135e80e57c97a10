//! The ready file: tells the program that started a process that it is running, and where.

use std::io;
use std::path::Path;

use serde::Serialize;

/// Writes the file as one line of JSON, atomically: a reader sees all of it or nothing.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: &Path, ready: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(ready)?;
    line.push(b'\n');
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    std::fs::write(&beside, line)?;
    std::fs::rename(&beside, file)
}

/// Removes the file, so that nobody finds the file of a process that has ended.
pub fn remove(file: &Path) {
    // It may be gone already, and then there is nothing to do.
    let _ = std::fs::remove_file(file);
}
