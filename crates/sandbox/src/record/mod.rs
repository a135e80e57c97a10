//! What happened: every attempt of every channel, in a ring bounded in bytes and, on request, in a file.

mod attempt;
mod file;
mod ring;
mod seen;

pub(crate) use self::attempt::REPEATED;
pub use self::attempt::{
    Attempt, Cut, Ending, HttpFacts, Later, Outcome, Protocol, Recipient, SmtpFacts, Stage,
};
pub use self::ring::{Counts, Totals};
pub(crate) use self::seen::{Broken, Seen};

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use self::file::RecordFile;
use self::ring::Ring;

/// All attempts. Shared by whoever writes them and whoever reads them.
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

/// An attempt could not be written to the record file, so it must not be said to have been taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the record file")]
pub(crate) struct NotRecorded(#[source] std::io::Error);

impl Record {
    /// Opens the record; `file` is appended to, and made if it is not there.
    pub(crate) fn open(bytes: usize, attempts: usize, file: Option<&Path>) -> std::io::Result<Self> {
        let file = file.map(RecordFile::open).transpose()?;
        let has_file = file.is_some();
        let inner = Inner { ring: Ring::new(bytes, attempts), file, next: 1 };
        Ok(Self { inner: Mutex::new(inner), has_file, newest: watch::Sender::new(0) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock panics; if it did, the ring would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the attempt its id, writes it to the file and keeps it. It is in the file before this returns, so that
    /// the provider's answer never comes before the record of it.
    pub(crate) fn put(&self, mut attempt: Attempt) -> Result<u64, NotRecorded> {
        // Encoding a big message takes milliseconds: not under the lock.
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
    pub(crate) fn add_later(&self, id: u64, later: Later) -> Result<(), NotRecorded> {
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

    /// All that is kept, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Attempt>> {
        self.inner().ring.iter().cloned().collect()
    }

    /// At most `limit` kept attempts with an id below `before` that `wanted` says yes to, newest first.
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

    /// How many of those kept `wanted` says yes to.
    pub(crate) fn count(&self, wanted: impl Fn(&Attempt) -> bool) -> usize {
        self.inner().ring.iter().filter(|attempt| wanted(attempt)).count()
    }

    /// One attempt, if it is still kept.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Attempt>> {
        self.inner().ring.get(id).cloned()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner().ring.counts().clone()
    }

    /// Forgets all that is kept and sets the counts to zero; ids go on. Returns how many were kept.
    pub(crate) fn clear(&self) -> u64 {
        self.inner().ring.clear()
    }

    /// Tells the id of the newest attempt whenever it changes.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
