//! Times at which the database went back but work went on because nothing confirmed was lost. They are stored with
//! the run of the server, for later queries.

use std::fmt;
use std::time::Duration;

use posthaste_model::UnixMs;

use crate::error::CallError;
use crate::halted::moment;
use crate::reader::Reader;
use crate::server_runs::runs;
use crate::store::Store;

/// The database went back, nothing confirmed was lost, and work went on. Its `Display` text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// When the run of the server began in which data was missing, by the server's clock.
    pub at: UnixMs,
    /// How much time was lost, as far as known.
    pub span: Duration,
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span.as_millis().div_ceil(1_000).max(1);
        write!(
            f,
            "went back by about {seconds} s at {} (its server failed over or restarted); nothing confirmed was lost, so work \
             went on by itself",
            moment(self.at)
        )
    }
}

impl Store {
    /// When the database went back and work went on, the latest first; forgotten after 16 runs of the server, and by
    /// a recovery. Writes nothing.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn rollbacks(&self) -> Result<Vec<Rollback>, CallError> {
        let reader = Reader::unguarded(&self.0);
        let mut all: Vec<(String, Rollback)> = Vec::new();
        for at in self.0.guard.all() {
            for run in runs(&reader, at).await? {
                let Some(span) = run.continued else { continue };
                match all.iter_mut().find(|(id, _)| *id == run.id) {
                    Some((_, known)) => {
                        known.at = known.at.min(run.opened);
                        known.span = known.span.max(span);
                    }
                    None => all.push((run.id, Rollback { at: run.opened, span })),
                }
            }
        }
        let mut all: Vec<_> = all.into_iter().map(|(_, rollback)| rollback).collect();
        all.sort_by_key(|rollback| std::cmp::Reverse(rollback.at));
        Ok(all)
    }
}
