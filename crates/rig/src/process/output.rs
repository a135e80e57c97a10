//! The captured output of a child: bounded, and readable while it still runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How many bytes of output are kept per process; further ones are only counted.
pub const MAX_OUTPUT: usize = 64 * 1024 * 1024;

/// Longer lines are cut into pieces of this many bytes.
const MAX_LINE: u64 = 256 * 1024;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output without its line end; bytes that are not UTF-8 are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// Where it was written.
    pub source: OutputStream,
    /// What was written.
    pub text: String,
}

/// The result of waiting for a line.
pub(super) enum Found {
    /// The line was found.
    Line(String),
    /// The process closed its output without it.
    End,
    /// The time is over.
    Nothing,
}

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<OutputLine>,
    bytes: usize,
    overflow: bool,
    open: usize,
}

/// Shared with the two reader threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Output(Arc<(Mutex<Kept>, Condvar)>);

impl Output {
    pub(super) fn capture(
        what: &str,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> Result<Self> {
        let output = Self::default();
        if let Some(stdout) = stdout {
            output.follow(what, OutputStream::Stdout, stdout)?;
        }
        if let Some(stderr) = stderr {
            output.follow(what, OutputStream::Stderr, stderr)?;
        }
        Ok(output)
    }

    fn follow(&self, what: &str, source: OutputStream, stream: impl Read + Send + 'static) -> Result<()> {
        self.lock().open += 1;
        let me = self.clone();
        std::thread::Builder::new()
            .name(format!("rig-output-{what}"))
            .spawn(move || {
                me.read_all(source, BufReader::new(stream));
                me.lock().open -= 1;
                me.0.1.notify_all();
            })
            .map_err(Error::io("starting a reader thread"))?;
        Ok(())
    }

    fn read_all(&self, source: OutputStream, mut stream: impl BufRead) {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match (&mut stream).take(MAX_LINE).read_until(b'\n', &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(_) => self.keep(source, &buffer),
            }
        }
    }

    fn keep(&self, source: OutputStream, raw: &[u8]) {
        let text = String::from_utf8_lossy(raw.strip_suffix(b"\n").unwrap_or(raw)).into_owned();
        let mut kept = self.lock();
        if kept.bytes + raw.len() > MAX_OUTPUT {
            kept.overflow = true;
            return;
        }
        kept.bytes += raw.len();
        kept.lines.push(OutputLine { source, text });
        drop(kept);
        self.0.1.notify_all();
    }

    pub(super) fn wait_line(&self, from: usize, patience: Duration, is_it: impl Fn(&str) -> bool) -> Found {
        let deadline = Instant::now() + patience;
        let mut next = from;
        let mut kept = self.lock();
        loop {
            while let Some(line) = kept.lines.get(next) {
                if is_it(&line.text) {
                    return Found::Line(line.text.clone());
                }
                next += 1;
            }
            if kept.open == 0 {
                return Found::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Found::Nothing;
            }
            kept = self.0.1.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until both streams are closed; a grandchild may hold them open, hence the bound.
    pub(super) fn wait_closed(&self, at_most: Duration) {
        let kept = self.lock();
        // A timeout does not matter: the result is what was read so far.
        let _ = self.0.1.wait_timeout_while(kept, at_most, |kept| kept.open > 0);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// All lines, or `None` when some were dropped.
    pub(super) fn lines(&self) -> Option<Vec<OutputLine>> {
        let kept = self.lock();
        (!kept.overflow).then(|| kept.lines.clone())
    }

    pub(super) fn tail(&self, count: usize) -> String {
        let kept = self.lock();
        let from = kept.lines.len().saturating_sub(count);
        kept.lines[from..].iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_output_makes_the_whole_output_unreadable() {
        let output = Output::default();
        output.keep(OutputStream::Stdout, b"first\n");
        assert_eq!(output.lines().map(|l| l.len()), Some(1));
        output.lock().bytes = MAX_OUTPUT;
        output.keep(OutputStream::Stdout, b"one too many\n");
        assert_eq!(output.lines(), None);
        assert_eq!(output.tail(5), "first");
    }

    #[test]
    fn a_last_line_without_its_end_is_a_line() {
        let output = Output::default();
        output.read_all(OutputStream::Stderr, &b"one\ntwo"[..]);
        assert_eq!(output.tail(2), "one\ntwo");
    }
}
