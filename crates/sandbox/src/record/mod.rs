//! The record: every attempt of every channel, in a ring bounded in bytes and, on request, in a file.

mod attempt;
mod file;
mod ring;
mod seen;

pub(crate) use self::attempt::REPEATED;
pub use self::attempt::{
    Attempt, AttemptOutcome, AttemptRecipient, AttemptStage, Cut, Ending, HttpFacts, LaterStatus, Protocol,
    SmtpFacts,
};
pub use self::ring::{RecordCounts, Totals};
pub(crate) use self::seen::{Broken, Seen};

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use self::file::RecordFile;
use self::ring::Ring;

/// All attempts. Shared by writers and readers.
#[derive(Debug)]
pub(crate) struct Record {
    inner: Mutex<Inner>,
    has_file: bool,
    /// The id of the newest attempt.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    ring: Ring,
    file: Option<RecordFile>,
    next: u64,
}

/// An attempt could not be written to the record file, so its message must not be reported as accepted.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the record file")]
pub(crate) struct NotRecorded(#[source] std::io::Error);

impl Record {
    /// Opens the record; `file` is appended to, and created if missing.
    pub(crate) fn open(bytes: usize, attempts: usize, file: Option<&Path>) -> std::io::Result<Self> {
        let file = file.map(RecordFile::open).transpose()?;
        let has_file = file.is_some();
        let inner = Inner { ring: Ring::new(bytes, attempts), file, next: 1 };
        Ok(Self { inner: Mutex::new(inner), has_file, newest: watch::Sender::new(0) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock panics; even if it did, the ring would be intact.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the attempt its id, writes it to the file and keeps it. It is in the file before this returns, so the
    /// provider's answer never precedes its record.
    pub(crate) fn put(&self, mut attempt: Attempt) -> Result<u64, NotRecorded> {
        // Encoding a big message takes milliseconds, so it happens outside the lock.
        let line = if self.has_file { Some(file::line(&attempt)) } else { None };
        let mut inner = self.inner();
        attempt.id = inner.next;
        if let (Some(file), Some(line)) = (&mut inner.file, line) {
            file.append(attempt.id, &line).map_err(NotRecorded)?;
        }
        inner.next += 1;
        let id = attempt.id;
        inner.ring.push(Arc::new(attempt));
        drop(inner);
        self.newest.send_replace(id);
        Ok(id)
    }

    /// Adds a later status to an attempt, in the file and, if it is still kept, in memory.
    pub(crate) fn add_later(&self, id: u64, later: LaterStatus) -> Result<(), NotRecorded> {
        let mut inner = self.inner();
        if let Some(file) = &mut inner.file {
            file.append(id, &file::later(&later)).map_err(NotRecorded)?;
        }
        inner.ring.change(id, |attempt| {
            if let Protocol::Http(facts) = &mut attempt.protocol {
                facts.statuses.push(later);
            }
        });
        Ok(())
    }

    /// All kept attempts, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Attempt>> {
        self.inner().ring.iter().cloned().collect()
    }

    /// At most `limit` kept attempts with an id below `before` for which `wanted` is true, newest first.
    pub(crate) fn newest_first(
        &self,
        before: u64,
        limit: usize,
        wanted: impl Fn(&Attempt) -> bool,
    ) -> Vec<Arc<Attempt>> {
        let inner = self.inner();
        let older = inner.ring.iter().rev().skip_while(|attempt| attempt.id >= before);
        older.filter(|attempt| wanted(attempt)).take(limit).cloned().collect()
    }

    /// How many kept attempts `wanted` is true for.
    pub(crate) fn count(&self, wanted: impl Fn(&Attempt) -> bool) -> usize {
        self.inner().ring.iter().filter(|attempt| wanted(attempt)).count()
    }

    /// One attempt, if it is still kept.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Attempt>> {
        self.inner().ring.get(id).cloned()
    }

    pub(crate) fn counts(&self) -> RecordCounts {
        self.inner().ring.counts().clone()
    }

    /// Forgets all kept attempts and resets the counts to zero; ids continue. Returns how many were kept.
    pub(crate) fn clear(&self) -> u64 {
        self.inner().ring.clear()
    }

    /// Reports the id of the newest attempt whenever it changes.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
