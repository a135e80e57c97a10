//! The file that `posthaste key create --out` writes: new, and readable only by its owner from the first moment.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// An empty file that is removed again unless a key is kept in it.
pub(super) struct OutFile {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl OutFile {
    /// Creates the file with mode 0600.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Failure::refused(format!("{} exists already; no key was created", path.display()))
                    .remedy("Name a new file: an existing key may still be in use.")
            }
            _ => {
                Failure::error(format!("cannot create {}; no key was created", path.display())).because(error)
            }
        })?;
        Ok(Self { path: path.to_owned(), file, is_kept: false })
    }

    /// Writes the key and keeps the file; returns its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(mut self, key: &str) -> Result<PathBuf> {
        let written = self.file.write_all(format!("{key}\n").as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| {
            Failure::error(format!("cannot write the key to {}", self.path.display())).because(error)
        })?;
        self.is_kept = true;
        Ok(self.path.clone())
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nothing is in it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
