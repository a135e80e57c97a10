//! Settings of a private server, written as its configuration file.

use std::path::Path;

use super::{PrivateServer, ServerKind};
use crate::Result;

/// When the append-only file is synced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// No append-only file: after a restart the server is empty.
    Off,
    /// Once a second, in the background.
    EverySecond,
    /// Before each answer.
    Always,
}

/// Settings of a private server; [`PrivateServer::builder`] creates them.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) kind: Option<ServerKind>,
    pub(super) tcp: bool,
    pub(super) password: Option<String>,
    fsync: Fsync,
    events: String,
    max_memory: u64,
    lines: Vec<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            kind: None,
            tcp: false,
            password: None,
            fsync: Fsync::EverySecond,
            events: "KEhx".into(),
            max_memory: 0,
            lines: Vec::new(),
        }
    }
}

impl Builder {
    /// Which server; default: the one of [`ServerKind::from_env`].
    #[must_use]
    pub fn kind(mut self, kind: ServerKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Also listen on a port of 127.0.0.1, not only on the unix socket.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// The append-only file; default: [`Fsync::EverySecond`].
    #[must_use]
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.fsync = fsync;
        self
    }

    /// `notify-keyspace-events`; default: `KEhx`. An empty text switches all off.
    #[must_use]
    pub fn events(mut self, flags: &str) -> Self {
        self.events = flags.to_owned();
        self
    }

    /// `maxmemory` in bytes, with the policy `noeviction` unless a [`Builder::line`] sets another.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = bytes;
        self
    }

    /// A password every client must give. Letters and digits only: it becomes part of a URL.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// An extra line of the configuration file, after all others, so it takes precedence.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Install`] when the server's program is missing, [`crate::Error::Dead`] with the end of
    /// its log when it does not start.
    pub fn start(self) -> Result<PrivateServer> {
        PrivateServer::start_with(self)
    }

    /// The configuration file for a server in `dir` that listens on `socket` and optionally on `port`.
    pub(super) fn config(&self, dir: &Path, socket: &Path, port: u16) -> String {
        let (append_only, fsync) = match self.fsync {
            Fsync::Off => ("no", "everysec"),
            Fsync::EverySecond => ("yes", "everysec"),
            Fsync::Always => ("yes", "always"),
        };
        let mut lines = vec![
            "daemonize no".to_owned(),
            "bind 127.0.0.1".into(),
            "protected-mode no".into(),
            format!("port {port}"),
            format!("unixsocket {}", socket.display()),
            "unixsocketperm 700".into(),
            format!("dir {}", dir.display()),
            format!("logfile {}", dir.join("server.log").display()),
            "save \"\"".into(),
            format!("appendonly {append_only}"),
            format!("appendfsync {fsync}"),
            format!("notify-keyspace-events \"{}\"", self.events),
            format!("maxmemory {}", self.max_memory),
            "maxmemory-policy noeviction".into(),
            // Tests stop the expire cycle, inspect encodings, or make the server sleep.
            "enable-debug-command local".into(),
        ];
        lines.extend(self.password.iter().map(|password| format!("requirepass {password}")));
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_lines_come_last() {
        let config = Builder::default()
            .fsync(Fsync::Off)
            .events("")
            .password("secret")
            .line("maxmemory-policy allkeys-lru")
            .config(Path::new("/d"), Path::new("/d/s"), 0);
        assert!(config.contains("appendonly no\n"));
        assert!(config.contains("notify-keyspace-events \"\"\n"));
        assert!(config.contains("requirepass secret\n"));
        assert!(config.ends_with("maxmemory-policy allkeys-lru\n"));
    }
}
