//! Child processes: every output line kept, signals by name, killed when dropped.
//!
//! Where util-linux's `setpriv` is present, the child also dies when this process is killed, except in the first
//! one or two milliseconds of its life.

mod launch;
mod output;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use launch::target_dir;
pub use launch::{find_program, workspace_binary};
pub use output::{MAX_OUTPUT, OutputLine, OutputStream};

use crate::eventually::patience;
use crate::{Error, Result, spawner};
use output::Output;

/// The signals a test sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sig {
    /// Graceful stop, as a service manager sends it.
    Term,
    /// Ctrl-C.
    Int,
    /// Hang-up; many services reload their configuration.
    Hup,
    /// Immediate kill.
    Kill,
    /// Freeze.
    Stop,
    /// Thaw.
    Cont,
}

impl Sig {
    fn raw(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Hup => Signal::HUP,
            Self::Kill => Signal::KILL,
            Self::Stop => Signal::STOP,
            Self::Cont => Signal::CONT,
        }
    }
}

/// A running child process. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    what: String,
    pid: u32,
    inner: Mutex<std::process::Child>,
    output: Output,
}

impl Child {
    /// Starts `binary` (a path, or a name looked up on the PATH) with `args`; `env` is added to this process's
    /// environment. Standard input is empty, standard output and error are captured line by line.
    ///
    /// # Errors
    ///
    /// [`Error::Install`] when the binary does not exist, [`Error::Io`] when it cannot be started.
    pub fn spawn<A, K, V>(
        binary: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
        env: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self>
    where
        A: AsRef<OsStr>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let binary = binary.as_ref();
        let what = binary.file_name().unwrap_or(binary.as_os_str()).to_string_lossy().into_owned();
        let mut command = launch::command(binary)?;
        command.args(args).envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut inner = spawner::spawn(command).map_err(Error::io(format!("starting {what}")))?;
        let output = Output::capture(&what, inner.stdout.take(), inner.stderr.take())?;
        Ok(Self { pid: inner.id(), what, inner: Mutex::new(inner), output })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; it is not an error if the process has already ended.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system refuses.
    pub fn signal(&self, sig: Sig) -> Result<()> {
        let mut inner = self.lock();
        // Under the lock the child is not reaped, so its id cannot belong to another process.
        if inner.try_wait().map_err(Error::io("asking for the exit status"))?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&inner), sig.raw())
            .map_err(|e| Error::io(format!("sending {sig:?} to {}", self.what))(e.into()))
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system refuses, [`Error::TooLate`] when the process does not die.
    pub fn kill9(&self) -> Result<ExitStatus> {
        self.signal(Sig::Kill)?;
        self.wait_exit()
    }

    /// SIGSTOP, and waits until every thread of the process has stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Dead`] when the process has ended, [`Error::TooLate`] when it keeps running.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Sig::Stop)?;
        self.wait_until("freezing", |states| states.iter().all(|s| *s == 'T'))
    }

    /// SIGCONT, and waits until no thread of the process is stopped any more.
    ///
    /// # Errors
    ///
    /// [`Error::Dead`] when the process has ended, [`Error::TooLate`] when it stays frozen.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Sig::Cont)?;
        self.wait_until("thawing", |states| states.iter().all(|s| *s != 'T'))
    }

    fn wait_until(&self, what: &str, reached: impl Fn(&[char]) -> bool) -> Result<()> {
        let deadline = Instant::now() + patience();
        loop {
            if self.exit_status()?.is_some() {
                return Err(self.dead());
            }
            let states = launch::thread_states(self.pid);
            if reached(&states) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::TooLate {
                    what: format!("{what} {}", self.what),
                    waited: patience(),
                    seen: format!("thread states {states:?}"),
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The exit status, or `None` while the process runs.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system cannot report it.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.lock().try_wait().map_err(Error::io(format!("asking for the exit status of {}", self.what)))
    }

    /// Waits for the end of the process and of its output, at most [`patience`].
    ///
    /// # Errors
    ///
    /// [`Error::TooLate`] with the last output lines when the process still runs.
    pub fn wait_exit(&self) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience();
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.exit_status()? {
                self.output.wait_closed(Duration::from_secs(2));
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::TooLate {
                    what: format!("the end of {}", self.what),
                    waited: patience(),
                    seen: self.output.tail(20),
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Waits for a line that satisfies `is_it`, including earlier lines, and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLate`] after [`patience`], [`Error::Dead`] when the process ends without such a line; both
    /// with the last output lines.
    pub fn wait_line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        self.wait_line_from(0, what, is_it)
    }

    /// [`Child::wait_line`] among the lines from number `mark` on (see [`Child::mark`]).
    ///
    /// # Errors
    ///
    /// As [`Child::wait_line`].
    pub fn wait_line_from(&self, mark: usize, what: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        match self.output.wait_line(mark, patience(), is_it) {
            output::Found::Line(line) => Ok(line),
            output::Found::End => Err(self.dead()),
            output::Found::Nothing => Err(Error::TooLate {
                what: format!("the line {what:?} of {}", self.what),
                waited: patience(),
                seen: self.output.tail(20),
            }),
        }
    }

    /// The number of lines so far; pass it to [`Child::wait_line_from`] to look only at later ones.
    pub fn mark(&self) -> usize {
        self.output.len()
    }

    /// A copy of all lines so far, in the order they were read.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] when the process wrote more than [`MAX_OUTPUT`] bytes: a check over an incomplete
    /// output would prove nothing.
    pub fn lines(&self) -> Result<Vec<OutputLine>> {
        self.output.lines().ok_or_else(|| Error::Overflow { what: self.what.clone(), bytes: MAX_OUTPUT })
    }

    /// The whole output so far as one text, both streams.
    ///
    /// # Errors
    ///
    /// As [`Child::lines`].
    pub fn output(&self) -> Result<String> {
        Ok(self.lines()?.iter().fold(String::new(), |all, line| all + &line.text + "\n"))
    }

    /// The end of the output, for messages.
    pub fn tail(&self, lines: usize) -> String {
        self.output.tail(lines)
    }

    fn dead(&self) -> Error {
        Error::Dead { what: self.what.clone(), last_words: self.output.tail(20) }
    }

    fn lock(&self) -> MutexGuard<'_, std::process::Child> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut inner = self.lock();
        // Both fail only when the child is already gone, which is the goal.
        let _ = inner.kill();
        let _ = inner.wait();
    }
}
