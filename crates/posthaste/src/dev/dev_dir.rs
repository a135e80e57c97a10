//! The folder of a `posthaste dev`: data of the server, settings, logs, the API key. Only one `dev` at a time can use it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ports::Ports;
use crate::failure::{Failure, Result};
use crate::settings::Places;

/// The kernel limits the path of a socket to 108 bytes.
const LONGEST_SOCKET: usize = 100;

/// The default sender of the command line while it runs.
const SENDER: &str = "dev";

/// The folder.
pub(super) struct DevDir {
    dir: PathBuf,
    socket: PathBuf,
    /// Whether it is kept when `dev` stops.
    pub(super) is_kept: bool,
    // Last, so that locks and files are closed before temporary folders are removed.
    _lock: File,
    _temporary: Vec<TempDir>,
}

impl DevDir {
    /// Opens `data`, or a temporary folder.
    ///
    /// # Errors
    /// It cannot be created or written, or another `posthaste dev` uses it.
    pub(super) fn open(data: Option<&Path>) -> Result<Self> {
        let mut temporary = Vec::new();
        let dir = match data {
            Some(data) => {
                make(data)?;
                fs::canonicalize(data)?
            }
            None => {
                let made = short_folder()?;
                let dir = made.path().to_owned();
                temporary.push(made);
                dir
            }
        };
        for below in ["redis", "logs", "run"] {
            make(&dir.join(below))?;
        }
        let lock = private(&dir.join("run/lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::refused(format!("another `posthaste dev` uses {}", dir.display()))
                    .remedy("Stop it first, or use another folder: --data DIR"));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut socket = dir.join("redis/redis.sock");
        if socket.as_os_str().len() > LONGEST_SOCKET {
            let short = short_folder()?;
            socket = short.path().join("redis.sock");
            temporary.push(short);
        }
        Ok(Self { dir, socket, is_kept: data.is_some(), _lock: lock, _temporary: temporary })
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The unix socket of the server.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The data of the server.
    pub(super) fn redis(&self) -> PathBuf {
        self.dir.join("redis")
    }

    /// The log of a process.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// A file that is written at every start.
    pub(super) fn run(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(name)
    }

    /// The file with the API key.
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("dev.key")
    }

    /// Writes a file that only its owner can read.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, file: &Path, text: &str) -> Result<()> {
        write(file, text)
    }

    /// Writes a file that tells the command line the addresses; it is removed when the note is dropped.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn announce(&self, places: &Places, ports: &Ports) -> Result<Note> {
        let client = toml::Table::from_iter([
            ("server".to_owned(), toml::Value::from(format!("http://{}", ports.api))),
            ("token_file".to_owned(), toml::Value::from(self.key().display().to_string())),
            ("sender".to_owned(), toml::Value::from(SENDER)),
            ("outbox".to_owned(), toml::Value::from(format!("http://{}", ports.outbox))),
        ]);
        let text = toml::Table::from_iter([("client".to_owned(), toml::Value::Table(client))]).to_string();
        let text = format!("# Written by a running `posthaste dev`; the command line finds it here.\n{text}");
        if let Some(folder) = places.dev.parent() {
            make(folder)?;
        }
        write(&places.dev, &text)?;
        // Beside it the key alone, at a place that does not depend on --data: for curl.
        let key = fs::read_to_string(self.key()).unwrap_or_default();
        let key_file = places.dev.with_extension("key");
        write(&key_file, &key)?;
        Ok(Note { files: vec![(places.dev.clone(), text), (key_file, key)] })
    }
}

/// The files with the addresses and the key of a running `posthaste dev`. Removed when dropped, unless a later `dev` has overwritten it.
pub(super) struct Note {
    files: Vec<(PathBuf, String)>,
}

impl Drop for Note {
    fn drop(&mut self) {
        for (file, written) in &self.files {
            if fs::read_to_string(file).is_ok_and(|text| text == *written) {
                // If it can't be removed, the command line reports that the server does not respond.
                let _ = fs::remove_file(file);
            }
        }
    }
}

fn make(dir: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| Failure::error(format!("cannot create the folder {}", dir.display())).because(error))
}

fn private(file: &Path) -> Result<File> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file);
    opened.map_err(|error| Failure::error(format!("cannot write {}", file.display())).because(error))
}

/// Writes the file atomically: a temporary file next to it is renamed.
fn write(file: &Path, text: &str) -> Result<()> {
    let beside = file.with_extension("new");
    let unwritten =
        |error: io::Error| Failure::error(format!("cannot write {}", file.display())).because(error);
    // A leftover of a killed process may have other permissions.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritten(error)),
        _ => {}
    }
    private(&beside)?.write_all(text.as_bytes()).map_err(unwritten)?;
    fs::rename(&beside, file).map_err(unwritten)
}

fn short_folder() -> Result<TempDir> {
    let usual = std::env::temp_dir();
    let place = if usual.as_os_str().len() < 60 { usual } else { PathBuf::from("/tmp") };
    let made = tempfile::Builder::new().prefix("posthaste-dev-").tempdir_in(&place);
    made.map_err(|error| {
        Failure::error(format!("cannot create a folder in {}", place.display())).because(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_for_one_dev_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        let first = DevDir::open(Some(&data)).expect("opened");
        assert!(DevDir::open(Some(&data)).is_err_and(|failure| failure.lines()[0].contains("another")));
        first.write(&first.key(), "secret").expect("written");
        let mode = |file: &Path| fs::metadata(file).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&first.key()), mode(first.dir())), (0o600, 0o700));
        drop(first);
        assert!(DevDir::open(Some(&data)).is_ok());
    }

    #[test]
    fn a_long_path_gets_its_socket_in_another_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = DevDir::open(Some(&dir.path().join("x".repeat(120)))).expect("opened");
        assert!(place.socket().as_os_str().len() < LONGEST_SOCKET);
    }

    #[test]
    fn a_temporary_folder_is_removed() {
        let place = DevDir::open(None).expect("opened");
        let dir = place.dir().to_owned();
        drop(place);
        assert!(!dir.exists());
    }

    #[test]
    fn a_note_is_removed_only_by_its_writer() {
        let dir = tempfile::tempdir().expect("a folder");
        let places = Places { config: dir.path().to_owned(), dev: dir.path().join("state/dev.toml") };
        let place = DevDir::open(None).expect("opened");
        let ports = Ports::choose(0, 0, &super::super::ports::ProviderPorts::free()).expect("ports");
        let first = place.announce(&places, &ports).expect("announced");
        let other = Ports::choose(0, 0, &super::super::ports::ProviderPorts::free()).expect("ports");
        let second = place.announce(&places, &other).expect("announced");
        drop(first);
        assert!(places.dev.exists());
        drop(second);
        assert!(!places.dev.exists() && !places.dev.with_extension("key").exists());
    }
}
