//! Why a file cannot be used at all.

use std::io;

/// The kind of error, by what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileErrorKind {
    /// The file cannot be read: look at the source of the error.
    Unreadable,
    /// Correct what was asked for: the name of the file, the columns.
    Usage,
    /// Correct the file.
    Refused,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct FileError {
    kind: FileErrorKind,
    text: String,
    remedy: Option<String>,
    source: Option<io::Error>,
}

/// What reading a file returns.
pub(crate) type Result<T, E = FileError> = std::result::Result<T, E>;

impl FileError {
    fn new(kind: FileErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), remedy: None, source: None }
    }

    pub(crate) fn unreadable(text: impl Into<String>) -> Self {
        Self::new(FileErrorKind::Unreadable, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(FileErrorKind::Usage, text)
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::new(FileErrorKind::Refused, text)
    }

    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    pub(crate) fn because(self, source: io::Error) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Its kind.
    pub fn kind(&self) -> FileErrorKind {
        self.kind
    }

    /// Its parts: the text, what to do about it on one or more lines, and the cause.
    pub fn into_parts(self) -> (String, Option<String>, Option<io::Error>) {
        (self.text, self.remedy, self.source)
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::unreadable("cannot read the file").because(error)
    }
}
