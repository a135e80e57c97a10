//! A running private server and what can be done to it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::kind::Launcher;
use super::{Builder, ServerKind};
use crate::eventually::patience;
use crate::resp::{Connection, Endpoint, Reply};
use crate::{Child, Error, Result, Sig};

/// The kernel's bound on the path of a unix socket, with room for the names below the folder.
const LONGEST_DIR: usize = 80;

/// A server that belongs to one test. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct PrivateServer {
    // First field: the process must be gone before its folder is removed.
    child: Option<Child>,
    kind: ServerKind,
    launcher: Launcher,
    builder: Builder,
    port: u16,
    dir: TempDir,
}

impl PrivateServer {
    /// Begins the settings of a server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A server with all defaults: unix socket only, append-only file forced to disk every second, events on.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    pub(super) fn start_with(builder: Builder) -> Result<Self> {
        let kind = builder.kind.map_or_else(ServerKind::from_env, Ok)?;
        let launcher = kind.launcher()?;
        let dir = short_tempdir()?;
        let mut server = Self { child: None, kind, launcher, builder, port: 0, dir };
        let deadline = Instant::now() + patience();
        loop {
            server.port = if server.builder.tcp { next_port() } else { 0 };
            match server.launch() {
                // Somebody else has the port: nothing was reserved beforehand, so take another.
                Err(Error::Dead { last_words, .. })
                    if server.builder.tcp
                        && last_words.contains("ddress already in use")
                        && Instant::now() < deadline => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    fn launch(&mut self) -> Result<()> {
        let config_file = self.dir.path().join("server.conf");
        let config = self.builder.config(self.dir.path(), &self.socket(), self.port);
        std::fs::write(&config_file, config).map_err(Error::io("writing the server's configuration"))?;
        // Each start begins a new log, so that its last words are those of this start.
        let _ = std::fs::remove_file(self.log_file());
        let args = self.launcher.before.iter().cloned().chain([OsString::from(config_file)]);
        // An unpacked server finds no locales; the plain one is built in.
        let child = Child::spawn(&self.launcher.program, args, [("LC_ALL", "C")])?;
        let child = self.child.insert(child);
        let deadline = Instant::now() + patience();
        let mut pause = Duration::from_millis(1);
        loop {
            let seen = match ping(&self.dir.path().join("s"), self.builder.password.as_deref()) {
                Ok(Reply::Status(pong)) if pong == "PONG" => return Ok(()),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            if child.exit_status()?.is_some() {
                // Until its output is read to the end the reason may be missing from it.
                child.wait_exit()?;
                let last_words = format!("{}\n{}", child.tail(20), self.log_tail(20));
                self.child = None;
                return Err(Error::Dead { what: self.kind.name().into(), last_words });
            }
            if Instant::now() >= deadline {
                let what = format!("the first PONG of {}", self.kind.name());
                return Err(Error::TooLate { what, waited: patience(), seen });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Which server it is.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// Its folder: configuration, log, append-only files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The path of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// The unix socket as an address for [`Connection::open`] and the proxy.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.socket())
    }

    /// The TCP address, if the builder asked for one.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        (self.port != 0).then(|| (Ipv4Addr::LOCALHOST, self.port).into())
    }

    /// `redis+unix://…`, with the password if there is one.
    pub fn url(&self) -> String {
        // A URL with a password needs a host name; clients ignore it.
        let login =
            self.builder.password.as_ref().map_or_else(String::new, |word| format!(":{word}@localhost"));
        format!("redis+unix://{login}{}", self.socket().display())
    }

    /// `redis://127.0.0.1:port`, with the password if there is one; `None` without [`Builder::tcp`].
    pub fn tcp_url(&self) -> Option<String> {
        let login = self.builder.password.as_ref().map_or_else(String::new, |word| format!(":{word}@"));
        self.tcp_addr().map(|addr| format!("redis://{login}{addr}"))
    }

    /// A new connection over the unix socket, logged in.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the server is down.
    pub fn connect(&self) -> Result<Connection> {
        connect(&self.socket(), self.builder.password.as_deref(), patience())
    }

    /// One command on a connection of its own. Error replies are a [`Reply::Error`].
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<Reply> {
        self.connect()?.command(args)
    }

    /// The fields of one section of INFO, for example `cpu`; all sections when `section` is empty.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>> {
        let args = if section.is_empty() { vec!["INFO"] } else { vec!["INFO", section] };
        let reply = self.command(&args)?;
        let text = reply.text().ok_or_else(|| Error::Protocol(format!("INFO answered {reply:?}")))?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Waits until so many replicas have said that they have all that was written so far, by whichever connection. (`WAIT` speaks
    /// of what its own connection wrote.) Replicas say so once a second.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`]; [`Error::TooLate`] when they don't say so.
    pub fn wait_for_replicas(&self, count: usize) -> Result<()> {
        let info = self.info("replication")?;
        let offset = info.get("master_repl_offset").and_then(|at| at.parse::<u64>().ok());
        let written = offset.ok_or_else(|| Error::Protocol(format!("no offset in {info:?}")))?;
        let has_all = |replica: &str| {
            let at = replica.split(',').find_map(|field| field.strip_prefix("offset="));
            at.and_then(|at| at.parse().ok()).is_some_and(|at: u64| at >= written)
                && replica.contains("state=online")
        };
        super::until("the replicas have it all", || {
            let info = self.info("replication")?;
            let replicas = (0..).map_while(|at| info.get(&format!("slave{at}")));
            let there = replicas.filter(|replica| has_all(replica)).count();
            if there >= count {
                Ok(())
            } else {
                Err(Error::Protocol(format!("{there} of {count} have it: {info:?}")))
            }
        })
    }

    /// Processor seconds the server has used since it started, in user and system mode together.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn cpu_seconds(&self) -> Result<f64> {
        let info = self.info("cpu")?;
        let field = |name: &str| info.get(name).and_then(|value| value.parse::<f64>().ok());
        field("used_cpu_user")
            .zip(field("used_cpu_sys"))
            .map(|(user, system)| user + system)
            .ok_or_else(|| Error::Protocol(format!("INFO cpu answered {info:?}")))
    }

    /// The process id, while the server runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL; the data stay. Calling it on a server that is down does nothing.
    ///
    /// # Errors
    ///
    /// As [`Child::kill9`].
    pub fn kill9(&mut self) -> Result<()> {
        self.child.take().map_or(Ok(()), |child| child.kill9().map(drop))
    }

    /// SIGKILL to a server that is only looked at, as a cluster's is under load. It counts as running until [`Self::kill9`] or
    /// [`Self::restart`].
    ///
    /// # Errors
    ///
    /// As [`Child::signal`]; [`Error::Dead`] when the server is down.
    pub fn kill_at_once(&self) -> Result<()> {
        self.running()?.signal(Sig::Kill)
    }

    /// A polite stop (SIGTERM): the server writes what it has to and leaves.
    ///
    /// # Errors
    ///
    /// [`Error::TooLate`] when it does not leave.
    pub fn stop(&mut self) -> Result<()> {
        let Some(child) = self.child.take() else { return Ok(()) };
        child.signal(Sig::Term)?;
        child.wait_exit().map(drop)
    }

    /// Starts the server again with the same data and the same addresses; stops it first if it runs.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`]; [`Error::Dead`] also when somebody else has taken the port meanwhile.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// SIGSTOP: connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// As [`Child::freeze`]; [`Error::Dead`] when the server is down.
    pub fn freeze(&self) -> Result<()> {
        self.running()?.freeze()
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// As [`Child::thaw`]; [`Error::Dead`] when the server is down.
    pub fn thaw(&self) -> Result<()> {
        self.running()?.thaw()
    }

    /// The last lines of the server's log since its last start.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    fn running(&self) -> Result<&Child> {
        let dead = || Error::Dead { what: self.kind.name().into(), last_words: self.log_tail(20) };
        self.child.as_ref().ok_or_else(dead)
    }
}

fn connect(socket: &Path, password: Option<&str>, limit: Duration) -> Result<Connection> {
    let mut connection = Connection::open(&Endpoint::from(socket))?;
    connection.set_time_limit(limit);
    if let Some(password) = password {
        let answer = connection.command(&["AUTH", password])?;
        if answer.error().is_some() {
            return Err(Error::Protocol(format!("AUTH answered {answer:?}")));
        }
    }
    Ok(connection)
}

fn ping(socket: &Path, password: Option<&str>) -> Result<Reply> {
    connect(socket, password, Duration::from_secs(2))?.command(&["PING"])
}

/// A folder whose path leaves room for a socket name, wherever TMPDIR points.
pub(crate) fn short_tempdir() -> Result<TempDir> {
    let usual = std::env::temp_dir();
    let place = if usual.as_os_str().len() < LONGEST_DIR { usual } else { "/tmp".into() };
    tempfile::Builder::new().prefix("rig-").tempdir_in(place).map_err(Error::io("making a folder"))
}

/// A port to try: below the range from which the kernel takes ports for outgoing connections, and begun at a
/// place that differs between processes. Whether it is free shows when the server binds it.
pub(super) fn next_port() -> u16 {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let step = COUNTER.fetch_add(1, Ordering::Relaxed);
    let begin = std::process::id().wrapping_mul(7919);
    let offset = begin.wrapping_add(step) % 20_000;
    10_000 + u16::try_from(offset).unwrap_or(0)
}
