//! The child processes: starts and watches them, restarts those that end, and stops all in order.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::dev_dir::DevDir;
use crate::failure::{Failure, Result};
use crate::terminal::say;

/// How long a process may take to start.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// Wait between two checks whether a process has started.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Wait before a process that ended is restarted. It doubles while the process keeps ending.
const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// A process that ran this long does not count as ending repeatedly.
const LIVED: Duration = Duration::from_secs(30);
/// How long a process may take to stop on SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Log lines shown if a process does not start.
const LAST_WORDS: usize = 12;

/// How to tell that a process has started.
#[derive(Debug, Clone)]
pub(super) enum Ready {
    /// It writes this file.
    File(PathBuf),
    /// It answers PING on this unix socket.
    Ping(PathBuf),
}

/// A process to run.
#[derive(Debug, Clone)]
pub(super) struct ProcessSpec {
    /// Its name in messages.
    pub(super) name: &'static str,
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// How to tell that it has started.
    pub(super) ready: Ready,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// What to do if it does not start because its port is in use.
    pub(super) remedy: &'static str,
    /// Processes with a smaller number are stopped first.
    pub(super) stop_order: u8,
}

/// All child processes.
pub(super) struct Supervisor {
    here: Here,
    members: Vec<Member>,
}

/// What every start needs.
struct Here {
    /// The path of this executable at start: a new one may be built while this one runs.
    own: PathBuf,
    /// Working directory of the processes.
    folder: PathBuf,
}

struct Member {
    part: ProcessSpec,
    child: Option<Child>,
    begun: Instant,
    rest: Duration,
    again_at: Option<Instant>,
}

impl Supervisor {
    /// No processes yet.
    ///
    /// # Errors
    /// The system does not report the path of this executable.
    pub(super) fn new(place: &DevDir) -> Result<Self> {
        let here = Here { own: std::env::current_exe()?, folder: place.dir().to_owned() };
        Ok(Self { here, members: Vec::new() })
    }

    /// Starts a process, if there is one, and waits until it has started.
    ///
    /// # Errors
    /// It did not start; the text has the end of its log.
    pub(super) async fn start(&mut self, part: Option<ProcessSpec>) -> Result<()> {
        self.start_all(part.into_iter().collect()).await
    }

    /// Starts several processes at once and waits until all have started.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub(super) async fn start_all(&mut self, parts: Vec<ProcessSpec>) -> Result<()> {
        let first = self.members.len();
        for part in parts {
            // The log of the previous run is no longer useful.
            let _ = fs::remove_file(&part.log);
            let child = spawn(&part, &self.here)?;
            let begun = Instant::now();
            self.members.push(Member { part, child: Some(child), begun, rest: FIRST_REST, again_at: None });
        }
        for member in &mut self.members[first..] {
            member.up().await?;
        }
        Ok(())
    }

    /// Watches until `stop`. A process that ends is reported and restarted.
    pub(super) async fn watch(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let again_at = self.members.iter().filter_map(|member| member.again_at).min();
            let again = async {
                match again_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => return,
                (at, status) = first_end(&mut self.members) => self.members[at].died(&status),
                () = again => {
                    let now = Instant::now();
                    for member in self.members.iter_mut().filter(|member| member.again_at.is_some_and(|at| at <= now)) {
                        member.start_again(&self.here);
                    }
                }
            }
        }
    }

    /// Stops all processes in order with SIGTERM, or kills them at once if `hurry` resolves first.
    pub(super) async fn stop(&mut self, hurry: impl Future<Output = ()>) {
        let polite = async {
            self.members.sort_by_key(|member| member.part.stop_order);
            let mut waiting: VecDeque<&mut Member> = self.members.iter_mut().collect();
            while let Some(order) = waiting.front().map(|member| member.part.stop_order) {
                let mut together = Vec::new();
                while waiting.front().is_some_and(|member| member.part.stop_order == order) {
                    together.extend(waiting.pop_front());
                }
                together.iter_mut().for_each(|member| member.ask_to_stop());
                let ends = together.into_iter().filter_map(|member| member.child.as_mut()).map(Child::wait);
                let _ = timeout(STOP_WITHIN, futures::future::join_all(ends)).await;
            }
        };
        tokio::select! {
            () = polite => {}
            () = hurry => {}
        }
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                // It has ended already, or is killed now.
                let _ = child.kill().await;
            }
        }
        self.members.clear();
    }
}

impl Member {
    async fn up(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let part = &self.part;
        let ended = tokio::select! {
            up = timeout(UP_WITHIN, is_up(&part.ready)) => match up {
                Ok(()) => return Ok(()),
                Err(_) => format!("{} did not start within {} s", part.name, UP_WITHIN.as_secs()),
            },
            status = child.wait() => {
                let how = status.map_or_else(|error| error.to_string(), |status| end_of(&status));
                format!("{} ended during startup ({how})", part.name)
            }
        };
        let last_words = tail(&part.log, LAST_WORDS);
        let hint =
            if last_words.to_lowercase().contains("address already in use") { part.remedy } else { "" };
        let remedy = format!("The end of its log ({}):\n{last_words}\n{hint}", part.log.display());
        Err(Failure::error(ended).remedy(remedy.trim_end().to_owned()))
    }

    fn died(&mut self, status: &std::io::Result<ExitStatus>) {
        self.child = None;
        if self.begun.elapsed() > LIVED {
            self.rest = FIRST_REST;
        }
        let how = status.as_ref().map_or_else(ToString::to_string, end_of);
        say(&format!("! {} ended ({how}); restarting it. Log: {}", self.part.name, self.part.log.display()));
        self.again_at = Some(Instant::now() + self.rest);
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    fn start_again(&mut self, here: &Here) {
        self.again_at = None;
        self.begun = Instant::now();
        match spawn(&self.part, here) {
            Ok(child) => self.child = Some(child),
            Err(failure) => {
                say(&format!("! {}", failure.lines().join(" ")));
                self.again_at = Some(Instant::now() + self.rest);
            }
        }
    }

    fn ask_to_stop(&self) {
        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // If it has just ended, there is nothing to stop.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Waits for the next process to end.
async fn first_end(members: &mut [Member]) -> (usize, std::io::Result<ExitStatus>) {
    let ends: Vec<_> = members
        .iter_mut()
        .enumerate()
        .filter_map(|(at, member)| Some((at, member.child.as_mut()?)))
        .map(|(at, child)| Box::pin(async move { (at, child.wait().await) }))
        .collect();
    if ends.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(ends).await.0
}

fn spawn(part: &ProcessSpec, here: &Here) -> Result<Child> {
    let unstarted =
        |error: std::io::Error| Failure::error(format!("cannot start {}", part.name)).because(error);
    match &part.ready {
        // A file left by an earlier process says nothing about this one.
        Ready::File(file) | Ready::Ping(file) => drop(fs::remove_file(file)),
    }
    let log = OpenOptions::new().create(true).append(true).open(&part.log).map_err(unstarted)?;
    let mut command = Command::new(&here.own);
    command.arg("as-child").arg(std::process::id().to_string()).arg("--").arg(&part.program).args(&part.args);
    // Settings from the environment could direct messages to real providers.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POSTHASTE_"))
    {
        command.env_remove(name);
    }
    command
        .current_dir(&here.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(unstarted)?)
        .stderr(log)
        // Ctrl-C must not reach the children directly: they are stopped in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(unstarted)
}

async fn is_up(ready: &Ready) {
    loop {
        let up = match ready {
            Ready::File(file) => file.is_file(),
            Ready::Ping(socket) => answers(socket).await.is_some(),
        };
        if up {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Whether the server replies PONG; while it is loading its data, it replies with an error.
async fn answers(socket: &Path) -> Option<()> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    stream.write_all(b"PING\r\n").await.ok()?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.ok()?;
    (&answer == b"+PONG").then_some(())
}

fn end_of(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no reason given".to_owned(),
    }
}

/// The last lines of a log.
fn tail(log: &Path, lines: usize) -> String {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(16 * 1024)))?;
        file.read_to_end(&mut text)
    });
    if read.is_err() {
        return "(none)".to_owned();
    }
    let text = String::from_utf8_lossy(&text);
    let all: Vec<String> = text.lines().map(crate::terminal::plain).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
