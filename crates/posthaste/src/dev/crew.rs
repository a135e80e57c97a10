//! The child processes: started, watched, started again when one dies, and stopped in order.

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

use super::place::Place;
use crate::failure::{Failure, Result};
use crate::terminal::say;

/// How long a process may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// Waits between two looks whether it is up.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Waits before a dead one is started again: doubled while it keeps dying.
const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// One that lived so long is not dying all the time.
const LIVED: Duration = Duration::from_secs(30);
/// How long a process may take to stop when it is asked to.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Lines of a log that are shown when a process does not come up.
const LAST_WORDS: usize = 12;

/// How it shows that a process is up.
#[derive(Debug, Clone)]
pub(super) enum Ready {
    /// It writes this file.
    File(PathBuf),
    /// It answers PING on this unix socket.
    Ping(PathBuf),
}

/// A process that is to run.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// What people call it.
    pub(super) name: &'static str,
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// How it shows that it is up.
    pub(super) ready: Ready,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// What to do when it does not come up because its port is taken.
    pub(super) mend: &'static str,
    /// Those with a smaller number are stopped first.
    pub(super) stop_order: u8,
}

/// All of them.
pub(super) struct Crew {
    here: Here,
    members: Vec<Member>,
}

/// What every start needs.
struct Here {
    /// This executable, by the path it had at first: a new one may be built while this one runs.
    own: PathBuf,
    /// Where processes run.
    folder: PathBuf,
}

struct Member {
    part: Part,
    child: Option<Child>,
    begun: Instant,
    rest: Duration,
    again_at: Option<Instant>,
}

impl Crew {
    /// Nobody yet.
    ///
    /// # Errors
    /// The system does not say where this executable is.
    pub(super) fn new(place: &Place) -> Result<Self> {
        let here = Here { own: std::env::current_exe()?, folder: place.dir().to_owned() };
        Ok(Self { here, members: Vec::new() })
    }

    /// Starts a process and waits until it is up; nothing to do for none.
    ///
    /// # Errors
    /// It did not come up; the text has its last words.
    pub(super) async fn start(&mut self, part: Option<Part>) -> Result<()> {
        self.start_all(part.into_iter().collect()).await
    }

    /// Starts several at once and waits until all are up.
    ///
    /// # Errors
    /// As [`Crew::start`].
    pub(super) async fn start_all(&mut self, parts: Vec<Part>) -> Result<()> {
        let first = self.members.len();
        for part in parts {
            // The log of the last time is of no use any more.
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

    /// Watches until `stop`: who dies is started again, and that is told.
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

    /// Stops all in order, politely; at once when `hurry` comes first.
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
                // Ended already, or ends now.
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
                Err(_) => format!("{} is not up after {} s", part.name, UP_WITHIN.as_secs()),
            },
            status = child.wait() => {
                let how = status.map_or_else(|error| error.to_string(), |status| end_of(&status));
                format!("{} ended at once ({how})", part.name)
            }
        };
        let last_words = tail(&part.log, LAST_WORDS);
        let hint = if last_words.to_lowercase().contains("address already in use") { part.mend } else { "" };
        let mend = format!("Its last words ({}):\n{last_words}\n{hint}", part.log.display());
        Err(Failure::error(ended).mend(mend.trim_end().to_owned()))
    }

    fn died(&mut self, status: &std::io::Result<ExitStatus>) {
        self.child = None;
        if self.begun.elapsed() > LIVED {
            self.rest = FIRST_REST;
        }
        let how = status.as_ref().map_or_else(ToString::to_string, end_of);
        say(&format!(
            "! {} ended ({how}); it is started again. Its log: {}",
            self.part.name,
            self.part.log.display()
        ));
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
            // It may have ended just now, which is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// The next of them to end.
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

fn spawn(part: &Part, here: &Here) -> Result<Child> {
    let unstarted =
        |error: std::io::Error| Failure::error(format!("cannot start {}", part.name)).because(error);
    match &part.ready {
        // What an earlier one left says nothing about this one.
        Ready::File(file) | Ready::Ping(file) => drop(fs::remove_file(file)),
    }
    let log = OpenOptions::new().create(true).append(true).open(&part.log).map_err(unstarted)?;
    let mut command = Command::new(&here.own);
    command.arg("as-child").arg(std::process::id().to_string()).arg("--").arg(&part.program).args(&part.args);
    // Settings of somebody's environment could lead out of this computer.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POSTHASTE_"))
    {
        command.env_remove(name);
    }
    command
        .current_dir(&here.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(unstarted)?)
        .stderr(log)
        // Ctrl-C is ours to pass on, in order.
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

/// Whether the server answers PONG; it says something else while it still reads its data.
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
