//! The test program, started again as one scenario.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use posthaste_rig::patience;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The variable that tells the child its scenario. Without our prefix, so that it is not a setting.
const SCENARIO: &str = "OPS_TEST_SCENARIO";

/// The scenario of this process, if it is a child.
pub(crate) fn requested_for() -> Option<String> {
    std::env::var(SCENARIO).ok()
}

/// A running child; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// All of its standard error.
    pub(crate) errors: String,
}

impl Child {
    /// Starts the scenario.
    pub(crate) fn start(scenario: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .env(SCENARIO, scenario)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = process.stdout.take().expect("standard output");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let errors = process.stderr.take().expect("standard error");
        let errors = std::thread::spawn(move || read(errors));
        Self { process, lines, errors: Some(errors) }
    }

    /// Waits for a line on standard output.
    pub(crate) fn wait_for(&mut self, line: &str) {
        let received = self.lines.recv_timeout(patience());
        assert_eq!(received.as_deref(), Ok(line));
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the child is there");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        // Standard output closes with the process.
        let over = std::iter::from_fn(|| Some(self.lines.recv_timeout(patience()))).find_map(Result::err);
        assert_eq!(over, Some(std::sync::mpsc::RecvTimeoutError::Disconnected), "the child does not end");
        let code = self.process.wait().expect("its status").code();
        let errors = self.errors.take().expect("only taken here").join().expect("its standard error");
        Ended { code, errors }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The child may already have ended; either way nothing is left behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// The JSON log line with this message.
    pub(crate) fn event(&self, message: &str) -> Value {
        let lines = self.errors.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines.into_iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no event {message:?} in {}", self.errors))
    }
}

fn read(mut errors: ChildStderr) -> String {
    let mut text = String::new();
    errors.read_to_string(&mut text).expect("text");
    text
}
