//! Start and end of a process: the runtime, the exit code and the line that says why it ended.

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::ConfigError;
use crate::listen::ListenError;
use crate::metrics::MetricsError;
use crate::shutdown::{ProcessEnd, ShutdownStage};
use crate::telemetry::TelemetryError;
use crate::{panics, redact};

/// How long threads stuck in a blocking call may delay the exit.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How a process ended, as reported by its exit code (the numbers of `sysexits.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// 0: the work is done, or the process was asked to stop and all work in flight finished.
    Done,
    /// 78: the command line or the settings are wrong. A restart does not help.
    Usage,
    /// 78: the start was refused because it could lose messages (for example, the database is unsuitable or belongs to another
    /// installation). A restart does not help until an operator has fixed it.
    Refused,
    /// 69: something the process needs is unavailable. A restart may help.
    Unavailable,
    /// 70: a bug in the program.
    Software,
    /// 75: asked to stop, but work in flight had to be cut off; it is handed back for other processes.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Interrupted => 75,
            Self::Usage | Self::Refused => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ProcessEnd> for Exit {
    fn from(ended: ProcessEnd) -> Self {
        match (ended.panicked, ended.stage) {
            (Some(_), _) => Self::Software,
            (None, ShutdownStage::Finished | ShutdownStage::Drained) => Self::Done,
            (None, ShutdownStage::Hard(_)) => Self::Interrupted,
        }
    }
}

/// Why a process failed: the exit code and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ExitFailure {
    exit: Exit,
    source: Box<dyn Error + Send + Sync>,
}

impl ExitFailure {
    /// A failure with this exit code. The text of the cause is printed, with those of its own causes; it must contain no secret
    /// and no address.
    pub fn new(exit: Exit, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, source: cause.into() }
    }

    /// [`Exit::Usage`].
    pub fn usage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, cause)
    }

    /// [`Exit::Refused`].
    pub fn refused(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Refused, cause)
    }

    /// [`Exit::Unavailable`].
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Unavailable, cause)
    }

    /// [`Exit::Software`].
    pub fn software(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Software, cause)
    }

    /// The exit code's meaning.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The line for standard error: the texts of the cause and its own causes, joined by colons, on one line, without the
    /// credentials of URLs.
    pub fn line(&self) -> String {
        let mut line = String::new();
        let first: &dyn Error = &*self.source;
        for cause in std::iter::successors(Some(first), |&cause| cause.source()) {
            let text = cause.to_string();
            // Some errors repeat their cause in their own text.
            if !line.is_empty() && line.ends_with(&text) {
                continue;
            }
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
        let words: Vec<&str> = line.split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect();
        redact::credentials(&words.join(" ")).into_owned()
    }
}

impl From<ConfigError> for ExitFailure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<TelemetryError> for ExitFailure {
    fn from(error: TelemetryError) -> Self {
        match error {
            TelemetryError::Filter { .. } => Self::usage(error),
            TelemetryError::Taken(_) => Self::software(error),
        }
    }
}

impl From<MetricsError> for ExitFailure {
    fn from(error: MetricsError) -> Self {
        Self::software(error)
    }
}

impl From<ListenError> for ExitFailure {
    fn from(error: ListenError) -> Self {
        Self::unavailable(error)
    }
}

/// Runs a process: installs the panic hook, creates the runtime, runs `main` to its end and returns the exit code. A failure is
/// printed as one line on standard error, `<name>: <why>`. A panic of `main` is [`Exit::Software`].
pub fn run<F>(name: &str, main: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<Exit, ExitFailure>>,
{
    panics::install();
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ExitFailure::software)
        .and_then(|runtime| {
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(main())));
            runtime.shutdown_timeout(LEAVE_WITHIN);
            ended.unwrap_or_else(|_| Err(ExitFailure::software("panicked; see the message above")))
        });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Standard error may be closed; the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "{name}: {}", failure.line());
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Cause;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: &'static str,
        source: Option<Box<Layered>>,
    }

    fn layered(texts: &[&'static str]) -> Layered {
        let (text, rest) = texts.split_first().expect("a text");
        Layered { text, source: (!rest.is_empty()).then(|| Box::new(layered(rest))) }
    }

    #[test]
    fn the_line_has_each_cause_once_and_no_credentials() {
        for (texts, line) in [
            (&["no answer"][..], "no answer"),
            (&["cannot start", "no answer"], "cannot start: no answer"),
            (&["cannot start: no answer", "no answer"], "cannot start: no answer"),
            (&["first\nsecond\r\n\tthird"], "first second third"),
            (&["cannot reach redis://u:hunter2@h:1/0", "refused"], "cannot reach redis://***@h:1/0: refused"),
        ] {
            assert_eq!(ExitFailure::unavailable(layered(texts)).line(), line);
        }
    }

    #[test]
    fn the_end_of_a_shutdown_decides_the_exit_code() {
        let ended = |stage, panicked| Exit::from(ProcessEnd { stage, left: 0, panicked }).code();
        assert_eq!(ended(ShutdownStage::Finished, None), 0);
        assert_eq!(ended(ShutdownStage::Drained, None), 0);
        assert_eq!(ended(ShutdownStage::Hard(Cause::Requested), None), 75);
        assert_eq!(ended(ShutdownStage::Hard(Cause::DrainTimeOver), None), 75);
        assert_eq!(ended(ShutdownStage::Drained, Some("work")), 70);
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        assert_eq!(ExitFailure::usage("x").exit().code(), 78);
        assert_eq!(ExitFailure::refused("x").exit().code(), 78);
        assert_eq!(ExitFailure::unavailable("x").exit().code(), 69);
        assert_eq!(ExitFailure::software("x").exit().code(), 70);
    }
}
