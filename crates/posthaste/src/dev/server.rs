//! The private Redis or Valkey: found on the PATH, with its data on disk, on its own unix socket.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::dev_dir::DevDir;
use crate::failure::{Failure, Kind, Result};

/// Programs to look for, in this order, with the oldest supported major and minor version.
const PROGRAMS: [(&str, (u32, u32)); 2] = [("redis-server", (7, 0)), ("valkey-server", (7, 2))];

/// A server program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path.
    pub(crate) program: PathBuf,
    /// Its version, as it reports it.
    pub(crate) version: String,
}

/// Looks for a server on the PATH.
///
/// # Errors
/// There is none, or all are too old. The failure says what to do.
pub(crate) fn find() -> Result<Found> {
    let mut old = None;
    for (name, oldest) in PROGRAMS {
        let Some(program) = on_path(name) else { continue };
        let Some(version) = version_of(&program) else { continue };
        match numbers(&version) {
            Some(numbers) if numbers >= oldest => return Ok(Found { program, version }),
            _ => old = Some(format!("{name} {version} is too old")),
        }
    }
    let text = old.unwrap_or_else(|| "neither redis-server nor valkey-server is on the PATH".to_owned());
    Err(Failure::new(Kind::Unreachable, text).remedy(
        "Install one (Redis 7.0 or newer, Valkey 7.2 or newer):\n\
         \x20 sudo apt-get install redis-server\n\
         or use one that is already running:\n\
         \x20 posthaste dev --redis redis://127.0.0.1:6379",
    ))
}

/// Writes the server's configuration and returns its path.
///
/// # Errors
/// It cannot be written.
pub(super) fn configure(place: &DevDir) -> Result<PathBuf> {
    let file = place.run("redis.conf");
    place.write(&file, &config(&place.redis(), place.socket()))?;
    Ok(file)
}

fn config(dir: &Path, socket: &Path) -> String {
    let lines = [
        "daemonize no".to_owned(),
        // No network port: only users who may open the socket file can connect.
        "port 0".into(),
        format!("unixsocket {}", quoted(socket)),
        "unixsocketperm 700".into(),
        format!("dir {}", quoted(dir)),
        "save \"\"".into(),
        "appendonly yes".into(),
        "appendfsync everysec".into(),
        "maxmemory-policy noeviction".into(),
        "notify-keyspace-events KEhx".into(),
    ];
    lines.join("\n") + "\n"
}

/// Quotes a path for the configuration.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The text after `v=` in `Redis server v=7.0.15 sha=…` or `Valkey server v=…`.
fn version_of(program: &Path) -> Option<String> {
    let said = Command::new(program).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(str::to_owned)
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(numbers("7.0.15"), Some((7, 0)));
        assert!(numbers("10.0.0") > Some((7, 0)));
        assert_eq!(numbers("unstable"), None);
    }

    #[test]
    fn a_path_with_blanks_is_one_word() {
        let config = config(Path::new("/a b/\"c\""), Path::new("/a b/s"));
        assert!(config.contains("dir \"/a b/\\\"c\\\"\"\n"), "{config}");
        assert!(config.contains("port 0\n"));
    }
}
