//! How a command fails: a kind, which gives the exit code, a sentence, and what to do about it.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The kind of failure, by what the user has to do next. Its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1: read the text; the number says nothing more.
    Error,
    /// 2: correct the command line.
    Usage,
    /// 3: correct the request, or confirm it.
    Refused,
    /// 4: use another key.
    NotAllowed,
    /// 5: look at the failed deliveries; the order itself is finished.
    SomeFailed,
    /// 6: find the right name.
    NotFound,
    /// 7: start the queue or Redis, or correct its address.
    Unreachable,
    /// 8: wait longer; the order is still running.
    StillRunning,
    /// 130: nothing; the user interrupted the command.
    Interrupted,
}

/// The exit codes as `posthaste --help` lists them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done; with --watch: the order finished and nothing failed
    1  error
    2  invalid usage
    3  rejected, or not confirmed
    4  no API key, or the key does not allow this
    5  finished, but some deliveries failed
    6  not found
    7  cannot reach the queue or Redis
    8  timed out while waiting; the order is still running
  130  interrupted
The processes (queue, courier, sandbox) exit with codes from sysexits.h: 69, 70, 75, 78.";

impl Kind {
    /// The exit code of the process.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotAllowed => 4,
            Self::SomeFailed => 5,
            Self::NotFound => 6,
            Self::Unreachable => 7,
            Self::StillRunning => 8,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    kind: Kind,
    text: String,
    remedy: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What commands return.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of this kind. The text is shown as it is and must contain no secret and no recipient address.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), remedy: None, source: None }
    }

    /// [`Kind::Error`].
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self::new(Kind::Error, text)
    }

    /// [`Kind::Usage`].
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// [`Kind::Refused`].
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::new(Kind::Refused, text)
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause, shown after the text.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the reader of our output closed the pipe, which does not count as a failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        let source = self.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What is written to standard error: the text with its causes, then what to do about it on separate lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut first = self.text.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !first.ends_with(&text) {
                first = format!("{first}: {text}");
            }
            cause = error.source();
        }
        let mut lines: Vec<String> = first.lines().map(str::to_owned).collect();
        lines.extend(self.remedy.iter().flat_map(|remedy| remedy.lines()).map(|line| format!("  {line}")));
        lines
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::error("reading or writing failed").because(error)
    }
}

impl From<posthaste_ops::config::ConfigError> for Failure {
    fn from(error: posthaste_ops::config::ConfigError) -> Self {
        Self::usage("the settings cannot be used").because(error)
    }
}

impl From<posthaste_people_file::FileError> for Failure {
    fn from(error: posthaste_people_file::FileError) -> Self {
        use posthaste_people_file::FileErrorKind;
        let kind = match error.kind() {
            FileErrorKind::Unreadable => Kind::Error,
            FileErrorKind::Usage => Kind::Usage,
            FileErrorKind::Refused => Kind::Refused,
        };
        let (text, remedy, source) = error.into_parts();
        Self { kind, text, remedy, source: source.map(Into::into) }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        if failure.is_closed_pipe() { Self::SUCCESS } else { Self::from(failure.kind.code()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_each_cause_once_and_the_fix_last() {
        let failure = Failure::new(Kind::Unreachable, "cannot reach the server")
            .because(io::Error::other("refused"))
            .remedy("Start it:\n  posthaste dev");
        assert_eq!(failure.lines(), ["cannot reach the server: refused", "  Start it:", "    posthaste dev"]);
        assert_eq!(failure.kind().code(), 7);
    }

    #[test]
    fn a_closed_pipe_is_not_a_failure() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_closed_pipe());
        assert!(!Failure::from(io::Error::other("disk")).is_closed_pipe());
    }

    #[test]
    fn every_code_is_in_the_help() {
        let kinds = [
            Kind::Error,
            Kind::Usage,
            Kind::Refused,
            Kind::NotAllowed,
            Kind::SomeFailed,
            Kind::NotFound,
            Kind::Unreachable,
            Kind::StillRunning,
            Kind::Interrupted,
        ];
        for kind in kinds {
            let begin = format!("{:>5}  ", kind.code());
            assert!(EXIT_CODES.lines().any(|line| line.starts_with(&begin)), "{kind:?}");
        }
    }
}
